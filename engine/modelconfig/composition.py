"""Whether an ensemble's steps fit the models that they call, and each other. Pure.

Owns the rules that need the configurations of the ensemble and of its steps' models: names, types
and shapes of tensors, batch sizes, decoupled origins. Does not own the rules that need the
ensemble's alone (``wiring``), nor which models there are (``repository``).

1. Both ends of a tensor have one type, and shapes that fit, batch dimension included; -1 fits any.
2. Every input of a model that is not optional is mapped.
3. An ensemble's batch is no bigger than any of its models takes, but for those that take none.
4. A step does not join tensors that come from different decoupled steps: their answers do not
   belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.modelconfig.complete import input_specs, output_specs
from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import EnsembleStep, ModelConfig
from engine.types import TensorSpec

#: each step's model; what is not known is not judged
Known = Sequence[ModelConfig | None]


def composition(ensemble: ModelConfig, known: Known) -> Iterator[Finding]:
    """Say what does not fit."""
    steps = ensemble.ensemble_scheduling or ()
    for place, (step, model) in enumerate(zip(steps, known, strict=True)):
        if model is not None:
            yield from _names(ensemble, step, model, ("ensemble_scheduling", "step", place))
    yield from _tensors(ensemble, known)
    yield from _origins(ensemble, known)


def is_decoupled(ensemble: ModelConfig, known: Known) -> bool:
    """Say whether any step may answer other than once: then so may the ensemble."""
    return ensemble.decoupled or any(model is not None and model.decoupled for model in known)


def _names(
    ensemble: ModelConfig, step: EnsembleStep, model: ModelConfig, path: Path
) -> Iterator[Finding]:
    sides: tuple[tuple[str, Mapping[str, str], tuple[TensorSpec, ...]], ...] = (
        ("input", step.input_map, input_specs(model)),
        ("output", step.output_map, output_specs(model)),
    )
    for kind, given, specs in sides:
        names = {spec.name for spec in specs}
        for name in sorted(given.keys() - names):
            what = f"model '{step.model_name}' has no {kind} '{name}'"
            yield Finding((*path, f"{kind}_map"), what, near(name, names) if names else "")
    needed = {spec.name for spec in input_specs(model) if not spec.optional}
    for name in sorted(needed - step.input_map.keys()):
        what = f"step '{step.model_name}' of ensemble '{ensemble.name}' lacks input '{name}'"
        hint = f'add input_map {{ key: "{name}" value: "..." }}'
        yield Finding((*path, "input_map"), what, hint)
    if 0 < model.max_batch_size < ensemble.max_batch_size:
        what = (
            f"ensemble {ensemble.name} allows maximum batch size {ensemble.max_batch_size}, but it "
            f"contains model {step.model_name} which only allows maximum batch size to be "
            f"{model.max_batch_size}"
        )
        yield Finding(("max_batch_size",), what, f"set it to {model.max_batch_size}")


def _tensors(ensemble: ModelConfig, known: Known) -> Iterator[Finding]:
    """Compare every end of a tensor with the one that writes it (rule 1)."""
    written: dict[str, tuple[str, TensorSpec]] = {
        spec.name: (ensemble.name, spec) for spec in input_specs(ensemble)
    }
    read: list[tuple[str, str, TensorSpec, Path]] = []
    steps = ensemble.ensemble_scheduling or ()
    for place, (step, model) in enumerate(zip(steps, known, strict=True)):
        if model is None:
            continue
        path: Path = ("ensemble_scheduling", "step", place)
        given = {spec.name: spec for spec in input_specs(model)}
        made = {spec.name: spec for spec in output_specs(model)}
        for name, tensor in step.output_map.items():
            if name in made:
                written.setdefault(tensor, (step.model_name, made[name]))
        read += [
            (tensor, step.model_name, given[name], (*path, "input_map"))
            for name, tensor in step.input_map.items()
            if name in given
        ]
    read += [
        (spec.name, ensemble.name, spec, ("output", place))
        for place, spec in enumerate(output_specs(ensemble))
    ]
    for tensor, reader, spec, path in read:
        if tensor in written:
            writer, source = written[tensor]
            start = f"in ensemble {ensemble.name}, ensemble tensor {tensor}: inconsistent "
            if source.dtype is not spec.dtype:
                what = (
                    f"{start}data type: {source.dtype.config_name} is inferred from model {writer} "
                    f"while {spec.dtype.config_name} is inferred from model {reader}"
                )
                yield Finding(path, what)
            if not _fits(source.shape, spec.shape):
                what = (
                    f"{start}shape: {_text(source.shape)} is inferred from model {writer} while "
                    f"{_text(spec.shape)} is inferred from model {reader}"
                )
                yield Finding(path, what, "the batch dimension, where there is one, is included")


def _fits(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(
        -1 in {here, there} or here == there for here, there in zip(one, other, strict=True)
    )


def _text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _origins(ensemble: ModelConfig, known: Known) -> Iterator[Finding]:
    """Follow the tensors down from decoupled steps (rule 4)."""
    from_where: dict[str, int | None] = {tensor.name: None for tensor in ensemble.input}
    waiting = dict(enumerate(ensemble.ensemble_scheduling or ()))
    while ready := [
        place
        for place, step in waiting.items()
        if from_where.keys() >= set(step.input_map.values())
    ]:
        for place in ready:
            step = waiting.pop(place)
            origins = {from_where[tensor] for tensor in step.input_map.values()} - {None}
            if len(origins) > 1:
                what = (
                    f"in ensemble {ensemble.name}, step of model '{step.model_name}' receives "
                    "inputs originated from different decoupled models"
                )
                path: Path = ("ensemble_scheduling", "step", place, "input_map")
                yield Finding(path, what, "the answers of one do not belong to those of another")
            model = known[place]
            decoupled = model is not None and model.decoupled
            origin = place if decoupled else next(iter(origins), None)
            from_where.update(dict.fromkeys(step.output_map.values(), origin))
