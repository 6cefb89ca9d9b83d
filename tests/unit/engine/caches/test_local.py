"""The cache in memory: never above its size, and who was used longest ago leaves first."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.heard import heard

from engine.cache import Kept, size_of
from engine.caches.local import ENTRY_SIZE, Local, Lru, open_cache
from engine.clock import ManualClock
from engine.errors import InvalidArgument
from engine.types import DType, Tensor
from engine.v2.binary import strings

KEYS = st.sampled_from([bytes([key]) for key in range(6)])
STEPS = st.lists(st.tuples(KEYS, st.none() | st.integers(1, 60)), max_size=60)


@pytest.mark.triton("11.3")
@given(STEPS, st.integers(1, 100))
def test_it_does_what_a_list_in_order_of_use_does_and_never_exceeds_its_size(
    steps: list[tuple[bytes, int | None]], limit: int
) -> None:
    lru: Lru[int] = Lru(limit)
    order: list[tuple[bytes, int, int]] = []  # key, value, size; the last was used last
    for number, (key, size) in enumerate(steps):
        held = next((one for one in order if one[0] == key), None)
        if size is None:
            assert lru.get(key) == (None if held is None else held[1])
            if held is not None:
                order.remove(held)
                order.append(held)
            continue
        if held is not None:
            order.remove(held)
        assert lru.put(key, number, size) is (size <= limit)
        if size <= limit:
            while sum(one[2] for one in order) + size > limit:
                order.pop(0)
            order.append((key, number, size))
        assert lru.size == sum(one[2] for one in order) <= limit
        assert len(lru) == len(order)


def kept(size: int) -> Kept:
    return Kept((Tensor("Y", DType.UINT8, np.zeros(size, np.uint8)),))


def looked_up(cache: Local, key: bytes) -> Kept | None:
    found: list[Kept | None] = []
    cache.lookup(key, found.append)
    (answer,) = found
    return answer


def test_the_size_of_an_entry_is_what_it_takes_in_memory() -> None:
    assert size_of(kept(1000)) - size_of(kept(0)) == 1000
    texts = [b"", b"a" * 50]
    full = Kept((Tensor("Y", DType.BYTES, strings(texts)),))
    empty = Kept((Tensor("Y", DType.BYTES, strings([])),))
    assert size_of(full) - size_of(empty) == 2 * 8 + sum(map(sys.getsizeof, texts))
    assert size_of(Kept((), {"parameter": "x" * 100})) - size_of(Kept(())) > 100


@pytest.mark.triton("11.3")
def test_what_is_larger_than_the_cache_is_not_kept_and_said_once_in_a_while() -> None:
    clock = ManualClock()
    cache = Local(ENTRY_SIZE + size_of(kept(100)), clock)
    with heard() as lines:
        for _ in range(3):
            cache.insert(b"k", kept(101))
        assert looked_up(cache, b"k") is None
        (line,) = lines
        assert line.startswith("WARNING Failed to insert a response into the cache")
        clock.advance(60_000_000_000)
        cache.insert(b"k", kept(101))
        assert len(lines) == 2
    fitting = kept(100)
    cache.insert(b"k", fitting)
    assert looked_up(cache, b"k") is fitting


@pytest.mark.triton("11.1")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "size is missing"),
        ({"size": "0"}, "above 0"),
        ({"size": "-1"}, "above 0"),
        ({"size": "1MB"}, "above 0"),
        ({"size": "5", "host": "x"}, "unknown setting 'host'"),
    ],
)
def test_what_is_wrong_with_its_settings_is_said(settings: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        open_cache(settings, ManualClock())
