"""``scripts/search_benchmark``: every strategy over recorded surfaces, by the same luck for each.

A case is a surface, a constraint and a seed. Each strategy searches it by the campaign's own code
(``analyzer.surface.replay``), and what it would recommend is judged by what is known of the whole
surface (``analyzer.surface.judge``). Beside the strategies stands ``everything``: each point
measured once, and the best of that taken. No search can be expected to do better under this noise.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean, quantiles

from analyzer.errors import AnalyzerError
from analyzer.ranking.goal import Constraint, Goal
from analyzer.record.row import Phase, Trial
from analyzer.space import Axis, Dimension, Space
from analyzer.strategy import Problem, find, known
from analyzer.surface import stored
from analyzer.surface.judge import Judge
from analyzer.surface.replay import ReplayBench, Replayed, Search, default_of, replay
from analyzer.surface.stored import Surface
from benchmarks import calm, simulated
from benchmarks.__main__ import described
from benchmarks.results import keep, table

SURFACES = Path(__file__).parent / "surfaces"
CACHE = Path(__file__).parent.parent / "results" / "simulated"
EVERYTHING = "everything"
#: the kinds of surfaces: simulated servers, recordings, and those with another noise
SIMULATED, RECORDED, CALM = "simulated", "recorded", "calm"
#: what is added to the name of a strategy whose finalists race
RACED = " + race"
#: these end by rules of their own; a budget would make them something else
UNBOUNDED = ("brute", "quick", EVERYTHING)
CONSTRAINTS = ("none", "p99 25 %", "p99 50 %", "p99 75 %", "memory")
LATENCY, MEMORY = "perf_latency_p99", "cpu_used_ram"
#: a limit that is missed by no more is told apart: so far the mean of three p99 is unsure itself
TOLERANCE = 0.05
WANTED = 0.98


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of surface, and of one with another noise how many times a calm machine's."""

    name: str
    times: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One strategy on one surface under one constraint, with every seed."""

    surface: Path
    kind: Kind
    strategy: str
    constraint: str
    seeds: int
    max_trials: int | None
    whole: bool
    raced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One search and how it ended. Shares of the best; ``seconds`` are simulated, but thinking."""

    surface: str
    strategy: str
    constraint: str
    seed: int
    found: float
    within: float
    held_out: float
    violation: float
    measurements: int
    launches: int
    seconds: float
    verification: int
    thinking: float
    chosen: str
    ended: str

    def reached(self, share: float, tolerance: float = 0.0) -> bool:
        """Whether it has this share of the best, and keeps the constraint but for ``tolerance``."""
        return self.found >= share and self.violation <= tolerance

    @property
    def counted(self) -> float:
        """What was found, none of it by breaking a constraint."""
        return min(self.found, 1.0) if self.violation <= TOLERANCE else 0.0


def goal_of(surface: Surface, constraint: str) -> Goal | None:
    """Make the goal: a bound at a quantile of the surface's own values; None if it has none."""
    if constraint == "none":
        return Goal()
    tag = MEMORY if constraint == "memory" else LATENCY
    known = surface.estimated((tag,)).values()
    values = sorted(metrics[tag] for metrics in known if tag in metrics)
    if len(values) < 2:  # noqa: PLR2004 - quantiles need two
        return None
    percent = 50 if constraint == "memory" else int(constraint.split()[1])
    return Goal(constraints=(Constraint(tag, maximum=quantiles(values, n=100)[percent - 1]),))


@cache
def _surface(path: Path, *, kind: Kind) -> Surface:
    if kind.name == SIMULATED:
        return simulated.simulated(path.name, CACHE)
    return calm.calm(path, kind.times) if kind.name == CALM else stored.read(path)


@cache
def _judge(path: Path, constraint: str, *, kind: Kind) -> tuple[Goal, Judge] | None:
    surface = _surface(path, kind=kind)
    goal = goal_of(surface, constraint)
    if goal is None:
        return None
    judge = Judge(surface, goal, default_of(surface))
    return None if judge.best is None else (goal, judge)


