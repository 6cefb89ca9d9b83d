"""Joining and splitting: whatever is joined comes apart again, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_backend import config

from engine.errors import Internal
from engine.execution.batch import Reshape, answer, join, layout, wanted
from engine.modelconfig.schema import ModelConfig, ModelInput, ModelOutput
from engine.types import DType, InferRequest, RequestedOutput, Tensor

LAYOUT = layout("model", 3, config())


def request(
    *arrays: np.ndarray, names: str = "XZ", outputs: str = "", name: str = ""
) -> InferRequest:
    return InferRequest(
        inputs=tuple(
            Tensor(one, DType.FP32, array) for one, array in zip(names, arrays, strict=False)
        ),
        outputs=tuple(RequestedOutput(name) for name in outputs),
        id=name,
    )


def rows(count: int, start: float = 0.0) -> np.ndarray:
    return np.arange(start, start + 2 * count, dtype=np.float32).reshape(count, 2)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_an_echo_gives_everybody_his_own_rows(counts: list[int]) -> None:
    requests = [
        request(rows(count, 100.0 * place), name=str(place)) for place, count in enumerate(counts)
    ]
    joined = join(requests, LAYOUT)
    assert joined["X"].shape == (sum(counts), 2)
    responses = answer(requests, {"Y": joined["X"]}, LAYOUT)
    for one, response in zip(requests, responses, strict=True):
        assert (response.model, response.version, response.id) == ("model", "3", one.id)
        (tensor,) = response.outputs
        assert (tensor.name, tensor.dtype) == ("Y", DType.FP32)
        np.testing.assert_array_equal(tensor.array, one.inputs[0].array)


def test_one_request_is_passed_through_without_a_copy() -> None:
    array = rows(3)
    joined = join([request(array)], LAYOUT)
    assert joined["X"] is array
    (response,) = answer([request(array)], {"Y": array}, LAYOUT)
    assert response.outputs[0].array is array


def test_responses_of_a_batch_are_views_of_one_array() -> None:
    computed = rows(4)
    requests = [request(rows(1)), request(rows(3))]
    for response in answer(requests, {"Y": computed}, LAYOUT):
        assert response.outputs[0].array.base is not None
        assert np.shares_memory(response.outputs[0].array, computed)


def test_inputs_are_joined_by_name_whatever_their_order() -> None:
    first = request(rows(1, 0), rows(1, 10), names="XZ")
    second = request(rows(2, 30), rows(2, 20), names="ZX")
    joined = join([first, second], LAYOUT)
    np.testing.assert_array_equal(joined["X"], np.concatenate([rows(1, 0), rows(2, 20)]))
    np.testing.assert_array_equal(joined["Z"], np.concatenate([rows(1, 10), rows(2, 30)]))


def test_strings_are_joined_like_numbers() -> None:
    texts = [np.array([[b"a", b""]], object), np.array([[b"\xff", b"long" * 99]], object)]
    joined = join([request(text) for text in texts], LAYOUT)
    assert joined["X"].tolist() == [[b"a", b""], [b"\xff", b"long" * 99]]


def _three() -> ModelConfig:
    return ModelConfig(
        max_batch_size=8,
        input=(ModelInput(name="X", data_type=DType.FP32, dims=(2,)),),
        output=tuple(ModelOutput(name=name, data_type=DType.FP32, dims=(2,)) for name in "ABC"),
    )


def test_only_the_outputs_somebody_wants_are_computed_and_each_gets_his_own() -> None:
    three = layout("model", 1, _three())
    requests = [request(rows(1), outputs="C"), request(rows(1), outputs="CA")]
    assert wanted(requests, three) == ("A", "C")
    assert wanted([*requests, request(rows(1))], three) == ("A", "B", "C")
    first, second = answer(requests, {"C": rows(2), "A": rows(2)}, three)
    assert [tensor.name for tensor in first.outputs] == ["C"]
    assert [tensor.name for tensor in second.outputs] == ["A", "C"]


def test_an_output_the_backend_leaves_out_is_absent() -> None:
    three = layout("model", 1, _three())
    (response,) = answer([request(rows(1))], {"B": rows(1)}, three)
    assert [tensor.name for tensor in response.outputs] == ["B"]


def test_a_model_without_a_batch_axis_is_passed_through() -> None:
    flat = layout("model", 1, config(max_batch_size=0))
    array = np.array([1, 2], np.float32)
    assert join([request(array)], flat)["X"] is array
    (response,) = answer([request(array)], {"Y": array}, flat)
    assert response.outputs[0].array is array


@pytest.mark.parametrize(
    ("before", "after", "shape", "lead", "result"),
    [
        ((1,), (), (4, 1), 1, (4,)),
        ((2, 4, -1, 6), (8, -1, 1, 6), (3, 2, 4, 7, 6), 1, (3, 8, 7, 1, 6)),
        ((-1, 3, -1), (-1, -1, 3), (2, 3, 5), 0, (2, 5, 3)),
        ((4,), (2, 2), (0, 4), 1, (0, 2, 2)),
    ],
)
def test_reshape_carries_varying_sizes_over_in_their_order(
    before: tuple[int, ...],
    after: tuple[int, ...],
    shape: tuple[int, ...],
    lead: int,
    result: tuple[int, ...],
) -> None:
    array = np.zeros(shape, np.float32)
    assert Reshape(before, after).apply(array, lead).shape == result
    back = Reshape(after, before).apply(array.reshape(result), lead)
    assert back.shape == shape


def test_a_model_sees_the_reshaped_input_and_a_client_the_declared_output() -> None:
    scalar = layout(
        "model",
        1,
        ModelConfig(
            max_batch_size=4,
            input=(ModelInput(name="X", data_type=DType.FP32, dims=(1,), reshape=()),),
            output=(ModelOutput(name="Y", data_type=DType.FP32, dims=(1,), reshape=()),),
        ),
    )
    requests = [request(np.array([[5]], np.float32)), request(np.array([[6], [7]], np.float32))]
    joined = join(requests, scalar)
    assert joined["X"].shape == (3,)
    responses = answer(requests, {"Y": joined["X"]}, scalar)
    assert [one.outputs[0].array.tolist() for one in responses] == [[[5.0]], [[6.0], [7.0]]]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 2), np.float32), r"shape \[3, 2\] for a batch of 2"),
        (np.zeros((), np.float32), r"shape \[\] for a batch of 2"),
        (np.zeros((2, 2), np.float64), "came out as float64, .* TYPE_FP32"),
    ],
)
def test_what_a_backend_may_not_return_is_said(array: np.ndarray, said: str) -> None:
    with pytest.raises(Internal, match=said):
        answer([request(rows(1)), request(rows(1))], {"Y": array}, LAYOUT)
