"""The files of the models that are exported, and the repository that they make.

Owns finding them: where the profile left the winner, or where its models came from. A model's
folder goes whole, all its versions and whatever lies beside them, with the chosen config.pbtxt in
the place of its own; the results hold links, the export holds files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from analyzer import workspace
from analyzer.deployment.values import Choice
from analyzer.errors import UsageError
from analyzer.record.row import RunHead
from analyzer.workspace import CONFIG, Workspace

#: keeps a folder that is empty where only files are kept (an ensemble's version, in git)
KEEP = ".gitkeep"
#: what is nobody's but this machine's
_LITTER = frozenset({"__pycache__", ".DS_Store"})


def folders(
    place: Workspace, head: RunHead, choice: Choice, repositories: Sequence[Path] = ()
) -> Mapping[str, Path]:
    """Find the folder of each model; ``repositories`` are the user's word, if there is any.

    Raises:
        UsageError: it is not known where a model's files are, or they are not there.
    """
    names = tuple(choice.row.configs)
    if not names:
        raise UsageError(
            f"{place.journal}: does not say what {choice.variant} was (another program measured "
            "it, or a server elsewhere that does not tell), so there is nothing to export"
        )
    if repositories:
        return {name: workspace.require_model(repositories, name) for name in names}
    server = str(head.options.get("server", "local"))
    if server != "local":
        raise UsageError(
            f"{place.journal}: measured on a server elsewhere ({server}); where the files of its "
            "models are is not known here: pass --model-repository PATH, a copy of that server's"
        )
    came = [Path(each) for each in head.command.get("model_repository") or ()]
    known = [place.chosen, place.variants / choice.variant, *came]
    found = {name: workspace.find_model(known, name) for name in names}
    if missing := [name for name, folder in found.items() if folder is None]:
        places = ", ".join(str(each) for each in known)
        raise UsageError(
            f"the files of {', '.join(missing)} are in none of {places}; pass --model-repository "
            "PATH, the repository that holds them"
        )
    return {name: folder for name, folder in found.items() if folder is not None}


def files(folder: Path) -> Iterator[tuple[PurePosixPath, Path | None]]:
    """List a model's files: where each goes in its folder, and where it is; None: it is empty.

    config.pbtxt, what ``analyze apply`` kept of it, and litter are left out.

    Raises:
        UsageError: a link leads nowhere, or to a folder around it.
    """
    for path in _walk(folder, (folder.resolve(),)):
        inside = PurePosixPath(path.relative_to(folder).as_posix())
        if len(inside.parts) == 1 and inside.name.strip(".").startswith(CONFIG):
            continue
        yield (inside / KEEP, None) if path.is_dir() else (inside, path)


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield every file, and every folder that holds none; links are followed."""
    entries = [each for each in sorted(folder.iterdir()) if each.name not in _LITTER]
    if not entries and len(above) > 1:
        yield folder
    for each in entries:
        if each.is_dir():
            real = each.resolve()
            if real in above:
                raise UsageError(f"{each}: a link to a folder that it is in; remove it")
            yield from _walk(each, (*above, real))
        elif each.is_file():
            yield each
        elif each.is_symlink():
            raise UsageError(
                f"{each}: its file is gone, it was {each.resolve()}; bring it back, or pass "
                "--model-repository PATH, the repository that holds the model"
            )


def tree(folder: Path) -> Iterator[tuple[PurePosixPath, Path | None]]:
    """List a folder's files as they are, such as one of native backends.

    Raises:
        UsageError: it is not there, or as above.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: the folder of native backends is not there any more")
    for path in _walk(folder, (folder.resolve(),)):
        inside = PurePosixPath(path.relative_to(folder).as_posix())
        yield (inside / KEEP, None) if path.is_dir() else (inside, path)


def changed_since(folder: Path, taken_at: str) -> Path | None:
    """Return a file that is newer than a measurement (an ISO time); None: there is none."""
    measured = datetime.fromisoformat(taken_at).timestamp()
    return next(
        (path for _, path in files(folder) if path is not None and path.stat().st_mtime > measured),
        None,
    )