def run(task: Task) -> list[Case]:
    """Run a task's cases; none where the surface has nothing that keeps the constraint."""
    surface = _surface(task.surface, kind=task.kind)
    judging = _judge(task.surface, task.constraint, kind=task.kind)
    if judging is None:
        return []
    goal, judge = judging
    limit = None if task.strategy in UNBOUNDED else task.max_trials
    search = Search(
        strategy=task.strategy, goal=goal, max_trials=limit, whole=task.whole, raced=task.raced
    )
    cases = []
    for seed in range(task.seeds):
        if task.strategy == EVERYTHING:
            done = everything(surface, seed)
        else:
            done = replay(surface, search, seed)
        verdict = judge.judge(done.rows, done.repetitions, cautious=not task.raced)
        searched = done.rows if task.raced else done.of(Phase.SEARCH)
        cases.append(Case(
            surface=surface.name, strategy=task.strategy + RACED * bool(task.raced),
            constraint=task.constraint, seed=seed,
            found=verdict.found, within=judge.within(searched), held_out=verdict.held_out,
            violation=verdict.violation,
            measurements=len(searched),
            launches=sum(row.launch_seconds > 0 for row in searched),
            seconds=sum(row.seconds for row in searched),
            verification=len(done.rows) - len(searched),
            thinking=done.thinking, chosen=str(verdict.chosen), ended=done.why_stopped,
        ))  # fmt: skip
    return cases


def everything(surface: Surface, seed: int) -> Replayed:
    """Measure each point once, setting by setting."""
    bench = ReplayBench(surface, seed)
    pairs = [
        bench.measure(Trial(candidate=point))
        for setting in surface.grid.settings
        for point in surface.grid.points(setting)
        if surface.point(point) is not None
    ]
    return Replayed(
        rows=tuple(row for row, _ in pairs), repetitions=tuple(number for _, number in pairs),
        why_stopped="everything was measured", thinking=0.0,
    )  # fmt: skip


def _make(path: Path) -> None:
    simulated.simulated(path.name, CACHE)


def usable(names: Iterable[str]) -> Iterator[str]:
    """Yield the strategies that can be used here; say why others cannot."""
    tiny = Problem(space=Space((Dimension("concurrency", (1, 2), Axis.LOAD),)))
    for name in names:
        try:
            find(name)(tiny)
        except (AnalyzerError, ImportError) as error:
            sys.stderr.write(f"{name} is left out: {error}\n")
        else:
            yield name


