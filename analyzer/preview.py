"""What ``analyze profile --dry-run`` shows: what would be measured, and for how long.

Owns the plan's figures (pure functions of space, plan and strategy) and the words for them. Nothing
is measured for it; what a search asks after its first questions depends on the answers, and is
foreseen for the case that nothing is better than anything else, which is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer import variant
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.report import wording
from analyzer.space import QUEUE_DELAY, Axis, Candidate, Dimension, Space, split
from analyzer.stages import Plan, Skipped
from analyzer.strategy import Strategy
from analyzer.terminal import changes, clock, say_skipped
from analyzer.variant import NO_BATCHING

#: how many of a search's own questions are foreseen, and of a dimension's values shown
FORESEEN, VALUES = 5, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A profile before it begins.

    ``distinct`` counts the configurations that differ; ``first`` are the first measurements,
    ``taken`` how many there are already. ``shortest`` and ``longest`` bound one measurement, in
    seconds, and ``start_seconds`` is what the server took to come up (None: not seen).
    """

    model: str
    mode: str
    goal: Goal
    space: Space
    plan: Plan
    distinct: int
    first: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    shortest: float
    longest: float
    start_seconds: float | None
    taken: int = 0

    @property
    def seconds(self) -> float:
        """The most that the whole may take, but for the measurement that is running then."""
        plan = self.plan
        parts = (plan.search_seconds, plan.curve_seconds, plan.verify_seconds)
        return sum(each or 0.0 for each in parts)


def impossible(
    space: Space, cores: int | None, means: Mapping[str, variant.Means] | None = None
) -> tuple[Skipped, ...]:
    """List the settings of a space that are not worth a measurement, and why."""
    reasons = (
        (setting, variant.reason_not_possible(setting, cores, means))
        for own in _by_model(space)
        for setting in own
    )
    return tuple(Skipped(setting, reason) for setting, reason in reasons if reason is not None)


def distinct(space: Space) -> int:
    """Count the configurations of a space that differ."""
    return prod(len({variant.canonical(setting) for setting in own}) for own in _by_model(space))


def foreseen(plan: Plan, strategy: Strategy, count: int = FORESEEN) -> tuple[Candidate, ...]:
    """List the default's measurements and the search's first, as long as nothing is better."""
    asked: list[Candidate] = list(plan.default)
    while len(asked) < len(plan.default) + count and (candidate := strategy.ask()) is not None:
        same = variant.canonical(candidate)
        possible = variant.reason_not_possible(same, plan.cores, plan.means) is None
        if possible and same not in asked:
            asked.append(same)
        strategy.tell(Outcome(candidate, 1.0 if possible else None, feasible=possible))
    return tuple(asked)


def _settings(space: Space) -> Space:
    return Space(tuple(each for each in space.dimensions if each.axis is Axis.SETTING))


def _by_model(space: Space) -> tuple[Space, ...]:
    """Return the settings of each model: what is possible of one does not depend on the others.

    All of several models' are too many to go through.
    """
    found: dict[str, list[Dimension]] = {}
    for each in _settings(space).dimensions:
        found.setdefault(split(each.name)[0], []).append(each)
    return tuple(Space(tuple(own)) for own in found.values()) or (Space(()),)


def say(console: Console, preview: Preview) -> None:
    """Print a preview."""
    console.print(
        Text.assemble(("Plan for ", "bold"), (preview.model, "bold cyan"), ": nothing is measured"),
        highlight=False,
    )
    for title, text in (
        ("Goal", preview.goal.describe()),
        ("Search", f"{preview.mode}, after the default configuration"),
        ("Space", _size(preview)),
    ):
        console.print(Text.assemble((f"  {title:<8}", "bold"), text), soft_wrap=True)
    console.print(_dimensions(preview.space.dimensions))
    _say_first(console, preview)
    say_skipped(console, preview.skipped)
    _say_time(console, preview)


def _size(preview: Preview) -> str:
    loads = [each for each in preview.space.dimensions if each.axis is Axis.LOAD]
    points = prod(len(each.values) for each in loads)
    settings = len(_settings(preview.space))
    text = f"{preview.distinct:,} configuration{'s' * (preview.distinct != 1)}"
    if preview.distinct != settings:
        text += f" in {settings:,} ways to write them"
    return (
        f"{text}, each at up to {points} load{'s' * (points != 1)}: {len(preview.space):,} points"
    )


def _dimensions(dimensions: Sequence[Dimension]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("", width=8)
    table.add_column("", no_wrap=True)
    table.add_column("", ratio=1)
    for each in dimensions:
        kind = "load" if each.axis is Axis.LOAD else ""
        table.add_row("", Text.assemble(each.name, (f" {kind}", "dim")), Text(_values(each)))
    return table


def _values(dimension: Dimension) -> str:
    words = [_value(dimension.name, each) for each in dimension.values]
    if len(words) > VALUES:
        words = [*words[: VALUES - 1], f"... {words[-1]} ({len(words)} values)"]
    return ", ".join(words)


def _value(name: str, value: object) -> str:
    return "no batching" if name == QUEUE_DELAY and value == NO_BATCHING else str(value)


def _say_first(console: Console, preview: Preview) -> None:
    if preview.taken:
        console.print(
            f"Measured already: {preview.taken}, which are in the journal; next comes:",
            highlight=False,
        )
    else:
        console.print("First measurements, as long as nothing is better than the default:")
    for number, candidate in enumerate(preview.first, preview.taken + 1):
        settings = changes(candidate) or "the default configuration"
        load = wording.asked(candidate)
        console.print(f"  {number:>2}. {settings}, {load}", highlight=False, markup=False)
    if not preview.first:
        console.print("  nothing: all is measured")


def _say_time(console: Console, preview: Preview) -> None:
    plan = preview.plan
    parts = (
        ("search", plan.search_seconds),
        ("load curves", plan.curve_seconds if plan.curve else 0.0),
        ("verification", plan.verify_seconds if plan.verify_pairs else 0.0),
        ("goodput", 2 * plan.goodput_seconds),
    )
    bounded = [(name, seconds) for name, seconds in parts if seconds]
    said = ", ".join(f"{name} {clock(seconds)}" for name, seconds in bounded)
    text = f"at most about {clock(sum(seconds for _, seconds in bounded))}: {said}"
    if not bounded:
        text = f"no bound: {preview.mode} ends by its own rules (--max-time SECONDS bounds it)"
    console.print(Text.assemble(("Time  ", "bold"), text))
    start = preview.start_seconds or 0.0
    least, most = preview.shortest, preview.longest + start
    budget = plan.search_seconds or 0.0
    began = f", and {start:.1f} s for each new configuration to start" if start else ""
    each = f"{least:g} s" if least == preview.longest else f"{least:g} to {preview.longest:g} s"
    fewest, room = (max(1, int(budget / seconds)) for seconds in (most, least))
    has_room = f";\n      the search has room for {fewest} to {room} of them" if budget else ""
    console.print(f"      a measurement takes {each}{began}{has_room}", highlight=False)
    whole = len(preview.space) * least + preview.distinct * start
    if whole > budget:
        console.print(f"      the whole space would take at least {_long(whole)}", highlight=False)


def _long(seconds: float) -> str:
    hours = seconds / 3600
    return clock(seconds) if hours < 1 else f"{hours:,.1f} hours"
