"""What is measured before anything can be learned: a few candidates that show most. Pure.

Rules:

1. A setting of the middle under a load that fills it comes first: with the default configuration's
   measurements it shows instances beside each other and batches of all sizes.
2. Then each backend, precision or other category, at the best that was found so far: what they
   gain nobody can foretell, and it may be more than all else together. Those come first that
   compute in fewer bits, for time may be short, and they are what gains most where it gains at all.
3. Then one instance with larger batches and a delay, under more load, by the best's categories.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from analyzer.search.features import Embedding, number_of
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    Candidate,
    Dimension,
    Space,
    Value,
    joined,
    split,
)

#: with more combinations of categories, each is varied by itself
_COMBINATIONS = 6
#: and no more than so many are probed: the rest is left to the search
_MOST = 6
#: requests in flight that a probe may bring in any case, for each core; and beyond these no more
#: than such a server answers in so many seconds, one at a time
_LEAST_LOAD, _MOST_WAIT = 8, 2.0
#: what a precision computes in
_BITS = {"INT8": 8, "FP16": 16, "BF16": 16, "FP32": 32}


def centre(
    space: Space, embedding: Embedding, cores: int | None, most_load: float = math.inf
) -> Candidate:
    """Return rule 1's candidate."""
    wanted = {INSTANCE_COUNT: 4, MAX_BATCH_SIZE: 8, QUEUE_DELAY: 0}
    return _near(space, embedding, cores, wanted, most_load)


def wide(
    space: Space, embedding: Embedding, cores: int | None, most_load: float = math.inf
) -> Candidate:
    """Return rule 3's candidate."""
    wanted = {INSTANCE_COUNT: 1, MAX_BATCH_SIZE: 32, QUEUE_DELAY: 500}
    return _near(space, embedding, cores, wanted, most_load)


def bearable(rate: float | None, cores: int | None) -> float:
    """Return the load that a probe brings at most, after a first rate of one request at a time.

    More in flight only wait, and whoever measures waits with them: at 20/s, 256 requests take 13 s.
    """
    least = _LEAST_LOAD * max(1, cores or 1)
    return math.inf if rate is None else max(least, _MOST_WAIT * rate)


def categories(embedding: Embedding, best: Candidate) -> Iterator[Candidate]:
    """Yield ``best`` with the other categories (rule 2); of equals those that differ in less."""
    dimensions = embedding.categories
    place = embedding.place(best)
    here = tuple(place[each.name] for each in dimensions)
    count = 1
    for each in dimensions:
        count *= len(each.values)
    every: Sequence[tuple[Value, ...]]
    if count <= _COMBINATIONS:
        every = list(product(*(each.values for each in dimensions)))
    else:
        every = [
            (*here[:number], value, *here[number + 1 :])
            for number, each in enumerate(dimensions)
            for value in each.values
        ]
    others = [each for each in every if each != here]
    others.sort(
        key=lambda each: (
            min(_BITS.get(str(value), 32) for value in each),
            sum(a != b for a, b in zip(each, here, strict=True)),
        )
    )
    for values in others[:_MOST]:
        names = (each.name for each in dimensions)
        yield Candidate.of(**{**place, **dict(zip(names, values, strict=True))})


def _near(
    space: Space, embedding: Embedding, cores: int | None, wanted: dict[str, int], most_load: float
) -> Candidate:
    """Return the candidate nearest to some values, with threads and load that go with them."""
    dimensions = {each.name: each for each in space.dimensions}
    default = embedding.place(Candidate(()))
    found: dict[str, Value] = {}
    for name, dimension in dimensions.items():
        if split(name)[1] in wanted:
            found[name] = nearest(dimension, wanted[split(name)[1]])
        elif default[name] in dimension.values:
            found[name] = default[name]
        else:
            found[name] = nearest(dimension, number_of(default[name]) or 1.0)
    most = 1
    for model in {split(name)[0] for name in dimensions}:
        count = int(found.get(joined(model, INSTANCE_COUNT), 1))
        most = max(most, count * int(found.get(joined(model, MAX_BATCH_SIZE), 4)))
        threads = joined(model, INTRA_OP_THREADS)
        if threads in found and cores:
            found[threads] = nearest(dimensions[threads], cores // count)
    load = min(2.0 * most, most_load) // int(found.get(BATCH_SIZE, 1))
    if CONCURRENCY in found:
        found[CONCURRENCY] = nearest(dimensions[CONCURRENCY], load)
    if REQUEST_RATE in found:
        values = dimensions[REQUEST_RATE].values
        found[REQUEST_RATE] = values[len(values) // 2]
    return Candidate.of(**found)


def nearest(dimension: Dimension, wanted: float) -> Value:
    """Return the value nearest to a number, by ratio; the first of two that are equally near."""
    numbers = [(number_of(value), value) for value in dimension.values]
    known = [(number, value) for number, value in numbers if number is not None]
    if not known:
        return dimension.values[0]
    at = math.log(max(wanted, 0.0) + 0.5)
    return min(known, key=lambda each: abs(math.log(max(each[0], -0.4) + 0.5) - at))[1]