def markdown(cases: Sequence[Case], about: Mapping[str, str], surfaces: Sequence[Surface]) -> str:
    """Lay the figures out: all cases, then by surface, then by constraint."""
    strategies = list(dict.fromkeys(case.strategy for case in cases))
    parts = [
        "# Searches replayed over surfaces",
        table(("", ""), about.items()),
        (
            "A case is a surface, a constraint and a seed; all strategies see the same luck. "
            "*Found* is the true score of what a search would recommend (estimated from all "
            "repetitions and the whole grid, `analyzer.surface.truth`), divided by that of the "
            "best point that keeps the constraint; 0 where the constraint is broken by over "
            f"{TOLERANCE:.0%}, which 98 % also allows for; *98 % strict* allows for nothing. "
            "*Held out* is without the repetition that the search has seen, and without the luck "
            "of the greatest mean: it may be above 1. *Among the measured*: the search has "
            "measured a point as good, whatever it recommends. Measurements and minutes are those "
            "of the search with the default configuration's; a profile's load curves and "
            "verification come on top. Of a strategy with `+ race` the last measurements of the "
            "same budget are a race: finalists and default by turns, each launched anew, and "
            "whoever came out ahead is what it would recommend. "
            f"`{EVERYTHING}` measures each point once and takes the best of that: what the noise "
            "leaves to be found."
        ),
        table(HEAD, (_line(name, [one for one in cases if one.strategy == name])
                     for name in strategies)),
        "## By surface: 98 % found",
        _shares(cases, strategies, [(each.name, _named(each)) for each in surfaces], "surface"),
        "## By constraint: 98 % found",
        _shares(cases, strategies, [(each, each) for each in CONSTRAINTS], "constraint"),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


HEAD = (
    "strategy", "cases", "found, mean", "worst", "95 %", "98 %", "98 % strict",
    "held out, mean", "98 %",
    "98 % among the measured", "broken (over 5 %)", "measurements, mean (most)", "reloads",
    "minutes",
    "thinking, CPU s a step",
)  # fmt: skip


def _line(name: str, cases: Sequence[Case]) -> tuple[str, ...]:
    counted = [case.counted for case in cases]
    measured = [case.measurements for case in cases]

    def share(kept: Iterable[bool]) -> str:
        return f"{fmean(kept):.0%}"

    return (
        name,
        str(len(cases)),
        f"{fmean(counted):.3f}",
        f"{min(counted):.3f}",
        share(case.reached(0.95, TOLERANCE) for case in cases),
        share(case.reached(WANTED, TOLERANCE) for case in cases),
        share(case.reached(WANTED) for case in cases),
        f"{fmean(case.held_out for case in cases):.3f}",
        share(case.held_out >= WANTED and case.violation <= TOLERANCE for case in cases),
        share(case.within >= WANTED for case in cases),
        (
            f"{share(case.violation > 0 for case in cases)} "
            f"({share(case.violation > TOLERANCE for case in cases)})"
        ),
        f"{fmean(measured):.1f} ({max(measured)})",
        f"{fmean(case.launches for case in cases):.1f}",
        f"{fmean(case.seconds for case in cases) / 60:.1f}",
        f"{sum(case.thinking for case in cases) / max(1, sum(measured)):.3f}",
    )


def _shares(
    cases: Sequence[Case], strategies: Sequence[str], groups: Sequence[tuple[str, str]], field: str
) -> str:
    rows = []
    for key, title in groups:
        mine = [case for case in cases if getattr(case, field) == key]
        if mine:
            hits = {
                name: [one.reached(WANTED, TOLERANCE) for one in mine if one.strategy == name]
                for name in strategies
            }
            rows.append((title, *(f"{fmean(each):.0%}" if each else "" for each in hits.values())))
    return table((field, *strategies), rows)


def _named(surface: Surface) -> str:
    return (
        f"{surface.name} ({len(surface.rows)} points x {len(surface.repetitions)}, "
        f"{surface.describe_spread})"
    )


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/search_benchmark", description="Compare search strategies on surfaces."
    )
    parser.add_argument("--simulated", action="store_true", help="eight simulated servers")
    parser.add_argument(
        "--calm", type=float, nargs="?", const=1.0, metavar="TIMES",
        help="recorded surfaces with the noise of a calm machine instead of their own, or with so "
        "many times that",
    )  # fmt: skip
    parser.add_argument("--set", choices=("tuning", "test"), help="those in benchmarks/surfaces")
    parser.add_argument("--surfaces", nargs="+", help="files, or names of --simulated or --set")
    parser.add_argument("--strategies", nargs="+", choices=(*known(), EVERYTHING))
    parser.add_argument("--constraints", nargs="+", default=CONSTRAINTS, choices=CONSTRAINTS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--max-trials", type=int, default=30, help="budget of measurements")
    parser.add_argument(
        "--raced", type=int, default=0,
        help="so many of the budget for a race of the finalists, in lines of their own",
    )  # fmt: skip
    parser.add_argument("--whole", action="store_true", help="with load curves and verification")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="folder for JSON and Markdown (none: print)")
    return parser.parse_args()


def _kind(given: argparse.Namespace) -> Kind:
    if given.simulated:
        return Kind(SIMULATED)
    return Kind(RECORDED) if given.calm is None else Kind(CALM, given.calm)


