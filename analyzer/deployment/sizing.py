"""What a pod needs, by what was measured. Pure.

Rules, each figure with its source:

1. The operating point is the knee of the configuration's own rows; where there is none, the load
   at which it did best.
2. CPU: what it used there, at most, and a tenth more; never more than the machine had. The limit is
   the cores that it was measured with, because the engine deals its threads by them. Instances that
   are pinned to cores ask for as many as there were.
3. Memory: the most that any of its measurements saw, and half of it or 256 MiB on top. Request and
   limit are one: memory cannot be taken back.
4. A start may take five times the longest that was seen, and a minute at least.
5. There are too few pods where one has more than four fifths of the requests in flight that it had
   at the operating point, by Little's law: rate times the time that a request is in the server; or
   more that wait than waited then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analyzer import together
from analyzer.deployment.values import Choice, Served, Size, Sourced, Wish
from analyzer.metrics import BY_TAG
from analyzer.ranking.frontier import frontier
from analyzer.ranking.goal import Goal
from analyzer.record.row import Row
from analyzer.report import wording
from engine.modelconfig.schema import InstanceKind, ModelConfig

CPU_MARGIN, RAM_MARGIN, START_MARGIN, KNEE_SHARE = 1.1, 1.5, 5.0, 0.8
RAM_LEAST_MIB, START_LEAST_S = 256, 60
_CPU, _RAM = "cpu_utilization", "cpu_used_ram"
_MIB = 1024.0**2


def size(
    choice: Choice, goal: Goal, served: Served, wish: Wish, machine: Mapping[str, object]
) -> Size:
    """Say what a pod needs; ``machine`` is the journal's description of where it was measured."""
    knee = frontier(choice.rows, goal).knee
    operating = choice.row if knee is None else knee.row
    here = [row for row in choice.rows if row.load.same == operating.load.same]
    cores = machine.get("cores")
    pinned = any(flag.startswith("--host-policy") for flag in served.flags)
    return Size(
        operating=operating,
        knee=knee is not None,
        start=_start(choice.rows),
        cpu_request=_cpu(here, cores if isinstance(cores, int) else None, pinned=pinned),
        cpu_limit=_limit(cores),
        memory=_memory(choice.rows),
        gpus=_gpus(served, wish, machine),
        in_flight=_in_flight(operating, served.loaded),
        pending=_pending(operating, served),
    )


def _start(rows: Sequence[Row]) -> Sourced[int]:
    slowest = max(rows, key=lambda row: row.launch_seconds)
    if slowest.launch_seconds <= 0:
        return Sourced(START_LEAST_S, "how long a start takes was not measured")
    wanted = math.ceil(max(START_LEAST_S, START_MARGIN * slowest.launch_seconds))
    return Sourced(
        wanted,
        f"the slowest start took {slowest.launch_seconds:.1f} s ({_number(slowest)}); "
        f"{START_MARGIN:g} times that, {START_LEAST_S} s at least",
    )


def _cpu(here: Sequence[Row], cores: int | None, *, pinned: bool) -> Sourced[float] | None:
    if pinned and cores:
        return Sourced(
            float(cores),
            "all cores that it was measured with, because instances are pinned to them",
        )
    busiest = _most(here, _CPU)
    if busiest is None:
        return None
    used = busiest.metrics[_CPU] / 100.0
    wanted = max(0.1, math.ceil(used * CPU_MARGIN * 10) / 10)
    wanted = min(wanted, float(cores)) if cores else wanted
    return Sourced(
        wanted,
        f"{used:.2f} cores at {wording.load(busiest)} ({_number(busiest)}), and a tenth more",
    )


def _limit(cores: object) -> Sourced[int] | None:
    if not isinstance(cores, int):
        return None
    return Sourced(
        cores, "the cores that it was measured with: the server deals its threads by them"
    )


def _memory(rows: Sequence[Row]) -> Sourced[int] | None:
    largest = _most(rows, _RAM)
    if largest is None:
        return None
    used = largest.metrics[_RAM] * 1e6 / _MIB
    wanted = max(used * RAM_MARGIN, used + RAM_LEAST_MIB)
    return Sourced(
        math.ceil(wanted),
        f"{used:.0f} MiB at most, at {wording.load(largest)} ({_number(largest)}), and half as "
        f"much again, {RAM_LEAST_MIB} MiB at least",
    )


