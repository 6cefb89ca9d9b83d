"""What travels between a server and a child: it arrives as it was sent, and its room is freed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.child.arena import Arena, Window, open_memory
from engine.child.words import read_request, read_tensors, tell_request, tell_tensors
from engine.errors import Unavailable
from engine.types import Array, DType, InferRequest, RequestedOutput, Tensor

PLAIN = [one for one in DType if one is not DType.BYTES]
SHAPES = st.lists(st.integers(0, 40), max_size=3).map(tuple)


@contextmanager
def both_sides(*, limit: int = 0) -> Iterator[tuple[Arena, Window]]:
    number = open_memory("law")
    try:
        yield Arena(number, size=4096, growth=4096, limit=limit), Window(number)
    finally:
        os.close(number)


def _plain(dtype: DType, shape: tuple[int, ...]) -> Tensor:
    count = int(np.prod(shape, dtype=np.int64))
    array = np.arange(count * dtype.numpy.itemsize, dtype=np.uint8) % 2
    return Tensor("x", dtype, array.view(dtype.numpy).reshape(shape))


def _texts(texts: list[bytes]) -> Tensor:
    array = np.empty((len(texts),), np.object_)
    array[:] = texts
    return Tensor("texts", DType.BYTES, array)


TENSORS = st.builds(_plain, st.sampled_from(PLAIN), SHAPES) | st.builds(
    _texts, st.lists(st.binary(max_size=30), max_size=5)
)


def _same(one: Array, other: Array) -> bool:
    if one.dtype == np.object_:
        return bool(one.tolist() == other.tolist())
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(TENSORS, max_size=6), st.data())
def test_tensors_arrive_as_they_were_sent_and_hold_their_room_as_long_as_they_are_seen(
    tensors: list[Tensor], data: st.DataObject
) -> None:
    with both_sides() as (arena, window):
        told = [json.loads(json.dumps(tell_tensors([one], arena))) for one in tensors]
        seen = [read_tensors(one, window)[0] for one in told]
        for ours, theirs in zip(tensors, seen, strict=True):
            assert (ours.name, ours.dtype) == (theirs.name, theirs.dtype)
            assert _same(ours.array, theirs.array)
            assert theirs.dtype is DType.BYTES or not theirs.array.flags.writeable
        kept = data.draw(st.sets(st.integers(0, max(len(seen) - 1, 0)))) if seen else set()
        views = {place: seen[place].array[...] for place in kept}
        del seen
        if tensors:
            del theirs
        texts = {place for place in kept if tensors[place].dtype is DType.BYTES}  # copies
        assert arena.in_use == len(kept - texts)
        tell_tensors(tensors, arena)  # writes where nobody looks
        for place, view in views.items():
            assert _same(view, tensors[place].array)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_what_needs_more_than_the_limit_is_refused_and_leaves_nothing_behind(
    sizes: list[int],
) -> None:
    tensors = [_plain(DType.FP32, (size,)) for size in sizes]
    with both_sides(limit=16384) as (arena, _):
        room = 16384 - sum(64 + -(-4 * size // 64) * 64 for size in sizes)
        if room >= 0:
            tell_tensors(tensors, arena)
            assert arena.in_use == len(sizes)
        else:
            with pytest.raises(Unavailable, match="Failed to increase the shared memory pool"):
                tell_tensors(tensors, arena)
            assert arena.in_use == 0
        assert arena.size <= 16384


REQUESTS = st.builds(
    InferRequest,
    inputs=st.lists(TENSORS, max_size=2).map(tuple),
    id=st.text(max_size=5),
    outputs=st.lists(st.builds(RequestedOutput, st.text(min_size=1, max_size=5)), max_size=2).map(
        tuple
    ),
    priority=st.integers(0, 9),
    timeout_us=st.integers(0, 1 << 62),
    sequence_id=st.integers(0, (1 << 64) - 1) | st.text(max_size=5),
    sequence_start=st.booleans(),
    sequence_end=st.booleans(),
    parameters=st.dictionaries(
        st.text(max_size=5), st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.text(max_size=5)
    ),
)


@settings(max_examples=25, deadline=None)
@given(REQUESTS)
def test_a_request_arrives_as_it_was_sent(request: InferRequest) -> None:
    with both_sides() as (arena, window):
        told = json.loads(json.dumps(tell_request(request, arena)))
        there = read_request(told, window)
    for ours, theirs in zip(request.inputs, there.inputs, strict=True):
        assert _same(ours.array, theirs.array)
    fields = ("id", "outputs", "priority", "timeout_us", "sequence_id", "sequence_start")
    for name in (*fields, "sequence_end", "parameters"):
        assert getattr(request, name) == getattr(there, name)
