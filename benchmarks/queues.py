"""``python -m benchmarks.queues``: do measurements of queues find what formulas say?

First in virtual time: each queue is simulated 200 times, and every time the intervals of the mean
wait and of its p99 either hold the formula's value or not; 95 % of them should. By Little's law the
number of requests there, counted, is their rate times their mean time.

Then for real: a server answers over HTTP after a wait and a service time by the same queue's law,
and the load generator measures it in an open loop. HTTP, timers and two processes add to that. How
much is measured beside each round of runs, on the same busy machine, of the same server where
nobody ever waits. It is short beside a response time, and so moves mean and percentiles alike, by
its mean (without the longest hundredth, which is the machine's): by that the formulas' values are
shifted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np

from analyzer.load.driven import Driven
from analyzer.load.driver import run
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from analyzer.statistics.distributions import proportion_high, proportion_low
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.summary import since, summarise
from benchmarks.__main__ import RESULTS, described
from benchmarks.queue_server import serving
from benchmarks.queueing import Queue, in_system
from benchmarks.results import keep, table
from engine.types import DType, InferRequest, Tensor

RUNS = 200
REQUESTS = 100_000
#: nobody is there at first; so many requests later that is forgotten
FORGOTTEN = 3000
QUEUES = (
    Queue(load=0.7, service=0.001, fixed=True),
    Queue(load=0.7, service=0.001),
    Queue(load=0.7, service=0.001, servers=4),
)
REAL = (
    # At 0.5 the median would be just where waits begin.
    Queue(load=0.6, service=0.01, fixed=True),
    Queue(load=0.5, service=0.01),
    Queue(load=0.5, service=0.01, servers=4),
)
#: where nobody waits, at about the rate of the others
ALONE = Queue(load=0.01, service=0.01, servers=100, fixed=True)
#: this share of its response times tells what HTTP and timers add
KEPT = 0.99
AT_ONCE = 6
REAL_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One run: which intervals held the truth, and which were bounded.

    ``little`` is rate times mean time over the number that was there, as counted.
    """

    queue: str
    held: dict[str, bool]
    bounded: dict[str, bool]
    little: float
    invalid: str = ""


def simulated(queue: Queue, seed: int, requests: int = REQUESTS) -> Check:
    """Simulate one run, and compare its waits with the formulas."""
    arrivals, waits, services = queue.simulate(np.random.default_rng(seed), requests + FORGOTTEN)
    ends = arrivals + waits + services
    order = np.argsort(ends)
    counted = order[FORGOTTEN:]
    summary = summarise(
        _ns(ends[counted]),
        _ns(waits[counted]),
        spans_ns=since(int(1e9 * ends[order[FORGOTTEN - 1]])),
    )
    begin, end = float(arrivals[FORGOTTEN]), float(arrivals[-1])
    inside = (arrivals >= begin) & (arrivals < end)
    little = np.count_nonzero(inside) / (end - begin) * float((waits + services)[inside].mean())
    estimates = {
        "rate": summary.throughput,
        "mean": summary.latency_avg,
        "p99": summary.percentiles[99],
    }
    truths = {"rate": queue.rate, "mean": 1e9 * queue.mean_wait, "p99": 1e9 * queue.wait(0.99)}
    return _check(queue, estimates, truths, little / in_system(arrivals, ends, begin, end))


def _ns(seconds: np.ndarray) -> np.ndarray:
    return (1e9 * seconds).astype(np.int64)


def _check(
    queue: Queue,
    estimates: dict[str, Estimate],
    truths: dict[str, float],
    little: float,
    invalid: str = "",
) -> Check:
    return Check(
        queue=queue.name,
        held={name: estimates[name].holds(truth) for name, truth in truths.items()},
        bounded={name: bool(np.isfinite(estimates[name].high)) for name in truths},
        little=little,
        invalid=invalid,
    )


def measured(queue: Queue, seed: int, seconds: float = REAL_SECONDS) -> Driven:
    """Measure a server that is such a queue over HTTP."""
    with serving(queue, seed) as endpoint:
        return run(endpoint, _workload(), _load(queue.rate, seed, seconds))


def judged(queue: Queue, driven: Driven, overhead: float) -> Check:
    """Hold a measurement against the formulas, and the server's own cost, in seconds."""
    found = driven.summary
    assert found is not None
    estimates = {"rate": found.throughput, "mean": found.latency_avg}
    truths = {"rate": queue.rate, "mean": 1e9 * (queue.mean_wait + queue.service + overhead)}
    for percentile in (50.0, 90.0, 99.0):
        name = f"p{percentile:g}"
        estimates[name] = found.percentiles[percentile]
        truths[name] = 1e9 * (queue.response(percentile / 100) + overhead)
    return _check(queue, estimates, truths, driven.little, driven.invalid)


