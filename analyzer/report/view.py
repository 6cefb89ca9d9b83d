"""What the report's page shows: rows, head and goal in, one frozen page out. Pure.

Owns the choice and order of what is shown. Does not own the words (``wording``, ``verdict``,
``method``), the tables' columns (``tables``), drawing (``charts``) or markup (``render``).
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.report import course, method, series, served, tables, wording
from analyzer.report.briefing import Answer, brief
from analyzer.report.columns import Table
from analyzer.report.commands import Commands
from analyzer.report.course import Foresight, Step
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.series import Bar, Curve, Point, Region
from analyzer.report.served import Served
from analyzer.report.tiles import Tile, tiles
from analyzer.report.timelines import Timeline, timelines
from analyzer.report.verdict import Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """The numbers to draw; each may be empty. ``objective`` is the tag that the course is in."""

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    unbeaten: tuple[Point, ...]
    knee: Point | None
    curves: tuple[Curve, ...]
    bars: tuple[Bar, ...]
    latency_bounds: tuple[tuple[float, str], ...]
    throughput_bounds: tuple[tuple[float, str], ...]
    region: Region | None
    timelines: tuple[Timeline, ...]
    course: tuple[Step, ...]
    objective: str
    foresights: tuple[Foresight, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on the page, in words and numbers; ``served`` is the chosen configuration.

    ``inside`` has, for each line of ``configurations``, what it opens to; ``state`` is what was
    found of the machine before the run, as (how good that is, what).
    """

    model: str
    goal: str
    taken: str
    verdict: Verdict
    answers: tuple[Answer, ...]
    tiles: tuple[Tile, ...]
    commands: Commands
    configurations: Table
    inside: tuple[Served | None, ...]
    models: Table
    front: Table
    front_note: str
    verification: Table
    path: Table
    failures: Table
    untried: Table
    measurements: Table
    charts: Charts
    served: Served | None
    machine: tuple[tuple[str, str], ...]
    state: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    method: tuple[str, ...]
    run: str


def make(evidence: Evidence, commands: Commands) -> Page:
    """Decide what the page shows."""
    goal, verdict = evidence.goal, judge(evidence)
    return Page(
        model=evidence.model,
        goal=", ".join([wording.aim(goal), *wording.limits(goal)]),
        taken=method.taken(evidence),
        verdict=verdict,
        answers=brief(evidence, verdict),
        tiles=tiles(evidence, evidence.chosen),
        commands=commands,
        configurations=tables.configurations(evidence),
        inside=served.every(evidence),
        models=tables.models(evidence),
        front=tables.front(evidence),
        front_note=_front_note(evidence),
        verification=tables.verification(evidence),
        path=tables.path(evidence),
        failures=tables.failures(evidence),
        untried=tables.untried(evidence),
        measurements=tables.measurements(evidence),
        charts=_charts(evidence),
        served=served.of_standing(evidence, evidence.chosen),
        machine=method.machine(evidence),
        state=method.state(evidence),
        versions=method.versions(evidence),
        options=method.options(evidence),
        method=method.method(evidence),
        run=evidence.head.run,
    )


def _charts(evidence: Evidence) -> Charts:
    """Gather the numbers of every chart."""
    knee = evidence.frontier.knee
    return Charts(
        points=series.points(evidence),
        front=tuple(series.point(evidence, row) for row in evidence.front),
        unbeaten=tuple(series.option(evidence, each) for each in evidence.frontier.options),
        knee=series.option(evidence, knee) if knee else None,
        curves=series.curves(evidence),
        bars=series.bars(evidence),
        latency_bounds=series.bounds(evidence, P99),
        throughput_bounds=series.bounds(evidence, THROUGHPUT),
        region=series.region(evidence),
        timelines=timelines(evidence),
        course=course.course(evidence),
        objective=course.objective(evidence),
        foresights=course.foresight(evidence),
    )


def _front_note(evidence: Evidence) -> str:
    """Say what the Pareto set is in, and where its knee lies."""
    found = evidence.frontier
    names = wording.listed([wording.title(tag) for tag in found.tags])
    note = (
        f"Nothing measured beats these in {names}: clearly better in one, by intervals that do not "
        "meet, and clearly worse in none."
    )
    if found.knee is None:
        return f"{note} No point of it stands out as the knee."
    at = wording.load(found.knee.row)
    return (
        f"{note} The knee, where more throughput begins to cost more latency, is "
        f"{wording.short(found.knee.row.variant, evidence.model)} at {at}."
    )
