"""Which candidates are near each other, and which are the same as far as requests can tell."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.search.features import Embedding
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
)
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, ModelConfig

SPACE = Space((
    Dimension(INSTANCE_COUNT, (1, 2, 3, 4)),
    Dimension(INTRA_OP_THREADS, (1, 2, 4)),
    Dimension(QUEUE_DELAY, (-1, 0, 500)),
    Dimension(MAX_BATCH_SIZE, (1, 2, 4, 8, 16, 32)),
    Dimension("colour", ("red", "green")),
    Dimension("size", ('"8"', "8", "16")),
    Dimension(CONCURRENCY, (1, 2, 4, 8, 16, 32, 64), Axis.LOAD),
))  # fmt: skip


def at(**values: object) -> Candidate:
    usual = {
        INSTANCE_COUNT: 1, INTRA_OP_THREADS: 1, QUEUE_DELAY: 0, MAX_BATCH_SIZE: 8,
        "colour": "red", "size": "8", CONCURRENCY: 32,
    }  # fmt: skip
    return Candidate.of(**{**usual, **values})  # type: ignore[arg-type]


EMBEDDING = Embedding(SPACE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({QUEUE_DELAY: -1, MAX_BATCH_SIZE: 8}, {QUEUE_DELAY: -1, MAX_BATCH_SIZE: 32}),
        ({QUEUE_DELAY: 0, MAX_BATCH_SIZE: 1}, {QUEUE_DELAY: -1, MAX_BATCH_SIZE: 4}),
        ({CONCURRENCY: 4, MAX_BATCH_SIZE: 8}, {CONCURRENCY: 4, MAX_BATCH_SIZE: 32}),
        (
            {CONCURRENCY: 4, MAX_BATCH_SIZE: 8, QUEUE_DELAY: 500},
            {CONCURRENCY: 4, MAX_BATCH_SIZE: 32, QUEUE_DELAY: 500},
        ),
    ],
)
def test_what_cannot_matter_to_requests_is_no_difference(
    one: dict[str, object], other: dict[str, object]
) -> None:
    a, b = at(**one), at(**other)
    assert EMBEDDING.key(a) == EMBEDDING.key(b)
    here = EMBEDDING.acting([a, b]).features
    assert (here[0] == here[1]).all()
    raw = EMBEDDING.raw([a, b]).features
    assert (raw[0] != raw[1]).any()


def test_with_a_delay_a_batch_that_just_fills_is_another_than_one_that_never_does() -> None:
    waits = {CONCURRENCY: 4, QUEUE_DELAY: 500}
    assert EMBEDDING.key(at(**waits, max_batch_size=4)) != EMBEDDING.key(
        at(**waits, max_batch_size=8)
    )


def test_numbers_are_on_a_scale_of_octaves_and_categories_are_all_equally_far() -> None:
    loads = [at(concurrency=load, max_batch_size=1) for load in (8, 16, 32)]
    rows = EMBEDDING.raw(loads).features
    first, second = np.abs(np.diff(rows, axis=0)).sum(1)
    assert first == pytest.approx(second, rel=0.1)
    assert [each.name for each in EMBEDDING.categories] == ["colour", "size"]


def test_the_default_lies_where_its_settings_are_be_it_beside_the_grid() -> None:
    base = ModelConfig(
        max_batch_size=6,
        instance_group=(InstanceGroup(count=2),),
        dynamic_batching=DynamicBatching(max_queue_delay_microseconds=300),
    )
    place = Embedding(SPACE, base, 8).place(Candidate.of(concurrency=4))
    assert place[INSTANCE_COUNT] == 2
    assert place[MAX_BATCH_SIZE] == 6
    assert place[QUEUE_DELAY] == 300
    assert place[INTRA_OP_THREADS] == 4
    assert place[CONCURRENCY] == 4
