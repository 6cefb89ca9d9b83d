"""Reads the small files in which the kernel tells things (/proc, /sys).

Plain system calls: a glimpse reads a few dozens of them, and Python's files cost four times that.
"""

from __future__ import annotations

import os
from pathlib import Path

#: more than any of these files has, but for the list of interrupts
_ENOUGH = 1 << 16


def read(path: str | Path) -> bytes | None:
    """Read a file in one go; None where there is none, or it may not be read."""
    try:
        return read_or_raise(path)
    except OSError:
        return None


def read_or_raise(path: str | Path) -> bytes:
    """Read a file in one go.

    Raises:
        OSError: there is none, or it may not be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _ENOUGH)
    finally:
        os.close(descriptor)


def line(path: str | Path) -> str:
    """Read a file's text without its line end; "" where there is none."""
    return (read(path) or b"").decode("utf-8", "replace").strip()
