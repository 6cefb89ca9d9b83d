"""What a child is made of in tests: Executors that start as a folder tells them to."""

from __future__ import annotations

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
