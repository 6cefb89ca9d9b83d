"""The command that takes a measurement again is one that `analyze perf` takes, of the same load."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest
from support.single_rows import head, row

from analyzer.perf.flags import FLAGS
from analyzer.record.row import LoadSpec
from analyzer.report.again import again

PRECISE: dict[str, Any] = {
    "rule": "precision", "percentile": 0, "throughput_precision": 0.05, "latency_precision": 0.1,
    "max_seconds": 6.0,
}  # fmt: skip
KNOWN = {name for flag in FLAGS for name in flag.names.split()}


def command(**load: Any) -> list[str]:
    measured = replace(row("0", perf_throughput=1.0), load=LoadSpec(**{**PRECISE, **load}))
    words = shlex.split(again(measured, head({"server": "local"})))
    assert words[:2] == ["analyze", "perf"]
    assert {word for word in words[2:] if word.startswith("--")} <= KNOWN
    return words[2:]


def test_a_closed_loop_is_told_by_its_concurrency_and_precision() -> None:
    assert command(concurrency=16) == [
        "--model-name", "m", "--concurrency-range", "16", "--precision", "5,10",
        "--max-seconds", "6",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (
            {"request_rate": 62.5, "distribution": "poisson", "max_inflight": 1024},
            "--request-rate-range 62.5 --distribution poisson --max-inflight 1024",
        ),
        (
            {"request_rate": 10.0, "distribution": "gamma", "distribution_cv": 2.5},
            "--request-rate-range 10 --distribution gamma:2.5",
        ),
        ({"rule": "count", "request_count": 500}, "--concurrency-range 1 --request-count 500"),
        (
            {"rule": "windows", "window_seconds": 0.5, "tolerance": 0.1, "max_windows": 6},
            (
                "--measurement-mode time_windows --measurement-interval 500 "
                "--stability-percentage 10 --max-trials 6"
            ),
        ),
        ({"protocol": "grpc", "streaming": True}, "--protocol grpc --streaming"),
        ({"data": "zero", "batch_size": 8}, "--batch-size 8"),
        ({"data": "zero"}, "--input-data zero"),
        ({"headers": (("x-key", "a b"),)}, "--header 'x-key:a b'"),
        (
            {"request_rate": 9.0, "limit_ms": 15.0, "percentile": 99, "max_seconds": 40.0},
            "--slo 'p99<=15ms' --slo-seconds 40",
        ),
    ],
)
def test_each_kind_of_load_has_its_words(load: dict[str, Any], words: str) -> None:
    said, wanted = command(**load), shlex.split(words)
    assert any(said[at : at + len(wanted)] == wanted for at in range(len(said)))


def test_a_server_elsewhere_is_named_and_by_the_port_of_its_protocol() -> None:
    there = head({"server": "gpu-7:8000", "shapes": ["x:3,224"]})
    there = replace(there, command={"grpc_endpoint": "gpu-7:8001"})
    measured = replace(row("0", perf_throughput=1.0), load=LoadSpec(**PRECISE))
    said = again(measured, there)
    assert "--url gpu-7:8000" in said
    assert said.endswith("--shape x:3,224")
    over_grpc = replace(measured, load=LoadSpec(**PRECISE, protocol="grpc"))
    assert "--url gpu-7:8001" in again(over_grpc, there)


def test_what_no_such_command_measures_has_none() -> None:
    measured = row("0", perf_throughput=1.0)
    assert again(replace(measured, of_models={"a": {}, "b": {}}), head({})) == ""
    assert again(measured, head({"measured_by": "Model Analyzer"})) == ""
