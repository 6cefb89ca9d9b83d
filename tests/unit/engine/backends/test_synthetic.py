"""The synthetic backend: known latency, failures on request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kits.backend_kit import BackendKit

from engine.backend import Placement, Runnable, find
from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import ModelConfig, ModelInput, ModelOutput
from engine.types import DType

BACKEND = find("synthetic")


class TestKit(BackendKit):
    backend = BACKEND
    has_files = False

    def make(self, directory: Path) -> ModelConfig:  # noqa: ARG002 - it has no file
        return self.identity("synthetic")


def _load(**parameters: str) -> Runnable:
    config = replace(BackendKit.identity("synthetic"), parameters=parameters)
    return BACKEND.load(Path(), config, Placement())


def _run(runnable: Runnable, rows: int = 1) -> Mapping[str, object]:
    return runnable.run({"X": np.zeros((rows, 4), np.float32)}, ["Y"])


@pytest.mark.parametrize(
    ("parameters", "rows", "least_ms"),
    [
        ({"latency_us": "20000"}, 1, 20),
        ({"latency_us": "10000", "per_row_us": "5000"}, 4, 30),
        ({}, 8, 0),
    ],
)
def test_a_run_takes_what_it_is_told(parameters: dict[str, str], rows: int, least_ms: int) -> None:
    runnable = _load(**parameters)
    before_ns = time.monotonic_ns()
    _run(runnable, rows)
    took_ms = (time.monotonic_ns() - before_ns) / 1e6
    assert least_ms <= took_ms < least_ms + 500


def test_every_so_many_runs_one_fails() -> None:
    runnable = _load(fail_every="3")
    failed = []
    for number in range(1, 8):
        try:
            _run(runnable)
        except Internal as error:
            failed.append((number, error.message))
    assert failed == [
        (number, f"model 'identity': run {number} fails, as parameter fail_every = 3 says")
        for number in (3, 6)
    ]


def test_loading_fails_on_request() -> None:
    with pytest.raises(Internal, match="out of memory, it says here"):
        _load(fail_load="out of memory, it says here")


@pytest.mark.parametrize("text", ["-1", "1.5", "fast", ""])
def test_a_parameter_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"parameters\['latency_us'\]: expected a whole"):
        _load(latency_us=text)


def test_outputs_are_inputs_by_position_and_only_those_asked_for() -> None:
    config = ModelConfig(
        name="two",
        input=(
            ModelInput(name="A", data_type=DType.FP32, dims=(1,)),
            ModelInput(name="B", data_type=DType.BYTES, dims=(1,)),
        ),
        output=(
            ModelOutput(name="P", data_type=DType.FP32, dims=(1,)),
            ModelOutput(name="Q", data_type=DType.BYTES, dims=(1,)),
        ),
    )
    arrays = {"A": np.zeros((1, 1), np.float32), "B": np.array([[b"x"]], object)}
    runnable = BACKEND.load(Path(), config, Placement())
    assert runnable.run(arrays, ["P", "Q"]) == {"P": arrays["A"], "Q": arrays["B"]}
    assert runnable.run(arrays, ["Q"]) == {"Q": arrays["B"]}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ((), "at least one output"),
        ((("Y", DType.FP32), ("Z", DType.FP32)), "1 inputs and 2 outputs"),
        ((("Y", DType.FP16),), "'Y' must have the data_type and dims of input 'X'"),
    ],
)
def test_what_is_no_echo_is_refused(outputs: tuple[tuple[str, DType], ...], said: str) -> None:
    config = replace(
        BackendKit.identity("synthetic"),
        output=tuple(ModelOutput(name=name, data_type=dtype, dims=(4,)) for name, dtype in outputs),
    )
    with pytest.raises(InvalidArgument, match=said):
        BACKEND.load(Path(), config, Placement())
