"""What a gate can be put on: the analyzer's metrics, and counters that hardly vary. Pure.

Owns the names. Metrics are ``analyzer.metrics``'s, by Model Analyzer's tags. Counters catch what a
clock cannot: a percent more work shows in a count that is the same every time, on any machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from analyzer.errors import UsageError
from analyzer.gate.values import Quantity
from analyzer.metrics import BY_TAG, COST, GOODPUT, Direction

MORE, LESS = Direction.MORE, Direction.LESS

#: name: unit and what it is; a runner puts those that it could read into ``Block.counts``
COUNTERS: Mapping[str, tuple[str, str]] = {
    "failed_requests": ("requests", "requests that failed in a block"),
    "batches_per_1000_requests": ("batches", "executions that a thousand requests took"),
    "model_load_bytes": ("bytes", "bytes that the server read until it was ready"),
    "startup_memory": ("MB", "the server's memory when it was ready, before any request"),
}
#: metrics that are compared exactly, with a tolerance: memory
_EXACT = frozenset(
    {
        "gpu_used_memory", "gpu_memory_by_process", "gpu_free_memory",
        "cpu_used_ram", "cpu_used_pss", "cpu_used_rss", "cpu_used_uss", "cpu_available_ram",
    }
)  # fmt: skip
#: shorter names that people write
SHORT: Mapping[str, str] = {
    "throughput": "perf_throughput",
    "latency_avg": "perf_latency_avg",
    **{f"p{percent}": f"perf_latency_p{percent}" for percent in (50, 90, 95, 99)},
}
#: what only a goal gives a row, so no block has it
_NEVER = frozenset({GOODPUT, COST})


def known() -> tuple[str, ...]:
    """Return the names of all that a gate can be put on."""
    tags = [tag for tag in BY_TAG if tag not in _NEVER]
    return (*sorted(tags), *sorted(COUNTERS), *sorted(SHORT))


def quantity(name: str) -> Quantity:
    """Find what is called so.

    Raises:
        UsageError: nothing is.
    """
    tag = SHORT.get(name, name)
    if tag in COUNTERS:
        return Quantity(tag, COUNTERS[tag][0], LESS, exact=True)
    try:
        metric = None if tag in _NEVER else BY_TAG[tag]
    except KeyError:
        metric = None
    if metric is None:
        near = difflib.get_close_matches(name, known(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(known())}"
        raise UsageError(f"no metric or counter is named {name!r}; {hint}")
    return Quantity(metric.tag, metric.unit, metric.direction, exact=metric.tag in _EXACT)
