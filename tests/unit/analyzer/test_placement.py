"""Which GPUs and cores measurements side by side may have: every reason is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.placement import LEAST_CORES, Found, Placement, place

GIB = 2**30
ONE = Found(uuid="GPU-0", name="H100", total_bytes=80 * GIB, utilization=0.0, processes=0)
TWO = replace(ONE, uuid="GPU-1")
OTHER = Found(uuid="GPU-2", name="L4", total_bytes=24 * GIB)
#: sixteen physical cores of two threads each
CORES = tuple(frozenset({core, core + 16}) for core in range(16))


def on(*found: Found, wanted: int | None = None, usable: int = 32) -> Placement:
    return place(wanted, found, CORES, usable)


def test_equal_gpus_share_the_cores_without_sharing_one() -> None:
    placed = on(ONE, TWO)
    assert [each.gpu for each in placed.places] == ["GPU-0", "GPU-1"]
    first, second = (each.cores for each in placed.places)
    assert first == frozenset({*range(8), *range(16, 24)})
    assert second == frozenset({*range(8, 16), *range(24, 32)})
    assert placed.kind == "H100, 80 GiB"
    assert placed.said == (
        "GPUs side by side: up to 2 measurements of the search at a time (H100, 80 GiB)"
    )


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 40), st.integers(1, 40))
def test_shares_are_apart_equal_and_large_enough(
    gpus: int, wanted: int, cores: int, usable: int
) -> None:
    found = [replace(ONE, uuid=f"GPU-{number}") for number in range(gpus)]
    whole = tuple(frozenset({core}) for core in range(cores))
    placed = place(wanted or None, found, whole, usable)
    shares = [each.cores for each in placed.places]
    assert 1 <= len(shares) <= min(gpus, wanted or gpus)
    assert len(frozenset().union(*shares)) == sum(map(len, shares))
    assert len(set(map(len, shares))) == 1
    assert len(shares) == 1 or min(map(len, shares)) >= LEAST_CORES
    assert len(shares) == 1 or len(shares) * LEAST_CORES <= usable


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((), "this machine shows none, so nothing changes"),
        ((ONE,), "one at a time: there is one GPU"),
        ((ONE, replace(TWO, processes=1)), "one at a time: GPU-1 is in use by 1 process"),
        ((ONE, replace(TWO, utilization=0.4)), "one at a time: GPU-1 is busy for 40% of its time"),
        ((ONE, replace(TWO, whole=False)), "one at a time: GPU-1 is divided into MIG instances"),
        ((ONE, replace(TWO, lost="fell off")), "one at a time: GPU-1 is lost (fell off)"),
        ((ONE, OTHER), "one at a time: GPU-2 is another kind (L4, 24 GiB)"),
        ((replace(ONE, processes=3),), "for none is free: GPU-0 is in use by 3 processes"),
        ((replace(ONE, whole=False),), "for none is free: GPU-0 is divided into MIG instances"),
    ],
)
def test_what_keeps_it_at_one_is_said(found: tuple[Found, ...], said: str) -> None:
    placed = on(*found)
    assert said in placed.said
    assert len(placed.places) == bool([gpu for gpu in found if gpu.whole and not gpu.lost])


def test_too_few_cores_or_gpus_make_it_fewer_and_that_is_said() -> None:
    four = [replace(ONE, uuid=f"GPU-{number}") for number in range(4)]
    placed = on(*four, usable=8)
    assert len(placed.places) == 2
    assert "8 cores are enough for 2, each of which needs 4 of its own" in placed.said
    assert "one at a time: 4 cores are enough for 1" in on(*four, usable=4).said
    assert len(on(*four, wanted=3).places) == 3
    assert "one was asked for" in on(*four, wanted=1).said
    assert "2 of the 4 asked for can be used" in on(ONE, TWO, wanted=4).said
    assert len(on(ONE, OTHER, TWO).places) == 2


def test_where_the_only_gpus_are_busy_the_first_is_measured_on_all_the_same() -> None:
    placed = on(replace(ONE, processes=2), replace(TWO, processes=1))
    assert [each.gpu for each in placed.places] == ["GPU-0"]
    assert placed.kind == "H100, 80 GiB"
