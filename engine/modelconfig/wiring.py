"""Whether the tensors of an ensemble reach from its inputs to its outputs.

Owns: the rules that need the ensemble's configuration alone (Triton's
``ValidateEnsembleSchedulingConfig``). Whether the models of its steps exist, and have those
tensors, needs the repository (``repository.lint``).
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.modelconfig.findings import Finding
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import EnsembleStep, ModelConfig


def wiring(config: ModelConfig) -> Iterator[Finding]:
    """Say what is wrong with how an ensemble's tensors are connected."""
    if not config.is_ensemble:
        return
    steps = config.ensemble_scheduling
    if steps is None:
        what = (
            f"ensemble scheduling must be set for ensemble {config.name} whose platform is ensemble"
        )
        yield Finding(("platform",), what)
        return
    yield from _alone(config)
    if not steps:
        what = f"must specify 'step' for ensemble '{config.name}'"
        yield Finding(("ensemble_scheduling",), what)
        return
    for index, step in enumerate(steps):
        yield from _step(step, ("ensemble_scheduling", "step", index), config.name)
    yield from _written(config, steps)
    yield from _connected(config, steps)


def _alone(config: ModelConfig) -> Iterator[Finding]:
    """Say what an ensemble, which runs nothing itself, may not have."""
    if config.platform not in {"", "ensemble"}:
        what = (
            f"ensemble scheduling cannot be set for model '{config.name}' whose platform is not "
            "ensemble"
        )
        yield Finding(("platform",), what, 'write platform: "ensemble"')
    if config.optimization is not None:
        what = f"optimization should not be specified for ensemble '{config.name}'"
        yield Finding(("optimization",), what, "its steps have their own")


def _step(step: EnsembleStep, path: Path, ensemble: str) -> Iterator[Finding]:
    given = {
        "model_name": step.model_name,
        "input_map": step.input_map,
        "output_map": step.output_map,
    }
    for name, value in given.items():
        if not value:
            what = f"must specify '{name}' in step {path[-1]} of ensemble '{ensemble}'"
            yield Finding(path, what)


def _written(config: ModelConfig, steps: tuple[EnsembleStep, ...]) -> Iterator[Finding]:
    """Each tensor is written once: by the client, or by one step."""
    writer = dict.fromkeys((tensor.name for tensor in config.input), "the ensemble's input")
    for index, step in enumerate(steps):
        for tensor in step.output_map.values():
            if tensor in writer:
                path: Path = ("ensemble_scheduling", "step", index, "output_map")
                what = (
                    f"ensemble tensor '{tensor}' can appear in an output map only once for "
                    f"ensemble '{config.name}' step {index}"
                )
                yield Finding(path, what, f"it is written by {writer[tensor]} already")
            else:
                writer[tensor] = f"step {index} ({step.model_name})"


def _connected(config: ModelConfig, steps: tuple[EnsembleStep, ...]) -> Iterator[Finding]:
    ready = {tensor.name for tensor in config.input}
    waiting = dict(enumerate(steps))
    while startable := [
        index for index, step in waiting.items() if ready.issuperset(step.input_map.values())
    ]:
        for index in startable:
            ready.update(waiting.pop(index).output_map.values())
    for index, step in waiting.items():
        missing = sorted(set(step.input_map.values()) - ready)
        what = f"step {index} ({step.model_name}) of ensemble '{config.name}' can never run"
        path: Path = ("ensemble_scheduling", "step", index, "input_map")
        yield Finding(path, what, f"nothing before it writes {', '.join(map(repr, missing))}")
    for position, output in enumerate(config.output):
        if output.name not in ready:
            named = any(
                output.name in {*step.input_map.values(), *step.output_map.values()}
                for step in steps
            )
            what = f"output '{output.name}' for ensemble '{config.name}' is not written"
            if not named:
                what = f"ensemble output '{output.name}' for ensemble {config.name}' is not used"
            hint = f"the tensors that are: {', '.join(sorted(ready))}"
            yield Finding(("output", position, "name"), what, hint)
    yield from _used(config, steps)


def _used(config: ModelConfig, steps: tuple[EnsembleStep, ...]) -> Iterator[Finding]:
    used = {tensor for step in steps for tensor in step.input_map.values()}
    used.update(tensor.name for tensor in config.output)
    for position, tensor in enumerate(config.input):
        if tensor.name not in used:
            what = f"ensemble input '{tensor.name}' for ensemble {config.name}' is not used"
            yield Finding(("input", position, "name"), what)
    for index, step in enumerate(steps):
        for written in step.output_map.values():
            if written not in used:
                what = f"ensemble tensor '{written}' is unused in ensemble '{config.name}'"
                yield Finding(("ensemble_scheduling", "step", index, "output_map"), what)
