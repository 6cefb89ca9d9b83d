"""The files that a load request brings: a model's folder made of them, for as long as it is used.

Owns the temporary folder. Writing and removing touch the disk: both belong on a worker thread.

1. Nothing is written outside of the folder, whatever the paths say.
2. The folder goes when nobody holds it any more, or at the latest with this program.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from engine.errors import Internal, InvalidArgument

PREFIX = "file:"


class Sent:
    """A model's folder that was sent; whoever makes it holds it, and lets go of it."""

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write ``files``, by their paths in the folder of the model called ``name``.

        Raises:
            InvalidArgument: a path leads out of the folder, or through a file.
            Internal: the disk is full, or cannot be written.
        """
        targets = {_inside(path): content for path, content in files.items()}
        try:
            self._around = TemporaryDirectory(prefix="servetune-sent-", ignore_cleanup_errors=True)
        except OSError as fault:
            raise Internal(f"cannot keep the files of model '{name}': {fault}") from fault
        self.directory = Path(self._around.name, name)
        self._holders = 1
        self._lock = threading.Lock()
        try:
            self.directory.mkdir()
            for path, content in targets.items():
                _write(self.directory, path, content)
        except (OSError, ValueError) as fault:  # a name or path that no disk can hold
            self._around.cleanup()
            raise Internal(f"cannot keep the files of model '{name}': {fault}") from fault
        except InvalidArgument:
            self._around.cleanup()
            raise

    def hold(self) -> None:
        """Keep the folder until ``let_go``."""
        with self._lock:
            self._holders += 1

    def let_go(self) -> None:
        """Do not need the folder any more; it is removed if nobody does."""
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last:
            self._around.cleanup()


def _inside(path: str) -> PurePosixPath:
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == ".." and parts:
            parts.pop()
        elif part == ".." or part.startswith("/") or "\0" in part:
            parts = []
            break
        elif part != ".":
            parts.append(part)
    if not parts:
        raise InvalidArgument(
            f"Invalid file parameter '{PREFIX}{path}' with normalized path "
            f"'{PurePosixPath(path)}' must stay within model directory."
        )
    return PurePosixPath(*parts)


def _write(directory: Path, path: PurePosixPath, content: bytes) -> None:
    target = directory / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidArgument(
            f"Invalid file parameter '{PREFIX}{path}', directory has been created as a file"
        ) from None
    if target.is_dir():
        raise InvalidArgument(
            f"Invalid file parameter '{PREFIX}{path}', there is a directory of that name"
        )
    target.write_bytes(content)
