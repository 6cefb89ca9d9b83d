"""The report's tables: what each column and cell says. Pure.

Does not own what columns and cells are (``columns``), nor markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analyzer import together
from analyzer.assembly import shown
from analyzer.metrics import BY_TAG, COST
from analyzer.ranking.rank import Standing
from analyzer.record.doubt import mark
from analyzer.record.row import Row
from analyzer.report import answers, course, wording
from analyzer.report.columns import EMPTY as _EMPTY
from analyzer.report.columns import PHASES as _PHASES
from analyzer.report.columns import Cell, Column, Table
from analyzer.report.columns import Strip as _Strip
from analyzer.report.columns import loads as _loads
from analyzer.report.columns import metrics as _metrics
from analyzer.report.columns import percent as _percent
from analyzer.report.columns import table as _table
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, advantage, of
from analyzer.search.stations import narrowest, stations
from analyzer.space import split
from analyzer.variant import run_by

_USE = ("cpu_utilization", "cpu_used_ram", "gpu_used_memory", "gpu_utilization")
_POWER = "gpu_power_usage"
_LATENCIES = ("perf_latency_avg", "perf_latency_p50", "perf_latency_p90", "perf_latency_p95", P99)
CHOSEN, KNEE, UNSURE = "chosen", "knee", "uncertain"


def configurations(evidence: Evidence) -> Table:
    """Return every configuration that was measured, each at its best load, the best first."""
    standings = evidence.standings
    rows = [each.best for each in standings]
    strips = [
        _names(evidence, rows, evidence.chosen),
        *_metrics(rows, _wanted(evidence)),
        _gains(evidence),
        _loads(rows),
        *_settings(rows),
        (Column("Answers"), [_answers(row) for row in rows]),
        *_busiest(rows),
        *_metrics(rows, [tag for tag in _USE if tag not in _wanted(evidence)]),
    ]
    if evidence.goal.constraints:
        strips.append(
            (
                Column("Satisfies"),
                [
                    Cell(
                        "Yes" if each.satisfies else "No",
                        float(each.satisfies),
                        (UNSURE,) * bool(evidence.goal.unsure(each.best)),
                    )
                    for each in standings
                ],
            )
        )
    return _table(strips, [role(evidence, row) for row in rows])


def models(evidence: Evidence) -> Table:
    """Return what each of several models did that were loaded at the same time, best and default.

    False where there is but one.
    """
    shown_of = [each for each in (evidence.leader, evidence.default) if each is not None]
    pairs = [(each.best, own) for each in shown_of for own in together.rows(each.best)]
    rows = [own for _, own in pairs]
    tags = [split(tag)[1] for tag in _wanted(evidence)]
    strips: list[_Strip] = [
        (Column("Model"), [Cell(own.model, own.model) for own in rows]),
        (Column("Of"), [Cell(name := wording.short(whole.variant, evidence.model), name)
                        for whole, _ in pairs]),
        *_metrics(rows, list(dict.fromkeys([*tags, *_LATENCIES]))),
        _loads(rows),
        *_settings(rows),
    ]  # fmt: skip
    return _table(strips, [role(evidence, whole) for whole, _ in pairs])


def front(evidence: Evidence) -> Table:
    """Return the Pareto set, with confidence, in all that a configuration gives and costs."""
    found = evidence.frontier
    rows = [
        replace(
            each.row,
            metrics={tag: value.middle for tag, value in zip(found.tags, each.values, strict=True)},
        )
        for each in found.options
    ]
    names, cells = _names(evidence, rows)
    knees = [(KNEE,) * (each is found.knee) for each in found.options]
    strips = [
        (
            names,
            [
                replace(cell, marks=(*mark, *cell.marks))
                for cell, mark in zip(cells, knees, strict=True)
            ],
        ),
        _loads(rows),
        *_metrics(rows, found.tags),
        *_settings(rows),
    ]
    return _table(strips, [role(evidence, row) for row in rows])


def verification(evidence: Evidence) -> Table:
    """Return the interleaved repetitions of best and default, with each pair's advantage."""
    pairs = evidence.pairs()
    tags = [tag for tag, _ in evidence.goal.objectives]
    strips: list[_Strip] = [(Column("Pair"), [Cell(str(n), n) for n in range(1, len(pairs) + 1)])]
    for tag in dict.fromkeys([*tags, THROUGHPUT, P99]):
        for side, name in enumerate((_leading(evidence), "default")):
            ((column, cells),) = _metrics([pair[side] for pair in pairs], [tag])
            strips.append((Column(f"{column.title}, {name}", column.unit, numeric=True), cells))
    values = [advantage(evidence.goal, best, default) for best, default in pairs]
    strips.append((Column("Advantage", numeric=True), [_percent(value) for value in values]))
    return _table(strips, ["other"] * len(pairs))


