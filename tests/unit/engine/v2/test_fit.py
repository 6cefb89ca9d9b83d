"""Whether a request fits a model: Triton's order of checks, and its words."""

from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError, InvalidArgument
from engine.types import DType, InferRequest, RequestedOutput, Span, Tensor, TensorSpec
from engine.v2.fit import Fit

BATCHING = Fit(
    "m",
    4,
    (TensorSpec("a", DType.FP32, (-1, 16)), TensorSpec("b", DType.INT32, (-1, -1))),
    (TensorSpec("y", DType.FP32, (-1, 16)),),
)
PLAIN = Fit(
    "p",
    0,
    (TensorSpec("a", DType.FP32, (2, -1)), TensorSpec("c", DType.FP32, (1,), optional=True)),
    (TensorSpec("y", DType.FP32, (2,)),),
)


def tensor(name: str, *shape: int, dtype: DType = DType.FP32) -> Tensor:
    return Tensor(name, dtype, np.zeros(shape, dtype.numpy))


def good(rows: int = 2) -> tuple[Tensor, Tensor]:
    return tensor("a", rows, 16), tensor("b", rows, 5, dtype=DType.INT32)


def refusal(fit: Fit, *inputs: Tensor, outputs: tuple[RequestedOutput, ...] = ()) -> EngineError:
    with pytest.raises(EngineError) as caught:
        fit.check(InferRequest(inputs=inputs, outputs=outputs, id="7"))
    return caught.value


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_request_that_fits_passes_again_and_again(rows: int) -> None:
    for _ in range(3):
        BATCHING.check(InferRequest(inputs=good(rows), outputs=(RequestedOutput("y"),)))
        BATCHING.check(InferRequest(inputs=good(rows)[::-1]))


def test_optional_inputs_may_be_left_out() -> None:
    PLAIN.check(InferRequest(inputs=(tensor("a", 2, 9),)))
    PLAIN.check(InferRequest(inputs=(tensor("a", 2, 9), tensor("c", 1))))


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (tensor("a", 1, 16),),
            ("expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['a'], but missing "
            "required input(s) ['b']. Please provide all required input(s)."),
        ),
        ((), ("expected 2 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing "
             "required input(s) ['a','b']. Please provide all required input(s).")),
        ((tensor("a", 1, 16), tensor("z", 1)), "unexpected inference input 'z' for model 'm'"),
        ((tensor("a", 1, 16), tensor("a", 1, 16)), "input 'a' already exists in request"),
        (
            (good()[0], tensor("b", 2, 5)),
            "inference input 'b' data-type is 'FP32', but model 'm' expects 'INT32'",
        ),
        (
            (tensor("a", 2, 17), good()[1]),
            ("unexpected shape for input 'a' for model 'm'. Expected [-1,16], got [2,17]. NOTE: "
            "Setting a non-zero max_batch_size in the model config requires a batch dimension to "
            "be prepended to each input shape. If you want to specify the full shape including "
            "the batch dim in your input dims config, try setting max_batch_size to zero. See the "
            "model configuration docs for more info on max_batch_size."),
        ),
        ((tensor("a", 16), good()[1]), "Expected [-1,16], got [16]. NOTE: "),
        (
            (tensor("a"), good()[1]),
            "input 'a' has no shape but model requires batch dimension for 'm'",
        ),
        (
            (good(2)[0], good(3)[1]),
            "input 'b' batch size does not match other inputs for 'm'",
        ),
        (good(5), "inference request batch-size must be <= 4 for 'm'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_batching_model_is_told_why(
    inputs: tuple[Tensor, ...], text: str
) -> None:
    for _ in range(2):  # what was refused once is refused again
        error = refusal(BATCHING, *inputs)
        assert isinstance(error, InvalidArgument)
        assert error.message.startswith("[request id: 7] ")
        assert text in error.message


def test_a_model_that_does_not_batch_gets_no_note() -> None:
    assert refusal(PLAIN, tensor("a", 3, 3)).message == (
        "[request id: 7] unexpected shape for input 'a' for model 'p'. Expected [2,-1], got [3,3]. "
    )


def test_counts_with_optional_inputs_are_a_range() -> None:
    text = refusal(PLAIN).message
    assert "expected number of inputs between 1 and 2 but got 0 inputs for model 'p'" in text


def test_outputs_are_the_models_and_asked_for_once() -> None:
    unknown = refusal(BATCHING, *good(), outputs=(RequestedOutput("x"),))
    assert unknown.message == "[request id: 7] unexpected inference output 'x' for model 'm'"
    twice = refusal(BATCHING, *good(), outputs=(RequestedOutput("y"), RequestedOutput("y")))
    assert twice.message == "[request id: 7] output 'y' already exists in request"


def test_outputs_that_need_more_than_the_model_are_told() -> None:
    def special(**how: Any) -> bool:
        outputs = (RequestedOutput("y", **how),)
        return BATCHING.check(InferRequest(inputs=good(), outputs=outputs))

    assert not special(binary=True)
    assert special(classification=3)
    assert special(span=Span("r", 0, 8))


def test_a_request_without_an_id_is_tagged_unknown() -> None:
    with pytest.raises(InvalidArgument, match=r"^\[request id: <id_unknown>\] "):
        BATCHING.check(InferRequest(inputs=()))
