"""Ragged batches: what a model gets besides what requests bring, and what comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_backend import config

from engine.errors import Internal, InvalidArgument
from engine.execution.batch import answer, join, layout
from engine.execution.ragged import ragged
from engine.modelconfig.schema import (
    BatchInput,
    BatchInputKind,
    BatchOutput,
    ModelConfig,
    ModelInput,
    ModelOutput,
)
from engine.types import Array, DType, InferRequest, RequestedOutput, Tensor

Shape = tuple[int, ...]


def _config(
    *made: BatchInput, dims: Shape = (-1,), dealt: bool = False, reshape: Shape | None = None
) -> ModelConfig:
    """A model with a ragged input R and an even one E, echoing both."""
    return replace(
        config(),
        input=(
            ModelInput(
                name="R",
                data_type=DType.FP32,
                dims=dims,
                allow_ragged_batch=True,
                reshape=reshape,
            ),
            ModelInput(name="E", data_type=DType.FP32, dims=(2,)),
        ),
        output=(
            ModelOutput(name="F", data_type=DType.FP32, dims=dims),
            ModelOutput(name="G", data_type=DType.FP32, dims=(2,)),
        ),
        batch_input=made,
        batch_output=(BatchOutput(target_name=("F",), source_input=("R",)),) if dealt else (),
    )


def _made(
    kind: BatchInputKind, *names: str, dtype: DType = DType.INT32, source: str = "R"
) -> BatchInput:
    return BatchInput(
        kind=kind, target_name=names or ("B",), data_type=dtype, source_input=(source,)
    )


def _request(shape: Shape, start: float = 0.0, outputs: str = "") -> InferRequest:
    array = (np.arange(int(np.prod(shape)), dtype=np.float32) + np.float32(start)).reshape(shape)
    even = np.full((shape[0], 2), start, np.float32)
    return InferRequest(
        inputs=(Tensor("R", DType.FP32, array), Tensor("E", DType.FP32, even)),
        outputs=tuple(RequestedOutput(name) for name in outputs),
    )


def _joined(config: ModelConfig, *shapes: Shape) -> dict[str, Array]:
    requests = [_request(shape, 10.0 * place) for place, shape in enumerate(shapes)]
    return join(requests, layout("model", 1, config))


def test_an_ordinary_model_has_nothing_ragged() -> None:
    assert ragged(config()) is None
    assert layout("model", 1, config()).ragged is None


@pytest.mark.triton("7.13")
def test_ragged_inputs_lie_one_behind_the_other_and_the_others_as_ever() -> None:
    arrays = _joined(_config(), (1, 3), (1, 4), (2, 1))
    np.testing.assert_array_equal(arrays["R"], [0, 1, 2, 10, 11, 12, 13, 20, 21])
    np.testing.assert_array_equal(arrays["E"], [[0, 0], [10, 10], [20, 20], [20, 20]])


@pytest.mark.triton("7.13")
def test_one_request_lies_flat_as_well() -> None:
    assert _joined(_config(dims=(-1, 2)), (2, 3, 2))["R"].shape == (12,)


# The examples are those of model_config.proto and of Triton's page on ragged batching.
@pytest.mark.triton("7.14")
@pytest.mark.parametrize(
    ("kind", "dims", "shapes", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", (-1,), ((1, 3), (1, 4), (2, 5)), [3, 4, 10]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", (-1,), ((1, 3), (1, 4), (1, 5)), [3, 7, 12]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", (-1,), ((1, 2), (1, 2)), [2, 4]),
        (
            "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
            (-1,),
            ((1, 3), (1, 4), (1, 5)),
            [0, 3, 7, 12],
        ),
        ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", (-1,), ((1, 3), (1, 5), (1, 4)), [0] * 5),
        ("BATCH_ITEM_SHAPE", (-1, -1), ((2, 3, 1), (1, 2, 2)), [[3, 1], [3, 1], [2, 2]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", (-1, -1), ((2, 3, 1), (1, 2, 2)), [3, 1, 3, 1, 2, 2]),
        ("BATCH_ITEM_SHAPE", (-1,), ((1, 7),), [[7]]),
    ],
)
@pytest.mark.parametrize("dtype", [DType.INT32, DType.FP32])
def test_what_a_batch_input_holds(
    kind: str, dims: Shape, shapes: tuple[Shape, ...], expected: list[object], dtype: DType
) -> None:
    arrays = _joined(_config(_made(BatchInputKind[kind], dtype=dtype), dims=dims), *shapes)
    assert arrays["B"].dtype == dtype.numpy
    np.testing.assert_array_equal(arrays["B"], expected)


def test_every_target_gets_it_and_the_source_need_not_be_ragged() -> None:
    count = _made(BatchInputKind.BATCH_ELEMENT_COUNT, "B", "C", source="E")
    arrays = _joined(_config(count), (1, 3), (2, 4))
    np.testing.assert_array_equal(arrays["B"], [2, 4])
    np.testing.assert_array_equal(arrays["C"], [2, 4])


def test_shapes_are_those_that_the_model_sees() -> None:
    made = _made(BatchInputKind.BATCH_ITEM_SHAPE)
    arrays = _joined(_config(made, dims=(-1, 4), reshape=(-1, 2, 2)), (1, 3, 4))
    np.testing.assert_array_equal(arrays["B"], [[3, 2, 2]])


def test_a_source_that_was_left_out_is_named() -> None:
    lacking = replace(_request((1, 3)), inputs=_request((1, 3)).inputs[1:])
    arrangement = layout("model", 1, _config(_made(BatchInputKind.BATCH_ELEMENT_COUNT)))
    with pytest.raises(InvalidArgument, match="input 'R' is missing, which batch input 'B'"):
        join([lacking], arrangement)


@pytest.mark.triton("7.15")
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=6))
def test_what_is_dealt_out_by_an_inputs_shape_is_what_was_joined(shapes: list[Shape]) -> None:
    arrangement = layout("model", 1, _config(dealt=True))
    requests = [_request(shape, 10.0 * place) for place, shape in enumerate(shapes)]
    arrays = join(requests, arrangement)
    responses = answer(requests, {"F": arrays["R"], "G": arrays["E"]}, arrangement)
    for request, response in zip(requests, responses, strict=True):
        assert [one.name for one in response.outputs] == ["F", "G"]
        for given_, got in zip(request.inputs, response.outputs, strict=True):
            np.testing.assert_array_equal(got.array, given_.array)


@pytest.mark.triton("7.15")
def test_only_the_outputs_asked_for_are_dealt_out() -> None:
    arrangement = layout("model", 1, _config(dealt=True))
    requests = [_request((1, 2), outputs="F"), _request((1, 3), outputs="G")]
    arrays = join(requests, arrangement)
    responses = answer(requests, {"F": arrays["R"], "G": arrays["E"]}, arrangement)
    assert [[one.name for one in response.outputs] for response in responses] == [["F"], ["G"]]


def test_a_dealt_output_of_another_size_is_the_models_fault() -> None:
    arrangement = layout("model", 1, _config(dealt=True))
    with pytest.raises(Internal, match=r"'F' came out with 4 elements, but .* 'R' make 3"):
        answer([_request((1, 3))], {"F": np.zeros(4, np.float32)}, arrangement)
