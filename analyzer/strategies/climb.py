"""Quick search: climb one setting at a time, from starts that make sense on any machine.

Owns the order of questions. It knows what the dimensions mean, but nothing of the model:
that it learns from outcomes. Does not own what a score is made of.

Rules:

1. The load is explored before a setting changes: it costs no reload. Steps along it double
   while the score still follows the load; they go down where a constraint is broken.
2. Feasible before better: a point that keeps the constraints beats one that does not; among
   those that do not, the smaller violation wins.
3. A move must be worth more than the noise (2 %). Within the noise the setting that needs
   less wins, unless it has drifted from the best seen.
4. Instances and threads are traded against each other in one move: either alone leads away
   from the cores there are.
5. Moves that can change nothing come last: a larger batch than the load can fill, a delay
   where every batch is full.
6. What failed is no wall: a move looks behind it once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator

from analyzer.record.outcome import Outcome
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Axis,
    Candidate,
    Dimension,
    Space,
    Value,
)
from analyzer.strategy import Problem, Script, Scripted

_NOISE = 0.02
#: a neighbour that loses no more than this may win under a higher load
_NEAR = 0.15
#: a score that grows by this share when the load doubles is far from its end
_STEEP = 0.4
#: after so many questions: no new start and no doubtful move; no move at all
_ENOUGH, _LIMIT = 20, 30
#: so many questions without one answer, and there is nothing to climb
_HOPELESS = 6
_FIRST_LOAD, _FIRST_BATCH, _NO_BATCHING = 8, 32, -1
_NO_LOAD = Dimension("", (0,), Axis.LOAD)

Walk = Generator[Candidate, Outcome, Outcome | None]
#: its name, and the settings to try one behind the other while they fail
Move = tuple[str, tuple[Candidate, ...]]


def make(problem: Problem) -> Scripted:
    """Make the strategy; the seed chooses the starts that are left when sense has been tried."""
    return Scripted(_Climb(problem.space, problem.seed).search())


class _Climb:
    """One search. A setting is a candidate without its load; ``_seen`` is all it knows."""

    def __init__(self, space: Space, seed: int) -> None:
        loads = [each for each in space.dimensions if each.axis is Axis.LOAD]
        named = [each for each in loads if each.name == CONCURRENCY]
        self._load = next(iter(named or loads), _NO_LOAD)
        self._dimensions = {each.name: each for each in space.dimensions if each != self._load}
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._seen: dict[Candidate, Outcome] = {}
        self._tried: set[Candidate] = set()

    def search(self) -> Script:
        """Explore the starts, climb from the best of them, then look around from others."""
        best: Outcome | None = None
        for setting in _sensible_starts(self._dimensions):
            settings = (setting, _smaller(self._dimensions, setting))
            best = self._choose((yield from self._go(settings, best)), best)
        if best is not None:
            best = yield from self._climb(best)
        for setting in self._other_starts():
            if len(self._seen) >= (_HOPELESS if best is None else _ENOUGH):
                return f"no neighbour is better after {len(self._seen)} questions"
            found = yield from self._explore(setting, best)
            if found is not None and (best is None or self._promising(found, best)):
                best = self._choose((yield from self._climb(found)), best)
        return "every start led to nothing new"

    def _other_starts(self) -> Iterator[Candidate]:
        """The least of everything, then settings by lot."""
        yield Candidate.of(**{name: each.values[0] for name, each in self._dimensions.items()})
        for _ in range(_LIMIT):
            lot = {name: self._dice.choice(each.values) for name, each in self._dimensions.items()}
            yield Candidate.of(**lot)

    # Along the load

    def _explore(self, setting: Candidate, rival: Outcome | None) -> Walk:
        """Find a setting's best load, from the rival's onwards; leave it early if hopeless."""
        if setting in self._tried:
            return None
        self._tried.add(setting)
        at = self._load_index(rival)
        outcome = yield from self._measure(setting, at)
        if outcome.score is None and at > 0:
            # It may only have been too much for it.
            at //= 2
            outcome = yield from self._measure(setting, at)
        if outcome.score is None:
            return None
        if rival is not None and not self._promising(outcome, rival):
            return outcome
        if outcome.feasible:
            return (yield from self._advance(setting, at, outcome))
        return (yield from self._retreat(setting, at, outcome))

    def _advance(self, setting: Candidate, at: int, best: Outcome) -> Walk:
        """Raise the load while that pays; lower it if raising it made things worse."""
        start, step = at, 1
        while (ahead := min(at + step, len(self._load.values) - 1)) > at:
            outcome = yield from self._measure(setting, ahead)
            if not _beats(outcome, best):
                if ahead > at + 1:
                    between = yield from self._measure(setting, at + 1)
                    return between if _beats(between, best) else best
                if at > start or not outcome.feasible or not _beats(best, outcome):
                    return best
                break
            step = 2 if _growth(best, outcome) > (1.0 + _STEEP) ** (ahead - at) else 1
            at, best = ahead, outcome
        while at > 0 and at <= start:
            outcome = yield from self._measure(setting, at - 1)
            if not _beats(outcome, best):
                break
            at, best = at - 1, outcome
        return best

    def _retreat(self, setting: Candidate, at: int, best: Outcome) -> Walk:
        """Lower the load until the constraints hold, then close in on their edge."""
        broken = at
        while not best.feasible and at > 0:
            # Latency goes with the load, so the violation tells how far it is.
            step = max(1, round(math.log2(1.0 + min(best.violation, 1e6))))
            ahead = max(0, at - step)
            outcome = yield from self._measure(setting, ahead)
            if not _beats(outcome, best):
                return best
            broken, at, best = at, ahead, outcome
        while broken - at > 1:
            middle = (at + broken) // 2
            outcome = yield from self._measure(setting, middle)
            if _beats(outcome, best):
                at, best = middle, outcome
            else:
                broken = middle
        return best

    def _measure(self, setting: Candidate, load: int) -> Generator[Candidate, Outcome, Outcome]:
        candidate = setting
        if self._load.name:
            candidate = setting.replaced(**{self._load.name: self._load.values[load]})
        if candidate not in self._seen:
            self._seen[candidate] = yield candidate
        return self._seen[candidate]

    def _load_index(self, rival: Outcome | None) -> int:
        if rival is None or not self._load.name:
            return _nearest(self._load, _FIRST_LOAD)
        return _index(self._load, rival.candidate)

    def _promising(self, outcome: Outcome, rival: Outcome) -> bool:
        """Whether other loads of this setting may yet beat the rival."""
        if outcome.score is None or rival.score is None or _beats(outcome, rival):
            return outcome.score is not None
        ahead = outcome.score - rival.score
        if rival.feasible and not outcome.feasible:
            return ahead > _NOISE * abs(rival.score)
        if ahead < -_NEAR * abs(rival.score):
            return False
        grown = any(
            _whole(outcome.candidate, name) > _whole(rival.candidate, name)
            for name in (INSTANCE_COUNT, MAX_BATCH_SIZE)
        )
        return grown or self._load_above(rival) is not None

    def _load_above(self, best: Outcome) -> Value | None:
        """Return the next load if a constraint is what keeps the load from growing."""
        above = self._load_index(best) + 1
        if not self._load.name or above == len(self._load.values):
            return None
        candidate = best.candidate.replaced(**{self._load.name: self._load.values[above]})
        broken = candidate in self._seen and not self._seen[candidate].feasible
        return self._load.values[above] if broken else None

    # Among the settings

    def _climb(self, best: Outcome) -> Generator[Candidate, Outcome, Outcome]:
        """Go to a better neighbour until there is none."""
        moved = ""
        while True:
            for name, settings in self._moves(best, moved):
                found = yield from self._go(settings, best)
                if found is not None and self._choose(found, best) is found:
                    best, moved = found, name
                    break
            else:
                return best

    def _go(self, settings: tuple[Candidate, ...], best: Outcome | None) -> Walk:
        """Explore the first of these settings that can be measured at all."""
        for setting in settings:
            if len(self._seen) >= _LIMIT or setting in self._tried:
                return None
            found = yield from self._explore(setting, best)
            if found is not None:
                return found
        return None

    def _moves(self, best: Outcome, last: str) -> list[Move]:
        """List what to try from here: the direction that has just won, then by likelihood."""
        here = self._setting(best)
        load = _whole(best.candidate, self._load.name)
        wanted = _number(self._load_above(best) or load)
        likely = [
            *_fitting_batches(self._dimensions, here, wanted),
            *_trades(self._dimensions, here),
        ]
        plain = _set(self._dimensions, here, QUEUE_DELAY, _NO_BATCHING)
        if plain != here:
            likely.insert(1, ("plain", (plain,)))
        doubtful: list[Move] = []
        for dimension in self._dimensions.values():
            for move in _steps(dimension, here):
                (doubtful if _changes_nothing(here, move[1][0], load) else likely).append(move)
        likely.sort(key=lambda move: move[0] != last)
        return likely + (doubtful if len(self._seen) < _ENOUGH else [])

    def _setting(self, outcome: Outcome) -> Candidate:
        items = outcome.candidate.items
        return Candidate(tuple(item for item in items if item[0] != self._load.name))

    def _choose(self, new: Outcome | None, old: Outcome | None) -> Outcome | None:
        """Return the one to go on from (rule 3)."""
        if new is None or new.score is None:
            return old
        if old is None or old.score is None or _beats(new, old):
            return new
        if _beats(old, new) or _needs(new) >= _needs(old):
            return old
        best = max(
            each.score
            for each in (old, *self._seen.values())
            if each.score is not None and each.feasible == old.feasible
        )
        return new if best - new.score <= _NOISE * abs(best) else old


def _beats(new: Outcome, old: Outcome) -> bool:
    """Whether ``new`` is better by more than the noise (rules 2 and 3)."""
    if new.score is None or old.score is None:
        return new.score is not None
    if new.feasible != old.feasible:
        return new.feasible
    if abs(closer := old.violation - new.violation) > _NOISE:
        return closer > 0.0
    return new.score - old.score > _NOISE * abs(old.score)


def _growth(old: Outcome, new: Outcome) -> float:
    if new.score is None or old.score is None or old.score <= 0.0:
        return 1.0
    return new.score / old.score


def _needs(outcome: Outcome) -> tuple[int, int]:
    """What a setting costs to run: threads kept busy, then room for batches."""
    at = outcome.candidate
    return _product(at), _whole(at, MAX_BATCH_SIZE)


def _sensible_starts(dimensions: dict[str, Dimension]) -> Iterator[Candidate]:
    """Instances that fill the cores with few threads each; then one instance with them all."""
    start = Candidate.of(
        **{name: each.values[len(each.values) // 2] for name, each in dimensions.items()}
    )
    start = _set(dimensions, start, MAX_BATCH_SIZE, _FIRST_BATCH)
    start = _set(dimensions, start, QUEUE_DELAY, 0)
    if INTRA_OP_THREADS not in dimensions:
        yield start
        return
    splits = _splits(dimensions)
    fullest = max(instances * threads for instances, threads in splits)
    full = [split for split in splits if split[0] * split[1] == fullest]
    for instances, threads in (max(full), min(full)):
        split = _set(dimensions, start, INSTANCE_COUNT, instances)
        yield _set(dimensions, split, INTRA_OP_THREADS, threads)


def _splits(dimensions: dict[str, Dimension]) -> list[tuple[int, int]]:
    """Every division of the cores into instances and threads that does not crowd them."""
    threads = [_number(value) for value in dimensions[INTRA_OP_THREADS].values]
    counts = [1]
    if INSTANCE_COUNT in dimensions:
        counts = [_number(value) for value in dimensions[INSTANCE_COUNT].values]
    splits = [(count, each) for count in counts for each in threads if count * each <= max(threads)]
    return splits or [(min(counts), min(threads))]


def _steps(dimension: Dimension, here: Candidate) -> Iterator[Move]:
    """One step each way; behind it the next, for when it fails."""
    at, values = _index(dimension, here), dimension.values
    for sign, ahead in ((1, values[at + 1 : at + 3]), (-1, values[:at][-2:][::-1])):
        if ahead:
            settings = tuple(here.replaced(**{dimension.name: value}) for value in ahead)
            yield f"{dimension.name} {sign}", settings


def _trades(dimensions: dict[str, Dimension], here: Candidate) -> Iterator[Move]:
    """More instances of fewer threads, and the reverse, on the same cores (rule 4)."""
    if not {INSTANCE_COUNT, INTRA_OP_THREADS} <= dimensions.keys():
        return
    instances, threads = _whole(here, INSTANCE_COUNT), _whole(here, INTRA_OP_THREADS)
    splits = _splits(dimensions)
    wider = [split for split in splits if split[0] > instances and split[1] < threads]
    deeper = [split for split in splits if split[0] < instances and split[1] > threads]
    # The fullest use of the cores first; of these the nearest.
    wider.sort(key=lambda split: (-split[0] * split[1], split[0]))
    deeper.sort(key=lambda split: (-split[0] * split[1], -split[0]))
    for name, there_are in (("wider", wider), ("deeper", deeper)):
        for split in there_are[:1]:
            there = _set(dimensions, here, INSTANCE_COUNT, split[0])
            there = _set(dimensions, there, INTRA_OP_THREADS, split[1])
            # As many rows in flight as before; less where that is too much for the memory.
            rows = _whole(here, MAX_BATCH_SIZE) * instances / split[0]
            there = _set(dimensions, there, MAX_BATCH_SIZE, rows)
            yield name, (there, _smaller(dimensions, there))


def _smaller(dimensions: dict[str, Dimension], setting: Candidate) -> Candidate:
    """A setting that takes less memory, to fall back on."""
    return _set(dimensions, setting, MAX_BATCH_SIZE, _whole(setting, MAX_BATCH_SIZE) / 4)


def _fitting_batches(
    dimensions: dict[str, Dimension], here: Candidate, load: int
) -> Iterator[Move]:
    """Batch sizes that the load fills: two batches an instance, so one gathers while one runs.

    Then one batch an instance, for models that batches pay for most.
    """
    if MAX_BATCH_SIZE not in dimensions:
        return
    for name, batches in (("fit two", 2), ("fit one", 1)):
        filled = load / (batches * _whole(here, INSTANCE_COUNT))
        there = _set(dimensions, here, MAX_BATCH_SIZE, filled)
        if here.get(QUEUE_DELAY) == _NO_BATCHING:
            there = _set(dimensions, there, QUEUE_DELAY, 0)
        if filled > 1.0 and there != here:
            yield name, (there,)


def _changes_nothing(here: Candidate, there: Candidate, load: int) -> bool:
    """Whether a step is idle, as long as each request has a batch size of 1 (rule 5)."""
    waiting = load / _whole(there, INSTANCE_COUNT)
    old, new = _whole(here, MAX_BATCH_SIZE), _whole(there, MAX_BATCH_SIZE)
    if old != new:
        return min(old, new) >= waiting or there.get(QUEUE_DELAY) == _NO_BATCHING
    if here.get(QUEUE_DELAY) != there.get(QUEUE_DELAY):
        return waiting >= 2 * new
    return False


def _set(
    dimensions: dict[str, Dimension], setting: Candidate, name: str, wanted: float
) -> Candidate:
    """Give a dimension its value nearest to the one wanted, if there is such a dimension."""
    dimension = dimensions.get(name)
    if dimension is None:
        return setting
    return setting.replaced(**{name: dimension.values[_nearest(dimension, wanted)]})


def _nearest(dimension: Dimension, wanted: float) -> int:
    """Return the index of the value nearest to the one wanted, by ratio where there is one."""

    def distance(value: Value) -> float:
        number = _number(value)
        if min(number, wanted) > 0:
            return abs(math.log(number / wanted))
        return abs(number - wanted)

    return min(range(len(dimension.values)), key=lambda index: distance(dimension.values[index]))


def _index(dimension: Dimension, candidate: Candidate) -> int:
    value = candidate.get(dimension.name)
    return next(index for index, each in enumerate(dimension.values) if each == value)


def _product(candidate: Candidate) -> int:
    return _whole(candidate, INSTANCE_COUNT) * _whole(candidate, INTRA_OP_THREADS)


def _whole(candidate: Candidate, name: str) -> int:
    """Return a dimension's value as a number of at least 1; 1 where there is none."""
    return max(1, _number(candidate.get(name) or 0))


def _number(value: Value) -> int:
    return 0 if isinstance(value, str) else int(value)
