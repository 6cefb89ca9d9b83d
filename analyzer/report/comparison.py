"""What the comparison of runs shows: several models, several runs of one, several machines. Pure.

Owns what may be claimed, and the choice and order of what is shown. Rules:

1. The first run named is what the others are compared with.
2. "Faster" and its like are said of two runs of one model whose interval lies on one side of 0.
   Of several runs, or of several models, values are told and no winner is named.
3. Runs on unlike hardware are compared as the user asked for, and it is said that the difference is
   the hardware's too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.report import method, served, wording
from analyzer.report.changes import Change, at_best, change, reached
from analyzer.report.columns import Table
from analyzer.report.comparison_tables import facts_table, shared_table, sides_table, tags_of
from analyzer.report.differences import HARDWARE, Difference, differences, same_hardware
from analyzer.report.evidence import Evidence
from analyzer.report.method import Facts

_PAIR = 2
_NO_CHANGE = "0%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One of the runs compared: its name on the page, what it found, and how to repeat it."""

    name: str
    evidence: Evidence
    reproduce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a run chose: its config.pbtxt, and how that differs from the first run's choice."""

    name: str
    variant: str
    setup: str
    config: str
    diff: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything on the page, in words and numbers.

    ``tone`` is one of the values of ``verdict.Finding``. ``changes`` are those of the choices, run
    by run against the first, metric by metric.
    """

    names: tuple[str, ...]
    goal: str
    tone: str
    badge: str
    headline: str
    sentence: str
    bullets: tuple[str, ...]
    sides: Table
    facts: Table
    shared: Table
    choices: tuple[Choice, ...]
    commands: tuple[tuple[str, str], ...]
    machines: tuple[tuple[str, Facts], ...]
    method: tuple[str, ...]
    runs: tuple[Run, ...]
    differences: tuple[Difference, ...]
    changes: tuple[tuple[Change, ...], ...]


def make(runs: Sequence[Run]) -> Comparison:
    """Decide what the comparison shows; there are two runs or more, under one goal."""
    first = runs[0].evidence
    heads = [run.evidence.head for run in runs]
    changes = tuple(_changes(first, run.evidence) for run in runs[1:])
    tone, badge, headline, sentence = _claim(runs, changes)
    found = differences(heads)
    return Comparison(
        names=tuple(run.name for run in runs),
        goal=", ".join([wording.aim(first.goal), *wording.limits(first.goal)]),
        tone=tone,
        badge=badge,
        headline=headline,
        sentence=sentence,
        bullets=tuple(_bullets(runs, found, changes)),
        sides=sides_table([(run.name, run.evidence) for run in runs], changes),
        facts=facts_table([run.name for run in runs], found),
        shared=shared_table([(run.name, run.evidence) for run in runs]) if _one(runs) else _NONE,
        choices=_choices(runs),
        commands=tuple((run.name, run.reproduce) for run in runs if run.reproduce),
        machines=tuple((run.name, method.machine(run.evidence)) for run in runs),
        method=_method(runs),
        runs=tuple(runs),
        differences=found,
        changes=changes,
    )


_NONE = Table((), ())


def _one(runs: Sequence[Run]) -> bool:
    """Whether all are runs of one model."""
    return len({run.evidence.model for run in runs}) == 1


def _changes(first: Evidence, other: Evidence) -> tuple[Change, ...]:
    """Return how the choices differ, metric by metric, each at its best load.

    Of two models nothing: neither is the other, made better or worse.
    """
    if first.model != other.model:
        return ()
    before, after = at_best(first), at_best(other)
    found = (change(tag, before, after) for tag in tags_of([first, other]))
    return tuple(each for each in found if each is not None)


def _claim(runs: Sequence[Run], changes: Sequence[Sequence[Change]]) -> tuple[str, str, str, str]:
    """Return tone, badge, headline and sentence (rule 2)."""
    models = list(dict.fromkeys(run.evidence.model for run in runs))
    if any(run.evidence.chosen is None for run in runs):
        lacking = [run.name for run in runs if run.evidence.chosen is None]
        said = f"{wording.listed(lacking)} measured nothing that can be ranked"
        return "nothing", "No result", f"Nothing to compare: {said}", f"{said}; the rest is below."
    if len(runs) > _PAIR or len(models) > 1:
        what = f"{wording.count(len(models), 'model')}" if len(models) > 1 else models[0]
        headline = f"{len(runs)} runs of {what} side by side"
        return "alone", "Side by side", headline, _values(runs)
    return _of_two(runs, changes[0])


def _of_two(runs: Sequence[Run], changes: Sequence[Change]) -> tuple[str, str, str, str]:
    """Compare two runs of one model by the first objective."""
    before, after = runs
    tag = before.evidence.goal.objectives[0][0]
    found = next((each for each in changes if each.tag == tag), None)
    aim = wording.title(tag)
    if found is None:
        said = f"{aim} was not measured in both"
        return "nothing", "No result", f"Nothing to compare: {said}", _values(runs)
    amount = wording.percent(abs(found.percent))
    way = "higher" if found.percent > 0 else "lower"
    seen = f"{after.name} measured {amount} {way} {aim} than {before.name}"
    if amount == _NO_CHANGE:
        seen = f"{after.name} measured the same {aim} as {before.name}"
    if found.low is None or found.high is None:
        return "unproven", "No interval", seen, f"{_values(runs)} {_sure(found)}"
    bounds = f"95% CI {wording.interval(found.low, found.high)}"
    if not found.proven:
        headline = seen if amount == _NO_CHANGE else f"{seen}, which is not proven"
        sentence = (
            f"The {aim} of {after.name} is {wording.percent(found.percent, signed=True)} against "
            f"{before.name} ({bounds}, which includes 0). {_values(runs)}"
        )
        return "default", "No difference proven", headline, sentence
    word, tone = ("better", "better") if found.good else ("worse", "infeasible")
    headline = f"{after.name} is {amount} {word} than {before.name}"
    sentence = (
        f"The {aim} of {after.name} is {wording.percent(found.percent, signed=True)} against "
        f"{before.name} ({bounds}). {_values(runs)}"
    )
    return tone, word.capitalize(), headline, sentence


def _values(runs: Sequence[Run]) -> str:
    """Say what each run's choice reaches at its best load."""
    tag = runs[0].evidence.goal.objectives[0][0]
    said = []
    for run in runs:
        chosen = run.evidence.chosen
        if chosen is not None:
            value = wording.measured(tag, reached(run.evidence, tag))
            name = wording.short(chosen.variant, run.evidence.model)
            said.append(f"{run.name} {value} ({name} at {wording.load(chosen.best)})")
    return f"{wording.heading(tag)} at the best load: {wording.listed(said)}."


