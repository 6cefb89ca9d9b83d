"""What a child is made of in tests: Executors that start as a folder tells them to."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Silent:
    """Executes nothing."""

    overlaps = False

    def execute(self, batch: Sequence[Any]) -> None:
        raise AssertionError(batch)

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "silent"}

    def close(self) -> None:
        pass


def make_at_once_only_once(given: Mapping[str, Any], outside: object) -> Silent:
    """Start at once the first time; later, wait until somebody writes into the pipe ``gate``."""
    del outside
    folder = Path(given["folder"])
    if (folder / "started").exists():
        (folder / "gate").read_bytes()
    (folder / "started").touch()
    return Silent()


class Dying:
    """Answers with what it is asked, and dies on the way, where a request's parameter says so."""

    overlaps = False
    lasting = False

    def execute(self, batch: Sequence[Any]) -> None:
        for place, work in enumerate(batch):
            where = work.request.parameters.get("die")
            if where == "between its answers" and place:
                os.kill(os.getpid(), signal.SIGKILL)
            work.replies.send(work.request.inputs, final=True)
        if batch[0].request.parameters.get("die") == "before execute returns":
            os.kill(os.getpid(), signal.SIGKILL)

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "dying"}

    def close(self) -> None:
        pass


def make_dying(given: Mapping[str, Any], outside: object) -> Dying:
    """Die while starting, if there is a file named ``die``, which goes."""
    del outside
    file = Path(given["folder"], "die")
    if file.exists():
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return Dying()