def _gpus(served: Served, wish: Wish, machine: Mapping[str, object]) -> Sourced[int] | None:
    """Say how many GPUs; None where no instance is on one."""
    if wish.gpus is not None:
        return Sourced(wish.gpus, "as asked for by --gpus") if wish.gpus else None
    there = machine.get("gpus")
    seen = len(there) if isinstance(there, Sequence) else 0
    found = [_of_config(config, seen) for config in served.configs.values()]
    if not (most := max(found, default=0)):
        return None
    return Sourced(most, "the GPUs that its instances were on")


def _of_config(config: ModelConfig, seen: int) -> int:
    """Count the GPUs that a model's instances need; a group that names none is on all of them."""
    groups = [each for each in config.instance_group if each.kind is InstanceKind.KIND_GPU]
    named = [number for group in groups for number in group.gpus]
    if named:
        return max(named) + 1
    return max(seen, 1) if groups else 0


def _in_flight(row: Row, loaded: Sequence[str]) -> Mapping[str, Sourced[float]]:
    found: dict[str, Sourced[float]] = {}
    for model, own in _each(row, loaded).items():
        rate, inside = _requests(own), _inside_ms(own)
        if rate is None or inside is None:
            continue
        amount = rate * inside / 1000.0
        found[model] = Sourced(
            max(0.1, amount * KNEE_SHARE),
            f"{amount:.2f} at {wording.load(own)} ({_number(row)}: "
            f"{wording.number(rate)} requests/s, {wording.number(inside)} ms each in the server), "
            "four fifths of it",
        )
    return found


def _pending(row: Row, served: Served) -> Sourced[float] | None:
    """Say how many may wait in a pod, for whichever of its models."""
    waiting = 0.0
    for model, own in _each(row, served.loaded).items():
        rate, queue = _requests(own), _queue_ms(own, served.configs.get(model))
        if rate is None or queue is None:
            return None
        waiting += rate * queue / 1000.0
    return Sourced(
        max(1.0, waiting),
        f"{waiting:.2f} waited at {wording.load(row)} ({_number(row)}); 1 at least",
    )


def _each(row: Row, loaded: Sequence[str]) -> Mapping[str, Row]:
    """Return the row of each model that requests went to."""
    apart = together.rows(row)
    return {own.model: own for own in apart} if apart else dict.fromkeys(loaded[:1], row)


def _requests(row: Row) -> float | None:
    """Return requests a second: throughput counts a request's rows."""
    rate = row.metrics.get("perf_throughput")
    return None if rate is None else rate / max(1, row.load.batch_size)


def _inside_ms(row: Row) -> float | None:
    """Return the time that a request is in the server, ms, on average."""
    whole = row.metrics.get("perf_latency_avg")
    if whole is None:
        return None
    return max(0.0, whole - row.metrics.get("perf_network", 0.0))


def _queue_ms(row: Row, config: ModelConfig | None) -> float | None:
    """Return how long a request waits in all, ms: its own time and that of the calls it makes.

    An ensemble's requests wait nowhere but in its models.
    """
    own, requests = row.metrics.get("perf_server_queue"), row.server.get("requests")
    behind: Mapping[str, Mapping[str, float]] = row.server.get("composing") or {}
    if own is None or not behind or not requests:
        return own
    waited_ns = sum(each["requests"] * each["queue_ns"] for each in behind.values())
    called = float(waited_ns) / float(requests) / 1e6
    return called if config is not None and config.is_ensemble else own + called


def _most(rows: Sequence[Row], tag: str) -> Row | None:
    known = [row for row in rows if tag in row.metrics]
    return max(known, key=lambda row: row.metrics[tag], default=None)


def _number(row: Row) -> str:
    return f"measurement {row.number}"


def figures(row: Row) -> Sequence[tuple[str, str]]:
    """List what is worth telling of a row: a metric's title and its value with its unit."""
    tags = (
        "perf_throughput", "perf_latency_p99", "perf_latency_avg", "perf_server_queue", _CPU, _RAM,
        "gpu_utilization", "gpu_used_memory",
    )  # fmt: skip
    return tuple(
        (BY_TAG[tag].title, wording.measured(tag, row.metrics[tag]))
        for tag in tags
        if tag in row.metrics
    )
