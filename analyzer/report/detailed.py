"""What the page of one configuration shows: its loads, and each of its measurements. Pure.

Owns the choice and order of what is shown, and the words at its top. Rules:

1. A row belongs to a configuration whose digest it has, whatever the configuration is called.
2. "Better" is said of a proven gain only (``verdict``); a place in the ranking is no such claim.
3. Everything that could make a reader doubt a measurement stands beside it: how far its intervals
   reach, what disturbed it, what could not be measured and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.ranking.rank import Standing
from analyzer.record.doubt import doubt
from analyzer.record.row import Row
from analyzer.report import answers, columns, detailed_tables, method, series, served, wording
from analyzer.report.again import again
from analyzer.report.columns import Table
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.levels import Numbers, Side, levels
from analyzer.report.method import Facts
from analyzer.report.served import Served
from analyzer.report.tiles import Tile, tiles
from analyzer.report.timelines import MOST, Timeline, of_row

#: so many measurements are named that have something about them
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measurement in full. ``command`` takes it again ("": no command line does).

    ``absent`` are metrics that could not be measured, and why; ``doubt`` is "" where there is none.
    """

    number: int
    title: str
    taken: str
    doubt: str
    remarks: tuple[str, ...]
    why: str
    absent: Facts
    estimates: Table
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detailed:
    """Everything on the page of the configuration ``variant``, in words and numbers.

    ``serve`` is the command that serves it ("": its repository is not there); ``badge`` says in a
    word or two where it stands, and ``tone`` how that is coloured (``verdict.Finding``'s values).
    """

    model: str
    variant: str
    goal: str
    taken: str
    badge: str
    tone: str
    headline: str
    sentence: str
    bullets: tuple[str, ...]
    tiles: tuple[Tile, ...]
    loads: Table
    models: Table
    failures: Table
    numbers: Numbers
    measurements: tuple[Measurement, ...]
    served: Served | None
    serve: str
    reproduce: str
    runtime: Facts
    machine: Facts
    versions: Facts
    options: Facts
    method: tuple[str, ...]
    run: str


def make(evidence: Evidence, variant: str, *, serve: str, reproduce: str) -> Detailed:
    """Decide what the page of a configuration shows.

    ``serve`` and ``reproduce`` are command lines: the one serves this configuration, the other
    measures the whole run again.

    Raises:
        KeyError: no row is of that configuration.
    """
    rows = rows_of(evidence, variant)
    measured = tuple(row for row in rows if row.failure is None)
    standing = _standing(evidence, rows[0])
    badge, tone, headline = _place(evidence, standing, variant)
    best = _best(standing, measured)
    return Detailed(
        model=evidence.model,
        variant=variant,
        goal=", ".join([wording.aim(evidence.goal), *wording.limits(evidence.goal)]),
        taken=method.taken(evidence),
        badge=badge,
        tone=tone,
        headline=headline,
        sentence=_sentence(variant, rows, measured, best),
        bullets=tuple(_bullets(evidence, standing, rows)),
        tiles=tiles(evidence, standing),
        loads=detailed_tables.loads(measured, best),
        models=detailed_tables.models(measured),
        failures=detailed_tables.failures(rows),
        numbers=_numbers(evidence, standing, variant, measured),
        measurements=tuple(_measurement(evidence, row) for row in measured),
        served=served.one(evidence, rows[0], variant) if rows[0].configs else None,
        serve=serve,
        reproduce=reproduce,
        runtime=wording.facts(best.runtime) if best is not None else (),
        machine=method.machine(evidence),
        versions=tuple(evidence.head.versions.items()),
        options=method.options(evidence),
        method=method.method(evidence),
        run=evidence.head.run,
    )


def rows_of(evidence: Evidence, variant: str) -> tuple[Row, ...]:
    """Return the rows of a configuration, its name's first, failed ones too (rule 1).

    Raises:
        KeyError: there are none.
    """
    named = next((row for row in evidence.rows if row.variant == variant), None)
    if named is None:
        raise KeyError(variant)
    others = (row for row in evidence.rows if row is not named and _same(row, named))
    return named, *others


def _same(one: Row, other: Row) -> bool:
    return (one.digest or one.variant) == (other.digest or other.variant)


def _standing(evidence: Evidence, row: Row) -> Standing | None:
    return next((each for each in evidence.standings if _same(each.best, row)), None)


def _best(standing: Standing | None, measured: Sequence[Row]) -> Row | None:
    """Return the measurement that the configuration stands by; of one without rank the first."""
    if standing is not None:
        return standing.best
    return measured[0] if measured else None


def _place(evidence: Evidence, standing: Standing | None, variant: str) -> tuple[str, str, str]:
    """Return where it stands in a word or two, its tone, and the headline."""
    name = wording.short(variant, evidence.model)
    said = "The default configuration" if name == "default" else name
    if standing is None:
        return "Not ranked", "nothing", f"{said} could not be ranked"
    place, many = evidence.standings.index(standing) + 1, len(evidence.standings)
    is_chosen = evidence.chosen is not None and _same(evidence.chosen.best, standing.best)
    if not standing.satisfies:
        return "Breaks a constraint", "infeasible", f"{said} does not keep the constraints"
    gain = evidence.gain
    contends = evidence.contender is not None and _same(evidence.contender.best, standing.best)
    if is_chosen and contends and gain is not None and gain.proven:
        amount = wording.percent(gain.percent)
        return "Chosen", "better", f"{said} is {amount} better than the default"
    if is_chosen:
        return "Chosen", "default", f"{said} is the one to serve"
    ranked = f"{said} is number {place} of {many}"
    return f"Number {place} of {many}", "alone", ranked


