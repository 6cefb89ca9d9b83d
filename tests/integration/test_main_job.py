"""The whole main job as a user runs it: profile, kill, resume, report, serve the winner, apply."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime as ort
import psutil
import pytest
import tritonclient.http as httpclient
from onnx import TensorProto, helper
from support import commands
from support.serving import serving, until

from analyzer.record import journal
from analyzer.record.row import Phase
from analyzer.variant import settings
from engine.modelconfig import convert

# Short windows and few settings: what is tested is the path, not the figures.
QUICK = (
    "--measurement-interval", "60", "--max-windows", "4", "--stability-percentage", "100",
    "--run-config-search-max-model-batch-size", "4", "--queue-delays", "-1,0",
    "--run-config-search-max-concurrency", "4", "--verify-pairs", "2",
)  # fmt: skip


def analyze(*arguments: str, code: int = 0, cwd: Path) -> str:
    done = commands.analyze(*arguments, cwd=cwd)
    assert done.code == code, done.text
    return done.text


def trained_repository(folder: Path) -> Path:
    """A repository with the trained model the package magika ships: what kind of file is it."""
    model = files("magika") / "models" / "standard_v3_3" / "model.onnx"
    version = folder / "magika" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(model.read_bytes())
    (folder / "magika" / "config.pbtxt").write_text(
        'backend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching { }\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
        'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }\n'
    )
    return folder


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the trained model has been profiled once, and what that printed."""
    folder = tmp_path_factory.mktemp("profiled")
    trained_repository(folder / "models")
    said = analyze(
        *("profile", "--model", "magika", "--model-repository", "models"),
        *("--search-time", "6", *QUICK),
        *("--gpus-side-by-side", "auto"),
        cwd=folder,
    )
    return folder, said


def test_profile_ends_with_a_winner_its_gain_and_the_command_that_serves_it(
    profiled: tuple[Path, str],
) -> None:
    folder, said = profiled
    assert "Best configuration: magika_config_" in said
    assert any(f"{word} the default" in said for word in ("than", "over", "with")), said
    assert "engine serve --chosen magika" in said
    assert "analyze export magika" in said
    # However many GPUs there are, it says what it makes of them.
    assert "GPUs side by side: " in said
    contents = journal.read(folder / "results" / "magika" / "journal.jsonl")
    assert not contents.damage
    assert all(row.metrics["perf_throughput"] > 0 for row in contents.rows if not row.failure)
    measured = [row for row in contents.rows if row.failure is None]
    for tag in ("perf_latency_p99", "perf_server_queue", "cpu_used_ram", "cpu_utilization"):
        assert all(tag in row.metrics for row in measured), tag
    assert {row.trial.phase for row in measured} >= {Phase.SEARCH, Phase.CURVE}


def test_the_results_hold_a_report_and_model_analyzers_files(profiled: tuple[Path, str]) -> None:
    results = profiled[0] / "results" / "magika"
    page = (results / "report.html").read_text()
    assert "<title>" in page
    assert "Configurations" in page
    assert "http://" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    with (results / "metrics-model-inference.csv").open() as file:
        header, *rows = [row for row in csv.reader(file) if row]
    assert header[:4] == ["Model", "Batch", "Concurrency", "Model Config Path"]
    assert rows
    assert json.loads((results / "summary.json").read_text())