def failures(evidence: Evidence) -> Table:
    """Return what could not be measured, and why."""
    rows = evidence.failed
    reasons = [row.failure for row in rows if row.failure is not None]
    strips = [
        _names(evidence, rows),
        (Column("Settings", long=True), [Cell(wording.setup(row.settings)) for row in rows]),
        _loads(rows),
        (Column("Stage"), [Cell(reason.stage, reason.stage) for reason in reasons]),
        (Column("Reason", long=True), [Cell(reason.message) for reason in reasons]),
    ]
    return _table(strips, [role(evidence, row) for row in rows])


def untried(evidence: Evidence) -> Table:
    """Return the settings that the search passed over, and why."""
    skipped = evidence.untried
    strips: list[_Strip] = [
        (Column("Setting", long=True), [Cell(wording.setting(each.candidate)) for each in skipped]),
        (Column("Reason", long=True), [Cell(each.reason) for each in skipped]),
    ]
    return _table(strips, ["other"] * len(skipped))


def measurements(evidence: Evidence) -> Table:
    """Return every measured row in the order in which it was taken."""
    rows = evidence.measured
    phases = [_PHASES[row.trial.phase] for row in rows]
    strips = [
        (Column("No.", numeric=True), [Cell(str(row.number), row.number) for row in rows]),
        _names(evidence, rows),
        (Column("For"), [Cell(phase, phase) for phase in phases]),
        _loads(rows),
        *_metrics(rows, [THROUGHPUT, *_LATENCIES, "server_batch_size", *_USE, _POWER]),
        (
            Column("Requests", numeric=True),
            [Cell(f"{row.requests:,}", row.requests) for row in rows],
        ),
    ]
    return _table(strips, [role(evidence, row) for row in rows])


def path(evidence: Evidence) -> Table:
    """Return how the search went: why each measurement was taken, what was foreseen, what came.

    False where no row says why, as older journals do not.
    """
    rows = evidence.rows
    reasons = ["" if row.trial.why is None else row.trial.why.text for row in rows]
    if not any(reasons):
        return _table([], [])
    best = _best_so_far(evidence)
    strips: list[_Strip] = [
        (Column("No.", numeric=True), [Cell(str(row.number), row.number) for row in rows]),
        (Column("For"), [Cell(phase := _PHASES[row.trial.phase], phase) for row in rows]),
        _names(evidence, rows),
        _loads(rows),
        (Column("Why", long=True), [Cell(reason or wording.NONE, reason) for reason in reasons]),
    ]
    for tag in (THROUGHPUT, P99):
        strips += _metrics(rows, [tag])
        foreseen = [None if row.trial.why is None else row.trial.why.predicted.get(tag)
                    for row in rows]  # fmt: skip
        places = wording.decimals(value for value in foreseen if value is not None)
        strips.append((
            Column("Foreseen", BY_TAG[tag].unit, numeric=True),
            [Cell(wording.number(value, places), value) for value in foreseen],
        ))  # fmt: skip
    strips.append((Column("Best so far"), best))
    return _table(strips, [role(evidence, row) for row in rows])


def _best_so_far(evidence: Evidence) -> list[Cell]:
    """Name, for each row, what led the search behind it."""
    names = ["" if row is None else wording.short(row.variant, evidence.model)
             for row in course.leaders(evidence)]  # fmt: skip
    return [Cell(name or wording.NONE, name) for name in names]


