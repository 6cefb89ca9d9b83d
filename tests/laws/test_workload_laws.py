"""The laws of workloads: items are drawn by weight, from a seed."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.load.rotation import choices
from analyzer.load.workload import Item, Workload
from engine.types import InferRequest


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=5).map(tuple), st.integers(0, 99))
def test_items_come_in_proportion_to_their_weights(weights: tuple[float, ...], seed: int) -> None:
    drawn = list(islice(choices(weights, seed), 5000))
    assert drawn == list(islice(choices(weights, seed), 5000))
    shares = np.bincount(drawn, minlength=len(weights)) / len(drawn)
    assert shares == pytest.approx(np.array(weights) / sum(weights), abs=0.05)


def test_a_workload_that_cannot_be_is_an_error_that_says_why() -> None:
    some = (InferRequest(inputs=()),)
    for items, text in (
        ((), "at least one item"),
        ((Item(model="m"),), "m: there is no request"),
        ((Item(model="m", requests=some, weight=0.0),), "m: expected a weight above 0"),
    ):
        with pytest.raises(ValueError, match=text):
            Workload(items)
