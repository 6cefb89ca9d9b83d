"""What a candidate makes of a model's configuration, and what there is to try for a model. Pure.

Owns the meaning of the setting dimensions, which of them a model has, when two candidates
are the same setting, and how a variant is told apart and shown. Does not own files, names of
variants, or the choice of what to try.

Rules:

1. A candidate without settings leaves the configuration exactly as it is: the default.
2. Equal settings give equal configurations, so equal digests. A batch of one needs no
   batcher: with ``max_batch_size`` 1 every delay means no dynamic batching.
3. What makes no sense is never dropped in silence: ``reason_not_possible`` says why.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analyzer.errors import UsageError
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    LOADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    Axis,
    Candidate,
    Dimension,
    Limits,
    Space,
    Value,
)
from engine.errors import ConfigError
from engine.modelconfig import convert
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, InstanceKind, ModelConfig

NO_BATCHING = -1
#: Model Analyzer's bounds
_MOST_INSTANCES, _LARGEST_BATCH, _MOST_CONCURRENCY = 5, 128, 1024
_LEAST_RATE, _MOST_RATE = 16.0, 8192.0
_DELAYS_US = (NO_BATCHING, 0, 100, 500, 2000)
#: the dimensions that have a meaning of their own; any other is a field of the configuration
_USUAL = frozenset({INSTANCE_COUNT, MAX_BATCH_SIZE, QUEUE_DELAY, INTRA_OP_THREADS, *LOADS})
_MAPS = frozenset({"parameters", "metric_tags", "cc_model_filenames"})
#: how many threads may share a core before a setting is not worth a measurement
_CROWD = 2


@dataclass(frozen=True, slots=True)
class Machine:
    """What the search needs to know of the machine: usable CPU cores, and GPUs."""

    cores: int
    gpus: int = 0


def space(
    base: ModelConfig,
    machine: Machine,
    limits: Limits,
    choices: tuple[Dimension, ...] | None = None,
) -> Space:
    """Return what can be tried for a model, the load axis last.

    ``choices`` are settings to try in place of the usual ones; () varies the load alone.

    Raises:
        UsageError: a lower bound is above its upper bound, or a choice does not fit the model.
    """
    dimensions: list[Dimension] = []
    if choices is not None:
        _check_choices(base, choices)
        dimensions += choices
    elif not base.is_ensemble:
        dimensions.append(_instances(base, machine, limits))
        if _reads_threads(base) and not _on_gpu(base, machine):
            threads = limits.intra_op_threads or _doubling(1, machine.cores, exact_end=True)
            dimensions.append(Dimension(INTRA_OP_THREADS, _distinct(threads)))
        if base.max_batch_size > 0:
            dimensions += _batching(base, limits)
    dimensions.append(_rates(limits) if limits.varies_rates else _concurrencies(limits))
    return Space(tuple(dimensions))


def canonical(candidate: Candidate) -> Candidate:
    """Return the one candidate that stands for all that mean the same setting and load."""
    parts = candidate.by_model()
    return Candidate.of_models({model: _canonical(part) for model, part in parts.items()})


def _canonical(candidate: Candidate) -> Candidate:
    delay = candidate.get(QUEUE_DELAY)
    if candidate.get(MAX_BATCH_SIZE) == 1 and delay not in {None, NO_BATCHING}:
        return candidate.replaced(**{QUEUE_DELAY: NO_BATCHING})
    return candidate


def reason_not_possible(candidate: Candidate, cores: int | None = None) -> str | None:
    """Say why a candidate is not worth measuring, or None where it is.

    ``cores`` is the number of usable CPU cores; without it crowding is not judged. Settings of
    several models are judged one by one.
    """
    parts = candidate.by_model()
    rows = candidate.get(BATCH_SIZE)
    for model, part in parts.items():
        # A pipeline hands its requests on as they are.
        carried = {} if rows is None else {BATCH_SIZE: rows}
        reason = _reason_not_possible(part.replaced(**carried), cores)
        if reason is not None:
            return f"{model}: {reason}" if model else reason
    return None


def _reason_not_possible(candidate: Candidate, cores: int | None) -> str | None:
    largest = candidate.get(MAX_BATCH_SIZE)
    delay, rows = candidate.get(QUEUE_DELAY), candidate.get(BATCH_SIZE)
    if largest == 1 and isinstance(delay, int) and delay > 0:
        return f"a queue delay of {delay} us with max_batch_size 1: there is nobody to wait for"
    if isinstance(largest, int) and isinstance(rows, int) and rows > max(largest, 1):
        return f"requests of batch size {rows} with max_batch_size {largest}"
    instances, threads = candidate.get(INSTANCE_COUNT), candidate.get(INTRA_OP_THREADS)
    # One instance, or one thread each, is always worth a look: that is how users set it.
    if (
        cores is not None
        and isinstance(instances, int)
        and isinstance(threads, int)
        and min(instances, threads) > 1
        and instances * threads > _CROWD * cores
    ):
        return f"{instances} instances of {threads} threads are too many for {cores} cores"
    return None


def make(candidate: Candidate, base: ModelConfig) -> ModelConfig:
    """Return ``base`` with the candidate's settings; its load dimensions change nothing."""
    candidate = canonical(candidate)
    base = _overlaid(base, candidate)
    config = _without_default_sizes(base) if candidate.get(MAX_BATCH_SIZE) is not None else base
    if (count := _whole(candidate, INSTANCE_COUNT)) is not None:
        config = replace(config, instance_group=_groups(config, count))
    if (threads := _whole(candidate, INTRA_OP_THREADS)) is not None:
        parameters = {**config.parameters, INTRA_OP_THREADS: str(threads)}
        config = replace(config, parameters=dict(sorted(parameters.items())))
    largest, delay = _whole(candidate, MAX_BATCH_SIZE), _whole(candidate, QUEUE_DELAY)
    if largest is not None:
        config = replace(config, max_batch_size=largest)
    if largest is not None or delay is not None:
        config = replace(config, dynamic_batching=_batcher(config, delay))
    return config


