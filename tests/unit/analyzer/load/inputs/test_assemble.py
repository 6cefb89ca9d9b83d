from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.load.inputs.assemble import assemble
from analyzer.load.inputs.fields import Field, Takes
from analyzer.load.inputs.samples import Sample, Samples, joined
from engine.types import DType

X = Field(name="X", dtype=DType.INT32, dims=(-1,), batched=True)
Y = Field(name="Y", dtype=DType.FP32, dims=(1,), batched=True)
SIZE = Field(name="SIZE", dtype=DType.INT32, dims=(1,), batched=False)


def model(*inputs: Field, sequences: bool = False) -> Takes:
    return Takes(model="m", inputs=inputs or (X,), outputs=(Y,), sequences=sequences)


def sample(number: int, width: int = 1, **more: Any) -> Sample:
    array = np.full(width, number, np.int32)
    return Sample(inputs={"X": array, **more}, expected={}, place=f"data[{number}]")


def flat(*samples: Sample) -> Samples:
    return Samples(streams=(samples,))


@given(st.integers(1, 12), st.integers(1, 12))
def test_batches_go_round_the_samples_and_begin_again_where_they_began(
    count: int, batch: int
) -> None:
    samples = flat(*(sample(number) for number in range(count)))
    (requests,) = assemble(samples, model(), batch)
    rows = [int(row[0]) for each in requests for row in each.request.inputs[0].array]
    assert all(each.request.inputs[0].array.shape == (batch, 1) for each in requests)
    assert rows == [place % count for place in range(len(rows))]
    assert len(rows) % count == 0
    assert requests[0].place == "data[0]"


def test_samples_of_different_shapes_make_requests_but_no_batches() -> None:
    samples = flat(sample(0, 2), sample(1, 3))
    (requests,) = assemble(samples, model(), 1)
    assert [each.request.inputs[0].array.shape for each in requests] == [(1, 2), (1, 3)]
    with pytest.raises(UsageError, match=r"data\[0\] to data\[1\]: a batch cannot be made"):
        assemble(samples, model(), 2)


def test_a_shape_tensor_is_sent_once_for_the_whole_batch() -> None:
    one, other = (np.array([size], np.int32) for size in (4, 5))
    (requests,) = assemble(flat(sample(0, SIZE=one), sample(1, SIZE=one)), model(X, SIZE), 2)
    assert [each.array.shape for each in requests[0].request.inputs] == [(2, 1), (1,)]
    with pytest.raises(UsageError, match="one value of the shape tensor SIZE"):
        assemble(flat(sample(0, SIZE=one), sample(1, SIZE=other)), model(X, SIZE), 2)


def test_expected_answers_are_stacked_as_their_samples_are() -> None:
    rows = [
        Sample(inputs={"X": np.array([n], np.int32)}, expected={"Y": np.array([n], np.float32)})
        for n in range(3)
    ]
    (requests,) = assemble(flat(*rows), model(), 3)
    assert requests[0].expected[0].array.tolist() == [[0], [1], [2]]


def test_streams_are_for_models_that_keep_sequences() -> None:
    streams = Samples(streams=((sample(0), sample(1)), (sample(2),)), nested=True)
    assert [len(each) for each in assemble(streams, model(sequences=True), 1)] == [2, 1]
    with pytest.raises(UsageError, match="are for models that keep sequences"):
        assemble(streams, model(), 1)
    with pytest.raises(UsageError, match="of batch size 1, not 2"):
        assemble(streams, model(sequences=True), 2)


def test_files_are_joined_in_their_order_and_kinds_do_not_mix() -> None:
    one, two = flat(sample(0)), flat(sample(1), sample(2))
    streams = Samples(streams=((sample(3),),), nested=True)
    assert joined([("a", one), ("b", two)]).count == 3
    assert len(joined([("a", one), ("b", two)]).streams) == 1
    assert len(joined([("a", streams), ("b", streams)]).streams) == 2
    with pytest.raises(UsageError, match=r"c holds lists of samples .* a samples"):
        joined([("a", one), ("c", streams)])
