"""What has changed in the repositories between two looks at them, and what a change touches. Pure.

Owns: which models a poll loads and unloads, and which versions of a model can go on serving
while the others are loaded. Does not own looking (``scan``), nor loading.

1. What is equal in both snapshots is left alone, whether or not it could be loaded: a model
   that failed is tried again when its files have changed. A model that is being written is
   therefore tried at one poll, fails, and is tried again at the next.
2. What is busy (an earlier poll's load still runs) is not looked at: it stays as it was, and
   the next poll finds it.
3. A version goes on serving without being loaded again if nothing has changed but the version
   policy, the instance groups or other versions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from engine.modelconfig.schema import ModelConfig
from engine.repository.scan import ModelFolder, Snapshot, Stamp

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a poll has to do, by the models' names, and what it leaves behind as looked at.

    ``loads`` are new or changed. ``drops`` are gone, or ``seen`` has them as duplicates.
    """

    loads: frozenset[str]
    drops: frozenset[str]
    seen: Snapshot


def diff(before: Snapshot, now: Snapshot, busy: Collection[str] = ()) -> Changes:
    """Say what makes ``now`` out of ``before``."""
    models = _but(busy, before.models, now.models)
    duplicates = _but(busy, before.duplicates, now.duplicates)
    loads = {name for name, folder in models.items() if before.models.get(name) != folder}
    drops = {name for name in before.models if name not in models}
    drops |= {name for name, places in duplicates.items() if before.duplicates.get(name) != places}
    drops |= {name for name in before.duplicates if name not in duplicates and name not in models}
    return Changes(frozenset(loads), frozenset(drops), Snapshot(models, duplicates))


def _but(
    busy: Collection[str], before: Mapping[str, _Value], now: Mapping[str, _Value]
) -> Mapping[str, _Value]:
    fresh = {name: value for name, value in now.items() if name not in busy}
    return fresh | {name: value for name, value in before.items() if name in busy}


@dataclass(frozen=True, slots=True)
class Made:
    """What a model was, or is to be, loaded from."""

    folder: ModelFolder
    config: ModelConfig


def untouched(old: Made, new: Made, serving: Collection[int]) -> frozenset[int]:
    """List the serving versions that need not be loaded again (rule 3).

    Their instance groups may have changed: ``regrouped`` says so.
    """
    if _essence(old.config) != _essence(new.config):
        return frozenset()
    return same_files(old, new, serving)


def same_files(old: Made, new: Made, serving: Collection[int]) -> frozenset[int]:
    """List the serving versions of which no file has changed, whatever they are configured to."""
    if old.folder.directory != new.folder.directory or _outside(old.folder) != _outside(new.folder):
        return frozenset()
    if new.config.is_ensemble:
        return frozenset()
    before, now = old.folder.version_stamps, new.folder.version_stamps
    return frozenset(one for one in serving if one in now and before.get(one) == now[one])


def regrouped(old: Made, new: Made) -> bool:
    """Say whether the instances of a model are to be others."""
    return old.config.instance_group != new.config.instance_group


def _essence(config: ModelConfig) -> ModelConfig:
    return replace(config, version_policy=None, instance_group=())


def _outside(folder: ModelFolder) -> frozenset[Stamp]:
    """Give the stamps of the files beside the versions: labels, warm-up data ..."""
    return frozenset(stamp for stamp in folder.stamps if stamp[0] != folder.config_file)