def role(evidence: Evidence, row: Row) -> str:
    """Say whether a row is of the leading configuration, of the default one, or of another."""
    if of(evidence.default, row):
        return "default"
    if of(evidence.leader, row):
        return "best"
    return "other"


def _leading(evidence: Evidence) -> str:
    return "" if evidence.leader is None else wording.short(evidence.leader.variant, evidence.model)


def _wanted(evidence: Evidence) -> list[str]:
    """Throughput and p99, then whatever else the goal names."""
    tags = [tag for tag, _ in evidence.goal.objectives]
    tags += [each.tag for each in evidence.goal.constraints]
    if evidence.goal.cost_per_hour is not None:
        tags.append(COST)
    return list(dict.fromkeys([THROUGHPUT, P99, *tags]))


def _names(evidence: Evidence, rows: Iterable[Row], chosen: Standing | None = None) -> _Strip:
    cells = []
    for row in rows:
        marks = []
        if of(chosen, row):
            marks.append(CHOSEN)
        if row.failure is None and not row.stable:
            marks.append(mark(row))
        name = wording.short(row.variant, evidence.model)
        cells.append(Cell(name, name, tuple(marks)))
    return Column("Configuration"), cells


def _settings(rows: Sequence[Row]) -> list[_Strip]:
    """Return the columns of the settings, those of each of several models."""
    models = dict.fromkeys(model for row in rows for model in shown(row.settings))
    if not models:
        return _own_settings([row.settings for row in rows], "")
    return [
        strip
        for model in models
        for strip in _own_settings([shown(row.settings).get(model, {}) for row in rows], model)
    ]


def _own_settings(every: Sequence[Mapping[str, Any]], model: str) -> list[_Strip]:
    def titled(title: str) -> str:
        return f"{model}: {title.lower()}" if model else title

    strips = [
        (Column(titled("Run by")), [_text(run_by(each)) for each in every]),
        (Column(titled("Instances")), [_text(each.get("instance_group")) for each in every]),
        (Column(titled("Max batch"), numeric=True), _whole(every, "max_batch_size")),
        (Column(titled("Dynamic batching")), [_batching(each) for each in every]),
        (Column(titled("Threads"), numeric=True), _whole(every, "intra_op_thread_count")),
    ]
    if not any(each.get("dynamic_batching") for each in every):
        del strips[3]
    # One for all says nothing of a row.
    return strips if len({cell.text for cell in strips[0][1]}) > 1 else strips[1:]


def _answers(row: Row) -> Cell:
    text = answers.short(row.accuracy)
    return Cell(text, row.accuracy.worst) if row.accuracy is not None else _EMPTY


def _batching(settings: Mapping[str, Any]) -> Cell:
    if not settings:
        return _EMPTY
    delay = settings.get("max_queue_delay_microseconds")
    on = bool(settings.get("dynamic_batching"))
    return Cell(wording.batching(settings), float(delay or 0) if on else -1.0)


def _busiest(rows: Sequence[Row]) -> list[_Strip]:
    """Return the model of a pipeline that held up the others, and how busy it was."""
    found = [narrowest(stations(row)) for row in rows]
    cells = [
        _EMPTY
        if each is None
        else Cell(f"{each.model or row.model} {each.utilisation:.0%}", each.utilisation)
        for each, row in zip(found, rows, strict=True)
    ]
    return [(Column("Busiest model"), cells)]


def _gains(evidence: Evidence) -> _Strip:
    """Each configuration's best measurement against the default's."""
    default = evidence.default
    return Column("vs default", numeric=True), [
        _EMPTY
        if default is None
        else Cell("baseline", 0.0)
        if standing is default
        else _percent(advantage(evidence.goal, standing.best, default.best))
        for standing in evidence.standings
    ]


def _whole(every: Sequence[Mapping[str, Any]], name: str) -> list[Cell]:
    values = [each.get(name) for each in every]
    return [_EMPTY if value is None else Cell(f"{value:,}", value) for value in values]


def _text(value: object) -> Cell:
    return Cell(str(value), str(value)) if value else _EMPTY