def on_cpu(base: ModelConfig) -> ModelConfig:
    """Return ``base`` with every instance on the CPU."""
    groups = base.instance_group or (InstanceGroup(count=1),)
    kind = InstanceKind.KIND_CPU
    return replace(base, instance_group=tuple(replace(each, kind=kind, gpus=()) for each in groups))


def chosen_fields(candidate: Candidate) -> Mapping[str, str]:
    """Return what a candidate sets besides the usual dimensions: fields, as JSON."""
    return {name: str(value) for name, value in candidate.items if name not in _USUAL}


def onto(own: ModelConfig, winner: ModelConfig) -> ModelConfig:
    """Return a user's configuration with what a search varies taken from ``winner``.

    The rest stays as the user wrote it, defaults unwritten. Only inputs and outputs that were
    left to auto-completion are filled in: completing them again would also turn dynamic
    batching on again where the winner has none.
    """
    winner = _without_default_sizes(winner)
    if own.dynamic_batching is not None:
        own = _without_default_sizes(own)
    same = settings(own)["instance_group"] == settings(winner)["instance_group"]
    return replace(
        own,
        backend=own.backend or ("" if own.platform else winner.backend),
        max_batch_size=winner.max_batch_size,
        input=own.input or winner.input,
        output=own.output or winner.output,
        instance_group=own.instance_group if same else winner.instance_group,
        dynamic_batching=winner.dynamic_batching,
        parameters=winner.parameters,
    )


def digest(config: ModelConfig) -> str:
    """Return what tells a variant apart: equal digests are the same configuration."""
    return digest_of(convert.dumps(config))


def digest_of(text: str) -> str:
    """Return the digest of a configuration that is spelled out already."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings(config: ModelConfig) -> Mapping[str, Any]:
    """Return what reports show of a configuration; all of it goes into JSON.

    ``instance_group`` is Model Analyzer's cell (``4:GPU``, ``4:GPU + 1:CPU``), and
    ``instance_count`` its sum, None where the configuration leaves it open.
    ``max_queue_delay_microseconds`` is None without dynamic batching, and
    ``intra_op_thread_count`` None where the backend chooses.
    """
    counts: dict[str, int] = {}
    for group in config.instance_group:
        if not group.passive:
            kind = group.kind.value.removeprefix("KIND_")
            counts[kind] = counts.get(kind, 0) + max(group.count, 1) * max(len(group.gpus), 1)
    batching = config.dynamic_batching
    threads = config.parameters.get(INTRA_OP_THREADS, "")
    return {
        "instance_group": " + ".join(f"{count}:{kind}" for kind, count in counts.items()),
        INSTANCE_COUNT: sum(counts.values()) or None,
        MAX_BATCH_SIZE: config.max_batch_size,
        "dynamic_batching": batching is not None,
        QUEUE_DELAY: None if batching is None else batching.max_queue_delay_microseconds,
        "preferred_batch_size": [] if batching is None else list(batching.preferred_batch_size),
        INTRA_OP_THREADS: int(threads) if threads.isdecimal() else None,
        "backend": config.backend or config.platform,
    }


def _check_choices(base: ModelConfig, choices: tuple[Dimension, ...]) -> None:
    """Raise UsageError if a value to try cannot be in this model's configuration."""
    wrong: dict[str, None] = {}
    for each in choices:
        for value in each.values:
            try:
                _overlaid(base, Candidate.of(**{each.name: value}))
            except ConfigError as error:
                wrong |= {f"model_config_parameters: {one.what}": None for one in error.problems}
    if wrong:
        raise UsageError("\n".join(wrong))


