"""``analyze replay``: searches over one surface, shown.

Owns the command and its words. Does not own the replay (``replay``) or its judgement (``judge``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

from analyzer.errors import UsageError
from analyzer.metrics import BY_TAG
from analyzer.ranking.goal import Goal
from analyzer.record.row import Phase, Row
from analyzer.surface import stored
from analyzer.surface.judge import Judge, Verdict
from analyzer.surface.replay import Replayed, Search, default_of, replay
from analyzer.surface.stored import Surface
from analyzer.terminal import changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What the command was asked: a search over a surface's files, with ``seeds`` seeds."""

    files: tuple[Path, ...]
    search: Search
    seed: int = 0
    seeds: int = 1
    explain: bool = False


def show(asked: Replay, console: Console) -> int:
    """Replay, print what was found and what it took; return the exit code.

    Raises:
        JournalError: a file is no surface.
        UsageError: there is no such strategy, or nothing on the surface keeps the constraints.
    """
    surface, goal = stored.read(*asked.files), asked.search.goal
    judge = Judge(surface, goal, default_of(surface))
    if judge.best is None:
        raise UsageError(
            f"nothing on {surface.name} keeps the constraints ({goal.describe()}): no search can "
            "find anything there"
        )
    console.print(
        f"{surface.name}: {len(surface.rows)} points, {len(surface.repetitions)} repetitions; "
        f"{surface.describe_spread}. Goal: {goal.describe()}.\n"
        f"Best: {_point(surface, goal, judge)}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    done: list[tuple[int, Replayed, Verdict]] = []
    for seed in range(asked.seed, asked.seed + asked.seeds):
        one = replay(surface, asked.search, seed)
        verdict = judge.judge(one.rows, one.repetitions)
        done.append((seed, one, verdict))
        if asked.explain:
            _explain(console, seed, one, verdict, goal)
    _say(console, asked, done)
    return 0


def _point(surface: Surface, goal: Goal, judge: Judge) -> str:
    assert judge.best is not None
    metrics = judge.truths[judge.best]
    setting, load = surface.grid.split(judge.best)
    words = changes(setting) or "the default configuration"
    return f"{words}, {load}: {_figures(goal, metrics)}"


def _figures(goal: Goal, metrics: Mapping[str, float]) -> str:
    tags = dict.fromkeys(("perf_throughput", "perf_latency_p99", *goal.wanted))
    return ", ".join(
        f"{BY_TAG[tag].title} {metrics[tag]:.4g} {BY_TAG[tag].unit}" for tag in tags
        if tag in metrics
    )  # fmt: skip


def _explain(console: Console, seed: int, done: Replayed, verdict: Verdict, goal: Goal) -> None:
    """Print each step: what was asked and why, what was expected, what came, the best by then."""
    console.print(f"\nSeed {seed}", style="bold", highlight=False)
    best: Row | None = None
    for row in done.rows:
        best = _better(best, row, goal)
        _step(console, row, best, goal)
    console.print(f"  Ended: {done.why_stopped}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"  Chosen: {verdict.chosen}, which has {verdict.found:.1%} of the best"
        f"{_broken(verdict)}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def _step(console: Console, row: Row, best: Row | None, goal: Goal) -> None:
    reload = f", {row.launch_seconds:.1f} s to start" if row.launch_seconds else ""
    phase = "" if row.trial.phase is Phase.SEARCH else f" ({row.trial.phase.value})"
    said = row.failure.message if row.failure else _figures(goal, row.metrics)
    marks = "" if row is not best else "  <- best so far"
    lines = [f"  {row.number:>3}. {row.trial.candidate}{phase}{reload}", f"       {said}{marks}"]
    if (why := row.trial.why) is not None:
        expected = _figures(goal, why.predicted)
        told = not expected or "predicted" in why.text
        lines.insert(1, f"       {why.text}" + ("" if told else f"; predicted: {expected}"))
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _better(best: Row | None, row: Row, goal: Goal) -> Row | None:
    """Return which of the two is better by the goal; by a single objective's own measure."""
    outcome = goal.outcome(row)
    if outcome.score is None:
        return best
    if best is None:
        return row
    other = goal.outcome(best)
    ours, theirs = (outcome.violation, outcome.score), (other.violation, other.score or 0.0)
    return row if (-ours[0], ours[1]) > (-theirs[0], theirs[1]) else best


def _say(console: Console, asked: Replay, done: Sequence[tuple[int, Replayed, Verdict]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("seed", "found", "held out", "measurements", "reloads", "minutes", "thinking s"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for seed, one, verdict in done:
        table.add_row(str(seed), *_cells(one, verdict), _broken(verdict).removeprefix(", "))
    console.print()
    console.print(table)
    found = [verdict.found if not verdict.violation else 0.0 for _, _, verdict in done]
    if len(done) > 1:
        reached = fmean(verdict.reached(0.98) for _, _, verdict in done)
        console.print(
            f"{asked.search.strategy}: {fmean(found):.1%} of the best on average, "
            f"{min(found):.1%} at worst; 98 % in {reached:.0%} of {len(done)} searches.",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def _cells(one: Replayed, verdict: Verdict) -> tuple[str, ...]:
    searched = one.of(Phase.SEARCH)
    more = len(one.rows) - len(searched)
    return (
        f"{verdict.found:.1%}",
        f"{verdict.held_out:.1%}",
        f"{len(searched)}" + (f" + {more}" if more else ""),
        str(sum(row.launch_seconds > 0 for row in one.rows)),
        f"{sum(row.seconds for row in one.rows) / 60:.1f}",
        f"{one.thinking:.2f}",
    )


def _broken(verdict: Verdict) -> str:
    return f", but breaks the constraints by {verdict.violation:.1%}" if verdict.violation else ""
