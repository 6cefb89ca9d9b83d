"""The models of a profile: where they lie, and what each is by default.

Owns which models belong to the profiled one: those that an ensemble calls are read off its
configuration, those that a model's own code calls are named by the user. Does not own how they are
served (``launchers``) or varied (``assembly``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from analyzer import variant, workspace
from analyzer.assembly import Assembly
from analyzer.config.schema import ProfileOptions
from analyzer.errors import UsageError
from engine.modelconfig.schema import ModelConfig


def sources(options: ProfileOptions, own: Path) -> Mapping[str, Path]:
    """Find the folders of all models by name, the profiled one's ``own`` first.

    Raises:
        UsageError: one is in none of the repositories.
        ConfigError: the configuration of one has mistakes.
    """
    repositories = tuple(dict.fromkeys((own.parent, *options.model_repository)))
    called = workspace.composing(repositories, options.model)
    named = (each.name for each in options.bls_composing)
    found = {options.model: own}
    for name in dict.fromkeys((*called, *named)):
        folder = workspace.find_model(repositories, name)
        if folder is None:
            places = ", ".join(map(str, repositories))
            why = f"the ensemble {options.model} calls" if name in called else (
                "bls_composing_models names"
            )  # fmt: skip
            raise UsageError(f"{why} the model {name!r}, which is not in {places}")
        found[name] = folder
    return found


def placed(options: ProfileOptions, whole: Assembly) -> Assembly:
    """Put the instances of those models on the CPU that have to be there."""
    on_cpu = set(cpu_only(options, whole.others))
    if options.cpu_only:
        on_cpu.add(whole.name)

    def own(config: ModelConfig) -> ModelConfig:
        moves = config.name in on_cpu and not config.is_ensemble
        return variant.on_cpu(config) if moves else config

    return Assembly(
        whole.name,
        None if whole.top is None else own(whole.top),
        {name: own(config) for name, config in whole.others.items()},
        frozenset(on_cpu),
    )


def cpu_only(options: ProfileOptions, others: Iterable[str]) -> tuple[str, ...]:
    """Name the models behind the profiled one that have to run on the CPU."""
    named = {
        *options.cpu_only_composing,
        *(each.name for each in options.composing if each.cpu_only),
    }
    return tuple(name for name in others if options.cpu_only or name in named)


def unknown(options: ProfileOptions, others: Iterable[str]) -> tuple[str, ...]:
    """Name the models that options speak of, and that are not behind the profiled one."""
    named = (*(each.name for each in options.composing), *options.cpu_only_composing)
    return tuple(dict.fromkeys(name for name in named if name not in set(others)))