def _overlaid(base: ModelConfig, candidate: Candidate) -> ModelConfig:
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


def _concurrencies(limits: Limits) -> Dimension:
    loads = limits.concurrencies
    if loads is None:
        low, high = _bounds(
            "concurrency", limits.min_concurrency, limits.max_concurrency, 1, _MOST_CONCURRENCY
        )
        loads = _doubling(low, high)
    return Dimension(CONCURRENCY, _distinct(loads), Axis.LOAD)


def _rates(limits: Limits) -> Dimension:
    rates = limits.request_rates
    if rates is None:
        least, most = limits.min_request_rate, limits.max_request_rate
        low = least if least is not None else min(_LEAST_RATE, most or _LEAST_RATE)
        high = most if most is not None else max(_MOST_RATE, low)
        if not 0 < low <= high:
            raise UsageError(
                f"request rate: expected 0 < minimum <= maximum, found {low:g} and {high:g}"
            )
        rates = tuple(low * 2**step for step in range(int(math.log2(high / low) + 1e-9) + 1))
    return Dimension(REQUEST_RATE, tuple(sorted(map(float, set(rates)))), Axis.LOAD)


def _instances(base: ModelConfig, machine: Machine, limits: Limits) -> Dimension:
    most = _MOST_INSTANCES
    if not _on_gpu(base, machine):
        most = max(1, min(most, machine.cores))
    low, high = _bounds(
        "instance count", limits.min_instance_count, limits.max_instance_count, 1, most
    )
    return Dimension(INSTANCE_COUNT, tuple(range(low, high + 1)))


def _batching(base: ModelConfig, limits: Limits) -> list[Dimension]:
    low, high = _bounds(
        "model batch size",
        limits.min_model_batch_size,
        limits.max_model_batch_size,
        1,
        _LARGEST_BATCH,
    )
    sizes = tuple(size for size in _doubling(low, high) if size >= limits.batch_size)
    largest = Dimension(MAX_BATCH_SIZE, _distinct(sizes or (limits.batch_size,)))
    if base.sequence_batching is not None:
        return [largest]
    delays = limits.queue_delays_us
    return [Dimension(QUEUE_DELAY, _distinct(_DELAYS_US if delays is None else delays)), largest]


def _bounds(what: str, low: int | None, high: int | None, least: int, most: int) -> tuple[int, int]:
    """Fill in the bounds that were left open, never against one that was given."""
    first = low if low is not None else least if high is None else min(least, high)
    last = high if high is not None else max(most, first)
    if not 1 <= first <= last:
        raise UsageError(f"{what}: expected 1 <= minimum <= maximum, found {first} and {last}")
    return first, last


def _doubling(low: int, high: int, *, exact_end: bool = False) -> tuple[int, ...]:
    """Return low, twice low, and so on up to ``high``, which is added if it must be there."""
    values = [low]
    while values[-1] * 2 <= high:
        values.append(values[-1] * 2)
    if exact_end and values[-1] < high:
        values.append(high)
    return tuple(values)


def _distinct(values: tuple[int, ...]) -> tuple[Value, ...]:
    return tuple(sorted(set(values)))


def _on_gpu(base: ModelConfig, machine: Machine) -> bool:
    """Whether the instances will run on GPUs: said outright, or left open where there are some."""
    kinds = {group.kind for group in base.instance_group if not group.passive}
    open_kinds = {InstanceKind.KIND_AUTO, InstanceKind.KIND_MODEL}
    return InstanceKind.KIND_GPU in kinds or (
        machine.gpus > 0 and (not kinds or bool(kinds & open_kinds))
    )


def _reads_threads(base: ModelConfig) -> bool:
    """Whether the backend reads ``intra_op_thread_count`` (Triton's onnxruntime backend does)."""
    return "onnxruntime" in {base.backend, base.platform.partition("_")[0]}


def _whole(candidate: Candidate, name: str) -> int | None:
    value = candidate.get(name)
    return None if value is None else int(value)


def _groups(config: ModelConfig, count: int) -> tuple[InstanceGroup, ...]:
    """Return one active group of ``count`` in place of all; passive ones stay as they are."""
    active = [group for group in config.instance_group if not group.passive]
    passive = [group for group in config.instance_group if group.passive]
    first = active[0] if active else InstanceGroup()
    return (replace(first, count=count), *passive)


def _without_default_sizes(config: ModelConfig) -> ModelConfig:
    """Take back the preferred size that normalisation filled in: it must follow the maximum."""
    batching = config.dynamic_batching
    if batching is None or batching.preferred_batch_size != (config.max_batch_size,):
        return config
    return replace(config, dynamic_batching=replace(batching, preferred_batch_size=()))


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
