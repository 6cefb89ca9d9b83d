"""The exported folder: what is to be written, and that nobody else's file is lost by it.

Owns the folder's ledger, a file that says what an export wrote and how it looked. Rules:

1. A file is replaced or removed only if the ledger has it and it is still as it was written. What
   somebody else wrote, or has changed since, refuses the whole export before anything is written.
2. A file that is already as it is to be stays, whoever wrote it: the same export twice changes
   nothing.
3. The ledger knows of a file before it is written, so a run that was cut off can be run again.
4. Each file is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from analyzer.errors import UsageError

LEDGER = ".servetune-export.json"
#: how many names an error lists
_LISTED = 8


class State(Enum):
    """What becomes of a file."""

    NEW = "new"
    REPLACED = "replaced"
    SAME = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Item:
    """A file to be: its path in the folder, and its text or the file that it is a copy of."""

    path: str
    text: str = ""
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What is done for one file; ``item`` is None where it is removed."""

    path: str
    state: State
    item: Item | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it, and what the ledger says before and after."""

    root: Path
    steps: tuple[Step, ...]
    before: Mapping[str, str]
    after: Mapping[str, str]


def plan(root: Path, items: Sequence[Item]) -> Plan:
    """Compare a folder with what it is to hold; nothing is written.

    Raises:
        UsageError: it holds files that are not the export's to replace, or it is no folder.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: a file; --output names a folder")
    before = _ledger(root)
    after = {item.path: _wanted(item) for item in items}
    steps: list[Step] = []
    foreign: list[str] = []
    for item in items:
        state = _state(root / item.path, before.get(item.path), after[item.path])
        if state is None:
            foreign.append(item.path)
        else:
            steps.append(Step(item.path, state, item))
    if foreign:
        named = ", ".join(foreign[:_LISTED])
        more = f" and {len(foreign) - _LISTED} more" if len(foreign) > _LISTED else ""
        raise UsageError(
            f"{root}: would replace what is not an export's, or was changed after it: {named}{more}"
            "; move them away, or choose another folder with --output"
        )
    for path, known in before.items():
        if path not in after and (there := _digest(root / path)) and there in known.split():
            steps.append(Step(path, State.REMOVED, None))
    return Plan(root, tuple(steps), before, after)


def _state(target: Path, known: str | None, wanted: str) -> State | None:
    """Say what becomes of a file; None: it is somebody else's."""
    if not target.exists() and not target.is_symlink():
        return State.NEW
    there = _digest(target)
    if there == wanted:
        return State.SAME
    ours = there is not None and known is not None and there in known.split()
    return State.REPLACED if ours else None


def write(plan: Plan, *, link: bool = False) -> None:
    """Carry a plan out; with ``link`` copies are hard links, where that can be.

    Raises:
        OSError: a file cannot be written; the same export goes on where it stopped.
    """
    plan.root.mkdir(parents=True, exist_ok=True)
    # Until it is done a file may be as it was or as it is to be.
    both = {
        path: " ".join(dict.fromkeys(one[path] for one in (plan.before, plan.after) if path in one))
        for path in plan.before.keys() | plan.after.keys()
    }
    _keep(plan.root, both)
    for step in plan.steps:
        target = plan.root / step.path
        if step.item is not None and step.state is not State.SAME:
            target.parent.mkdir(parents=True, exist_ok=True)
            _put(step.item, target, link=link)
        elif step.state is State.REMOVED:
            target.unlink()
            _without_empty(target.parent, plan.root)
    _keep(plan.root, plan.after)


def _put(item: Item, target: Path, *, link: bool) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        if item.source is None:
            fresh.write_text(item.text, encoding="utf-8")
        elif not (link and _linked(item.source, fresh)):
            shutil.copyfile(item.source, fresh)
            runs = item.source.stat().st_mode & stat.S_IXUSR
            fresh.chmod(0o755 if runs else 0o644)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _linked(source: Path, target: Path) -> bool:
    """Make a hard link; say whether the file system took it."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        return False
    return True


def _without_empty(folder: Path, root: Path) -> None:
    """Remove folders that hold nothing any more, up to the export's own."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _wanted(item: Item) -> str:
    if item.source is None:
        return hashlib.sha256(item.text.encode()).hexdigest()
    with item.source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str | None:
    """Return a file's digest; None of what is no plain file, or not there."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ledger(root: Path) -> Mapping[str, str]:
    """Read which files an export wrote; {} where there was none.

    Raises:
        UsageError: it is there, and is no ledger.
    """
    path = root / LEDGER
    if not path.is_file():
        return {}
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return dict(_within(files))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: does not say what an export wrote ({error!r}); choose another folder with "
            "--output"
        ) from error


def _within(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what lies in the folder: nothing outside of it is an export's."""
    for name, digest in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(name)
        yield name, str(digest)


def _keep(root: Path, files: Mapping[str, str]) -> None:
    plain = {"written_by": "analyze export", "files": dict(sorted(files.items()))}
    text = json.dumps(plain, indent=2) + "\n"
    if not (root / LEDGER).is_file() or (root / LEDGER).read_text(encoding="utf-8") != text:
        _put(Item(LEDGER, text), root / LEDGER, link=False)
