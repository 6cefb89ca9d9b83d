"""Flat records: what Parquet, data frames and lists are made of."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import BytesIO

import pytest
from support import rows as made

from analyzer.metrics import METRICS
from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Row
from analyzer.report.evidence import Evidence, gather
from analyzer.report.flat import Kind, columns, pareto_rows, records
from analyzer.report.frame import parquet, to_pandas
from analyzer.statistics.estimate import Estimate

SWEEP = made.resnet50()
TYPES = {Kind.TEXT: str, Kind.WHOLE: int, Kind.NUMBER: float, Kind.TRUTH: bool}


def evidence(rows: tuple[Row, ...] = SWEEP) -> Evidence:
    return gather(made.head(), rows, parse_goal(latency_budget=100))


def bounded() -> tuple[Row, ...]:
    """The sweep, its first row with one interval that ends and one that does not."""
    first = SWEEP[0]
    rate, late = first.metrics["perf_throughput"], first.metrics["perf_latency_p99"]
    return (
        replace(
            first,
            estimates={
                "perf_throughput": Estimate(value=rate, low=rate - 1, high=rate + 1),
                "perf_latency_p99": Estimate(value=late, low=late - 1, high=math.inf),
            },
        ),
        *SWEEP[1:],
    )


def test_every_value_is_of_its_columns_kind_and_every_row_has_all_columns() -> None:
    shown = columns(SWEEP)
    assert len({each.name for each in shown}) == len(shown)
    for record, row in zip(records(evidence(), SWEEP, shown), SWEEP, strict=True):
        assert list(record) == [each.name for each in shown]
        for each in shown:
            value = record[each.name]
            if value is not None:
                wanted = (int, float) if each.kind is Kind.NUMBER else (TYPES[each.kind],)
                assert isinstance(value, wanted), each.name
                assert isinstance(value, bool) is (each.kind is Kind.TRUTH), each.name
        assert record["number"] == row.number
        assert {tag: record[tag] for tag in row.metrics} == dict(row.metrics)
        assert (record["failure_stage"] is None) == (row.failure is None)


def test_what_is_not_known_is_none_and_never_zero() -> None:
    first, second, *_ = records(evidence(), bounded(), columns(bounded()))
    assert first["perf_throughput_low"] == pytest.approx(SWEEP[0].metrics["perf_throughput"] - 1)
    assert first["perf_latency_p99_low"] is not None
    assert first["perf_latency_p99_high"] is None
    assert second["perf_throughput_low"] is None
    assert first["gpu_used_memory"] is None
    assert first["request_rate"] is None
    assert first["max_queue_delay_microseconds"] is None
    odd = replace(
        SWEEP[0],
        metrics={**SWEEP[0].metrics, "perf_network": math.nan},
        settings={"max_batch_size": "8,8", "intra_op_thread_count": None},
    )
    (record,) = records(evidence(), (odd,), columns((odd,)))
    for name in ("perf_network", "max_batch_size", "intra_op_thread_count", "backend"):
        assert record[name] is None
    assert json.loads(str(record["settings"]))["max_batch_size"] == "8,8"


def test_rows_know_their_part_in_the_ranking() -> None:
    seen = evidence()
    found = records(seen, SWEEP, columns(SWEEP))
    assert seen.chosen is not None
    assert {record["variant"] for record in found if record["chosen"]} == {seen.chosen.variant}
    assert {record["variant"] for record in found if record["is_default"]} == {
        "resnet50_config_default"
    }
    broken = [record for record in found if record["satisfies"] is False]
    assert broken
    assert all(
        record["perf_latency_p99"] > 100  # type: ignore[operator]
        for record in broken
        if record["phase"] != "verify"
    )
    best = seen.default
    assert best is not None
    baseline = next(record for record in found if record["number"] == best.best.number)
    assert baseline["percent"] == 0.0


def test_the_pareto_set_is_told_by_its_means() -> None:
    seen = evidence()
    rows = pareto_rows(seen)
    assert [row.number for row in rows] == [each.row.number for each in seen.frontier.options]
    for row, option in zip(rows, seen.frontier.options, strict=True):
        assert row.metrics["perf_throughput"] == option.values[0].middle


def test_of_models_at_the_same_time_each_has_columns_of_its_own() -> None:
    row = replace(SWEEP[0], metrics={**SWEEP[0].metrics, "a::perf_throughput": 5.0})
    names = [each.name for each in columns((row,))]
    assert "a::perf_throughput" in names
    assert names.count("perf_throughput") == 1


def test_a_data_frame_has_a_line_for_each_row_and_only_columns_that_say_something() -> None:
    frame = to_pandas(evidence(bounded()))
    assert len(frame) == len(SWEEP)
    assert list(frame["number"]) == [row.number for row in SWEEP]
    assert str(frame["perf_throughput"].dtype) == "float64"
    assert str(frame["concurrency"].dtype) == "Int64"
    assert str(frame["stable"].dtype) == "boolean"
    assert "gpu_used_memory" not in frame
    assert frame["perf_throughput_low"].notna().sum() == 1
    failed = frame[frame["failure_stage"].notna()]
    assert len(failed) == 2
    assert failed["perf_throughput"].isna().all()
    assert json.loads(frame["settings"][0])["intra_op_thread_count"] == 2


def test_a_parquet_file_has_every_metric_as_a_typed_column_and_says_whose_it_is() -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq  # noqa: PLC0415 - may be missing

    table = pq.read_table(BytesIO(parquet(evidence(bounded()))))
    assert table.num_rows == len(SWEEP)
    types = {field.name: str(field.type) for field in table.schema}
    assert {types[metric.tag] for metric in METRICS} == {"double"}
    assert types["max_batch_size"] == "int64"
    assert types["stable"] == "bool"
    assert types["config"] == "string"
    rates = table.column("perf_throughput").to_pylist()
    assert rates == [row.metrics.get("perf_throughput") for row in SWEEP]
    assert table.column("perf_latency_p99_high").null_count == len(SWEEP)
    about = json.loads(table.schema.metadata[b"servetune"])
    assert (about["model"], about["schema"]) == ("resnet50", 1)
    field = table.schema.field("perf_latency_p99").metadata
    assert field[b"unit"] == b"ms"
