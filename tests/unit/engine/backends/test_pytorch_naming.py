"""Which tensor of a configuration is which argument of a PyTorch model: Triton's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backends.pytorch.naming import Convention, Slot, match_inputs, match_outputs, paths
from engine.backends.pytorch.settings import Settings, read
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import (
    BatchInput,
    ModelConfig,
    ModelInput,
    ModelOutput,
)
from engine.types import DType

FORWARD = (Slot(("image",)), Slot(("mask",), optional=True))


def config(*inputs: str, outputs: tuple[str, ...] = ("Y",)) -> ModelConfig:
    return ModelConfig(
        name="m",
        backend="pytorch",
        input=tuple(ModelInput(name=name, data_type=DType.FP32, dims=(1,)) for name in inputs),
        output=tuple(ModelOutput(name=name, data_type=DType.FP32, dims=(1,)) for name in outputs),
    )


@pytest.mark.triton("2c.14")
@pytest.mark.parametrize(
    ("names", "convention", "places"),
    [
        (("mask", "image"), Convention.NAMES, {"mask": 1, "image": 0}),
        (("image",), Convention.NAMES, {"image": 0}),
        (("a__1", "b__0"), Convention.INDEX, {"a__1": 1, "b__0": 0}),
        (("first", "second"), Convention.ORDER, {"first": 0, "second": 1}),
        (("image", "second"), Convention.ORDER, {"image": 0, "second": 1}),
        (("a__1", "second"), Convention.ORDER, {"a__1": 0, "second": 1}),
    ],
)
def test_inputs_go_by_the_models_names_else_by_index_else_by_order(
    names: tuple[str, ...], convention: Convention, places: dict[str, int]
) -> None:
    matched = match_inputs(config(*names), FORWARD)
    assert (matched.convention, matched.places) == (convention, places)


@given(st.permutations(range(5)))
def test_indexes_may_stand_in_any_order(order: list[int]) -> None:
    names = tuple(f"t__{index}" for index in order)
    slots = [Slot((letter,)) for letter in "abcde"]
    assert match_inputs(config(*names), slots).places == dict(zip(names, order, strict=True))
    assert match_outputs(config("X", outputs=names), None).places == dict(
        zip(names, order, strict=True)
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a__0", "b__0"), "inputs 'a__0' and 'b__0' are both argument 0"),
        (("a__0", "b__7"), "input 'b__7' is argument 7, and the model has 2"),
        (("x", "y", "z"), "input 'z' is argument 2"),
        (("mask",), "no input is given for the model's argument 'image'; the model takes image"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_the_model_takes(
    names: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"model 'm': .*{said}"):
        match_inputs(config(*names), FORWARD)


def test_what_a_batcher_adds_has_no_place_in_an_order() -> None:
    added = BatchInput(kind="BATCH_ELEMENT_COUNT", target_name=("mask",), data_type=DType.INT32)  # type: ignore[arg-type]
    by_order = replace(config("first"), batch_input=(added,))
    with pytest.raises(InvalidArgument, match="not all inputs follow a naming convention"):
        match_inputs(by_order, FORWARD)
    assert match_inputs(replace(config("image"), batch_input=(added,)), FORWARD).places == {
        "image": 0,
        "mask": 1,
    }


@pytest.mark.triton("2c.14")
def test_leaves_of_a_call_are_named_by_their_path() -> None:
    assert paths((0, [1, {"k": 2}]), "ARGS") == ("ARGS[0]", "ARGS[1][0]", "ARGS[1][1][k]")
    assert paths({"mask": 0}, "KWARGS") == ("KWARGS[mask]",)
    assert paths(0, "RESULT") == ("RESULT",)


def test_parameters_are_read_and_refused_by_name() -> None:
    assert read(config("X")) == Settings()
    told = replace(
        config("X"),
        parameters={
            "INFERENCE_MODE": "false",
            "DISABLE_OPTIMIZED_EXECUTION": "true",
            "DISABLE_CUDNN": "1",
            "ENABLE_WEIGHT_SHARING": "true",
            "ENABLE_CACHE_CLEANING": "true",
            "ENABLE_JIT_EXECUTOR": "true",
            "ENABLE_JIT_PROFILING": "false",
            "ENABLE_TENSOR_FUSER": "true",
            "INTRA_OP_THREAD_COUNT": "3",
            "INTER_OP_THREAD_COUNT": "2",
        },
    )
    assert read(told) == Settings(
        inference_mode=False,
        optimized_execution=False,
        cudnn=False,
        weight_sharing=True,
        cache_cleaning=True,
        jit_executor=True,
        jit_profiling=False,
        tensor_fuser=True,
        intra_op_threads=3,
        inter_op_threads=2,
    )
    for key, value in (("INFERENCE_MODE", "maybe"), ("INTRA_OP_THREAD_COUNT", "0")):
        with pytest.raises(InvalidArgument, match=f"parameters\\['{key}'\\]: expected .*'{value}'"):
            read(replace(config("X"), parameters={key: value}))
    for python in (
        replace(config("X"), runtime="model.py"),
        replace(config("X"), parameters={"NUM_THREADS": "1"}),
    ):
        with pytest.raises(Unsupported, match='write backend: "python"'):
            read(python)
