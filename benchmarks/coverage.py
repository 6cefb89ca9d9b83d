"""``python -m benchmarks.coverage``: how often do printed intervals hold the truth?

Streams of requests whose truth is known are simulated again and again: measured for a given number
of requests, and until the stopping rule says that it is enough, which tends to be sooner where
luck makes intervals narrow. 95 % intervals ought to hold the truth in 93 to 97 % of all cases.

Then closed loops that fall into step (``phases``) are measured by the rule of ``analyze profile``:
in one go, and begun anew again and again as the load client does.
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
from benchmarks.phases import Locked, measured, truth
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
LOCKED: tuple[Locked, ...] = (
    Locked(clients=6),
    Locked(clients=4, row_ms=0.0, variation=0.01),
    Locked(clients=10, row_ms=0.0, variation=0.01),
    Locked(clients=16, variation=0.02),
)
USUAL = Precision(throughput=0.05, percentile=None, min_seconds=2.0, max_seconds=6.0)
BEGINNINGS = 600


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What measuring a loop that falls into step came to, begun ``anew`` or measured in one go.

    ``held`` is by quantity, and ``width`` the median of half of the mean latency's interval, as a
    share of its value.
    """

    loop: str
    anew: bool
    held: Mapping[str, float]
    steady: float
    seconds: float
    width: float


def steps(loop: Locked, runs: int, *, anew: bool, seed: int = 0) -> Steps:
    """Measure a loop again and again by the rule of ``analyze profile``."""
    true = truth(loop, np.random.default_rng(seed), BEGINNINGS, 0.5)
    checks, widths, steady, seconds = [], [], 0, 0.0
    for run in range(runs):
        found, verdict = measured(loop, np.random.default_rng((seed, run)), USUAL, episodes=anew)
        checks.append(
            {
                "throughput": found.throughput.holds(true.throughput.value),
                "mean": found.latency_avg.holds(true.latency_avg.value),
                **{
                    f"p{each:g}": found.percentiles[each].holds(one.value)
                    for each, one in true.percentiles.items()
                },
            }
        )
        widths.append(found.latency_avg.relative)
        steady += verdict is Verdict.STEADY
        seconds += found.seconds
    return Steps(
        loop=loop.name, anew=anew, held=_shares(checks), steady=steady / runs,
        seconds=seconds / runs, width=float(np.median(widths)),
    )  # fmt: skip


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was found: by stream and number of requests, by the rule, and of loops in step."""

    fixed: Sequence[tuple[str, int, Mapping[str, float]]]
    sequential: Sequence[tuple[str, Stopped]]
    locked: Sequence[Steps]


def _found(runs: int) -> Found:
    return Found(
        fixed=[
            (stream.name, count, held(stream, count, runs, seed))
            for seed, (stream, count) in enumerate(FIXED)
        ],
        sequential=[
            (stream.name, stopped(stream, runs // 2, seed=100 + seed))
            for seed, stream in enumerate(SEQUENTIAL)
        ],
        locked=[
            steps(loop, runs // 4, anew=anew, seed=seed)
            for seed, loop in enumerate(LOCKED)
            for anew in (False, True)
        ],
    )


def _page(found: Found, machine: Mapping[str, str], runs: int) -> str:
    names = list(found.fixed[0][2])
    return "\n\n".join(
        (
            f"# How often 95 % intervals hold the truth, {datetime.now(UTC):%Y-%m-%d}",
            table(("", ""), machine.items()),
            f"## For a given number of requests, {runs} runs each",
            table(
                ("stream", "requests", *names),
                (
                    (name, str(count), *(f"{shares[each]:.1%}" for each in names))
                    for name, count, shares in found.fixed
                ),
            ),
            (
                f"## Until the rule stopped, {runs // 2} runs each: throughput within 5 %, p99 "
                "within 10 %, at most 60 s"
            ),
            table(
                ("stream", "seconds", "precise in time", *names),
                (
                    (name, f"{one.seconds:.1f}", f"{one.steady:.0%}",
                     *(f"{one.held[each]:.1%}" for each in names))
                    for name, one in found.sequential
                ),
            ),
            (
                f"## Clients that fall into step, {runs // 4} runs each: throughput within 5 %, "
                "mean latency within 10 %, 2 to 6 s"
            ),
            table(
                ("loop", "begun", "seconds", "precise", "half-width (mean)",
                 *found.locked[0].held),
                (
                    (one.loop, "anew" if one.anew else "once", f"{one.seconds:.1f}",
                     f"{one.steady:.0%}", f"{one.width:.1%}",
                     *(f"{share:.1%}" for share in one.held.values()))
                    for one in found.locked
                ),
            ),
        )
    )  # fmt: skip


def main() -> None:
    """Do all of it and write it down."""
    parser = argparse.ArgumentParser(prog="scripts/bench coverage", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--quick", action="store_true", help="20 runs; nothing is written")
    given = parser.parse_args()
    runs = 20 if given.quick else given.runs
    machine = dict(described())
    found = _found(runs)
    text = _page(found, machine, runs)
    sys.stdout.write(text + "\n")
    if not given.quick:
        plain = {
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "runs": runs,
            "fixed": [
                {"stream": name, "requests": count, "held": shares}
                for name, count, shares in found.fixed
            ],
            "sequential": [{"stream": name, **asdict(one)} for name, one in found.sequential],
            "locked": [asdict(each) for each in found.locked],
        }
        keep(RESULTS, plain, text + "\n", "coverage")


if __name__ == "__main__":
    main()
