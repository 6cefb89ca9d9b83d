"""Stored baselines: files named for their content, and a file for each name that lists them.

::

    .analyze/baselines/
        objects/<sha256>.json    a run's measurements (``baseline``); never changed
        main.json                which of them is the baseline, and the history, oldest first

Both can be committed, or kept in a CI's cache. Owns the files; what is in an object is
``baseline``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.errors import UsageError
from analyzer.gate import baseline as forms
from analyzer.gate.baseline import Baseline
from analyzer.workspace import write_whole

KIND, SCHEMA, OBJECTS = "servetune baselines", 1, "objects"
#: the name that is looked for where none is given
USUAL = "main"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept under a name: the baseline, and every run that was kept, oldest first."""

    name: str
    baseline: Baseline | None
    history: tuple[Baseline, ...]


class Store:
    """The folder of stored baselines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """Name what is stored."""
        return tuple(sorted(path.stem for path in self._folder.glob("*.json")))

    def find(self, name: str) -> Stored | None:
        """Return what is kept under a name; None where nothing is.

        Raises:
            UsageError: a file is damaged, or gone.
        """
        path = self._index(name)
        return _indexed(path) if path.is_file() else None

    def require(self, name: str) -> Stored:
        """Return what is kept under a name.

        Raises:
            UsageError: nothing is, or a file is damaged.
        """
        if (found := self.find(name)) is not None:
            return found
        raise UsageError(
            f"{self._folder} has no baseline {name!r}; there: {', '.join(self.names()) or 'none'}. "
            f"`analyze check --save-baseline {name}` keeps one; --baseline-lenient goes on without"
        )

    def keep(self, name: str, measured: Baseline, *, promote: bool) -> Path:
        """Add a run to the history of a name; ``promote`` makes it the baseline. Return its file.

        Raises:
            UsageError: it is no name, or what is there is damaged.
        """
        path = self._index(name)
        before = _plain(path) if path.is_file() else {}
        address = measured.address
        target = self._folder / OBJECTS / _file(address)
        if not target.exists():
            write_whole(target, forms.spelled(measured))
        history = [each for each in before.get("history", []) if each != address]
        current = before.get("baseline")
        plain = {
            "kind": KIND,
            "schema": SCHEMA,
            "baseline": address if promote or current is None else current,
            "history": [*history, address],
        }
        write_whole(path, json.dumps(plain, indent=2) + "\n")
        return target

    def _index(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name of a baseline: letters, digits, dots, dashes and underscores"
            )
        return self._folder / f"{name}.json"


def read(path: Path) -> Stored:
    """Read a baseline's file, whether it is one run's or lists those of a name.

    Raises:
        UsageError: it is not there, or is neither.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such baseline; --save-baseline NAME keeps one")
    if _plain(path).get("kind") == KIND:
        return _indexed(path)
    found = forms.parse(path.read_text(encoding="utf-8"), str(path))
    return Stored(path.stem, found, (found,))


def _indexed(path: Path) -> Stored:
    plain = _plain(path)
    if plain.get("kind") != KIND or plain.get("schema") != SCHEMA:
        raise UsageError(
            f"{path}: not a list of baselines of schema {SCHEMA}; --save-baseline writes one"
        )
    addresses: Sequence[str] = plain.get("history", [])
    found = {each: _object(path, each) for each in addresses}
    current: str = plain.get("baseline", "")
    return Stored(path.stem, found.get(current), tuple(found.values()))


def _object(index: Path, address: str) -> Baseline:
    path = index.parent / OBJECTS / _file(address)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: {index} names it, but it cannot be read ({error.strerror}); restore it, or "
            "remove it from the list"
        ) from error
    return forms.parse(text, str(path))


def _file(address: str) -> str:
    return f"{address.removeprefix('sha256:')}.json"


def _plain(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not a baseline: --save-baseline writes one")
    return found
