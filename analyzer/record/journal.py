"""The journal: one line of JSON for what holds of all rows, then one for each row.

Owns the file: appending, syncing, locking, and reading what a crash left behind. Does not
own the lines' form (``row``). The journal is the sweep's checkpoint.

Rules:

1. A row that ``append`` has returned from is on the disk; a line is never changed.
2. A torn last line (the process died in mid-append) is no row. It is reported, and cut off
   before anything is appended. A bad line elsewhere is reported and skipped, and stays.
3. Only one process at a time may append; readers need no lock.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from analyzer.errors import JournalError
from analyzer.record.row import (
    Row,
    RunHead,
    head_to_line,
    line_to_head,
    line_to_row,
    row_to_line,
)


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is no row: where it stands (from 1), what it says, and what is wrong."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal's file holds. ``sound_bytes`` ends where a torn last line begins."""

    head: RunHead
    rows: tuple[Row, ...]
    damage: tuple[Damage, ...]
    sound_bytes: int

    @property
    def torn(self) -> tuple[str, ...]:
        """The text of each line that could not be read."""
        return tuple(each.text for each in self.damage)


def read(path: Path) -> Contents:
    """Read a journal, gzipped if its name ends so; the last line may be one being written.

    Raises:
        JournalError: it cannot be read, or it has no whole first line.
    """
    try:
        raw = path.read_bytes()
        return _parse(gzip.decompress(raw) if path.suffix == ".gz" else raw, path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise JournalError(f"{path}: cannot read the journal: {reason}") from error


def options_digest(options: Mapping[str, Any]) -> str:
    """Return the digest of the options that change what a measurement means."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


class Journal:
    """A journal open for appending. Made by ``create``, ``open`` or ``resume``."""

    def __init__(self, path: Path, descriptor: int, contents: Contents) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        self._contents = contents
        self._rows = list(contents.rows)
        self._end = contents.sound_bytes

    @classmethod
    def create(cls, path: Path, head: RunHead) -> Self:
        """Start a new journal.

        Raises:
            JournalError: there is one already, or it cannot be written.
        """
        descriptor = _lock(path, os.O_CREAT | os.O_EXCL)
        return cls._started(path, descriptor, head)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a journal to go on with it.

        Raises:
            JournalError: it cannot be read, or another process is appending to it.
        """
        return cls._opened(path, _lock(path, 0))

    @classmethod
    def resume(cls, path: Path, head: RunHead) -> Self:
        """Go on with the journal at ``path``, or start it where there is none.

        A file that holds no measurement yet is started over: a mistyped option that ended the
        run before its first row does not bind the next one.

        Raises:
            JournalError: it was taken under other options (the text says which), or as above.
        """
        if not path.exists():
            return cls.create(path, head)
        descriptor = _lock(path, 0)
        if b"\n" not in _all_of(descriptor):
            return cls._started(path, descriptor, head)
        journal = cls._opened(path, descriptor)
        if journal.head.options_digest != head.options_digest:
            if not journal.rows and not journal.damage:
                return cls._started(path, descriptor, head)
            journal.close()
            raise JournalError(_difference(path, journal.head, head))
        return journal

    @property
    def head(self) -> RunHead:
        """What is true of every row."""
        return self._contents.head

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, in the order they were taken."""
        return tuple(self._rows)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """The lines that could not be read when the journal was opened."""
        return self._contents.damage

    @property
    def torn(self) -> tuple[str, ...]:
        """The text of each of those lines."""
        return self._contents.torn

    def append(self, row: Row) -> None:
        """Write a row and wait until it is on the disk.

        Raises:
            JournalError: it could not be written; the rows before it are safe.
        """
        self._write(row_to_line(row).encode() + b"\n")
        self._rows.append(row)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def _started(cls, path: Path, descriptor: int, head: RunHead) -> Self:
        journal = cls(path, descriptor, Contents(head, (), (), 0))
        try:
            os.ftruncate(descriptor, 0)
            journal._write(head_to_line(head).encode() + b"\n")
            _sync_folder(path)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def _opened(cls, path: Path, descriptor: int) -> Self:
        try:
            raw = _all_of(descriptor)
            contents = _parse(raw, path)
            journal = cls(path, descriptor, contents)
            # What is torn is in ``damage`` by now; the next line must not be glued to it.
            os.ftruncate(descriptor, contents.sound_bytes)
            if not raw[: contents.sound_bytes].endswith(b"\n"):
                journal._write(b"\n")
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def _write(self, text: bytes) -> None:
        if self._descriptor is None:
            raise JournalError(f"{self._path}: the journal was closed")
        written = 0
        try:
            while written < len(text):
                written += os.pwrite(self._descriptor, text[written:], self._end + written)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._end)
            raise JournalError(
                f"{self._path}: cannot write: {error.strerror}; "
                f"the {len(self._rows)} rows in it are safe, run again to go on from them"
            ) from error
        self._end += written


def _lock(path: Path, flags: int) -> int:
    """Open the file and lock it; return its descriptor.

    The lock goes when the process does, however it ends, so none is ever left behind.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
    except FileExistsError as error:
        raise JournalError(
            f"{path}: there is a journal already; go on with it or remove it"
        ) from error
    except OSError as error:
        raise JournalError(f"{path}: cannot open the journal: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalError(
            f"{path}: another profile is writing this journal; "
            "wait for it, stop it, or choose another --export-path"
        ) from error
    return descriptor


def _all_of(descriptor: int) -> bytes:
    chunks, at = [], 0
    while chunk := os.pread(descriptor, 1 << 20, at):
        chunks.append(chunk)
        at += len(chunk)
    return b"".join(chunks)


def _parse(raw: bytes, path: Path) -> Contents:
    first, *others = raw.split(b"\n")
    try:
        head = line_to_head(first.decode())
    except (JournalError, ValueError) as error:
        raise JournalError(
            f"{path}:1: {error}; without its first line the journal cannot be used: "
            "remove it to start anew"
        ) from error
    rows: list[Row] = []
    damage: list[Damage] = []
    for number, line in enumerate(others, 2):
        if not line.strip():
            continue
        try:
            rows.append(line_to_row(line.decode()))
        except (JournalError, ValueError, AttributeError) as error:
            damage.append(Damage(number, line.decode(errors="replace"), str(error)))
    torn = bool(damage) and damage[-1].line == len(others) + 1
    sound = len(raw) - (len(others[-1]) if torn else 0)
    return Contents(head, tuple(rows), tuple(damage), sound)


def _difference(path: Path, then: RunHead, now: RunHead) -> str:
    names = sorted(then.options.keys() | now.options.keys())
    changed = [
        f"{name} was {then.options.get(name)!r} and is now {now.options.get(name)!r}"
        for name in names
        if then.options.get(name) != now.options.get(name)
    ]
    return (
        f"{path}: its rows were measured under other options and cannot be mixed with new ones: "
        f"{'; '.join(changed) or 'the digests of the options differ'}. "
        "Use those options again, choose another --export-path, or pass --fresh to start over"
    )


def _sync_folder(path: Path) -> None:
    """Make the new name in the folder as lasting as the file."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
