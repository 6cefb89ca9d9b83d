"""A pipeline's search: what helps the station that holds up the others. Pure.

Owns which candidate to try next, given all that was measured, for spaces with settings of several
models. It is a function of the outcomes, so resuming and asking twice come to the same. Does not
own how busy stations are (``stations``), nor what is done when it has nothing more to say.

Rules:

1. It stands at the best outcome so far; what it proposes differs from there in one respect.
2. While no station is busy, more load comes first: it costs no reload, and shows the bottleneck.
   Where twice the load has brought no more, something else is. Where a constraint is broken, less.
3. The bottleneck gets as many instances as bring its bound up to the next station's, in one step;
   if that did not help, one more.
4. Then it is run by something else, gets bigger batches, and more or fewer threads; then the idlest
   gives threads back. Where the processors are busy all the time, this comes before instances: more
   of them would only share what there is.
5. What was tried is not tried again: it has nothing to say when all of this was tried from where
   it stands, and none was better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.search.place import Place, above, below
from analyzer.search.stations import Station, narrowest, stations
from analyzer.space import (
    ACCELERATOR,
    BACKEND,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    PRECISION,
    QUEUE_DELAY,
    Axis,
    Space,
    Value,
    joined,
    split,
)
from analyzer.strategy import Asked

#: below this share of its time no station is worth a setting: there is too little load
_IDLE = 0.7
#: the least batch worth switching batching on for
_FIRST_BATCH = 8
#: bounds that differ by less are the same, as measured
_SLACK = 0.1
#: where all stations hold up each other, they go for so many times as much
_DOUBLE = 2


def applies(space: Space) -> bool:
    """Whether a space has settings of several models."""
    return any(split(each.name)[0] for each in space.dimensions if each.axis is Axis.SETTING)


def propose(space: Space, outcomes: Sequence[Outcome]) -> Asked | None:
    """Propose what to measure next, with the reason and the expected throughput.

    ``outcomes`` are all that is known, in any order, failures too. None: nothing more to say, or
    nothing was seen that says which station is busy.
    """
    known = [each for each in outcomes if each.score is not None and each.row is not None]
    best = min(known, key=_merit, default=None)
    if best is None or best.row is None or not (seen := stations(best.row)):
        return None
    here = Place.of(space, best.row, seen)
    tried = {each.candidate for each in outcomes}
    limited = any(not each.feasible for each in known)
    for asked in _moves(here, feasible=best.feasible, limited=limited):
        if asked.candidate in space and asked.candidate not in tried:
            return asked
    return None


def _merit(outcome: Outcome) -> tuple[bool, float, float]:
    """Sort key, the best first."""
    assert outcome.score is not None
    return not outcome.feasible, outcome.violation, -outcome.score


def _moves(here: Place, *, feasible: bool, limited: bool) -> Iterator[Asked]:
    """Yield what to try from here, the likeliest first; ``limited``: constraints limit the load."""
    busiest = narrowest(here.seen)
    assert busiest is not None
    if not feasible:
        yield from _less_load(here)
    if busiest.utilisation < _IDLE:
        yield from _more_load(here, busiest)
    if not here.crowded:
        yield from _more_instances(here, busiest, limited=limited)
    yield from _run_by(here, busiest)
    yield from _bigger_batches(here, busiest)
    yield from _threads(here, busiest)
    yield from _more_instances(here, busiest, limited=limited)
    idlest = min(here.seen, key=lambda each: each.utilisation)
    if idlest is not busiest:
        yield from _fewer_threads(here, idlest)
    if feasible:
        yield from _more_load(here, busiest)


def _less_load(here: Place) -> Iterator[Asked]:
    for load in reversed(below(here.dimensions.get(CONCURRENCY), here.load)):
        text = f"a constraint is broken under {here.load} requests at once: less load"
        yield Asked(here.moved({CONCURRENCY: load}), Why(text))


def _more_load(here: Place, busiest: Station) -> Iterator[Asked]:
    for load in above(here.dimensions.get(CONCURRENCY), here.load)[:1]:
        expected = min(busiest.bound, here.rate * int(load) / max(1, here.load))
        text = f"the busiest stage, {_name(busiest)}, is busy {_percent(busiest)}: more load"
        yield Asked(here.moved({CONCURRENCY: load}), _why(text, expected))


def _more_instances(here: Place, busiest: Station, *, limited: bool) -> Iterator[Asked]:
    """As many as bring its bound up to the next one's, else one more (rule 3).

    Under as much load as they need; where the load is limited, if that was too much, under this.

    Stations that hold up the rest equally get more together: one of them alone would not help.
    """
    level = busiest.bound * (1 + _SLACK)
    behind = [each for each in here.seen if each.model or each is busiest]
    together = [each for each in behind if each.bound <= level]
    others = [each.bound for each in behind if each.bound > level]
    target = min(others, default=_DOUBLE * busiest.bound)
    raised = {each: _enough(here, each, target) for each in together}
    stepped = {each: _enough(here, each, busiest.bound, more=True) for each in together}
    for counts in (raised, stepped):
        gained = {each: count for each, count in counts.items() if count > each.instances}
        if not gained:
            continue
        total = sum(gained.get(each, each.instances) for each in here.seen)
        changes: dict[str, Value] = {
            joined(each.model, INSTANCE_COUNT): count for each, count in gained.items()
        }
        expected = min(gained.get(each, each.instances) / each.demand_s for each in behind)
        yield Asked(here.loaded(changes, total), _why(_holding(gained), expected))
        if limited:
            yield Asked(here.moved(changes), Why(_holding(gained)))


def _enough(here: Place, station: Station, bound: float, *, more: bool = False) -> int:
    """Return the fewest instances with that bound, or the most there may be; ``more``: than now."""
    least = station.instances + 1 if more else bound * station.demand_s * (1 - _SLACK)
    counts = [int(each) for each in here.among(station, INSTANCE_COUNT)]
    return next((each for each in counts if each >= least), max(counts, default=0))


def _holding(gained: Mapping[Station, int]) -> str:
    """Say which stations hold up the rest, and what they get."""
    names = " and ".join(_name(each) for each in gained)
    counts = " and ".join(str(each.instances) for each in gained)
    new = " and ".join(str(count) for count in gained.values())
    busy = " and ".join(f"{each.utilisation:.0%}" for each in gained)
    if len(gained) > 1:
        return (
            f"{names} hold up the rest: their {counts} instances are busy {busy} of the time, so "
            f"they get {new}"
        )
    one = next(iter(gained)).instances == 1
    return (
        f"{names} holds up the rest: its {counts} instance{' is' if one else 's are'} busy {busy} "
        f"of the time, so it gets {new}"
    )


def _run_by(here: Place, busiest: Station) -> Iterator[Asked]:
    """Another backend, precision or accelerator: nobody knows what it gains before it was tried."""
    for setting in (BACKEND, PRECISION, ACCELERATOR):
        name = joined(busiest.model, setting)
        for each in here.among(busiest, setting):
            if each != here.values[name]:
                text = f"{_name(busiest)} holds up the rest: {setting} {each}"
                yield Asked(here.moved({name: each}), Why(text))


def _bigger_batches(here: Place, busiest: Station) -> Iterator[Asked]:
    """Switch batching on, then let batches grow."""
    sizes = here.among(busiest, MAX_BATCH_SIZE)
    if not sizes:
        return
    size, delays = here.value(busiest, MAX_BATCH_SIZE), here.among(busiest, QUEUE_DELAY)
    changes: dict[str, Value] = {}
    if 0 in delays and here.value(busiest, QUEUE_DELAY) < 0:
        changes[joined(busiest.model, QUEUE_DELAY)] = 0
        size = max(size, _FIRST_BATCH - 1) if sizes[-1] != 1 else size
        bigger = [each for each in sizes if int(each) >= size] or list(sizes[-1:])
    else:
        bigger = [each for each in sizes if int(each) > size]
    for each in bigger[:1]:
        changes[joined(busiest.model, MAX_BATCH_SIZE)] = each
        text = f"{_name(busiest)} holds up the rest: it may batch up to {each}"
        yield Asked(here.moved(changes), Why(text))


def _threads(here: Place, busiest: Station) -> Iterator[Asked]:
    name = joined(busiest.model, INTRA_OP_THREADS)
    dimension = here.dimensions.get(name)
    if dimension is None:
        return
    now = here.value(busiest, INTRA_OP_THREADS)
    for each in (*above(dimension, now)[:1], *below(dimension, now)[-1:]):
        text = f"{_name(busiest)} holds up the rest: {each} threads an instance"
        yield Asked(here.moved({name: each}), Why(text))


def _fewer_threads(here: Place, idlest: Station) -> Iterator[Asked]:
    name = joined(idlest.model, INTRA_OP_THREADS)
    dimension = here.dimensions.get(name)
    now = 0 if dimension is None else here.value(idlest, INTRA_OP_THREADS)
    for each in below(dimension, now)[-1:]:
        text = f"{_name(idlest)} is busy only {_percent(idlest)}: it gives threads back"
        yield Asked(here.moved({name: each}), Why(text))


def _why(text: str, rate: float) -> Why:
    return Why(text, {"perf_throughput": rate})


def _name(station: Station) -> str:
    return station.model or "the model itself"


def _percent(station: Station) -> str:
    return f"{station.utilisation:.0%} of the time"
