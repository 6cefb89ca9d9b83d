"""What lies in model repositories, as it was when somebody looked.

Owns: reading folders into values: models, versions, configuration texts, and the stamps by
which a change is seen. Does not own: what the configurations say, nor what is done about it.

1. Every folder of a repository is a model; hidden ones, and files, are not.
2. A version is a folder whose name is a whole number without leading zeros. Other folders of
   a model are named in ``ignored``, but for those that Triton has a use for.
3. A server that was given the name of a configuration reads ``configs/<name>.pbtxt`` of the models
   that have it, and config.pbtxt of the others.
4. A model that lies in two repositories is in neither: ``duplicates`` names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import NotFound

CONFIG = "config.pbtxt"
CONFIGS = "configs"
_VERSION = re.compile(r"0|[1-9]\d*")
_NO_VERSIONS = {"warmup", "initial_state", CONFIGS}

#: name, time of the last change (ns) and size of a file: equal stamps, equal contents
Stamp = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One model's folder.

    ``config_file`` is the path of the configuration within the folder (rule 3); ``config_text``
    is None if there is none, and ``fault`` says why it could not be read. ``versions`` ascend.
    ``stamps`` are of the files outside of the versions' folders.
    """

    name: str
    directory: Path
    versions: tuple[int, ...] = ()
    ignored: tuple[str, ...] = ()
    config_file: str = CONFIG
    config_text: str | None = None
    fault: str = ""
    stamps: frozenset[Stamp] = frozenset()
    version_stamps: Mapping[int, frozenset[Stamp]] = field(default_factory=dict)

    @property
    def config_path(self) -> Path:
        """Where the configuration is, or would be."""
        return self.directory / self.config_file

    @property
    def source(self) -> str:
        """What problems with the configuration are attributed to."""
        return str(self.config_path if self.config_text is not None else self.directory)

    def version_directory(self, version: int) -> Path:
        """Where a version's files are."""
        return self.directory / str(version)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All models of the repositories, by name."""

    models: Mapping[str, ModelFolder]
    duplicates: Mapping[str, tuple[Path, ...]]


def scan(repositories: Sequence[Path], config_name: str = "") -> Snapshot:
    """Look at everything; ``config_name`` as for ``scan_model``.

    Raises:
        NotFound: a repository is not there, or is no folder.
    """
    places = find_models(repositories)
    return Snapshot(
        {
            name: scan_model(directories[0], config_name)
            for name, directories in places.items()
            if len(directories) == 1
        },
        {name: tuple(found) for name, found in places.items() if len(found) > 1},
    )


def find_models(repositories: Sequence[Path]) -> Mapping[str, Sequence[Path]]:
    """List the models' folders by name, without looking into them (rules 1 and 4).

    Raises:
        NotFound: a repository is not there, or is no folder.
    """
    places: dict[str, list[Path]] = {}
    for repository in {path.absolute(): path for path in repositories}.values():
        for entry in _folders(repository):
            places.setdefault(entry.name, []).append(entry)
    return dict(sorted(places.items()))


def _folders(repository: Path) -> Iterator[Path]:
    try:
        for entry in sorted(repository.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                yield entry
    except NotADirectoryError as fault:
        message = f"{repository}: a model repository is a folder of models, and this is a file"
        raise NotFound(message) from fault
    except OSError as fault:
        message = (
            f"{repository}: cannot read the model repository: {fault.strerror}; "
            "it is the folder that holds a folder for each model"
        )
        raise NotFound(message) from fault


def scan_model(directory: Path, config_name: str = "") -> ModelFolder:
    """Look at one model's folder; what cannot be read is said in ``fault``.

    ``config_name`` is that of rule 3, "" for none.
    """
    config_file = CONFIG
    versions: list[int] = []
    ignored: list[str] = []
    stamps: list[Stamp] = []
    try:
        if config_name and (directory / CONFIGS / f"{config_name}.pbtxt").exists():
            config_file = f"{CONFIGS}/{config_name}.pbtxt"
        for entry in sorted(directory.iterdir()):
            if not entry.is_dir():
                stamps.append(_stamp(entry, directory))
            elif is_version(entry.name):
                versions.append(int(entry.name))
            elif entry.name in _NO_VERSIONS:
                stamps.extend(_stamps(entry, directory))
            elif not entry.name.startswith("."):
                ignored.append(entry.name)
        text = _config_text(directory / config_file)
        by_version = {
            version: frozenset(_stamps(directory / str(version), directory))
            for version in sorted(versions)
        }
    except (OSError, UnicodeDecodeError) as fault:
        said = fault.strerror if isinstance(fault, OSError) else f"not UTF-8 text: {fault}"
        place = getattr(fault, "filename", None) or directory / config_file
        return ModelFolder(name=directory.name, directory=directory, fault=f"{place}: {said}")
    return ModelFolder(
        name=directory.name,
        directory=directory,
        versions=tuple(by_version),
        ignored=tuple(ignored),
        config_file=config_file,
        config_text=text,
        stamps=frozenset(stamps),
        version_stamps=by_version,
    )


def is_version(name: str) -> bool:
    """Say whether a folder of that name is a version (rule 2)."""
    return _VERSION.fullmatch(name) is not None


def why_ignored(name: str) -> str:
    """Say why a folder of that name is no version."""
    if name.isdecimal():
        return "a version's name has no leading zeros"
    return "a version's name is a whole number, as 1"


def _config_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path.is_symlink():  # to nothing: somebody meant to configure this model
            raise
        return None


def _stamps(folder: Path, root: Path) -> Iterator[Stamp]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield _stamp(Path(parent, name), root)


def _stamp(path: Path, root: Path) -> Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:  # a link to nothing, or gone since it was listed
        return str(path.relative_to(root)), 0, -1
    return str(path.relative_to(root)), status.st_mtime_ns, status.st_size
