"""What there is to try for a model on a machine. Pure.

Owns which dimensions a model has, their values and their order: by what it is run first, then
instances and threads, batching, and the load last. Does not own what a value means (``making``).

By what a model is run is varied by itself where more than one backend that is installed reads the
model's file, and where the processor has BF16 (FP16 without it) or a file of integers lies beside
the model; on a GPU where TensorRT is there. A list of the user's is taken at its word, and what of
it cannot be is skipped with its reason.
"""

from __future__ import annotations

import math

from analyzer.errors import UsageError
from analyzer.space import (
    ACCELERATOR,
    BACKEND,
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    PRECISION,
    QUEUE_DELAY,
    REQUEST_RATE,
    Axis,
    Candidate,
    Dimension,
    Limits,
    Space,
    Value,
)
from analyzer.variant import accelerators, runtime
from analyzer.variant.making import (
    NO_BATCHING,
    overlaid,
    reason_not_possible,
    with_runtime,
)
from analyzer.variant.means import Machine, Means, on_gpu
from analyzer.variant.runtime import BF16, FP16, FP32, INT8
from engine.errors import ConfigError
from engine.modelconfig.schema import ModelConfig

#: Model Analyzer's bounds
_MOST_INSTANCES, _LARGEST_BATCH, _MOST_CONCURRENCY = 5, 128, 1024
_LEAST_RATE, _MOST_RATE = 16.0, 8192.0
_DELAYS_US = (NO_BATCHING, 0, 100, 500, 2000)


def space(
    base: ModelConfig,
    machine: Machine,
    limits: Limits,
    choices: tuple[Dimension, ...] | None = None,
    files: frozenset[str] | None = None,
) -> Space:
    """Return what can be tried for a model, the load axis last.

    ``choices`` are settings to try in place of the usual ones; () varies the load alone. ``files``
    are the names of what lies beside the model (None: not known).

    Raises:
        UsageError: a lower bound is above its upper bound, or a choice does not fit the model.
    """
    means = Means(base, machine, files)
    dimensions: list[Dimension] = []
    if choices is not None:
        _check_choices(base, choices)
        dimensions += _told(limits, {each.name for each in choices})
        dimensions += choices
    elif not base.is_ensemble:
        dimensions += _runtime(means, limits)
        dimensions.append(_instances(base, machine, limits))
        if _reads_threads(base, dimensions) and not on_gpu(base, machine):
            threads = limits.intra_op_threads or _doubling(1, machine.cores, exact_end=True)
            dimensions.append(Dimension(INTRA_OP_THREADS, _distinct(threads)))
        if base.max_batch_size > 0:
            dimensions += _batching(base, limits)
    if limits.batch_sizes is not None:
        dimensions.append(Dimension(BATCH_SIZE, _distinct(limits.batch_sizes), Axis.LOAD))
    dimensions.append(_rates(limits) if limits.varies_rates else _concurrencies(limits))
    return Space(tuple(dimensions))


def _check_choices(base: ModelConfig, choices: tuple[Dimension, ...]) -> None:
    """Raise UsageError if a value to try cannot be in this model's configuration."""
    wrong: dict[str, None] = {}
    for each in choices:
        for value in each.values:
            try:
                overlaid(base, Candidate.of(**{each.name: value}))
            except ConfigError as error:
                wrong |= {f"model_config_parameters: {one.what}": None for one in error.problems}
    if wrong:
        raise UsageError("\n".join(wrong))


def _told(limits: Limits, but: set[str]) -> list[Dimension]:
    """Return by what the user says that the model is to be run."""
    told = {
        BACKEND: limits.backends, ACCELERATOR: limits.accelerators, PRECISION: limits.precisions
    }  # fmt: skip
    return [
        Dimension(name, tuple(dict.fromkeys(values)))
        for name, values in told.items()
        if values and name not in but
    ]


def _runtime(means: Means, limits: Limits) -> list[Dimension]:
    """Return by what the model can be run, in as far as there is a choice."""
    told = {each.name: each for each in _told(limits, set())}
    found: list[Dimension] = []
    for name, usual in ((BACKEND, _backends), (ACCELERATOR, _accelerators), (PRECISION, _usual)):
        if name in told:
            found.append(told[name])
            continue
        values = usual(means, found)
        if len(values) > 1:
            found.append(Dimension(name, values))
    return found


def _backends(means: Means, _: list[Dimension]) -> tuple[str, ...]:
    """The model's own first, then those that are installed and read its file, or one of theirs."""
    own = runtime.backend_of(means.base)
    known = () if means.machine.backends is None else sorted(means.machine.backends)
    others = [
        each
        for each in known
        if each != own
        and each in runtime.FILES
        and reason_not_possible(Candidate.of(**{BACKEND: each}), None, {"": means}) is None
        and (means.files is not None or runtime.reads(each, runtime.file_of(means.base)))
    ]
    return (own, *others)


def _accelerators(means: Means, _: list[Dimension]) -> tuple[str, ...]:
    """The model's own first, then TensorRT; OpenVINO is a backend of its own."""
    own, other = accelerators.accelerator_of(means.base), accelerators.TENSORRT
    asked = Candidate.of(**{ACCELERATOR: other})
    known = means.machine.accelerators is not None and own != other
    there = known and reason_not_possible(asked, None, {"": means}) is None
    return (own, other) if there else (own,)


def _usual(means: Means, found: list[Dimension]) -> tuple[str, ...]:
    """The model's own first, then what is faster on this machine and can be had."""
    own = runtime.precision_of(means.base) or FP32
    known = means.machine.precisions or frozenset()
    if on_gpu(means.base, means.machine):
        wanted = [FP16, INT8]
    else:
        wanted = [*[each for each in (BF16, FP16) if each in known][:1], INT8]
    by = Space(tuple(found))
    others = [
        precision
        for precision in wanted
        if precision != own and any(_can(each, precision, means) for each in by)
    ]
    return (own, *others)


def _can(by: Candidate, precision: str, means: Means) -> bool:
    asked = by.replaced(**{PRECISION: precision})
    if means.files is None and not runtime.asks_for(with_runtime(means.base, by), precision):
        return False
    return reason_not_possible(asked, None, {"": means}) is None


def _reads_threads(base: ModelConfig, found: list[Dimension]) -> bool:
    """Whether a backend among those to try reads how many threads an instance has."""
    values = {each.name: each.values for each in found}
    backends = values.get(BACKEND, (runtime.backend_of(base),))
    return any(runtime.reads_threads(str(each)) for each in backends)


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
    if not on_gpu(base, machine):
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