def _sentence(variant: str, rows: Sequence[Row], measured: Sequence[Row], best: Row | None) -> str:
    """Say how often it was measured, and what it reached."""
    setup = wording.setup(rows[0].settings)
    if best is None:
        times = wording.count(len(rows), "attempt")
        return f"{variant} ({setup}) has no measurement: {times} failed, for the reasons below."
    times = "once" if len(measured) == 1 else f"{len(measured):,} times"
    loads = wording.count(len(levels(measured)), "load")
    return (
        f"{variant} ({setup}) was measured {times} under {loads}, and stands by its measurement at "
        f"{wording.load(best)}."
    )


def _bullets(evidence: Evidence, standing: Standing | None, rows: Sequence[Row]) -> Iterator[str]:
    """Say whether it keeps the limits, how near its answers are, and what to doubt."""
    goal = evidence.goal
    if standing is not None and goal.constraints:
        judged = evidence.judged(standing)
        said = [
            f"{wording.title(each.tag)} {wording.measured(each.tag, judged.get(each.tag))}"
            for each in goal.constraints
        ]
        kept = "Keeps" if standing.satisfies else "Breaks"
        yield (
            f"{kept} the constraints ({wording.listed(wording.limits(goal))}) at its best load, "
            f"with {wording.listed(said)}."
        )
        for each in goal.unsure(standing.best):
            yield f"Not certain: {wording.uncertain(each, standing.best)}."
    if standing is not None and (near := answers.sentence(standing.best)):
        yield near
    if standing is not None and (compared := _compared(evidence, standing)):
        yield compared
    for found in evidence.goodput:
        if _same(found.row, rows[0]):
            name = wording.short(found.row.variant, evidence.model)
            yield f"Verified goodput: {wording.goodput(found, name)}."
    yield from _doubts(rows)


def _compared(evidence: Evidence, standing: Standing) -> str:
    """Say the gain over the default, where it is this configuration's; "" where it is not."""
    gain, contender = evidence.gain, evidence.contender
    if contender is None or gain is None or gain.low is None or gain.high is None:
        return ""
    if not _same(contender.best, standing.best):
        return ""
    return (
        f"Against the default: {wording.percent(gain.percent, signed=True)}, 95% CI "
        f"{wording.interval(gain.low, gain.high)} ({gain.method})."
    )


def _doubts(rows: Sequence[Row]) -> Iterator[str]:
    failed = [row for row in rows if row.failure is not None]
    measured = [row for row in rows if row.failure is None]
    if failed and measured:
        yield f"{wording.count(len(failed), 'measurement')} failed; the reasons are below."
    for one, several, found in (
        ("is", "are", [row for row in measured if doubt(row)]),
        ("has", "have", [row for row in measured if row.remarks]),
    ):
        if not found:
            continue
        named = [f"no. {row.number}" for row in found[:_MOST_NAMED]]
        more = [f"{len(found) - _MOST_NAMED} more"] * (len(found) > _MOST_NAMED)
        what = "less precise than asked for" if one == "is" else "remarks"
        yield (
            f"{len(found)} of {wording.count(len(measured), 'measurement')} "
            f"{one if len(found) == 1 else several} {what}: {wording.listed([*named, *more])}."
        )


def _numbers(
    evidence: Evidence, standing: Standing | None, variant: str, measured: Sequence[Row]
) -> Numbers:
    default = evidence.default
    is_default = wording.short(variant, evidence.model) == "default"
    beside = None
    if default is not None and not is_default and measured and not _same(default.best, measured[0]):
        rows = [row for row in evidence.measured if _same(row, default.best)]
        beside = Side(label="default", role="default", levels=levels(_plain(rows)))
    return Numbers(
        own=Side(
            label=wording.short(variant, evidence.model),
            role="default" if is_default else "best",
            levels=levels(_plain(measured)),
        ),
        default=beside,
        best=_best(standing, measured),
        timelines=_timelines(evidence, _best(standing, measured), measured),
        latency_bounds=series.bounds(evidence, P99),
        throughput_bounds=series.bounds(evidence, THROUGHPUT),
    )


def _timelines(
    evidence: Evidence, best: Row | None, measured: Sequence[Row]
) -> tuple[Timeline, ...]:
    """Return the measurements that were watched: the best, the others, and the default's best."""
    first = None if best is None else best.number
    ordered = sorted(measured, key=lambda row: (row.number != first, row.number))
    found = [
        of_row(
            row,
            label=f"no. {row.number}, {wording.load(row)}",
            title=f"no. {row.number}, {wording.load(row)}",
            is_default=False,
        )
        for row in ordered[:MOST]
    ]
    default = evidence.default
    if default is not None and measured and not _same(default.best, measured[0]):
        said = f"default, {wording.load(default.best)}"
        found.append(of_row(default.best, label=said, title=said, is_default=True))
    return tuple(found)


def _plain(rows: Sequence[Row]) -> list[Row]:
    """Leave out searches for the highest rate, each at a rate of its own, and checks of GPUs."""
    return [row for row in rows if row.describes]


def _measurement(evidence: Evidence, row: Row) -> Measurement:
    why = row.trial.why
    return Measurement(
        number=row.number,
        title=f"{wording.load(row)}, {columns.PHASES[row.trial.phase]}",
        taken=f"{row.taken_at[:19].replace('T', ' ')} UTC, {wording.duration(row.seconds)}, "
        f"{wording.count(row.requests, 'request')}",
        doubt=doubt(row),
        remarks=row.remarks,
        why="" if why is None else why.text,
        absent=tuple(row.absent.items()),
        estimates=detailed_tables.estimates(row),
        command=again(row, evidence.head),
    )
