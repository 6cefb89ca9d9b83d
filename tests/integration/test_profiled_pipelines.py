"""Several models profiled as one, with real servers: stages of a pipeline, and side by side."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from analyzer import compose, results
from analyzer.config.schema import Composing, ProfileOptions
from analyzer.deployment.compose import Asked, export
from analyzer.deployment.undo import undo
from analyzer.deployment.values import Wish
from analyzer.record import journal
from analyzer.record.row import Row
from analyzer.search.stations import narrowest, stations
from analyzer.space import Dimension, Limits
from analyzer.workspace import Workspace, build_example
from engine.modelconfig import convert

#: what a request takes in each stage, ms: it waits, so other programs hardly matter
DELAYS = {"fast": 5, "slow": 40}
PIPELINE = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [
  { model_name: "fast" model_version: -1
    input_map { key: "INPUT0" value: "IN" } output_map { key: "OUTPUT0" value: "between" } },
  { model_name: "slow" model_version: -1
    input_map { key: "INPUT0" value: "between" } output_map { key: "OUTPUT0" value: "OUT" } }
] }
"""
COUNTS = (Dimension("instance_count", (1, 4)),)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    example = build_example("delayed_identity", folder)
    text = (example / "config.pbtxt").read_text()
    for name, delay in DELAYS.items():
        own = text.replace('"delayed_identity"', f'"{name}"').replace('"100"', f'"{delay}"')
        (folder / name).mkdir()
        (folder / name / "1").symlink_to(example / "1")
        (folder / name / "config.pbtxt").write_text(own)
    (folder / "pipeline" / "1").mkdir(parents=True)
    (folder / "pipeline" / "config.pbtxt").write_text(PIPELINE)
    return folder


def options(repository: Path, place: Path, model: str) -> ProfileOptions:
    return ProfileOptions(
        model=model, model_repository=(repository,), export_path=place, shapes={"INPUT0": (4,)},
        limits=Limits(concurrencies=(1, 8)), min_seconds=0.5, max_seconds=0.8, verify_pairs=0,
        curves_disabled=True,
    )  # fmt: skip


def rows_of(place: Workspace) -> tuple[Row, ...]:
    return tuple(journal.read(place.journal).rows)


def test_the_stage_that_holds_up_a_pipeline_gets_the_instances(
    repository: Path, tmp_path: Path
) -> None:
    asked = replace(
        options(repository, tmp_path, "pipeline"), shapes={}, search_mode="auto", max_trials=2,
        ensemble_composing=tuple(Composing(name=name, parameters=COUNTS) for name in DELAYS),
    )  # fmt: skip
    console = Console(file=StringIO(), width=200)
    assert compose.profile((asked,), console) == 0
    place = Workspace(tmp_path / "pipeline")
    rows = rows_of(place)
    busiest = narrowest(stations(rows[0]))
    assert busiest is not None
    assert busiest.model == "slow"
    found = next(row for row in rows if row.variant == "pipeline_config_0")
    assert found.settings["models"]["slow"]["instance_count"] == 4
    assert found.settings["models"]["fast"]["instance_count"] == 1
    assert found.trial.why is not None
    assert found.trial.why.text.startswith("slow holds up the rest")
    default = max(row.metrics["perf_throughput"] for row in rows if row is not found)
    assert found.metrics["perf_throughput"] > 1.5 * default
    # All three models are there to be served, and are written where the user wants them.
    chosen = convert.loads((place.chosen / "slow" / "config.pbtxt").read_text(), "chosen")
    assert chosen.instance_group[0].count == 4
    assert {path.name for path in place.chosen.iterdir()} == {"pipeline", "fast", "slow"}
    assert "pipeline_config_0" in (place.root / "chosen.txt").read_text()
    before, slow = ((repository / name / "config.pbtxt").read_text() for name in ("fast", "slow"))
    try:
        assert results.apply(place, repository, console, yes=True) == 0
        applied = convert.loads((repository / "slow" / "config.pbtxt").read_text(), "applied")
        assert applied.instance_group[0].count == 4
        assert applied.parameters["execute_delay_ms"] == "40"
        assert (repository / "fast" / "config.pbtxt").read_text() == before
        assert undo("pipeline", tmp_path, repository, console, yes=True, dry_run=False) == 0
        assert (repository / "slow" / "config.pbtxt").read_text() == slow
    finally:
        (repository / "slow" / "config.pbtxt").write_text(slow)
    # Nothing was verified here, which is said; what goes into production is what `apply` wrote.
    asked = Asked(model=str(place.root), export_path=tmp_path, wish=Wish())
    assert export(asked, console) == 0
    models = place.root / "export" / "models"
    assert {path.name for path in models.iterdir()} == {"pipeline", "fast", "slow"}
    exported = convert.loads((models / "slow" / "config.pbtxt").read_text(), "exported")
    assert exported.instance_group[0].count == 4
    readme = (place.root / "export" / "README.md").read_text()
    assert "is not verified to be better" in readme
    assert "in flight, pipeline" in readme


def test_models_side_by_side_are_loaded_at_once_and_told_apart(
    repository: Path, tmp_path: Path
) -> None:
    every = tuple(
        replace(
            options(repository, tmp_path, name), concurrently=True, search_disabled=True,
            limits=Limits(concurrencies=(load,)), weighting=weight,
        )
        for name, load, weight in (("fast", 2, 3.0), ("slow", 1, 1.0))
    )  # fmt: skip
    console = Console(file=StringIO(), width=200)
    assert compose.profile(every, console) == 0
    place = Workspace(tmp_path / "fast+slow")
    (row,) = rows_of(place)
    rates = [row.metrics[f"{name}::perf_throughput"] for name in DELAYS]
    assert row.metrics["perf_throughput"] == pytest.approx(sum(rates))
    assert rates[0] > 2 * rates[1]
    assert row.metrics["slow::perf_latency_p99"] > 40
    with (place.root / "metrics-model-inference.csv").open() as file:
        lines = list(csv.DictReader(file))
    (line,) = lines
    assert (line["Model"], line["Concurrency"], line["Batch"]) == ("fast,slow", "2,1", "1,1")
    assert line["Model Config Path"] == "fast_config_default,slow_config_default"
    first, second = (round(rate, 1) for rate in rates)
    whole = round(row.metrics["perf_throughput"], 1)
    assert line["Throughput (infer/sec)"] == f"{whole}, [{first},{second}]"
    assert "Each model" in (place.root / "report.html").read_text()
    assert {path.name for path in place.chosen.iterdir()} == {"fast", "slow"}
