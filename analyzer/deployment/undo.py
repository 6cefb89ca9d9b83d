"""Take back what ``analyze apply`` wrote: the config.pbtxt before it is put in its place again.

Owns the way back alone; ``workspace`` keeps what was replaced. What is there now is kept as well,
as ``config.pbtxt.before-undo``, so that nothing is lost if it was changed by hand.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm

from analyzer import results, workspace
from analyzer.errors import UsageError
from analyzer.record import journal as journals
from analyzer.workspace import CONFIG


def undo(
    model: str, export_path: Path, repository: Path, console: Console, *, yes: bool, dry_run: bool
) -> int:
    """Put back what the last ``analyze apply`` replaced, of all its models; return the exit code.

    Raises:
        UsageError: nothing was applied there, or there is nobody to ask.
    """
    folders = [workspace.require_model((repository,), each) for each in _names(model, export_path)]
    every = {folder: there[-1] for folder in folders if (there := workspace.kept_configs(folder))}
    times = {folder: last.stat().st_mtime_ns for folder, last in every.items()}
    # Those that were replaced together, and no others: an earlier apply may have changed more.
    kept = {folder: last for folder, last in every.items() if times[folder] == max(times.values())}
    if not kept:
        named = ", ".join(str(folder) for folder in folders)
        raise UsageError(f"{named}: `analyze apply` has replaced nothing there")
    for folder, last in kept.items():
        _show(folder / CONFIG, last, console)
    if dry_run:
        return 0
    if not yes and not _confirmed(console):
        return 1
    for folder, last in kept.items():
        now = workspace.restore_config(folder, last)
        console.print(
            f"{folder / CONFIG} is as it was; what it was until now is {now}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    return 0


def _names(model: str, export_path: Path) -> tuple[str, ...]:
    """Name the models that were applied together; without results, the model alone."""
    try:
        place = results.locate(export_path, model)
    except UsageError:
        return (model,)
    contents = journals.read(place.journal)
    every = (name for row in contents.rows for name in row.configs)
    return tuple(dict.fromkeys(every)) or (contents.head.model,)


def _show(target: Path, last: Path, console: Console) -> None:
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    lines = difflib.unified_diff(
        old.splitlines(), last.read_text(encoding="utf-8").splitlines(), str(target), str(last),
        lineterm="",
    )  # fmt: skip
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _confirmed(console: Console) -> bool:
    if not console.is_terminal:
        raise UsageError("nobody is there to ask: pass --yes to put it back")
    return Confirm.ask("Put it back?", console=console, default=False)
