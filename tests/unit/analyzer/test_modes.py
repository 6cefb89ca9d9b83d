"""What Model Analyzer's modes search of a model's space, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer import layout
from analyzer.config.load import load_options
from analyzer.ranking.goal import Goal
from analyzer.space import (
    BACKEND,
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    PRECISION,
    QUEUE_DELAY,
    REQUEST_RATE,
    Candidate,
    Value,
)
from engine.modelconfig.schema import (
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
)

BASE = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=4,
    default_model_filename="model.onnx",
    instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=1),),
)
WITH_DELAY = ModelConfig(
    name="m", backend="onnxruntime", max_batch_size=4,
    default_model_filename="model.onnx",
    dynamic_batching=DynamicBatching(max_queue_delay_microseconds=300),
)  # fmt: skip
MACHINE: dict[str, Any] = {
    "cores": 4,
    "cpu_precisions": ["BF16"],
    "versions": {"onnxruntime": "1.30", "openvino": "2026.4"},
}


def laid(base: ModelConfig = BASE, **given: object) -> layout.Layout:
    (options,) = load_options(None, {"profile_models": "m", **given})
    return layout.lay_out(options, Goal(), base, MACHINE, files={"m": frozenset({"model.onnx"})})


def values(made: layout.Layout) -> dict[str, tuple[Value, ...]]:
    return {each.name: each.values for each in made.space.dimensions}


@pytest.mark.parametrize("mode", ["brute", "quick", "optuna"])
def test_model_analyzers_modes_vary_what_it_varies(mode: str) -> None:
    assert values(laid(run_config_search_mode=mode)) == {
        INSTANCE_COUNT: (1, 2, 3, 4),
        QUEUE_DELAY: (0,),
        MAX_BATCH_SIZE: (1, 2, 4, 8, 16, 32, 64, 128),
        CONCURRENCY: tuple(2**k for k in range(11)),
    }


def test_beyond_that_they_vary_what_is_listed() -> None:
    listed = {"queue_delays": "-1,100", "intra_op_threads": "2", "precisions": "FP32,BF16",
              "backends": "openvino"}  # fmt: skip
    found = values(laid(run_config_search_mode="quick", **listed))
    assert found[QUEUE_DELAY] == (-1, 100)
    assert found[INTRA_OP_THREADS] == (2,)
    assert found[PRECISION] == ("FP32", "BF16")
    assert found[BACKEND] == ("openvino",)


def test_a_models_own_queue_delay_stays() -> None:
    assert values(laid(WITH_DELAY, run_config_search_mode="brute"))[QUEUE_DELAY] == (300,)


def test_our_own_modes_vary_all_there_is() -> None:
    found = values(laid(run_config_search_mode="climb"))
    assert {BACKEND, PRECISION, INTRA_OP_THREADS} < set(found)
    assert len(found[QUEUE_DELAY]) > 1


def test_request_rates_take_the_place_of_concurrencies() -> None:
    assert values(laid(request_rate="10,20.5"))[REQUEST_RATE] == (10.0, 20.5)
    rates = values(laid(request_rate_search_enable=True))
    assert rates[REQUEST_RATE] == tuple(16.0 * 2**k for k in range(10))
    assert CONCURRENCY not in rates
    bounded = values(
        laid(run_config_search_min_request_rate=50, run_config_search_max_request_rate=200)
    )
    assert bounded[REQUEST_RATE] == (50.0, 100.0, 200.0)


def test_several_batch_sizes_are_a_load_and_one_is_the_clients() -> None:
    made = laid(batch_sizes="1,4,8")
    assert values(made)[BATCH_SIZE] == (1, 4, 8)
    # The default is measured with each that it takes.
    assert made.plan.default == (
        Candidate.of(concurrency=1, batch_size=1),
        Candidate.of(concurrency=8, batch_size=1),
        Candidate.of(concurrency=8, batch_size=4),
    )
    assert BATCH_SIZE not in values(laid(batch_sizes="4"))
    assert values(laid(batch_sizes="4"))[MAX_BATCH_SIZE][0] == 4


@pytest.mark.parametrize("mode", ["brute", "quick", "optuna"])
def test_model_analyzers_modes_end_by_their_own_rules_unless_a_budget_is_given(mode: str) -> None:
    free = laid(run_config_search_mode=mode).plan
    assert (free.search_seconds, free.curve_seconds, free.whole_seconds) == (None, None, None)
    assert laid(run_config_search_mode=mode, max_time=60).plan.whole_seconds == 60
    assert laid(run_config_search_mode=mode, search_time=30).plan.search_seconds == 30
    assert laid(run_config_search_mode="climb").plan.whole_seconds is not None


def test_a_strategy_is_told_what_was_given() -> None:
    usual = laid().problem.options
    assert "optuna_max_trials" not in usual
    assert "concurrency" not in usual
    told = laid(
        optuna_max_trials=7, concurrency="1,2", concurrency_sweep_disable=True, max_trials=9,
        early_exit_enable=True, optuna_sampler="random",
    ).problem  # fmt: skip
    assert told.max_trials == 9
    expected = {"optuna_max_trials": 7, "concurrency": (1, 2), "early_exit_enable": True,
                "concurrency_sweep_disable": True, "optuna_sampler": "random"}  # fmt: skip
    assert expected.items() <= told.options.items()
