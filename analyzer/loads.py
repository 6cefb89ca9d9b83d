"""What searches of Model Analyzer's share: the sweep of the load at their end. Pure.

Owns which load is swept and for which settings. The sweep's own rules are ``sweep``'s.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

from analyzer.record.outcome import Outcome, standing
from analyzer.record.row import Why
from analyzer.space import BATCH_SIZE, CONCURRENCY, REQUEST_RATE, Axis, Candidate, Dimension, Space
from analyzer.strategy import Asked, Problem
from analyzer.sweep import Found, Ladder, Point, rungs, sweep

#: how many settings are swept, and the steps of a bisection, where nothing else is asked for
_TOP, _STEPS = 3, 5


def main_load(space: Space) -> Dimension | None:
    """Return the load that is swept: the profiled model's concurrency or request rate."""
    loads = {each.name: each for each in space.dimensions if each.axis is Axis.LOAD}
    return loads.get(CONCURRENCY) or loads.get(REQUEST_RATE)


def setting_of(candidate: Candidate, space: Space) -> Candidate:
    """Return a candidate without its loads."""
    loads = {each.name for each in space.dimensions if each.axis is Axis.LOAD}
    return Candidate(tuple(item for item in candidate.items if item[0] not in loads))


def swept(
    problem: Problem, seen: Mapping[Candidate, Outcome], *, every_batch: bool = False
) -> Generator[Asked, Outcome, int]:
    """Sweep the load of the best settings among what was seen; return of how many.

    ``num_configs_per_model`` says of how many, ``concurrency_sweep_disable`` that of none, and
    ``run_config_search_max_binary_search_steps`` how long a bisection may be. ``every_batch``: with
    each of the client's batch sizes, not only the one that the setting was seen with.
    """
    load = main_load(problem.space)
    if load is None or problem.options.get("concurrency_sweep_disable"):
        return 0
    known = dict(seen)
    best: dict[Candidate, Outcome] = {}
    for outcome in sorted(seen.values(), key=standing, reverse=True):
        if outcome.score is not None:
            best.setdefault(setting_of(outcome.candidate, problem.space), outcome)
    top = list(best.values())[: problem.options.get("num_configs_per_model", _TOP)]
    for place, outcome in enumerate(top, 1):
        for at in _with_batches(outcome.candidate, problem.space if every_batch else Space(())):
            yield from _swept(problem, load, at, place, known)
    return len(top)


def said(ended: str, count: int) -> str:
    """Say why a search ended, and what followed."""
    best = "best setting" if count == 1 else f"best {count} settings"
    return f"{ended}; then the load of the {best} was swept" if count else ended


def _with_batches(at: Candidate, space: Space) -> list[Candidate]:
    """Return a candidate with each of the client's batch sizes; itself where there is no choice."""
    sizes = next((each.values for each in space.dimensions if each.name == BATCH_SIZE), ())
    return [at.replaced(**{BATCH_SIZE: size}) for size in sizes] or [at]


def _swept(
    problem: Problem,
    load: Dimension,
    at: Candidate,
    place: int,
    known: dict[Candidate, Outcome],
) -> Generator[Asked, Outcome, Found]:
    steps = problem.options.get("run_config_search_max_binary_search_steps", _STEPS)
    values = tuple(value for value in load.values if not isinstance(value, bool | str))
    ladder = Ladder(rungs=rungs(values), domain=values, steps=steps, width=0.0, again=False)
    script = sweep(ladder)
    try:
        asked = next(script)
        while True:
            candidate = at.replaced(**{load.name: asked.load})
            if candidate not in known:
                best = "best setting" if place == 1 else f"number {place}"
                why = Why(f"to see at which load the search's {best} does best")
                known[candidate] = yield Asked(candidate, why)
            seen = known[candidate]
            violation = seen.violation or float(not seen.feasible)
            asked = script.send(Point(asked, seen.score, violation))
    except StopIteration as end:
        found: Found = end.value
        return found
