"""The blocks of a run on the disk, one line each, so that what was measured survives.

Owns the file: appending, syncing, locking, and reading what an interrupted run left. Rules:

1. A block that ``append`` has returned from is on the disk.
2. A torn last line is no block: its end is cut off before anything is appended.
3. A run that is not resumed starts over; what was there is kept beside it, as ``*.previous.jsonl``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from analyzer.errors import JournalError
from analyzer.gate.baseline import block_of, block_plain
from analyzer.gate.values import Block

_SCHEMA = 1


class Kept:
    """The blocks of one question, by a key for each series; entered for as long as it is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._blocks: dict[str, list[Block]] = {}
        self._pairs: dict[str, int] = {}

    @classmethod
    def open(cls, folder: Path, question: Mapping[str, Any], *, resume: bool) -> Self:
        """Open the file of a question; ``resume`` reads what is in it, else it starts over.

        Raises:
            JournalError: it cannot be written or read, or another process is writing it.
        """
        text = json.dumps(question, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = folder / f"{name}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        # Whoever commits everything that is there does not mean these.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        if not resume and path.exists():
            path.replace(path.with_suffix(".previous.jsonl"))
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(
                f"{path}: another `analyze check` is writing it; wait for it, or pass --work-dir"
            ) from error
        kept = cls(path, descriptor)
        try:
            kept._read(text)
        except BaseException:
            kept.close()
            raise
        return kept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return sum(map(len, self._blocks.values()))

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def blocks(self, key: str) -> Sequence[Block]:
        """Return the blocks of a series, in the order they were taken."""
        return tuple(self._blocks.get(key, ()))

    def per_launch(self, key: str) -> int | None:
        """Return for how many pairs a launch of a series lasts; None where it has not begun."""
        return self._pairs.get(key)

    def begin(self, key: str, per_launch: int) -> None:
        """Keep for how many pairs a launch of a series lasts.

        Raises:
            JournalError: it could not be written.
        """
        self._append({"kind": "series", "key": key, "per_launch": per_launch})
        self._pairs[key] = per_launch

    def append(self, key: str, block: Block) -> None:
        """Write a block and wait until it is on the disk.

        Raises:
            JournalError: it could not be written.
        """
        self._append({"kind": "block", "key": key, **block_plain(block)})
        self._blocks.setdefault(key, []).append(block)

    def _read(self, question: str) -> None:
        raw = b"".join(iter(lambda: os.read(self._descriptor, 1 << 20), b""))
        sound = raw[: raw.rfind(b"\n") + 1]
        os.ftruncate(self._descriptor, len(sound))
        os.lseek(self._descriptor, len(sound), os.SEEK_SET)
        for number, line in enumerate(sound.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(
                    f"{self.path}:{number}: not a line of blocks ({error}); leave out --resume to "
                    "start over"
                ) from error
        if not sound:
            self._append({"kind": "head", "schema": _SCHEMA, "question": question})

    def _take(self, plain: dict[str, Any]) -> None:
        match plain.pop("kind"):
            case "head":
                if plain["schema"] != _SCHEMA:
                    raise ValueError(f"schema {plain['schema']}; this version reads {_SCHEMA}")
            case "series":
                self._pairs[plain["key"]] = int(plain["per_launch"])
            case "block":
                self._blocks.setdefault(plain.pop("key"), []).append(block_of(plain))
            case other:
                raise ValueError(f"a line of kind {other!r}")

    def _append(self, plain: Mapping[str, Any]) -> None:
        line = json.dumps(plain, allow_nan=False).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot write: {error.strerror}") from error
