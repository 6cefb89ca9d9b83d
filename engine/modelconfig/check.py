"""What a configuration that reads well may still have wrong.

Owns: the rules that need nothing but the configuration, in the words of Triton's
``ValidateModelConfig`` where it has words, and a hint of ours: those of the whole here, those of
one part in the module named for it. Does not own: what the model file says (``agree``), how an
ensemble is wired (``wiring``), nor places in a text (``findings.located``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine.errors import Problem
from engine.modelconfig.check_batching import check_batching
from engine.modelconfig.check_groups import check_groups
from engine.modelconfig.check_samples import check_samples
from engine.modelconfig.check_sequences import check_sequences
from engine.modelconfig.check_tensors import check_tensors
from engine.modelconfig.findings import Finding, located
from engine.modelconfig.locate import Places
from engine.modelconfig.messages import only_one, schema_schedulers
from engine.modelconfig.schema import ModelConfig
from engine.modelconfig.wiring import wiring

PLATFORMS = {
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "pytorch_libtorch": "pytorch",
    "libtorch": "pytorch",
    "torch_aoti": "pytorch",
}
_ENSEMBLE = "ensemble"


def problems(
    config: ModelConfig,
    source: str,
    places: Places | None = None,
    gpus: Sequence[int] | None = None,
) -> tuple[Problem, ...]:
    """Say everything that is wrong with a configuration.

    ``places`` (of the text it was read from) gives each problem its line; ``gpus`` are the
    devices of this machine, None if they are not known and not to be judged.
    """
    return located(findings(config, gpus), source, places)


def findings(config: ModelConfig, gpus: Sequence[int] | None = None) -> tuple[Finding, ...]:
    """Say the same by the paths of the fields."""
    rules: tuple[Callable[[ModelConfig], Iterator[Finding]], ...] = (
        _whole,
        check_tensors,
        _schedulers,
        check_batching,
        check_sequences,
        check_samples,
        wiring,
    )
    found = [finding for rule in rules for finding in rule(config)]
    found += check_groups(config, gpus)
    return tuple(found)


def _whole(config: ModelConfig) -> Iterator[Finding]:
    if config.max_batch_size < 0:
        yield Finding(
            ("max_batch_size",),
            f"'max_batch_size' must be non-negative value for {config.name}",
            "0 switches batching off",
        )
    if config.platform == _ENSEMBLE:
        if config.backend:
            yield Finding(
                ("backend",),
                f"Ensemble model '{config.name}' must have platform type 'ensemble' and empty "
                "backend type",
                "remove the backend",
            )
    elif config.platform and config.backend:
        yield from _pair(config)
    if config.runtime and not config.runtime.endswith(".so"):  # the library of a native backend
        what = f"runtime '{config.runtime}' has no effect for {config.name}"
        hint = "backends are Python packages here; backend: names one"
        yield Finding(("runtime",), what, hint, warning=True)
    if config.decoupled and config.response_cache:
        yield Finding(
            ("response_cache",),
            f"Response Cache does not currently support model {config.name} with 'decoupled' "
            "transaction policy. Please disable the response cache.",
        )
    if config.sequence_batching is not None and config.response_cache:
        yield Finding(
            ("response_cache",),
            f"Response Cache does not currently support model {config.name} with sequence batching "
            "scheduler. Please disable the response cache.",
        )


def _pair(config: ModelConfig) -> Iterator[Finding]:
    """A backend that Triton knows has platforms of its own; anybody else's may have any."""
    matching = [name for name, backend in PLATFORMS.items() if backend == config.backend]
    if matching and config.platform not in matching:
        what = f"unexpected 'platform' and 'backend' pair, got:{config.platform}, {config.backend}"
        hint = f"write platform: {' or '.join(map(repr, matching))}, or leave it out"
        yield Finding(("platform",), what, hint)
    elif not matching and config.platform in PLATFORMS:
        what = f"platform '{config.platform}' is not that of backend '{config.backend}'"
        yield Finding(("platform",), what, "it has no effect; remove it", warning=True)


def _schedulers(config: ModelConfig) -> Iterator[Finding]:
    schedulers = schema_schedulers(config)
    if len(schedulers) > 1:
        yield Finding((schedulers[1],), only_one(schedulers), "keep one of them")
