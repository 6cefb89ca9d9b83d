"""What the report's page shows: rows, head and goal in, one frozen page out. Pure.

Owns the choice and order of what is shown. Does not own the words (``wording``, ``verdict``),
the tables' columns (``tables``), drawing (``charts``) or markup (``render``).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from analyzer.metrics import BY_TAG
from analyzer.ranking.rank import Standing
from analyzer.record.row import LoadSpec
from analyzer.report import series, tables, wording
from analyzer.report.commands import Commands
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.series import Bar, Curve, Point
from analyzer.report.tables import Table
from analyzer.report.verdict import COSTS, Verdict, better, change, judge

_CONTEXT = 2
#: so many configuration files are shown; the chosen and the default one are always among them
_MOST_FILES = 12
#: facts of the machine that have a place of their own
_ELSEWHERE = frozenset({"versions", "warnings", "environment", "server_only"})
#: options whose names say too little beside their values
_OPTIONS = {"model": "model digest", "max_windows": "windows at most"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key figure of the best configuration, beside the default's.

    ``good`` says whether the change is for the better; None: neither.
    """

    label: str
    value: str
    unit: str
    reference: str = ""
    change: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One configuration's config.pbtxt, and how it differs from the default's.

    ``diff`` holds (sign, text) lines, the sign being ``+``, ``-`` or a space; () for the
    default itself, or where there is no default to compare with.
    """

    label: str
    role: str
    setup: str
    config: str
    diff: tuple[tuple[str, str], ...]


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
    goal, machine, found = evidence.goal, evidence.head.machine, evidence.frontier
    return Page(
        model=evidence.model,
        goal=", ".join([wording.aim(goal), *wording.limits(goal)]),
        taken=_taken(evidence),
        verdict=judge(evidence),
        tiles=_tiles(evidence),
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
        served=_served(evidence),
        chosen=wording.short(evidence.chosen.variant, evidence.model) if evidence.chosen else "",
        machine=wording.facts(
            {name: value for name, value in machine.items() if name not in _ELSEWHERE}
        ),
        versions=_versions(evidence),
        options=wording.facts(
            {_OPTIONS.get(name, name): value for name, value in evidence.head.options.items()}
        ),
        method=_method(evidence),
        run=evidence.head.run,
    )


def _versions(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Return the run's versions, and what the chosen model's runtime says of itself."""
    runtime = {} if evidence.chosen is None else evidence.chosen.best.runtime
    return tuple({**evidence.head.versions, **runtime}.items())


def _taken(evidence: Evidence) -> str:
    """Say when, and how long the measuring took."""
    day, _, clock = evidence.head.started_at.partition("T")
    spent = wording.duration(sum(row.seconds for row in evidence.rows))
    return f"{day} {clock[:5]} UTC, {spent} of measuring".replace("  ", " ")


def _tiles(evidence: Evidence) -> tuple[Tile, ...]:
    """Return the goal's figures and the costs: of the best, each beside the default's."""
    if evidence.chosen is None:
        return ()
    ours = evidence.typical(evidence.chosen)
    compared = evidence.default is not None and not evidence.chosen.is_default
    theirs = evidence.typical(evidence.default) if evidence.default and compared else {}
    tags = [THROUGHPUT, *(tag for tag, _ in evidence.goal.objectives), *COSTS]
    tiles = []
    for tag in dict.fromkeys(tags):
        if tag not in ours:
            continue
        reference = theirs.get(tag)
        tiles.append(
            Tile(
                label=wording.heading(tag),
                value=wording.number(ours[tag]),
                unit=BY_TAG[tag].unit,
                reference="" if reference is None else wording.number(reference),
                change="" if reference is None else change(tag, ours[tag], reference),
                good=None if reference is None else better(tag, ours[tag], reference),
            )
        )
    return tuple(tiles)


