"""What the report's page shows: rows, head and goal in, one frozen page out. Pure.

Owns the choice and order of what is shown. Does not own the words (``wording``, ``verdict``,
``method``), the tables' columns (``tables``), drawing (``charts``) or markup (``render``).
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.report import method, series, served, tables, wording
from analyzer.report.columns import Table
from analyzer.report.commands import Commands
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.series import Bar, Curve, Point
from analyzer.report.served import Served
from analyzer.report.tiles import Tile, tiles
from analyzer.report.verdict import Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """The numbers to draw; each may be empty."""

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    unbeaten: tuple[Point, ...]
    knee: Point | None
    curves: tuple[Curve, ...]
    bars: tuple[Bar, ...]
    latency_bounds: tuple[tuple[float, str], ...]
    throughput_bounds: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on the page, in words and numbers. ``chosen`` is a label of ``served``."""

    model: str
    goal: str
    taken: str
    verdict: Verdict
    tiles: tuple[Tile, ...]
    commands: Commands
    configurations: Table
    models: Table
    front: Table
    front_note: str
    verification: Table
    path: Table
    failures: Table
    untried: Table
    measurements: Table
    charts: Charts
    served: tuple[Served, ...]
    chosen: str
    machine: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    method: tuple[str, ...]
    run: str


def make(evidence: Evidence, commands: Commands) -> Page:
    """Decide what the page shows."""
    goal, found = evidence.goal, evidence.frontier
    return Page(
        model=evidence.model,
        goal=", ".join([wording.aim(goal), *wording.limits(goal)]),
        taken=method.taken(evidence),
        verdict=judge(evidence),
        tiles=tiles(evidence, evidence.chosen),
        commands=commands,
        configurations=tables.configurations(evidence),
        models=tables.models(evidence),
        front=tables.front(evidence),
        front_note=_front_note(evidence),
        verification=tables.verification(evidence),
        path=tables.path(evidence),
        failures=tables.failures(evidence),
        untried=tables.untried(evidence),
        measurements=tables.measurements(evidence),
        charts=Charts(
            points=series.points(evidence),
            front=tuple(series.point(evidence, row) for row in evidence.front),
            unbeaten=tuple(series.option(evidence, each) for each in evidence.frontier.options),
            knee=series.option(evidence, found.knee) if found.knee else None,
            curves=series.curves(evidence),
            bars=series.bars(evidence),
            latency_bounds=series.bounds(evidence, P99),
            throughput_bounds=series.bounds(evidence, THROUGHPUT),
        ),
        served=served.every(evidence),
        chosen=wording.short(evidence.chosen.variant, evidence.model) if evidence.chosen else "",
        machine=method.machine(evidence),
        versions=method.versions(evidence),
        options=method.options(evidence),
        method=method.method(evidence),
        run=evidence.head.run,
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
