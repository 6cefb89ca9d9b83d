"""What ``analyze profile --dry-run`` shows: what would be measured, and for how long.

Owns the plan's figures (pure functions of space, plan and strategy) and the words for them. Nothing
is measured for it. What a search asks after its first questions depends on the answers: what it
asks whatever it is told is kept apart from what it asks while nothing is better than the default,
by letting it search worlds of unlike answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer import variant
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Trial, Why
from analyzer.report import wording
from analyzer.space import QUEUE_DELAY, Axis, Candidate, Dimension, Space, split
from analyzer.stages import Plan, Skipped
from analyzer.strategy import Strategy
from analyzer.terminal import changes, clock, say_skipped
from analyzer.variant import NO_BATCHING

#: how many of a search's own questions are foreseen, and of a dimension's values shown
FORESEEN, VALUES = 5, 12


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A measurement to come, and why; ``sure``: whatever the others show."""

    candidate: Candidate
    why: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A profile before it begins.

    ``distinct`` counts the configurations that differ; ``first`` are the next measurements,
    ``taken`` how many there are already. ``shortest`` and ``longest`` bound one measurement, in
    seconds, and ``start_seconds`` is what the server took to come up (None: not seen).
    """

    model: str
    mode: str
    goal: Goal
    space: Space
    plan: Plan
    distinct: int
    first: tuple[Foreseen, ...]
    skipped: tuple[Skipped, ...]
    shortest: float
    longest: float
    start_seconds: float | None
    taken: int = 0


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


def foreseen(
    plan: Plan, fresh: Callable[[], Strategy], count: int = FORESEEN
) -> tuple[Foreseen, ...]:
    """List the default's measurements and the search's first, as long as nothing is better.

    ``fresh`` makes the strategy anew.
    """
    default = [
        Foreseen(candidate, "what everything is compared with") for candidate in plan.default
    ]
    if plan.max_trials is not None:
        count = min(count, max(0, plan.max_trials - len(default)))
    flat, *others = ([*_asked(plan, fresh(), count, world)] for world in _WORLDS)
    sure = [
        all(len(each) > place and each[place][0] == candidate for each in others)
        for place, (candidate, _) in enumerate(flat)
    ]
    return (
        *default,
        *(
            Foreseen(
                candidate,
                _reason(why, sure=all(sure[: place + 1])),
                sure=all(sure[: place + 1]),
            )
            for place, (candidate, why) in enumerate(flat)
        ),
    )


def next_of(trial: Trial) -> Foreseen:
    """Return what comes next in a profile that has begun."""
    return Foreseen(trial.candidate, "" if trial.why is None else trial.why.text)


#: the score of the measurement of each number: none is better, each is, none is as good
_WORLDS: tuple[Callable[[int], float], ...] = (
    lambda _: 1.0,
    lambda number: 1.0 + number,
    lambda number: 1.0 / (1.0 + number),
)


def _asked(
    plan: Plan, strategy: Strategy, count: int, world: Callable[[int], float]
) -> Iterator[tuple[Candidate, Why | None]]:
    """Yield what a search asks first in a world, of what can be, and why."""
    known = {default: world(number) for number, default in enumerate(plan.default)}
    for default, score in known.items():
        strategy.tell(Outcome(default, score))
    left = count
    while left and (candidate := strategy.ask()) is not None:
        same, why = variant.canonical(candidate), strategy.why()
        possible = variant.reason_not_possible(same, plan.cores, plan.means) is None
        if possible and same not in known:
            known[same] = world(len(known))
            left -= 1
            yield same, why
        strategy.tell(Outcome(candidate, known.get(same), feasible=possible))


def _reason(why: Why | None, *, sure: bool) -> str:
    """Return a reason, without the figures that would be those of a made-up world."""
    text = "" if why is None else why.text
    return text if sure else text.partition(":")[0]


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
        console.print("First measurements:")
    sure = True
    for number, each in enumerate(preview.first, preview.taken + 1):
        if sure and not each.sure:
            console.print("  then, as long as nothing is better than the default:")
        sure = each.sure
        settings = changes(each.candidate) or "the default configuration"
        text = Text(f"  {number:>2}. {settings}, {wording.asked(each.candidate)}")
        if each.why:
            text.append(f"  ({each.why})", style="dim")
        console.print(text, highlight=False)
    if not preview.first:
        console.print("  nothing: all is measured")


def _say_time(console: Console, preview: Preview) -> None:
    plan = preview.plan
    lines = [_bounds(preview)]
    if plan.max_trials is not None:
        lines.append(f"the search takes {plan.max_trials} measurements at most, the default's too")
    start = preview.start_seconds or 0.0
    least, most = preview.shortest, preview.longest
    began = f", and {start:.1f} s for each new configuration to start" if start else ""
    each = f"{least:g} s" if least == most else f"{least:g} to {most:g} s"
    lines.append(f"a measurement takes {each}{began}")
    budget = plan.search_seconds
    if budget is not None:
        fewest, room = (max(1, int(budget / seconds)) for seconds in (most + start, least))
        if plan.max_trials is not None:
            fewest, room = (min(each, plan.max_trials) for each in (fewest, room))
        lines[-1] += ";"
        lines.append(f"the search has room for {fewest} to {room} of them")
    if plan.verify_pairs:
        lines.append(_rounds(plan))
    whole = len(preview.space) * least + preview.distinct * start
    if whole > (budget or 0.0):
        lines.append(f"the whole space would take at least {_long(whole)}")
    for title, text in zip(["Time  ", *["      "] * len(lines)], lines, strict=False):
        console.print(Text.assemble((title, "bold"), text), highlight=False, soft_wrap=True)


def _bounds(preview: Preview) -> str:
    """Say how long everything may take, and its parts."""
    plan = preview.plan
    parts = (
        ("search", plan.search_seconds),
        ("load curves", plan.curve_seconds if plan.curve else 0.0),
        ("verification", plan.verify_seconds if plan.verify_pairs else 0.0),
        ("the highest rates", 2 * plan.goodput_seconds),
    )
    bounded = [(name, seconds) for name, seconds in parts if seconds]
    said = ", ".join(f"{name} {clock(seconds)}" for name, seconds in bounded)
    if plan.whole_seconds is not None:
        whole = clock(plan.whole_seconds + 2 * plan.goodput_seconds)
        rest = ", and the verification what is left" if plan.verify_pairs else ""
        return f"about {whole} for everything, starts and report too: {said}{rest}"
    if plan.search_seconds is not None:
        return f"at most about {clock(sum(seconds for _, seconds in bounded))}: {said}"
    if plan.max_trials is not None:
        return "no bound but the number of measurements (--max-time SECONDS bounds it)"
    return f"no bound: {preview.mode} ends by its own rules (--max-time SECONDS bounds it)"


def _rounds(plan: Plan) -> str:
    """Say what the verification does, and when it ends."""
    text = f"the default and up to {plan.finalists} finalists are verified by turns, "
    if plan.precision is None:
        return f"{text}{plan.verify_pairs} rounds as far as there is time"
    return (
        f"{text}until the gain is known to {100 * plan.precision:g} %, {plan.verify_pairs} rounds "
        "at most, as far as there is time"
    )


def _long(seconds: float) -> str:
    hours = seconds / 3600
    return clock(seconds) if hours < 1 else f"{hours:,.1f} hours"
