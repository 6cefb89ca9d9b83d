"""Model Analyzer's checkpoints: what becomes of them here, and what is said of damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support import checkpoints

from analyzer import results
from analyzer.checkpoint import REMARK, read
from analyzer.errors import JournalError, UsageError
from analyzer.record import journal as journals
from analyzer.record.row import RunHead
from analyzer.space import Candidate
from analyzer.workspace import Workspace

AT = "2026-01-01T00:00:00+00:00"


def rows(plain: dict[str, Any], model: str = "m") -> Any:
    return read(json.dumps(plain), "0.ckpt", AT).rows[model]


def test_every_measurement_becomes_a_row() -> None:
    first, second, third = rows(checkpoints.usual())
    assert (first.variant, first.number, first.model) == ("m_config_default", 0, "m")
    assert first.metrics["perf_latency_p99"] == 9.5
    # Of two GPUs memory is added up, and utilisation averaged.
    assert (first.metrics["gpu_used_memory"], first.metrics["gpu_utilization"]) == (1000.0, 20.0)
    assert first.gpus["GPU-2"]["gpu_used_memory"] == 200.0
    assert "gpu_free_memory" in first.absent
    assert "gpu_free_memory" not in first.metrics
    assert first.remarks == (REMARK,)
    assert (second.load.concurrency, second.metrics["perf_throughput"]) == (2, 150.0)
    assert second.trial.candidate == Candidate.of(concurrency=2)
    assert (third.variant, third.load.batch_size, third.load.protocol) == ("m_config_0", 4, "grpc")
    assert third.settings["instance_group"] == "2:GPU"
    assert third.trial.candidate.get("instance_count") == 2
    assert third.digest != first.digest == second.digest
    assert 'name: "m"' in third.config


def test_the_gpus_and_the_server_alone_are_the_machines() -> None:
    machine = read(json.dumps(checkpoints.usual()), "0.ckpt", AT).machine
    assert machine["gpus"] == [{"uuid": "GPU-1", "name": "A GPU", "total_bytes": 25395462144}]
    assert machine["server_only"] == {"GPU-1": {"gpu_used_memory": 457.0}}


def test_request_rates_are_an_open_loop() -> None:
    name = "m_config_default"
    load = {"concurrency-range": None, "request-rate-range": 16}
    line = checkpoints.line(name, "--request-rate-range=16 --request-distribution=poisson")
    measured = checkpoints.variant(
        {"m": checkpoints.config(name)}, {line: checkpoints.measurement(name, **load)}
    )
    (row,) = rows(checkpoints.checkpoint({"m": {name: measured}}))
    assert (row.load.request_rate, row.load.distribution) == (16.0, "poisson")
    assert row.trial.candidate == Candidate.of(request_rate=16.0)


def test_models_side_by_side_are_one_whose_throughputs_add_up() -> None:
    names = ("a_config_0", "b_config_0")
    served = {model: checkpoints.config(name) for model, name in zip("ab", names, strict=True)}
    line = checkpoints.line(names[0]) + checkpoints.line(names[1])
    measured = checkpoints.variant(served, {line: checkpoints.measurement(*names)})
    (row,) = rows(checkpoints.checkpoint({"a,b": {",".join(names): measured}}), "a+b")
    assert (row.model, row.variant) == ("a+b", "a+b_config_0")
    assert (row.metrics["perf_throughput"], row.metrics["perf_latency_avg"]) == (200.0, 4.0)
    assert set(row.composing) == {"a", "b"}
    assert row.settings["models"]["b"]["variant"] == "b_config_0"


def test_the_models_behind_one_are_kept_with_it() -> None:
    name = "m_config_default"
    measured = checkpoints.variant(
        {"m": checkpoints.config(name)}, {checkpoints.line(name): checkpoints.measurement(name)},
        checkpoints.config("part_config_3"),
    )  # fmt: skip
    (row,) = rows(checkpoints.checkpoint({"m": {name: measured}}))
    assert set(row.composing) == {"part"}
    assert row.settings["models"]["part"]["variant"] == "part_config_3"


def test_what_nobody_knows_here_is_named() -> None:
    plain = checkpoints.usual()
    _, measured = plain["ResultManager.results"]["_results"]["m"]["m_config_0"]
    (one,) = measured.values()
    one["_model_config_measurements"][0]["_non_gpu_data"] += checkpoints.figures(odd_metric=1.0)
    found = read(json.dumps(plain), "0.ckpt", AT)
    assert found.unknown == ("odd_metric",)


def _spoil(change: Callable[[Any], None]) -> dict[str, Any]:
    plain = checkpoints.usual()
    change(plain["ResultManager.results"]["_results"]["m"])
    return plain


def _without_value(model: Any) -> None:
    (measured,) = model["m_config_0"][1].values()
    measured["_model_config_measurements"][0]["_non_gpu_data"][0][1] = {}


def _odd_type(model: Any) -> None:
    model["m_config_0"][0]["_model_run_configs"][0]["_model_config"]["input"][0]["dataType"] = "X"


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ({}, "all of it: not a checkpoint of Model Analyzer's: expected 'ResultManager.results'"),
        ({"ResultManager.results": {}}, "_results: expected names and values, found nothing"),
        (_spoil(lambda m: m.update(m_config_0=[1])), "m.m_config_0: expected two parts, found [1]"),
        (_spoil(_without_value), "_non_gpu_data.0.1._value: expected a number, found None"),
        (_spoil(_odd_type), "m.m_config_0.0._model_run_configs.0._model_config: "),
        (checkpoints.checkpoint({"m": {}}), "0.ckpt: holds no measurement of a model"),
    ],
)
def test_a_damaged_checkpoint_is_an_error_with_its_place(plain: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(json.dumps(plain), "0.ckpt", AT)
    assert words in caught.value.message
    assert caught.value.message.startswith("0.ckpt: ")


def test_every_damage_is_told_at_once_and_text_that_is_no_json_by_its_line() -> None:
    plain = _spoil(_without_value)
    plain["ResultManager.results"]["_results"]["m"]["m_config_default"] = 5
    with pytest.raises(UsageError) as caught:
        read(json.dumps(plain), "0.ckpt", AT)
    assert caught.value.message.count("0.ckpt: ") == 2
    with pytest.raises(UsageError, match=r"0\.ckpt:2: not JSON"):
        read('{"a": 1,\n}', "0.ckpt", AT)


def test_an_import_is_a_journal_with_a_report_that_no_profile_goes_on_from(tmp_path: Path) -> None:
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "0.ckpt").write_text("{}")
    (tmp_path / "ckpt" / "10.ckpt").write_text(json.dumps(checkpoints.usual()))
    out = StringIO()
    console = Console(file=out, width=200)
    assert results.import_checkpoint(tmp_path / "ckpt", tmp_path / "out", console) == 0
    assert "m: 3 measurements of Model Analyzer's" in out.getvalue()
    assert "m_config_0" in out.getvalue()
    place = Workspace(tmp_path / "out" / "m")
    page = place.report.read_text()
    assert "Model Analyzer" in page
    assert "engine serve" not in page
    assert "analyze apply" in page
    contents = journals.read(place.journal)
    assert [row.variant for row in contents.rows] == ["m_config_default"] * 2 + ["m_config_0"]
    csv = (place.root / "metrics-model-inference.csv").read_text()
    assert "220.5" in csv
    ours = RunHead(schema=contents.head.schema, run="now", model="m", started_at=AT, versions={},
                   machine={}, options={"server": "local"}, options_digest="other")  # fmt: skip
    with pytest.raises(JournalError, match="measured_by was 'Model Analyzer'"):
        journals.Journal.resume(place.journal, ours)
    with pytest.raises(UsageError, match=r"there already; choose another --export-path"):
        results.import_checkpoint(tmp_path / "ckpt", tmp_path / "out", console)


def test_a_folder_without_checkpoints_and_a_file_that_is_not_there_are_said(
    tmp_path: Path,
) -> None:
    console = Console(file=StringIO())
    with pytest.raises(UsageError, match=r"holds no checkpoint, such as 0\.ckpt"):
        results.import_checkpoint(tmp_path, tmp_path / "out", console)
    with pytest.raises(UsageError, match=r"1\.ckpt: cannot be read"):
        results.import_checkpoint(tmp_path / "1.ckpt", tmp_path / "out", console)
