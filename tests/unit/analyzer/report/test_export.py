"""Model Analyzer's files: headers, order, rounding and cells as its golden files have them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from support import rows as made

from analyzer.errors import UsageError
from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Phase, Row
from analyzer.report.evidence import gather
from analyzer.report.export import (
    GPU,
    INFERENCE,
    PARETO,
    SERVER_ONLY,
    Fields,
    csv_files,
    instance_group,
)

CPU_ROWS, GPU_ROWS = made.resnet50(), made.resnet50(gpu=True)


def files(
    rows: Sequence[Row], machine: Mapping[str, Any] = made.CPU_MACHINE, budget: float | None = None
) -> dict[str, str]:
    return csv_files(gather(made.head(machine=machine), rows, parse_goal(latency_budget=budget)))


def table(text: str) -> list[dict[str, str]]:
    assert text.endswith("\n\n")
    return list(csv.DictReader(text.splitlines()))


def small() -> list[Row]:
    """Two variants at two loads, with round numbers."""
    sweep = made.Sweep("add_sub", gpu=True)
    for number, rates in ((None, (3140.74, 7755.26)), (1, (2895.0, 8041.25))):
        variant = sweep.variant(number, instances=number or 2, batch=8)
        for concurrency, rate in zip((1, 2), rates, strict=True):
            sweep.measure(variant, (concurrency,))
            metrics = {"perf_throughput": rate, "perf_latency_p99": 0.449 * concurrency}
            gpu = {"gpu_used_memory": 822.04, "gpu_utilization": 4.26, "gpu_power_usage": 55.75}
            sweep.rows[-1] = replace(sweep.rows[-1], metrics=metrics, gpus={made.GPU_UUID: gpu})
    return sweep.rows


def test_inference_metrics_are_the_golden_files_form_to_the_byte() -> None:
    assert files(small())[INFERENCE] == (
        "Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,"
        "Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms)\n"
        "add_sub,1,2,add_sub_config_1,1:GPU,8,Yes,8041.2,0.9\n"
        "add_sub,1,1,add_sub_config_1,1:GPU,8,Yes,2895.0,0.4\n"
        "add_sub,1,2,add_sub_config_default,2:GPU,8,Yes,7755.3,0.9\n"
        "add_sub,1,1,add_sub_config_default,2:GPU,8,Yes,3140.7,0.4\n"
        "\n"
    )


def test_gpu_metrics_are_the_golden_files_form_to_the_byte() -> None:
    text = files(small())[GPU]
    assert text.startswith(
        "Model,GPU UUID,Batch,Concurrency,Model Config Path,Instance Group,Satisfies Constraints,"
        "GPU Memory Usage (MB),GPU Utilization (%),GPU Power Usage (W)\n"
        f"add_sub,{made.GPU_UUID},1,2,add_sub_config_1,1:GPU,Yes,822.0,4.3,55.8\n"
    )
    assert len(table(text)) == 4


def test_runs_of_request_rates_have_model_analyzers_column_for_them() -> None:
    rows = [
        replace(row, load=replace(row.load, request_rate=16.0 * row.load.concurrency))
        for row in small()
    ]
    found = files(rows)
    assert found[INFERENCE].startswith(
        "Model,Batch,Request Rate,Model Config Path,Instance Group,Max Batch Size,"
        "Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms)\n"
        "add_sub,1,32,add_sub_config_1,1:GPU,8,Yes,8041.2,0.9\n"
    )
    assert found[GPU].startswith("Model,GPU UUID,Batch,Request Rate,Model Config Path,")
    both = table(files([rows[0], *small()[1:]])[INFERENCE])
    assert [(line["Concurrency"], line["Request Rate"]) for line in both] == [
        ("2", ""), ("1", ""), ("2", ""), ("", "16"),
    ]  # fmt: skip


def test_measurements_that_keep_the_constraints_come_first_each_side_from_best_to_worst() -> None:
    lines = table(files(CPU_ROWS, budget=100)[INFERENCE])
    groups: dict[str, list[dict[str, str]]] = {}
    for line in lines:
        groups.setdefault(line["Model Config Path"], []).append(line)
    assert [name for name, _ in groups.items()] == list(
        dict.fromkeys(line["Model Config Path"] for line in lines)
    )
    for group in groups.values():
        kept = [line["Satisfies Constraints"] for line in group]
        assert kept == sorted(kept, reverse=True)
        rates = [
            float(line["Throughput (infer/sec)"])
            for line in group
            if line["Satisfies Constraints"] == "Yes"
        ]
        assert rates == sorted(rates, reverse=True)
    first = [group[0]["Satisfies Constraints"] for group in groups.values()]
    assert first == sorted(first, reverse=True)


def test_a_configuration_has_one_line_for_each_load_whatever_was_verified() -> None:
    lines = table(files(CPU_ROWS)[INFERENCE])
    keys = [(line["Model Config Path"], line["Batch"], line["Concurrency"]) for line in lines]
    assert len(keys) == len(set(keys))
    ranked = [
        row for row in CPU_ROWS if row.failure is None and row.trial.phase is not Phase.VERIFY
    ]
    assert len(keys) == len(ranked)


def test_by_what_a_model_was_run_is_told_where_rows_differ_in_it() -> None:
    first, *rest = small()
    by = {"backend": "openvino", "precision": "BF16", "accelerator": "none"}
    changed = replace(first, settings={**first.settings, **by})
    lines = table(files([changed, *rest])[INFERENCE])
    told = {(line["Backend"], line["Precision"]) for line in lines}
    assert ("openvino", "BF16") in told
    assert len(told) == 2
    assert "Backend" not in table(files(small())[INFERENCE])[0]


def test_the_pareto_set_has_a_line_for_each_option_with_the_bounds_of_its_values() -> None:
    found = gather(made.head(), CPU_ROWS, parse_goal()).frontier
    lines = table(files(CPU_ROWS)[PARETO])
    assert [line["Model Config Path"] for line in lines] == [
        each.row.variant for each in found.options
    ]
    assert [line["Knee"] for line in lines].count("Yes") == (found.knee is not None)
    rates = [float(line["p99 Latency (ms)"]) for line in lines]
    assert rates == sorted(rates)
    for line in lines:
        low, value, high = (float(line[f"RAM Usage (MB){end}"]) for end in (" low", "", " high"))
        assert low < value < high


def test_a_table_without_rows_is_no_file() -> None:
    assert set(files(CPU_ROWS)) == {INFERENCE, PARETO}
    assert set(files(GPU_ROWS)) == {INFERENCE, GPU, PARETO}
    assert files([row for row in CPU_ROWS if row.failure is not None]) == {}


def test_gpu_lines_are_only_of_what_ran_on_gpus() -> None:
    rows = [replace(row, settings={**row.settings, "instance_group": "2:CPU"}) for row in GPU_ROWS]
    assert GPU not in files(rows)


def test_a_metric_that_no_gpu_has_is_no_column() -> None:
    rows = [
        replace(
            row,
            gpus={uuid: {"gpu_used_memory": m["gpu_used_memory"]} for uuid, m in row.gpus.items()},
        )
        for row in GPU_ROWS
    ]
    head = files(rows)[GPU].splitlines()[0]
    assert head.endswith(",Satisfies Constraints,GPU Memory Usage (MB)")


def test_the_servers_own_use_is_written_where_it_was_measured() -> None:
    idle = {made.GPU_UUID: {"gpu_used_memory": 457.0, "gpu_utilization": 0.0}}
    text = files(GPU_ROWS, {**made.GPU_MACHINE, "server_only": idle})[SERVER_ONLY]
    assert text == (
        "Model,GPU UUID,GPU Memory Usage (MB),GPU Utilization (%)\n"
        f"triton-server,{made.GPU_UUID},457.0,0.0\n\n"
    )


def test_a_kind_left_open_is_the_one_that_was_used() -> None:
    gpu, cpu = GPU_ROWS[0], CPU_ROWS[0]
    assert instance_group(replace(gpu, settings={"instance_group": "2:AUTO"})) == "2:GPU"
    assert instance_group(replace(cpu, settings={"instance_group": "2:AUTO"})) == "2:CPU"
    assert instance_group(replace(cpu, settings={})) == "1:CPU"
    assert instance_group(replace(gpu, settings={"instance_group": "4:GPU + 1:CPU"})) == (
        "4:GPU + 1:CPU"
    )


def test_columns_that_a_file_asks_for_are_those_in_its_order() -> None:
    fields = Fields(
        inference=(
            "perf_latency_p99", "model_name", "backend_parameter/intra_op_thread_count",
            "concurrency", "perf_latency", "gpu_temperature",
        ),
        gpu=("gpu_uuid", "gpu_used_memory"),
    )  # fmt: skip
    found = csv_files(gather(made.head(), small(), parse_goal()), fields=fields)
    assert found[INFERENCE].splitlines()[:2] == [
        "p99 Latency (ms),Model,intra_op_thread_count,Concurrency,p99 Latency (ms)",
        "0.9,add_sub,2,2,0.9",
    ]
    assert found[GPU].splitlines()[:2] == [
        "GPU UUID,GPU Memory Usage (MB)", f"{made.GPU_UUID},822.0",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="gpu_output_fields: no column named 'gpu_uid'; there are"):
        Fields(gpu=("gpu_uid",)).check()


def test_several_models_are_one_table_with_one_head() -> None:
    first = gather(made.head(machine={"server_only": {"G": {"gpu_used_memory": 1.0}}}), small(),
                   parse_goal())  # fmt: skip
    open_loop = [replace(row, load=replace(row.load, request_rate=16.0)) for row in CPU_ROWS]
    second = gather(made.head(machine={"server_only": {"G": {"gpu_used_memory": 1.0}}}), open_loop,
                    parse_goal())  # fmt: skip
    both = csv_files(first, second)
    lines = table(both[INFERENCE])
    assert [line["Model"] for line in lines][:5] == ["add_sub"] * 4 + ["resnet50"]
    assert (lines[0]["Concurrency"], lines[0]["Request Rate"]) == ("2", "")
    assert (lines[-1]["Concurrency"], lines[-1]["Request Rate"]) == ("", "16")
    assert len(table(both[SERVER_ONLY])) == 1
    assert len(table(both[PARETO])) == len(first.frontier.options) + len(second.frontier.options)


def test_of_a_pipeline_the_configurations_behind_it_stand_with_its_own() -> None:
    behind = {
        name: {"variant": f"{name}_config_0", "instance_group": "2:CPU", "max_batch_size": 4}
        for name in ("add", "sub")
    }
    own = {"variant": "ens_config_1", "instance_group": "1:CPU"}
    rows = [
        replace(
            row, model="ens", variant="ens_config_1", digest="1",
            settings={"instance_group": "add 2:CPU + sub 2:CPU", "models": {"ens": own, **behind}},
        )
        for row in CPU_ROWS[:2]
    ]  # fmt: skip
    first, *_ = table(csv_files(gather(made.head("ens"), rows, parse_goal()))[INFERENCE])
    assert first["Model Config Path"] == "ens_config_1: add_config_0, sub_config_0"


def test_models_at_the_same_time_are_one_line_of_lists_as_in_model_analyzer() -> None:
    load = {"concurrency": 2, "request_rate": 0.0, "batch_size": 1}
    part = {"requests": 1, "server": {}, "histogram": ""}
    settings = {
        name: {"variant": f"{name}_config_{n}", "instance_group": f"{n}:CPU", "max_batch_size": 8}
        for n, name in enumerate(("add", "sub"), 1)
    }
    row = replace(
        CPU_ROWS[0], model="add+sub", variant="add+sub_config_1", settings={"models": settings},
        metrics={
            "perf_throughput": 421.04, "add::perf_throughput": 184.5, "sub::perf_throughput": 236.5,
            "cpu_used_ram": 90.0,
        },
        of_models={
            "add": {"load": load, **part}, "sub": {"load": {**load, "concurrency": 4}, **part},
        },
    )  # fmt: skip
    fields = Fields(
        inference=("model_name", "concurrency", "model_config_path", "instance_group",
                   "max_batch_size", "satisfies_constraints", "perf_throughput", "cpu_used_ram")
    )  # fmt: skip
    found = csv_files(gather(made.head("add+sub"), [row], parse_goal()), fields=fields)
    assert found[INFERENCE].splitlines()[1] == (
        '"add,sub","2,4","add_config_1,sub_config_2","1:CPU,2:CPU","8,8",Yes,'
        '"421.0, [184.5,236.5]",90.0'
    )
