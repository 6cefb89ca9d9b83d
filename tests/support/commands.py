"""``analyze`` and ``engine`` as their users type them, run in the test's own process.

For tests of what a command does and says. Those of how a process lives and ends start one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from analyzer.cli import main as analyzer_main
from engine.cli import main as engine_main

COLUMNS = 200


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def analyze(*words: str, cwd: Path) -> Said:
    """Run ``analyze`` with these words, in that folder."""
    return _run(lambda: analyzer_main(list(words)), cwd)


def engine(*words: str, cwd: Path) -> Said:
    """Run ``engine`` with these words, in that folder. Not ``serve``, which waits for a signal."""
    return _run(lambda: engine_main(list(words)), cwd)


def _run(main: Callable[[], int | None], cwd: Path) -> Said:
    out, err = StringIO(), StringIO()
    with (
        contextlib.chdir(cwd),
        _wide(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main() or 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    return Said(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """Let tables have room, as on a wide terminal."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(COLUMNS)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
