"""The models of a profile: where they lie, and what each is by default.

Owns which models belong to the profiled one: those that an ensemble calls are read off its
configuration, those that a model's own code calls are named by the user. Does not own how they are
served (``launchers``) or varied (``assembly``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from analyzer import variant, workspace
from analyzer.assembly import BESIDE, Assembly
from analyzer.config.schema import ProfileOptions
from analyzer.errors import LoadError, UsageError
from analyzer.load.inputs.source import Asked, prepare
from analyzer.placement import Placement
from engine.modelconfig import complete
from engine.modelconfig.composition import is_decoupled
from engine.modelconfig.schema import ModelConfig
from engine.v2.call import ModelDescription


def joint(every: Sequence[ProfileOptions]) -> ProfileOptions:
    """Make the options of several models that are profiled at the same time.

    Raises:
        UsageError: they cannot share a server.
    """
    first = every[0]
    problems = [
        f"{each.model}: {name.replace('_', ' ')} differ from {first.model}'s: models that are "
        "profiled at the same time share a server, so give it once for all"
        for each in every[1:]
        for name in ("server_flags", "environment", "gpus")
        if getattr(each, name) != getattr(first, name)
    ]
    if problems:
        raise UsageError("\n".join(problems))
    return replace(
        first, model=BESIDE.join(each.model for each in every), parameters=(),
        together=tuple(every), curves_disabled=True, cpu_only=False,
    )  # fmt: skip


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


def check(options: ProfileOptions, whole: Assembly) -> None:
    """Check that models may be profiled at the same time.

    Raises:
        UsageError: one is made of others.
    """
    for name in (each.model for each in options.together):
        if whole.configs[name].is_ensemble:
            raise UsageError(
                f"{name} is an ensemble: it is profiled by itself, with its models' settings "
                "(without run_config_profile_models_concurrently_enable)"
            )


def decoupled(model: str, whole: Assembly) -> bool:
    """Whether a model may answer a request other than once, by itself or by one that it calls."""
    config = whole.configs[model]
    steps = [whole.configs.get(name) for name in whole.others] if config.is_ensemble else ()
    return is_decoupled(config, steps)


def check_streaming(options: ProfileOptions, whole: Assembly) -> None:
    """Check that a model that answers any number of times can be spoken to.

    Raises:
        UsageError: it is spoken to over HTTP.
    """
    if options.protocol == "http" and decoupled(options.model, whole):
        raise UsageError(
            f"{options.model} is decoupled: it answers a request any number of times, which takes "
            "a gRPC stream: pass --client-protocol grpc"
        )


def check_inputs(options: ProfileOptions, whole: Assembly) -> None:
    """Check that what requests are to carry fits the models, before anything is measured.

    Raises:
        UsageError: an input is not the model's, or a shape or a file does not fit it.
    """
    for each in options.members:
        base = whole.configs[each.model]
        described = ModelDescription(
            each.model, (), base.platform, complete.input_specs(base), complete.output_specs(base)
        )
        try:
            prepare(described, base, Asked(sources=each.input_data, shapes=each.shapes))
        except LoadError as error:
            raise UsageError(f"--shape: {error.message}") from error
        check_streaming(each, whole)


def on_one_gpu(options: ProfileOptions, found: Placement) -> ProfileOptions:
    """Give every configuration the first of the GPUs that were found; nothing where none was."""
    if not found.places:
        return options

    def own(each: ProfileOptions) -> ProfileOptions:
        return replace(each, gpus=(found.places[0].gpu,), one_gpu=found.kind)

    return replace(own(options), together=tuple(map(own, options.together)))


def placed(options: ProfileOptions, whole: Assembly) -> Assembly:
    """Put the instances of those models on the CPU that have to be there."""
    on_cpu = set(cpu_only(options, whole.others))
    on_cpu |= {each.model for each in options.members if each.cpu_only}

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