def overhead_of(driven: Driven) -> float:
    """Return what HTTP, timers and processes added to a service where nobody waits, in seconds."""
    took = np.sort(driven.latency_ns)
    return float(took[: int(KEPT * len(took))].mean()) / 1e9 - ALONE.service


def _load(rate: float, seed: int, seconds: float) -> LoadSpec:
    return LoadSpec(
        request_rate=rate, distribution="poisson", seed=seed, rule="precision", senders=1,
        throughput_precision=1e-6, min_seconds=seconds, max_seconds=seconds,
    )  # fmt: skip


def _workload() -> Workload:
    tensor = Tensor(name="INPUT0", dtype=DType.FP32, array=np.zeros((1, 4), np.float32))
    return Workload((Item(model="queue", requests=(InferRequest(inputs=(tensor,)),)),))


def all_measured(minutes: float) -> Iterator[tuple[float, Check]]:
    """Measure the queues by turns, some at once, for so long; say also what each was shifted by."""
    until, seed = time.monotonic() + 60 * minutes, 1
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        while time.monotonic() < until:
            queues = [REAL[index % len(REAL)] for index in range(AT_ONCE)]
            seeds = range(seed, seed + AT_ONCE + 1)
            *found, alone = pool.map(measured, [*queues, ALONE], seeds)
            overhead = overhead_of(alone)
            for queue, driven in zip(queues, found, strict=True):
                check = judged(queue, driven, overhead)
                yield overhead, replace(check, invalid=check.invalid or alone.invalid)
            seed += AT_ONCE + 1


def rows(checks: Sequence[Check]) -> Iterator[tuple[str, ...]]:
    """Lay out how often intervals held, by queue and quantity."""
    for queue in dict.fromkeys(each.queue for each in checks):
        mine = [each for each in checks if each.queue == queue]
        little = max(abs(each.little - 1) for each in mine)
        for name in mine[0].held:
            held = sum(each.held[name] for each in mine)
            low, high = (
                proportion_low(held, len(mine), 0.025),
                proportion_high(held, len(mine), 0.025),
            )
            bounded = sum(each.bounded[name] for each in mine)
            yield (
                queue, name, str(len(mine)), f"{held / len(mine):.1%} ({low:.1%}-{high:.1%})",
                f"{bounded / len(mine):.0%}", f"{little:.2%}",
            )  # fmt: skip


HEAD = (
    "queue",
    "of",
    "runs",
    "intervals that held (their own 95 % interval)",
    "bounded",
    "Little, greatest error",
)


def page(
    machine: dict[str, str],
    virtual: Sequence[Check],
    real: Sequence[Check],
    overheads: Sequence[float],
) -> str:
    """Write it down for people."""
    parts = [
        f"# Queues measured, against formulas, {datetime.now(UTC):%Y-%m-%d}",
        table(("", ""), machine.items()),
        (
            "Of 95 % intervals 95 % should hold what the formula says. An interval is not bounded "
            "where a run has too few values beyond its percentile; it says so by a flag."
        ),
    ]
    if virtual:
        parts += [
            f"## In virtual time: waits, {REQUESTS} requests a run",
            table(HEAD, rows(virtual)),
        ]
    if real:
        valid = [each for each in real if not each.invalid]
        parts += [
            f"## Over HTTP: response times, {REAL_SECONDS:g} s a run",
            (
                f"{len(real)} runs, {AT_ONCE} at once, {len(real) - len(valid)} of them found "
                "invalid by the load generator itself and left out. HTTP and timers add "
                f"{1e3 * min(overheads):.2f} to {1e3 * max(overheads):.2f} ms (measured beside "
                "each round, where nobody waits), which the formulas' values include."
            ),
            table(HEAD, rows(valid)),
        ]
    return "\n\n".join(parts) + "\n"


def main(argv: Iterable[str] | None = None) -> None:
    """Do all of it and write it down."""
    parser = argparse.ArgumentParser(prog="scripts/bench queues", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="in virtual time; 0: not at all")
    parser.add_argument("--minutes", type=float, default=6.0, help="over HTTP; 0: not at all")
    parser.add_argument("--quick", action="store_true", help="5 runs, no HTTP; nothing is written")
    given = parser.parse_args(None if argv is None else list(argv))
    if given.quick:
        given.runs, given.minutes = 5, 0
    machine = dict(described())
    virtual = [simulated(queue, seed) for queue in QUEUES for seed in range(given.runs)]
    found = list(all_measured(given.minutes)) if given.minutes else []
    overheads, real = [each for each, _ in found], [each for _, each in found]
    text = page(machine, virtual, real, overheads)
    sys.stdout.write(text)
    if not given.quick:
        plain = {
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine,
            "overheads_s": overheads, "virtual": [asdict(each) for each in virtual],
            "real": [asdict(each) for each in real],
        }  # fmt: skip
        keep(RESULTS, plain, text, "queues" if virtual else "queues-http")


if __name__ == "__main__":
    main()