def test_the_winner_is_served_and_answers_what_the_bare_runtime_computes(
    profiled: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = profiled
    content = np.zeros((8, 2048), np.int32)
    text = b"#!/usr/bin/env python3\nimport sys\n\ndef main():\n    print(sys.argv)\n" * 20
    content[:, : len(text)] = np.frombuffer(text, np.uint8)[:2048]
    bare = ort.InferenceSession(folder / "models" / "magika" / "1" / "model.onnx")
    (expected,) = bare.run(None, {"bytes": content[:1]})
    with serving(
        "--chosen", str(folder / "results" / "magika"), folder=tmp_path
    ) as server:  # fmt: skip
        client = httpclient.InferenceServerClient(server.http)
        tensor = httpclient.InferInput("bytes", [1, 2048], "INT32")
        tensor.set_data_from_numpy(content[:1])
        served = client.infer("magika", [tensor]).as_numpy("target_label")
        client.close()
    np.testing.assert_allclose(served, expected, rtol=1e-3, atol=1e-6)


def test_measurements_are_ranked_again_under_another_goal_without_measuring(
    profiled: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = profiled
    path = folder / "results" / "magika" / "journal.jsonl"
    before = path.read_bytes()
    said = analyze(
        *("report", "magika", "--objective", "perf_latency_p99", "--output", str(tmp_path)),
        cwd=folder,
    )
    assert "Best configuration: magika_config_" in said
    first = json.loads((tmp_path / "summary.json").read_text())["standings"][0]
    lowest = min(
        row.metrics["perf_latency_p99"]
        for row in journal.read(path).rows
        if row.failure is None and row.trial.phase in {Phase.SEARCH, Phase.CURVE}
    )
    metrics = {one["number"]: one["metrics"] for one in first["measurements"]}
    assert metrics[first["best"]]["perf_latency_p99"] == lowest
    assert (tmp_path / "report.html").exists()
    assert path.read_bytes() == before


def test_apply_shows_the_difference_and_writes_the_winner(
    profiled: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = profiled
    models = trained_repository(tmp_path / "models")
    target = models / "magika" / "config.pbtxt"
    # Something of the user's own: what was profiled is not what is here.
    old = target.read_text() + "# mine\n"
    target.write_text(old)
    refusal = analyze(
        "apply", "magika", "--model-repository", str(models), cwd=folder, code=2
    )  # fmt: skip
    assert "--yes" in refusal
    assert target.read_text() == old
    said = analyze("apply", "magika", "--model-repository", str(models), "--yes", cwd=folder)
    assert "+" in said
    chosen = folder / "results" / "magika" / "chosen" / "magika" / "config.pbtxt"
    best = convert.loads(chosen.read_text(), "chosen")
    # Preferred sizes that only say the maximum are left to the server to fill in.
    expected = {**settings(best), "preferred_batch_size": []}
    assert settings(convert.loads(target.read_text(), "applied")) == expected
    assert "version_policy" not in target.read_text(), "what the user left out stays out"
    assert (models / "magika" / "config.pbtxt.before-apply").read_text() == old
    again = analyze("apply", "magika", "--model-repository", str(models), "--yes", cwd=folder)
    assert "already" in again


def children(of: psutil.Process) -> list[psutil.Process]:
    return of.children(recursive=True)


def rows_of(path: Path) -> Sequence[str]:
    return path.read_text().splitlines()[1:] if path.exists() else []


def stopped(number: signal.Signals, arguments: Sequence[str], folder: Path, rows: int) -> str:
    """Profile in a process, stop it when so many more rows are there, and say what it printed."""
    path, log = folder / "results" / "add_sub" / "journal.jsonl", folder / "log"
    wanted = len(rows_of(path)) + rows
    with log.open("wb") as sink:
        running = subprocess.Popen(
            [sys.executable, "-m", "analyzer", *arguments], cwd=folder, stdout=sink, stderr=sink
        )
        until(
            lambda: len(rows_of(path)) >= wanted or running.poll() is not None,
            f"{wanted} rows; {log.read_text()}",
        )
        spawned = children(psutil.Process(running.pid))
        running.send_signal(number)
        code = running.wait(60)
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL)
    until(lambda: not any(map(psutil.Process.is_running, spawned)), "nothing left running")
    assert len(rows_of(path)) >= wanted
    return log.read_text()


def test_stopped_in_mid_sweep_it_goes_on_without_repeating_a_measurement(tmp_path: Path) -> None:
    arguments = ("profile", "--model", "add_sub", *QUICK, "--concurrency-sweep-disable")
    path = tmp_path / "results" / "add_sub" / "journal.jsonl"
    # However slow the machine is, there is more to do when it is stopped.
    endless = (*arguments, "--search-time", "600")
    stopped(signal.SIGKILL, endless, tmp_path, 2)
    killed = rows_of(path)
    said = stopped(signal.SIGINT, endless, tmp_path, 1)
    assert f"Resuming: {len(killed)} measurements" in said
    kept = rows_of(path)
    assert list(kept[: len(killed)]) == list(killed)
    arguments = (*arguments, "--search-time", "2")
    said = analyze(*arguments, cwd=tmp_path)
    assert f"Resuming: {len(kept)} measurements" in said
    assert list(rows_of(path))[: len(kept)] == list(kept)
    trials = [(row.trial.phase, row.trial.candidate, row.trial.repetition)
              for row in journal.read(path).rows]  # fmt: skip
    assert len(trials) == len(set(trials))
    finished = rows_of(path)
    analyze(*arguments, cwd=tmp_path)
    assert rows_of(path) == finished, "a finished profile measures nothing more"


@pytest.fixture(scope="module", name="skipping")
def skipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a sweep left a setting out, and what that printed."""
    folder = tmp_path_factory.mktemp("skipping")
    said = analyze(
        *("profile", "--model", "identity", "--run-config-search-mode", "brute", *QUICK[:6]),
        *("--search-time", "20", "--verify-pairs", "0", "--concurrency", "1"),
        *("--run-config-search-min-instance-count", "2", "--intra-op-threads", "1,4096"),
        *("--run-config-search-max-instance-count", "2"),
        *("--run-config-search-max-model-batch-size", "1", "--queue-delays", "-1"),
        cwd=folder,
    )
    return folder, said


def test_what_was_not_worth_a_measurement_is_told_with_its_reason(
    skipping: tuple[Path, str], tmp_path: Path
) -> None:
    folder, said = skipping
    reason = "2 instances of 4096 threads are too many for "
    assert "Not tried: 1 setting." in said
    assert reason in said
    again = tmp_path / "again"
    analyze("report", "identity", "--output", str(again), cwd=folder)
    for results in (folder / "results" / "identity", again):
        assert reason in (results / "report.html").read_text()
        (skipped,) = json.loads((results / "summary.json").read_text())["skipped"]
        assert skipped["reason"].startswith(reason)
        assert skipped["settings"]["intra_op_thread_count"] == 4096


def test_another_question_to_an_old_journal_is_refused_and_fresh_starts_over(
    skipping: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = skipping
    shutil.copytree(folder / "results", tmp_path / "results")
    arguments = ("profile", "--model", "identity", "--search-time", "1", "--verify-pairs", "0",
                 *QUICK[:6], "--batch-sizes", "2")  # fmt: skip
    said = analyze(*arguments, "--concurrency", "1", cwd=tmp_path, code=1)
    assert "batch_size was 1 and is now 2" in said
    assert "--fresh" in said
    file = tmp_path / "limits.yaml"
    file.write_text(
        "request_rate: 400\nlatency_budget: 9000\nmin_throughput: 0.5\ncost_per_hour: 2.5\n"
        "constraints: {cpu_used_ram: {max: 90000}, gpu_used_memory: {max: 100000}}\n"
    )
    analyze(*arguments, "--fresh", "--config-file", str(file), cwd=tmp_path)
    results = tmp_path / "results" / "identity"
    assert len(list(results.glob("journal.before-*.jsonl"))) == 1
    rows = journal.read(results / "journal.jsonl").rows
    assert {row.load.request_rate for row in rows} == {400.0}
    with (results / "metrics-model-inference.csv").open() as text:
        (line, *_) = csv.DictReader(text)
    assert (line["Request Rate"], line["Satisfies Constraints"]) == ("400", "Yes")
    assert float(line["Cost (per million infer)"]) > 0


def picky_repository(folder: Path) -> Path:
    """A repository with a model that says it takes rows of any length, and runs those of 16."""
    inputs = [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["batch", "length"])]
    outputs = [helper.make_tensor_value_info("square", TensorProto.FLOAT, ["batch", 4, 4])]
    nodes = [helper.make_node("Reshape", ["row", "shape"], ["square"])]
    shape = [helper.make_tensor("shape", TensorProto.INT64, [3], [0, 4, 4])]
    graph = helper.make_graph(nodes, "picky", inputs, outputs, shape)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    version = folder / "picky" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def test_dimensions_that_vary_are_measured_at_the_size_that_was_asked_for(tmp_path: Path) -> None:
    picky_repository(tmp_path / "models")
    arguments = ("profile", "--model", "picky", "--model-repository", "models", *QUICK[:6],
                 "--search-time", "1", "--concurrency", "1", "--verify-pairs", "0")  # fmt: skip
    path = tmp_path / "results" / "picky" / "journal.jsonl"
    for shape, words in (
        ("rows:16", "--shape: the model has no input named 'rows'; it has row"),
        ("row:16,2", "--shape: input 'row': shape [16, 2] does not fit [-1]"),
    ):
        assert words in analyze(*arguments, "--shape", shape, cwd=tmp_path, code=2)
        assert not rows_of(path)
    analyze(*arguments, "--shape", "row:16", cwd=tmp_path)
    contents = journal.read(path)
    assert contents.rows
    assert not [row.failure for row in contents.rows if row.failure]
    assert contents.head.options["shapes"] == ["row:16"]
    summary = json.loads((path.parent / "summary.json").read_text())
    assert "--shape row:16" in summary["commands"]["reproduce"]
    said = analyze(*arguments, cwd=tmp_path, code=1)
    assert "shapes was ['row:16'] and is now None" in said
    said = analyze(*arguments, "--fresh", cwd=tmp_path, code=1)
    assert "could be measured" in said, "a dimension that nobody gave is 1"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("profile", "--model", "resnet51"), 2, "no example named 'resnet51'"),
        (("profile", "--model", "m", "--model-repository", "nowhere"), 2, "not a directory"),
        (("profile", "--model", "m", "--run-config-search-mode", "grid"), 2, "auto, brute"),
        (("profile", "--model", "m", "--objective", "perf_throughputt"), 2, "perf_throughput"),
        (("profile", "--model", "m", "--concurrency", "many"), 2, "expected a whole number"),
        (("profile",), 2, "--model"),
        (("report", "m"), 2, "analyze profile --model m"),
        (("profile", "--no-such-flag"), 2, "No such option"),
    ],
)
def test_wrong_usage_is_answered_with_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in analyze(*arguments, cwd=tmp_path, code=code)


def test_a_model_that_does_not_load_at_all_is_answered_with_the_servers_words(
    tmp_path: Path,
) -> None:
    version = tmp_path / "models" / "broken" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"this is no model")
    (tmp_path / "models" / "broken" / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    said = analyze("profile", "--model", "broken", "--model-repository", "models",
                   cwd=tmp_path, code=1)  # fmt: skip
    assert "model.onnx" in said