def _noise(kind: Kind) -> str:
    if kind.name == CALM:
        much = 100.0 * kind.times * math.hypot(simulated.LAUNCH_LUCK, simulated.LUCK)
        tail = 100.0 * kind.times * simulated.TAIL_LUCK
        by = "a calm machine's" if kind.times == 1.0 else f"{kind.times:g} times a calm machine's"
        return (
            f"{by}: {much:.2g} % of throughput and latencies, {tail:.2g} % of p99 on top, around "
            "what the recording agrees on (`benchmarks.calm`)"
        )
    return "by the simulation" if kind.name == SIMULATED else "as it was recorded"


def _paths(given: argparse.Namespace) -> list[Path]:
    if given.simulated:
        return [Path(name) for name in given.surfaces or simulated.NAMES]
    if given.set:
        every = sorted((SURFACES / given.set).glob("*.jsonl.gz"))
        wanted = set(given.surfaces or ())
        return [each for each in every if not wanted or each.name.partition(".")[0] in wanted]
    return [Path(name) for name in given.surfaces or ()]


def main() -> None:
    """Run every case, print the tables, and write them down if told to."""
    given = _asked()
    paths = _paths(given)
    if not paths:
        sys.exit("no surface: pass --simulated, --set tuning or test, or --surfaces FILE ...")
    strategies = given.strategies or [*usable(known()), EVERYTHING]
    tasks = [
        Task(
            surface=path, kind=_kind(given), strategy=strategy, constraint=constraint,
            seeds=given.seeds, max_trials=given.max_trials, whole=given.whole,
        )
        for path, constraint, strategy in product(paths, given.constraints, strategies)
    ]  # fmt: skip
    if given.raced:
        tasks += [replace(each, raced=given.raced) for each in tasks
                  if each.strategy not in UNBOUNDED]  # fmt: skip
    began, cases = time.monotonic(), list[Case]()
    with multiprocessing.get_context("fork").Pool(given.processes) as pool:
        if given.simulated:
            # Each is made once, by one process, and kept for all.
            pool.map(_make, paths, chunksize=1)
        for number, found in enumerate(pool.imap_unordered(run, tasks), 1):
            cases += found
            sys.stderr.write(f"\r{number} of {len(tasks)} tasks, {time.monotonic() - began:.0f} s ")
    sys.stderr.write("\n")
    order = {name: place for place, name in enumerate(strategies)}
    cases.sort(
        key=lambda one: (
            order[one.strategy.removesuffix(RACED)], one.strategy, one.surface, one.constraint,
            one.seed,
        )
    )  # fmt: skip
    _tell(given, cases, [_surface(path, kind=_kind(given)) for path in paths])


def _tell(given: argparse.Namespace, cases: Sequence[Case], surfaces: Sequence[Surface]) -> None:
    here = dict(described())
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {
        "replayed on": f"{here['cpu']}, {here['cores']} cores, {taken_at[:10]}",
        "surfaces": ", ".join(each.name for each in surfaces),
        "recorded on": ", ".join(sorted({
            f"{each.head.machine.get('cpu')}, {each.head.machine.get('cores')} cores"
            for each in surfaces
        })),
        "noise": _noise(_kind(given)),
        "seeds": str(given.seeds),
        "budget": f"{given.max_trials} measurements; none for {', '.join(UNBOUNDED)}",
    }  # fmt: skip
    page = markdown(cases, about, surfaces)
    sys.stdout.write(page)
    if given.output is not None:
        kind = "search" + (f"-{given.set}" if given.set else "-simulated" * given.simulated)
        if given.calm is not None:
            kind += "-calm" if given.calm == 1.0 else f"-calm-times-{given.calm:g}"
        told = {
            "taken_at": taken_at, "machine": here, "about": about,
            "cases": [asdict(case) for case in cases],
        }  # fmt: skip
        keep(given.output, told, page, kind)


if __name__ == "__main__":
    main()
