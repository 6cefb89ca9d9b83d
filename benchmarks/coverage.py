"""``python -m benchmarks.coverage``: how often do printed intervals hold the truth?

Streams of requests whose truth is known are simulated again and again: measured for a given number
of requests, and until the stopping rule says that it is enough, which tends to be sooner where
luck makes intervals narrow. 95 % intervals ought to hold the truth in 93 to 97 % of all cases.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from analyzer.statistics.stopping import Precision, PrecisionRule, Verdict
from analyzer.statistics.summary import PERCENTILES, Summary, summarise
from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.streams import Dice, Stream, autoregressive, closed, independent, mm1

RUNS = 400
CHUNK_NS = 100_000_000
#: streams, and how many requests of each
FIXED: tuple[tuple[Stream, int], ...] = (
    (independent(1000, 0.01), 600),
    (independent(1000, 0.01), 5000),
    (autoregressive(1000, 0.01, 0.9), 5000),
    (autoregressive(1000, 0.01, 0.9), 30_000),
    (closed(16, 0.001), 5000),
    (closed(16, 0.001), 20_000),
    (mm1(0.5, 0.001), 5000),
    (mm1(0.5, 0.001), 30_000),
    (mm1(0.8, 0.001), 30_000),
    (mm1(0.8, 0.001), 200_000),
    (mm1(0.9, 0.001), 100_000),
    (mm1(0.9, 0.001), 400_000),
)
SEQUENTIAL: tuple[Stream, ...] = (
    independent(1000, 0.01),
    autoregressive(1000, 0.01, 0.9),
    closed(16, 0.001),
    mm1(0.5, 0.0005),
    mm1(0.8, 0.0002),
)
PRECISION = Precision(throughput=0.05, latency=0.1, max_seconds=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What measuring until it was enough came to: shares of runs that held, by quantity.

    ``steady`` is the share that was found precise enough in time, ``seconds`` how long it took.
    """

    held: Mapping[str, float]
    steady: float
    seconds: float


def _checked(stream: Stream, summary: Summary) -> dict[str, bool]:
    """Say which intervals hold the truth."""
    return {
        "throughput": summary.throughput.holds(stream.rate),
        "mean": summary.latency_avg.holds(1e9 * stream.mean),
        **{
            f"p{each:g}": summary.percentiles[each].holds(1e9 * stream.quantile(each / 100))
            for each in PERCENTILES
        },
    }


def held(stream: Stream, count: int, runs: int, seed: int = 0) -> dict[str, float]:
    """Return in which share of runs of ``count`` requests each interval held the truth."""
    dice = np.random.default_rng(seed)
    return _shares(_checked(stream, summarise(*stream.sample(dice, count))) for _ in range(runs))


def stopped(stream: Stream, runs: int, precision: Precision = PRECISION, seed: int = 0) -> Stopped:
    """Measure until the rule says that it is enough, again and again."""
    dice = np.random.default_rng(seed)
    rules, steady, seconds = [], 0, 0.0
    for _ in range(runs):
        rule, verdict, took = _measured(stream, dice, precision)
        rules.append(_checked(stream, rule.summary()))
        steady += verdict is Verdict.STEADY
        seconds += took
    return Stopped(held=_shares(rules), steady=steady / runs, seconds=seconds / runs)


def _measured(
    stream: Stream, dice: Dice, precision: Precision
) -> tuple[PrecisionRule, Verdict, float]:
    done, latency = stream.sample(dice, int(1.05 * stream.rate * precision.max_seconds))
    rule = PrecisionRule(precision)
    ends = np.searchsorted(done, np.arange(int(done[0]), int(done[-1]), CHUNK_NS))
    for begin, end in pairwise(ends):
        verdict = rule.add(done[begin:end], latency[begin:end])
        if verdict is not Verdict.GO_ON:
            return rule, verdict, float(done[end - 1] - done[0]) / 1e9
    return rule, Verdict.GIVE_UP, float(done[-1] - done[0]) / 1e9


def _shares(checks: Iterator[dict[str, bool]] | Sequence[dict[str, bool]]) -> dict[str, float]:
    every = list(checks)
    return {name: sum(each[name] for each in every) / len(every) for name in every[0]}


def main() -> None:
    """Do all of it and write it down."""
    parser = argparse.ArgumentParser(prog="scripts/bench coverage", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--quick", action="store_true", help="20 runs; nothing is written")
    given = parser.parse_args()
    runs = 20 if given.quick else given.runs
    machine = dict(described())
    fixed = [
        (stream.name, count, held(stream, count, runs, seed))
        for seed, (stream, count) in enumerate(FIXED)
    ]
    sequential = [
        (stream.name, stopped(stream, runs // 2, seed=100 + seed))
        for seed, stream in enumerate(SEQUENTIAL)
    ]
    names = list(fixed[0][2])
    text = "\n\n".join(
        (
            f"# How often 95 % intervals hold the truth, {datetime.now(UTC):%Y-%m-%d}",
            table(("", ""), machine.items()),
            f"## For a given number of requests, {runs} runs each",
            table(
                ("stream", "requests", *names),
                (
                    (name, str(count), *(f"{shares[each]:.1%}" for each in names))
                    for name, count, shares in fixed
                ),
            ),
            (
                f"## Until the rule stopped, {runs // 2} runs each: throughput within 5 %, p99 "
                "within 10 %, at most 60 s"
            ),
            table(
                ("stream", "seconds", "precise in time", *names),
                (
                    (
                        name,
                        f"{found.seconds:.1f}",
                        f"{found.steady:.0%}",
                        *(f"{found.held[each]:.1%}" for each in names),
                    )
                    for name, found in sequential
                ),
            ),
        )
    )
    sys.stdout.write(text + "\n")
    if not given.quick:
        plain = {
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "runs": runs,
            "fixed": [
                {"stream": name, "requests": count, "held": shares} for name, count, shares in fixed
            ],
            "sequential": [{"stream": name, **asdict(found)} for name, found in sequential],
        }
        keep(RESULTS, plain, text + "\n", "coverage")


if __name__ == "__main__":
    main()
