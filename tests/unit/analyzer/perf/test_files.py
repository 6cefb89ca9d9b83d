"""The files that perf_analyzer's readers read: columns, digits and fields, to the letter."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_drive import START, FakeServer

from analyzer.load.records import RECORD, Records
from analyzer.metrics import GpuUse, ServerTimes
from analyzer.perf.csv_text import composing_files, main_file
from analyzer.perf.export import profile_export
from analyzer.perf.figures import Figures, figures
from analyzer.perf.options import Measuring, Mode, PerfOptions, Rule
from analyzer.perf.runs import load_of, rule_of

SERVER = ServerTimes(
    requests=100, inferences=200, executions=50, request_ns=900_000.0, queue_ns=64_000.0,
    compute_input_ns=20_000.0, compute_infer_ns=700_000.0, compute_output_ns=19_900.0,
)  # fmt: skip
OPTIONS = PerfOptions(model="m", measuring=Measuring(rule=Rule.COUNT, request_count=300))
HEAD = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,"
    "Server Compute Input,Server Compute Infer,Server Compute Output,Client Recv,"
    "p50 latency,p90 latency,p95 latency,p99 latency"
)

WITH_GPUS = (
    ",Avg latency,request/response,response wait,Avg GPU Utilization,Avg GPU Power Usage,"
    "Max GPU Memory Usage,Total GPU Memory"
)


def measured(options: PerfOptions = OPTIONS, level: float = 1, **more: Any) -> Figures:
    server = FakeServer(server=SERVER, **more)
    driven = server(load_of(options, level), None, lambda: rule_of(options, level))
    return figures(driven, options, level)


@pytest.fixture(scope="module")
def levels() -> tuple[Figures, ...]:
    return tuple(measured(level=level) for level in (4, 1, 2))


def test_the_csv_has_perf_analyzers_columns_and_rows_by_throughput(
    levels: tuple[Figures, ...],
) -> None:
    lines = main_file(levels, OPTIONS, cached=False).splitlines()
    assert lines[0] == HEAD
    rows = [line.split(",") for line in lines[1:]]
    rates = [float(row[1]) for row in rows]
    assert rates == sorted(rates)
    assert {row[0] for row in rows} == {"1", "2", "4"}
    assert all(each.isdecimal() for row in rows for each in row[2:])
    one = next(row for row in rows if row[0] == "1")
    assert one[2:3] + one[4:9] == ["2", "64", "20", "700", "19", "1"]
    average = int(levels[1].summary.latency_avg.value / 1000)
    assert int(one[3]) == pytest.approx(average - 2 - 1 - 64 - 20 - 700 - 19, abs=2)
    assert rates[0] == float(f"{levels[1].throughput:.6g}")


@pytest.mark.parametrize(
    ("changes", "cached", "added", "after"),
    [
        ({"verbose_csv": True}, False, ",Avg latency,request/response,response wait", HEAD),
        ({"verbose_csv": True, "percentile": 85}, False, ",request/response,response wait",
         HEAD.replace("p90", "p85 latency,p90")),
        ({"verbose_csv": True, "collect_metrics": True}, False, WITH_GPUS, HEAD),
        ({}, True, "", HEAD.replace("Client R", "Server Cache Hit,Server Cache Miss,Client R")),
        ({"mode": Mode.RATE}, False, "", HEAD.replace("Concurrency", "Request Rate")),
    ],
)  # fmt: skip
def test_more_columns_come_where_perf_analyzer_has_them(
    changes: dict[str, Any], cached: Any, added: str, after: str
) -> None:
    options = replace(OPTIONS, **changes)
    each = measured(options, 100)
    lines = main_file([each], options, cached=cached).splitlines()
    assert lines[0] == after + added
    assert len(lines[1].split(",")) == len(lines[0].split(","))


def test_a_server_without_statistics_has_no_columns_of_them() -> None:
    each = replace(measured(), server=None)
    head = main_file([each], OPTIONS, cached=False).splitlines()[0]
    assert head.startswith("Concurrency,Inferences/Second,Client Send,Client Recv,p50 latency")


def test_gpus_stand_behind_their_uuid() -> None:
    gpus = (
        GpuUse(uuid="GPU-1", name="a", utilization=45.5, power_watts=70.25,
               used_bytes=12345678901, total_bytes=85000000000),
        GpuUse(uuid="GPU-2", name="b"),
    )  # fmt: skip
    options = replace(OPTIONS, verbose_csv=True, collect_metrics=True)
    row = main_file([replace(measured(), gpus=gpus)], options, cached=False).splitlines()[1]
    assert row.split(",")[-4:] == [
        "GPU-1:0.455;", "GPU-1:70.25;", "GPU-1:12345678901;", "GPU-1:85000000000;",
    ]  # fmt: skip


def test_the_models_behind_a_model_have_files_of_their_own(levels: tuple[Figures, ...]) -> None:
    inner = {("part", "2"): replace(SERVER, requests=200, request_ns=1_000_000.0)}
    every = [replace(each, composing=inner) for each in levels]
    options = replace(OPTIONS, csv=Path("out/perf.csv"))
    files = composing_files(every, options, cached=False)
    ((path, content),) = files.items()
    assert path == Path("out/part_v2.perf.csv")
    lines = content.splitlines()
    assert lines[0] == HEAD.partition(",p50")[0]
    first = lines[1].split(",")
    least = min(each.throughput for each in levels)
    assert first[1] == f"{2 * least:g}"
    assert first[2:] == ["0", "196", "64", "20", "700", "19", "0"]


def test_rates_have_six_digits_as_cpp_prints_them() -> None:
    each = measured(level=2, service_ms=0.01)
    cell = main_file([each], OPTIONS, cached=False).splitlines()[1].split(",")[1]
    assert cell == f"{each.throughput:.6g}"


def test_the_export_has_every_request_in_perf_analyzers_fields(
    levels: tuple[Figures, ...],
) -> None:
    plain = json.loads(profile_export(levels[:1], epoch_ns=5))
    assert list(plain) == ["experiments", "version", "service_kind", "endpoint"]
    assert (plain["service_kind"], plain["endpoint"]) == ("triton", "")
    (one,) = plain["experiments"]
    assert list(one) == ["experiment", "requests", "window_boundaries"]
    assert one["experiment"] == {"mode": "concurrency", "value": 4}
    assert len(one["requests"]) == levels[0].summary.requests
    first = one["requests"][0]
    assert list(first) == [
        "timestamp", "request_inputs", "response_timestamps", "response_outputs",
    ]  # fmt: skip
    assert first["request_inputs"] == {}
    assert first["response_outputs"] == [{}]
    assert first["timestamp"] < first["response_timestamps"][0]
    assert first["timestamp"] >= START + 5
    assert one["window_boundaries"] == [edge + 5 for edge in levels[0].boundaries_ns]


def test_the_export_has_sequences_and_every_response() -> None:
    array = np.zeros(2, RECORD)
    array["began"], array["last"], array["sequence"] = [10, 20], [40, 60], [0, 7]
    records = Records(array, (), np.array([30, 40, 60]), np.array([0, 2, 3]))
    each = replace(measured(), mode=Mode.RATE, level=2.5, records=records)
    (one,) = json.loads(profile_export([each], epoch_ns=0))["experiments"]
    assert one["experiment"] == {"mode": "request_rate", "value": 2.5}
    assert [each["response_timestamps"] for each in one["requests"]] == [[30, 40], [60]]
    assert "sequence_id" not in one["requests"][0]
    assert one["requests"][1]["sequence_id"] == 7
