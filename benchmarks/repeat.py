"""``python -m benchmarks.repeat``: does a measurement, repeated, say the same?

Two loads of one model are measured by turns, ten times each, by the rule that ``analyze profile``
has by default. Intervals of two measurements of the same thing overlap nearly always (99.4 %, where
they are 95 % intervals), and what ten measurements scatter is what their intervals say, if they are
right. Then the first load is measured as perf_analyzer does by default: windows of 5 s, which
it lets last 6 s, until three of them agree within 10 %, so 18 s at least.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from statistics import NormalDist, fmean, stdev

from analyzer.config.schema import ProfileOptions
from analyzer.load.driver import drive
from analyzer.record.row import LoadSpec
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.summary import Summary
from benchmarks.__main__ import RESULTS, described
from benchmarks.overload import MODEL, Setting, write_model
from benchmarks.results import keep, table
from benchmarks.server import Server, running
from engine import examples

REPETITIONS = 10
WINDOWS = LoadSpec(window_seconds=6.0, max_windows=10, tolerance=0.1)
#: two instances that each take 10 ms for up to four requests
WAITING = Setting(latency_us=10_000, queue=1000, timeout_us=10_000_000)
#: two 95 % intervals of one value, as wide as each other, are apart if its estimates differ by
#: twice their reach, where differences scatter by the square root of two
DUE = 2 * NormalDist().cdf(2 * NormalDist().inv_cdf(0.975) / 2**0.5) - 1
QUANTITIES: Mapping[str, Callable[[Summary], Estimate]] = {
    "throughput": lambda found: found.throughput,
    "mean latency": lambda found: found.latency_avg,
    "p50": lambda found: found.percentiles[50],
    "p99": lambda found: found.percentiles[99],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One measurement: of which load, how long it took in all and counted, and what it says."""

    load: str
    seconds: float
    counted: float
    stable: bool
    estimates: Mapping[str, Estimate]
    flags: tuple[str, ...]


def take(server: Server, model: str, name: str, load: LoadSpec) -> Taken:
    """Measure once."""
    began = time.monotonic()
    driven = drive(server.endpoint, model, load, stop=lambda: False, on_window=lambda _: None)
    seconds = time.monotonic() - began
    assert driven.summary is not None
    return Taken(
        load=name,
        seconds=seconds,
        counted=driven.seconds,
        stable=driven.stable,
        estimates={name: of(driven.summary) for name, of in QUANTITIES.items()},
        flags=(*driven.flags, *([driven.invalid] if driven.invalid else [])),
    )


def loads(concurrencies: Sequence[int]) -> dict[str, LoadSpec]:
    """Return the loads that are compared, by the rule of ``analyze profile``."""
    usual = ProfileOptions(model="")
    return {
        f"concurrency {each}": LoadSpec(
            concurrency=each,
            rule=usual.rule,
            # As the profile has it: by the mean latency, and not by a percentile.
            percentile=0,
            throughput_precision=usual.precision[0],
            latency_precision=usual.precision[1],
            min_seconds=usual.min_seconds,
            max_seconds=usual.max_seconds,
        )
        for each in concurrencies
    }


def overlapping(estimates: Sequence[Estimate]) -> float:
    """Return the share of pairs whose intervals overlap."""
    return fmean(one.overlaps(other) for one, other in combinations(estimates, 2))


def rows(taken: Sequence[Taken]) -> list[tuple[str, ...]]:
    """Lay out, for each load and quantity, how alike the measurements are."""
    found: list[tuple[str, ...]] = []
    for load in dict.fromkeys(each.load for each in taken):
        mine = [each for each in taken if each.load == load]
        for name in QUANTITIES:
            estimates = [each.estimates[name] for each in mine]
            values = [each.value for each in estimates]
            bounded = [each for each in estimates if each.certified]
            found.append(
                (
                    load,
                    name,
                    f"{fmean(values) if name == 'throughput' else fmean(values) / 1e6:.4g}",
                    f"{stdev(values) / fmean(values):.1%}",
                    f"{fmean(each.relative for each in bounded):.1%}" if bounded else "none",
                    f"{overlapping(estimates):.0%}",
                    ", ".join(
                        f"{fmean(getattr(each, length) for each in mine):.1f}"
                        for length in ("counted", "seconds")
                    ),
                    f"{sum(each.stable for each in mine)} of {len(mine)}",
                )
            )
    return found


HEAD = (
    "load",
    "of",
    "mean (1/s, ms)",
    "scatter (standard deviation)",
    "half-width of the interval",
    f"pairs that overlap ({DUE:.1%} should)",
    "seconds counted, and in all",
    "precise, or stable, in time",
)


def main() -> None:
    """Do all of it and write it down."""
    given = _arguments()
    machine = dict(described())
    mine, theirs = _measured(given)
    text = _page(given, machine, mine, theirs)
    sys.stdout.write(text + "\n")
    if not given.quick:
        plain = {
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "model": given.model,
            "default": [asdict(each) for each in mine],
            "windows": [asdict(each) for each in theirs],
        }
        kind = "repeat" if given.model == MODEL else f"repeat-{given.model}"
        keep(given.output, plain, text + "\n", kind)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench repeat", description=__doc__)
    parser.add_argument(
        "--model", default=MODEL, help="an example's name; else one that waits and computes nothing"
    )
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--concurrencies", type=int, nargs=2, default=(4, 16))
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="2 repetitions; nothing is written")
    given = parser.parse_args()
    if given.quick:
        given.repetitions = 2
    return given


def _measured(given: argparse.Namespace) -> tuple[list[Taken], list[Taken]]:
    """Measure by the default rule, and by perf_analyzer's."""
    compared = loads(given.concurrencies)
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        if given.model == MODEL:
            write_model(Path(scratch), WAITING)
        else:
            examples.build(given.model, Path(scratch))
        with running(Path(scratch)) as server:
            mine = [
                take(server, given.model, name, load)
                for _ in range(given.repetitions)
                for name, load in compared.items()
            ]
            first = given.concurrencies[0]
            windows = LoadSpec(
                concurrency=first,
                window_seconds=WINDOWS.window_seconds,
                max_windows=WINDOWS.max_windows,
                tolerance=WINDOWS.tolerance,
            )
            theirs = [
                take(server, given.model, f"concurrency {first}", windows)
                for _ in range(1 if given.quick else max(2, given.repetitions // 3))
            ]
    return mine, theirs


def _page(
    given: argparse.Namespace,
    machine: Mapping[str, str],
    mine: Sequence[Taken],
    theirs: Sequence[Taken],
) -> str:
    counted = fmean(each.counted for each in mine)
    least = WINDOWS.window_seconds * 3
    return "\n\n".join(
        (
            f"# Measuring again, {datetime.now(UTC):%Y-%m-%d}",
            table(("", ""), machine.items()),
            f"## {given.model}, {given.repetitions} times each, by turns, by the default rule",
            table(HEAD, rows(mine)),
            "## As perf_analyzer measures by default",
            table(HEAD, rows(theirs) if len(theirs) > 1 else []),
            (
                f"Time counted: {counted:.1f} s, against {least:g} s at the least: "
                f"{counted / least:.0%}; in all, {fmean(each.seconds for each in mine):.1f} s "
                f"against {fmean(each.seconds for each in theirs):.1f} s."
            ),
        )
    )


if __name__ == "__main__":
    main()
