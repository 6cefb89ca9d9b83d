"""The tables of a comparison: runs side by side, what differs, what both measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analyzer.metrics import BY_TAG, COST
from analyzer.report import columns, wording
from analyzer.report.changes import Change, Shared, reached, shared
from analyzer.report.columns import EMPTY, Cell, Column, Strip, Table
from analyzer.report.differences import Difference
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, of

Side = tuple[str, Evidence]
#: what a line is of, what each run has there, and the metric's tag ("": none)
_Line = tuple[str, list[str], str]

_ALWAYS = (THROUGHPUT, P99, "perf_latency_avg", "perf_latency_p50")
_COSTS = (
    "cpu_utilization",
    "cpu_used_ram",
    "gpu_utilization",
    "gpu_used_memory",
    "gpu_power_usage",
    "energy_per_inference",
)
_PAIR = 2


def tags_of(every: Sequence[Evidence]) -> tuple[str, ...]:
    """Name the metrics to compare by: what the goal names first, then the usual ones."""
    goal = every[0].goal
    tags = [tag for tag, _ in goal.objectives] + [each.tag for each in goal.constraints]
    tags += [*_ALWAYS, *((COST,) if goal.cost_per_hour is not None else ()), *_COSTS]
    chosen = [each.chosen for each in every if each.chosen is not None]
    return tuple(
        tag for tag in dict.fromkeys(tags) if any(tag in one.best.metrics for one in chosen)
    )


def sides_table(sides: Sequence[Side], changes: Sequence[Sequence[Change]]) -> Table:
    """Return the runs as columns, what each chose and reached as lines.

    Of two runs the change and its interval have columns; of more they stand beside the values, and
    of two models there is none.
    """
    facts: list[tuple[str, Callable[[Evidence], str]]] = [
        ("Model", lambda one: one.model),
        ("Chosen", _chosen),
        ("Instances and batching", _setup),
        ("Load", _load),
    ]
    lines: list[_Line] = [(title, [read(one) for _, one in sides], "") for title, read in facts]
    lines += [
        (
            f"{BY_TAG[tag].title} ({BY_TAG[tag].unit})",
            [wording.number(reached(one, tag)) for _, one in sides],
            tag,
        )
        for tag in tags_of([one for _, one in sides])
    ]
    more: list[tuple[str, Callable[[Evidence], str]]] = [
        ("Gain over its own default", _gain),
        ("Measurements", lambda one: f"{len(one.measured):,}"),
        ("Machine", lambda one: wording.hardware(one.head.machine) or wording.NONE),
        ("Taken", lambda one: one.head.started_at[:16].replace("T", " ")),
    ]
    lines += [(title, [read(one) for _, one in sides], "") for title, read in more]
    return _transposed([name for name, _ in sides], lines, changes)


def _transposed(
    names: Sequence[str],
    lines: Sequence[_Line],
    changes: Sequence[Sequence[Change]],
) -> Table:
    by_tag = [{each.tag: each for each in found} for found in changes]
    strips: list[Strip] = [(Column("What"), [Cell(title, title) for title, _, _ in lines])]
    for place, name in enumerate(names):
        cells = []
        for _, values, tag in lines:
            text = values[place]
            one = by_tag[place - 1].get(tag) if place and len(names) > _PAIR else None
            cells.append(Cell(f"{text} ({_signed(one)})" if one else text, text))
        strips.append((Column(name, long=True), cells))
    if len(names) == _PAIR and changes[0]:
        found = [(tag, by_tag[0].get(tag)) for _, _, tag in lines]
        # Nothing is missing where there is nothing to measure.
        nothing = Cell("")
        strips += [
            (
                Column("Change", numeric=True),
                [_change(each) if tag else nothing for tag, each in found],
            ),
            (
                Column("95% interval", numeric=True),
                [_interval(each) if tag else nothing for tag, each in found],
            ),
        ]
    return columns.table(strips, ["other"] * len(lines))


def facts_table(names: Sequence[str], found: Sequence[Difference]) -> Table:
    """Return what about the runs differs, besides their numbers."""
    strips: list[Strip] = [
        (Column("What"), [Cell(each.fact, each.fact) for each in found]),
        (Column("Kind"), [Cell(each.kind, each.kind) for each in found]),
        *(
            (
                Column(name, long=True),
                [Cell(each.values[place], each.values[place]) for each in found],
            )
            for place, name in enumerate(names)
        ),
    ]
    return columns.table(strips, ["other"] * len(found))


def shared_table(sides: Sequence[Side]) -> Table:
    """Return what the first run and each other both measured, and how it changed."""
    (first_name, first), *others = sides
    pairs = [(name, one) for name, other in others for one in shared(first, other)]
    rows = [one.before[0] for _, one in pairs]
    strips: list[Strip] = [
        (Column("Configuration"), [_named(first, each) for _, each in pairs]),
        columns.loads(rows),
    ]
    if len(others) > 1:
        strips.insert(1, (Column("Against"), [Cell(name, name) for name, _ in pairs]))
    for tag in (THROUGHPUT, P99):
        found = [one.change(tag) for _, one in pairs]
        title, unit = wording.heading(tag).removesuffix(" latency"), BY_TAG[tag].unit
        other = others[0][0] if len(others) == 1 else "the other"
        strips += [
            (Column(f"{title}, {first_name}", unit, numeric=True),
             _numbers([None if each is None else each.before for each in found])),
            (Column(f"{title}, {other}", unit, numeric=True),
             _numbers([None if each is None else each.after for each in found])),
            (Column(f"{title}, change", numeric=True), [_change(each) for each in found]),
            (Column("95% interval", numeric=True), [_interval(each) for each in found]),
        ]  # fmt: skip
    counts = [(len(one.before), len(one.after)) for _, one in pairs]
    strips.append((
        Column("Times", numeric=True),
        [Cell(f"{ours} and {theirs}", min(ours, theirs)) for ours, theirs in counts],
    ))  # fmt: skip
    return columns.table(strips, ["default" if of(first.default, row) else "other" for row in rows])


def _named(first: Evidence, one: Shared) -> Cell:
    name = wording.short(one.before[0].variant, first.model)
    return Cell(name, name)


def _numbers(values: Sequence[float | None]) -> list[Cell]:
    places = wording.decimals(value for value in values if value is not None)
    return [Cell(wording.number(value, places), value) for value in values]


def _change(found: Change | None) -> Cell:
    if found is None:
        return EMPTY
    marks = {True: ("better",), False: ("worse",), None: ()}[found.good]
    return Cell(_signed(found), found.percent, marks)


def _signed(found: Change) -> str:
    return wording.percent(found.percent, signed=True)


def _interval(found: Change | None) -> Cell:
    if found is None or found.low is None or found.high is None:
        return EMPTY
    return Cell(wording.interval(found.low, found.high), found.high - found.low)


def _chosen(one: Evidence) -> str:
    return wording.NONE if one.chosen is None else one.chosen.variant


def _setup(one: Evidence) -> str:
    return wording.NONE if one.chosen is None else wording.setup(one.chosen.best.settings)


def _load(one: Evidence) -> str:
    return wording.NONE if one.chosen is None else wording.load(one.chosen.best)


def _gain(one: Evidence) -> str:
    gain = one.gain
    if gain is None or one.chosen is None or one.chosen.is_default:
        return wording.NONE
    said = wording.percent(gain.percent, signed=True)
    if gain.low is None or gain.high is None:
        return said
    return f"{said} ({wording.interval(gain.low, gain.high)})"
