"""What a candidate makes of a model's configuration, and which candidates make no sense. Pure.

Owns the meaning of the setting dimensions and when two candidates are the same setting. By what a
model is run is ``runtime``'s; what there is to try ``choices``'s. Rules:

1. A candidate without settings leaves the configuration exactly as it is: the default.
2. Equal settings give equal configurations, so equal digests. A batch of one needs no
   batcher: with ``max_batch_size`` 1 every delay means no dynamic batching.
3. What makes no sense is never dropped in silence: ``reason_not_possible`` says why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from analyzer.space import (
    ACCELERATOR,
    BACKEND,
    BATCH_SIZE,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    LOADS,
    MAX_BATCH_SIZE,
    PRECISION,
    QUEUE_DELAY,
    Axis,
    Candidate,
    Space,
    split,
)
from analyzer.variant import accelerators, runtime
from analyzer.variant.means import Means
from engine.modelconfig import convert
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, ModelConfig

NO_BATCHING = -1
#: by what the model is run, in the order in which it is settled
RUNTIME = (BACKEND, ACCELERATOR, PRECISION)
#: the dimensions that have a meaning of their own; any other is a field of the configuration
_USUAL = frozenset({
    INSTANCE_COUNT, MAX_BATCH_SIZE, QUEUE_DELAY, INTRA_OP_THREADS, *RUNTIME, *LOADS
})  # fmt: skip
#: the dimensions that change no answer
_COUNTS = _USUAL - frozenset(RUNTIME)
_MAPS = frozenset({"parameters", "metric_tags", "cc_model_filenames"})
#: how many threads may share a core before a setting is not worth a measurement
_CROWD = 2


def canonical(candidate: Candidate) -> Candidate:
    """Return the one candidate that stands for all that mean the same setting and load."""
    parts = candidate.by_model()
    return Candidate.of_models({model: _canonical(part) for model, part in parts.items()})


def _canonical(candidate: Candidate) -> Candidate:
    delay = candidate.get(QUEUE_DELAY)
    if candidate.get(MAX_BATCH_SIZE) == 1 and delay not in {None, NO_BATCHING}:
        return candidate.replaced(**{QUEUE_DELAY: NO_BATCHING})
    return candidate


def reason_not_possible(
    candidate: Candidate, cores: int | None = None, means: Mapping[str, Means] | None = None
) -> str | None:
    """Say why a candidate is not worth measuring, or None where it is.

    ``cores`` is the number of usable CPU cores; without it crowding is not judged. Settings of
    several models are judged one by one; ``means`` has by what each can be run, by the name that
    stands before its dimensions, and what is not in it is not judged.
    """
    parts = candidate.by_model()
    rows = candidate.get(BATCH_SIZE)
    for model, part in parts.items():
        # A pipeline hands its requests on as they are.
        carried = {} if rows is None else {BATCH_SIZE: rows}
        known = (means or {}).get(model)
        reason = _reason_not_possible(part.replaced(**carried), cores, known)
        if reason is not None:
            return f"{model}: {reason}" if model else reason
    return None


def _reason_not_possible(
    candidate: Candidate, cores: int | None, means: Means | None
) -> str | None:
    largest = candidate.get(MAX_BATCH_SIZE)
    delay, rows = candidate.get(QUEUE_DELAY), candidate.get(BATCH_SIZE)
    if largest == 1 and isinstance(delay, int) and delay > 0:
        return f"a queue delay of {delay} us with max_batch_size 1: there is nobody to wait for"
    most = means.base.max_batch_size if largest is None and means is not None else largest
    if isinstance(most, int) and isinstance(rows, int) and rows > max(most, 1):
        return f"requests of batch size {rows} with max_batch_size {most}"
    made = None if means is None else with_runtime(overlaid(means.base, candidate), candidate)
    if means is not None and made is not None and (reason := means.missing(made)) is not None:
        return reason
    backend = candidate.get(BACKEND) if made is None else runtime.backend_of(made)
    return None if cores is None else _crowded(candidate, cores, str(backend))


def make(candidate: Candidate, base: ModelConfig) -> ModelConfig:
    """Return ``base`` with the candidate's settings; its load dimensions change nothing."""
    candidate = canonical(candidate)
    base = with_runtime(overlaid(base, candidate), candidate)
    resized = candidate.get(MAX_BATCH_SIZE) is not None
    config = without_default_sizes(base) if resized else base
    if (count := _whole(candidate, INSTANCE_COUNT)) is not None:
        config = _counted(config, count)
    if (threads := _whole(candidate, INTRA_OP_THREADS)) is not None:
        config = runtime.with_threads(config, threads)
    largest, delay = _whole(candidate, MAX_BATCH_SIZE), _whole(candidate, QUEUE_DELAY)
    if largest is not None:
        config = replace(config, max_batch_size=largest)
    if largest is not None or delay is not None:
        config = replace(config, dynamic_batching=_batcher(config, delay))
    return config


