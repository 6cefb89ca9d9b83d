import numpy as np
import pytest

from analyzer.errors import LoadError
from analyzer.load.payload import STRING_LENGTH, concrete, make
from engine.modelconfig.schema import ModelConfig, ModelInput
from engine.types import DType, TensorSpec

IMAGE = TensorSpec("image", DType.FP32, (-1, 3, -1, -1))
MASK = TensorSpec("mask", DType.INT64, (-1, 4))


def config(max_batch_size: int, *inputs: ModelInput) -> ModelConfig:
    return ModelConfig(name="m", max_batch_size=max_batch_size, input=inputs)


def shapes(specs: tuple[TensorSpec, ...]) -> dict[str, tuple[int, ...]]:
    return {spec.name: spec.shape for spec in specs}


def test_open_dimensions_are_one_and_the_first_is_the_batch() -> None:
    settled = concrete((IMAGE, MASK), config(8), 4, {})
    assert shapes(settled) == {"image": (4, 3, 1, 1), "mask": (4, 4)}


def test_a_given_shape_leaves_the_batch_out() -> None:
    settled = concrete((IMAGE,), config(8), 2, {"image": (3, 32, 48)})
    assert shapes(settled) == {"image": (2, 3, 32, 48)}


def test_a_model_that_does_not_batch_has_its_shapes_as_they_are() -> None:
    settled = concrete((IMAGE,), config(0), 1, {"image": (5, 3, 2, 2)})
    assert shapes(settled) == {"image": (5, 3, 2, 2)}


def test_without_a_configuration_the_shapes_tell_whether_the_model_batches() -> None:
    assert shapes(concrete((MASK,), None, 3, {})) == {"mask": (3, 4)}
    with pytest.raises(LoadError, match="batch size 3"):
        concrete((TensorSpec("x", DType.FP32, (4,)),), None, 3, {})


def test_optional_inputs_are_left_out_and_shape_tensors_have_no_batch() -> None:
    optional = ModelInput(name="mask", data_type=DType.INT64, dims=(4,), optional=True)
    shape = ModelInput(name="size", data_type=DType.INT32, dims=(2,), is_shape_tensor=True)
    specs = (IMAGE, MASK, TensorSpec("size", DType.INT32, (2,)))
    settled = concrete(specs, config(8, optional, shape), 4, {})
    assert shapes(settled) == {"image": (4, 3, 1, 1), "size": (2,)}


@pytest.mark.parametrize(
    ("max_batch_size", "batch_size", "given", "text"),
    [
        (8, 9, {}, "above the model's max_batch_size of 8"),
        (0, 2, {}, "needs a model that batches"),
        (8, 1, {"picture": (1,)}, "no input named 'picture'; it has image"),
        (8, 1, {"image": (3, 32)}, r"shape \[3, 32\] does not fit \[3, -1, -1\]"),
        (8, 1, {"image": (4, 32, 32)}, r"shape \[4, 32, 32\] does not fit"),
    ],
)
def test_what_the_model_cannot_take_is_said_with_what_it_can(
    max_batch_size: int, batch_size: int, given: dict[str, tuple[int, ...]], text: str
) -> None:
    with pytest.raises(LoadError, match=text):
        concrete((IMAGE,), config(max_batch_size), batch_size, given)


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("kind", ["random", "zero"])
def test_every_type_is_filled_to_its_shape_and_the_seed_decides(dtype: DType, kind: str) -> None:
    specs = (TensorSpec("x", dtype, (3, 50)),)
    (first,), (again,), (other,) = (make(specs, kind, seed).inputs for seed in (1, 1, 2))
    assert first.array.shape == (3, 50)
    assert first.array.dtype == dtype.numpy
    assert np.array_equal(first.array, again.array)
    assert np.array_equal(first.array, other.array) == (kind == "zero")


def test_random_values_are_those_that_a_model_survives() -> None:
    dtypes = [dtype for dtype in DType if dtype is not DType.BYTES]
    for dtype in dtypes:
        (tensor,) = make((TensorSpec("x", dtype, (1000,)),), "random", 0).inputs
        values = tensor.array
        if dtype is DType.BF16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        assert values.min() >= 0
        assert values.max() <= 1
        assert values.min() < values.max()


def test_strings_are_letters_of_the_length_that_perf_analyzer_sends() -> None:
    (tensor,) = make((TensorSpec("x", DType.BYTES, (2, 2)),), "random", 0).inputs
    assert all(isinstance(item, bytes) and item.isalpha() for item in tensor.array.flat)
    assert {len(item) for item in tensor.array.flat} == {STRING_LENGTH}


def test_data_of_an_unknown_kind_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(LoadError, match="there are: random, zero"):
        make((MASK,), "ones", 0)
