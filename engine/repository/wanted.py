"""Which versions and files of a model's folder are wanted, and what is there instead.

Owns: the version policy, and the words for what is missing. It lists folders, so it belongs on a
worker thread. Does not own: looking at a whole repository (``scan``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path as FieldPath
from engine.modelconfig.schema import ModelConfig, VersionPolicy
from engine.repository.scan import ModelFolder

_MOST_LISTED = 10


def choose_versions(policy: VersionPolicy | None, versions: tuple[int, ...]) -> tuple[int, ...]:
    """Pick the versions a policy serves out of those that are there, in ascending order."""
    policy = policy or VersionPolicy(latest=1)
    if policy.specific is not None:
        return tuple(version for version in versions if version in policy.specific)
    if policy.latest is not None:
        return versions[-policy.latest :] if policy.latest > 0 else ()
    return versions


def no_versions(config: ModelConfig, folder: ModelFolder) -> str:
    """Say that no version can be served, and what there is instead."""
    said = (
        "at least one version must be available under the version policy of model "
        f"'{folder.name}'; {folder.directory} holds "
    )
    if folder.versions:
        return said + f"the versions {', '.join(map(str, folder.versions))}"
    if folder.ignored:
        return said + f"no folder named by a number, as 1, but {', '.join(folder.ignored)}"
    loose = sorted(name for name, _, _ in folder.stamps)
    said += "no version's folder; the model file belongs in one, as 1"
    wanted = config.default_model_filename
    loose = [name for name in loose if name == wanted or name.startswith("model.")]
    return said + (f" (move {loose[0]} into it)" if loose else "")


def first_version(folder: ModelFolder) -> Path | None:
    """Give the folder in which a backend is looked for: the first, by name."""
    names = sorted(str(version) for version in folder.versions)
    return folder.directory / names[0] if names else None


def contents(directory: Path | None) -> tuple[str, ...]:
    """List what a folder holds; nothing if it cannot be read."""
    try:
        return tuple(sorted(entry.name for entry in directory.iterdir())) if directory else ()
    except OSError:
        return ()


def missing_file(config: ModelConfig, directory: Path) -> str:
    """Say which model file is missing, and what is there instead; "" if none is."""
    wanted = config.default_model_filename
    if not wanted or (directory / wanted).exists():
        return ""
    there = contents(directory)
    shown = ", ".join(there[:_MOST_LISTED]) + (", ..." if len(there) > _MOST_LISTED else "")
    said = f"{directory / wanted}: the model file is missing; the folder "
    said += f"holds {shown}" if there else "is empty"
    alike = [name for name in there if Path(name).suffix == Path(wanted).suffix]
    if alike:
        said += f'; rename {alike[0]}, or write default_model_filename: "{alike[0]}"'
    return said


def missing_beside(config: ModelConfig, folder: Path) -> Iterator[Finding]:
    """Say which files a configuration names, beside the model's own, are not in its ``folder``."""
    for path, place, name in _named(config):
        if name and not (folder / place / name).is_file():
            where = f"{place}/{name}" if place else name
            what = f"there is no file '{where}' in the folder of {config.name}"
            there = contents(folder / place)
            yield Finding(path, what, near(name, there) if there else "put it there")


def _named(config: ModelConfig) -> Iterator[tuple[FieldPath, str, str]]:
    """List the files a configuration names: field, folder and name."""
    for index, output in enumerate(config.output):
        yield ("output", index, "label_filename"), "", output.label_filename
    for index, sample in enumerate(config.model_warmup):
        for given in sample.inputs.values():
            yield ("model_warmup", index, "inputs"), "warmup", given.input_data_file or ""
    batching = config.sequence_batching
    for index, state in enumerate(batching.state if batching is not None else ()):
        for nth, initial in enumerate(state.initial_state):
            path = ("sequence_batching", "state", index, "initial_state", nth, "data_file")
            yield path, "initial_state", initial.data_file or ""