def _served(evidence: Evidence) -> tuple[Served, ...]:
    default = _text(evidence.default) if evidence.default else ""
    return tuple(
        Served(
            label=wording.short(each.variant, evidence.model),
            role=tables.role(evidence, each.best),
            setup=wording.setup(each.best.settings),
            config=_text(each),
            diff=_diff(default, each),
        )
        for place, each in enumerate(evidence.standings)
        if each.best.configs
        and (place < _MOST_FILES or each in (evidence.chosen, evidence.default))
    )


def _text(standing: Standing) -> str:
    """Return what was served, the files of several models one below the other."""
    texts = standing.best.configs
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"# {name}/config.pbtxt\n{text}" for name, text in texts.items())


def _diff(default: str, standing: Standing) -> tuple[tuple[str, str], ...]:
    """Return the changed lines with a little around them; gaps are a line of ``…``."""
    if not default or standing.is_default:
        return ()
    lines: list[tuple[str, str]] = []
    old, new = default.splitlines(), _text(standing).splitlines()
    for number, group in enumerate(
        difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_grouped_opcodes(_CONTEXT)
    ):
        if number or group[0][1]:
            lines.append((" ", "…"))
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                lines += [(" ", line) for line in old[i1:i2]]
            else:
                lines += [("-", line) for line in old[i1:i2]]
                lines += [("+", line) for line in new[j1:j2]]
    return tuple(lines)


def _length(load: LoadSpec) -> str:
    """Say how long a measurement took, and why."""
    if load.rule == "windows":
        return (
            f"Windows of {load.window_seconds:g} s until the last three agree within "
            f"{load.tolerance:.0%}, at most {load.max_windows}. A measurement that never settles "
            "is kept and marked unstable."
        )
    wanted = f"{load.latency_precision:.0%} of the mean latency"
    if not load.is_open:
        wanted = f"{load.throughput_precision:.0%} of the throughput and {wanted}"
    return (
        f"Measured until half the 95 % interval is at most {wanted}, for {load.min_seconds:g} to "
        f"{load.max_seconds:g} s once the server was warm. One that is not as precise in this time "
        "is kept, and marked with how far its interval reaches."
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


def _loaded(load: LoadSpec) -> str:
    """Say how the server was loaded."""
    over = f"over {load.protocol.upper()} with {load.data} data"
    counts = "Latency counts from the planned arrival to the last byte."
    if not load.is_open:
        how = "as many requests in flight as the concurrency says"
        return f"Load: closed loop {over}, {how}. {counts}"
    gaps = {
        "constant": "at even distances",
        "poisson": "at random moments (Poisson)",
        "gamma": f"in bursts (gamma, coefficient of variation {load.distribution_cv:g})",
    }
    return (
        f"Load: open loop {over}; requests come {gaps.get(load.distribution, load.distribution)} "
        f"at the request rate, whoever has been answered. {counts}"
    )


def _method(evidence: Evidence) -> tuple[str, ...]:
    """Say how the numbers came about, and what they do not say."""
    first = evidence.rows[0].load
    said = [
        _loaded(first),
        _length(first),
        (
            "Latencies are percentiles over the requests that count (nearest rank). Queue and "
            "compute times are the server's own statistics; network and front end is what is left "
            "of the client's average."
        ),
        (
            "Each configuration stands by its best measurement of the search and of the load "
            "curves. The best of many noisy measurements looks a little better than it is, so "
            "the gain is taken from the verification alone, where there is one."
        ),
        (
            "The bars of the load curves are the 95 % interval of the throughput; of measurements "
            "by older versions, the slowest and the fastest window."
        ),
    ]
    if evidence.pairs():
        said.append(
            "Verification measures the leader and the default in turn, each time on a newly "
            "started server, so that drift of the machine meets both alike."
        )
    said.append(
        "The numbers hold for this machine, these versions and this load; client and server "
        "shared the machine unless the server was remote."
    )
    return tuple(said)