def _sure(found: Change) -> str:
    return f"How sure: {found.method}."


def _bullets(
    runs: Sequence[Run], found: Sequence[Difference], changes: Sequence[Sequence[Change]]
) -> Iterator[str]:
    """Say what to know besides: hardware, choices, how sure, failures."""
    heads = [run.evidence.head for run in runs]
    if not same_hardware(heads):
        facts = [
            f"{each.fact} {wording.listed(list(dict.fromkeys(each.values)))}"
            for each in found
            if each.kind == HARDWARE
        ]
        yield (
            f"Not the same hardware: {'; '.join(facts)}. The differences are the hardware's as "
            "much as anything else's."
        )
    elif len({head.machine.get("hostname") for head in heads}) > 1:
        yield (
            "Hardware of the same description, but not the same machine: two of a kind may differ "
            "by some per cent."
        )
    for kind, others in (("model", "the models' files"), ("measurement", "how was measured")):
        facts = [each.fact for each in found if each.kind == kind]
        if facts and (kind != "model" or _one(runs)):
            yield f"Not alike in {others}: {wording.listed(facts)}."
    if _one(runs):
        yield from _chosen(runs)
    if len(runs) == _PAIR and changes[0]:
        yield _sure(changes[0][0])
    for run in runs:
        if run.evidence.failed:
            failed = wording.count(len(run.evidence.failed), "measurement")
            yield f"{run.name}: {failed} failed."


def _chosen(runs: Sequence[Run]) -> Iterator[str]:
    """Say whether the runs of one model chose alike."""
    chosen = [run.evidence.chosen for run in runs if run.evidence.chosen is not None]
    texts = {served.text(each.best) for each in chosen}
    if len(chosen) < len(runs):
        return
    if len(texts) == 1 and "" not in texts:
        yield f"All chose the same configuration: {wording.setup(chosen[0].best.settings)}."
        return
    said = [f"{run.name}: {wording.setup(each.best.settings)}"
            for run, each in zip(runs, chosen, strict=True)]  # fmt: skip
    yield f"Chosen: {'; '.join(said)}."


def _choices(runs: Sequence[Run]) -> tuple[Choice, ...]:
    found: list[Choice] = []
    for run in runs:
        chosen = run.evidence.chosen
        if chosen is None or not chosen.best.configs:
            continue
        config = served.text(chosen.best)
        found.append(
            Choice(
                name=run.name,
                variant=chosen.variant,
                setup=wording.setup(chosen.best.settings),
                config=config,
                diff=served.diff(found[0].config, config) if found and _one(runs) else (),
            )
        )
    return tuple(found)


def _method(runs: Sequence[Run]) -> tuple[str, ...]:
    said = [
        (
            "Each run is ranked anew under one goal, and stands by the configuration that it would "
            "choose, at its best load."
        ),
        (
            "A change is the ratio of geometric means; its interval holds the true one in 95 % of "
            "all cases. Where both runs repeated a measurement it is Welch's over the logarithms "
            "of the repetitions, those of the verification where there are two of them; else it "
            "is put together from the intervals of single measurements (MOVER), and what differs "
            "from one start of a server to the next is not in it."
        ),
        (
            "Runs were taken at different times: what drifted between them is in the change. "
            "Measured by turns in one go, as `analyze check` does, it would not be."
        ),
    ]
    if _one(runs):
        said.append(
            "The same configuration is one of equal content, or the default in both. Of many "
            "comparisons one in twenty lies outside its interval by chance."
        )
    return tuple(said)
