"""What the engine says in its log while a test listens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Ear(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@contextmanager
def heard(name: str = "engine") -> Iterator[list[str]]:
    """Collect the lines of a logger and those below it, each behind its level."""
    lines: list[str] = []
    ear, logger = _Ear(lines), logging.getLogger(name)
    logger.addHandler(ear)
    try:
        yield lines
    finally:
        logger.removeHandler(ear)