def with_runtime(config: ModelConfig, candidate: Candidate) -> ModelConfig:
    """Return ``config`` run by what the candidate says, and nothing else changed."""
    if (backend := candidate.get(BACKEND)) is not None:
        config = runtime.with_backend(config, str(backend))
    if (accelerator := candidate.get(ACCELERATOR)) is not None:
        config = accelerators.with_accelerator(config, str(accelerator))
    if (precision := candidate.get(PRECISION)) is not None:
        config = runtime.with_precision(config, str(precision))
    return config


def chosen_fields(candidate: Candidate) -> Mapping[str, str]:
    """Return what a candidate sets besides the usual dimensions: fields, as JSON."""
    return {name: str(value) for name, value in candidate.items if name not in _USUAL}


def chosen_answering(candidate: Candidate) -> Candidate:
    """Return of a candidate's settings those that may change answers: all but counts and delays."""
    kept = (item for item in candidate.items if split(item[0])[1] not in _COUNTS)
    return Candidate(tuple(kept))


def may_answer_otherwise(space: Space) -> bool:
    """Whether a space has settings that may change answers."""
    settings = (each for each in space.dimensions if each.axis is Axis.SETTING)
    return any(split(each.name)[1] not in _COUNTS for each in settings)


def without_default_sizes(config: ModelConfig) -> ModelConfig:
    """Take back the preferred size that normalisation filled in: it must follow the maximum."""
    batching = config.dynamic_batching
    if batching is None or batching.preferred_batch_size != (config.max_batch_size,):
        return config
    return replace(config, dynamic_batching=replace(batching, preferred_batch_size=()))


def overlaid(base: ModelConfig, candidate: Candidate) -> ModelConfig:
    """Return ``base`` with the fields a candidate sets as JSON: maps are added to, others replaced.

    Raises:
        ConfigError: the fields exclude what the model has.
    """
    fields = chosen_fields(candidate)
    if not fields:
        return base
    plain = convert.to_json(base)
    for name, text in fields.items():
        value = json.loads(text)
        plain[name] = {**plain.get(name, {}), **value} if name in _MAPS else value
    return convert.from_json(plain, base.name)


def _crowded(candidate: Candidate, cores: int, backend: str) -> str | None:
    """Say why threads are too many for the cores, or None."""
    instances, threads = candidate.get(INSTANCE_COUNT), candidate.get(INTRA_OP_THREADS)
    if not isinstance(threads, int):
        return None
    whole = threads * (instances if isinstance(instances, int) else 1)
    if backend == runtime.OPENVINO and whole > cores:
        return f"OpenVINO runs no more threads than cores: {whole} on {cores} change nothing"
    # One instance, or one thread each, is always worth a look: that is how users set it.
    if isinstance(instances, int) and min(instances, threads) > 1 and whole > _CROWD * cores:
        return f"{instances} instances of {threads} threads are too many for {cores} cores"
    return None


def _whole(candidate: Candidate, name: str) -> int | None:
    value = candidate.get(name)
    return None if value is None else int(value)


def _counted(config: ModelConfig, count: int) -> ModelConfig:
    """Return ``config`` with so many instances of as many threads each as before."""
    threads, before = runtime.threads_of(config), runtime.instances_of(config)
    config = replace(config, instance_group=_groups(config, count))
    if threads is None or runtime.instances_of(config) == before:
        return config
    return runtime.with_threads(config, threads)


def _groups(config: ModelConfig, count: int) -> tuple[InstanceGroup, ...]:
    """Return one active group of ``count`` in place of all; passive ones stay as they are."""
    active = [group for group in config.instance_group if not group.passive]
    passive = [group for group in config.instance_group if group.passive]
    first = active[0] if active else InstanceGroup()
    return (replace(first, count=count), *passive)


def _batcher(config: ModelConfig, delay: int | None) -> DynamicBatching | None:
    """Return the dynamic batching of a configuration whose ``max_batch_size`` is set already."""
    present = config.dynamic_batching
    if delay is None and present is None:
        return None
    # What a batcher does besides batching: taking it away would change more than the batches.
    kept = present is not None and bool(
        present.priority_levels or present.preserve_ordering or present.default_queue_policy
    )
    off = delay == NO_BATCHING or config.max_batch_size <= 1
    if off and not kept:
        return None
    present = present or DynamicBatching()
    sizes = tuple(size for size in present.preferred_batch_size if size <= config.max_batch_size)
    if delay is not None:
        present = replace(present, max_queue_delay_microseconds=max(delay, 0))
    if off:
        # As near to no batching as this model's queue rules allow.
        return replace(present, preferred_batch_size=(), max_queue_delay_microseconds=0)
    return replace(present, preferred_batch_size=sizes)
