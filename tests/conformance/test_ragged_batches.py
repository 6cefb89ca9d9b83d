"""Rows 7.13 to 7.18: ragged ONNX models, completed ones, and a batcher that starts late."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from onnx import TensorProto, helper
from support.batches import KITS, Line, lining_up, spelled
from support.conditions import within
from support.serving import serving

import engine.examples

ROWS = 3
KINDS = {
    "COUNT": "BATCH_ELEMENT_COUNT",
    "ENDS": "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "STARTS": "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "LONGEST": "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "SHAPES": "BATCH_ITEM_SHAPE",
    "FLAT": "BATCH_ITEM_SHAPE_FLATTEN",
}
#: a batch leaves when so many rows are there, or long after a test has failed
TOGETHER = (
    f"dynamic_batching {{ preferred_batch_size: [ {ROWS} ] max_queue_delay_microseconds: 5000000 }}"
)


def _onnx(folder: Path, name: str, nodes: list[Any], ports: list[list[Any]], config: str) -> None:
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        helper.make_tensor("start", TensorProto.INT64, [1], [0]),
        helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0]),
    ]
    graph = helper.make_graph(nodes, name, *ports, initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.onnx").write_bytes(model.SerializeToString())
    (folder / name / "config.pbtxt").write_text(config)


def _ragged(folder: Path) -> None:
    """A model that says what it is told of its batch: each number once for every row.

    R is the ragged input. TOTAL is the sum of all that lies before a request's end; it shows who
    ran together. ECHO gives R back.
    """
    float_, node, port = TensorProto.FLOAT, helper.make_node, helper.make_tensor_value_info
    given = [port("R", float_, ["all"])]
    made = [port("ECHO", float_, ["all"]), port("TOTAL", float_, ["rows", 1])]
    nodes = [
        node("Identity", ["R"], ["ECHO"]),
        node("CumSum", ["R", "zero"], ["sums"]),
        node("Cast", ["ENDS"], ["ends"], to=TensorProto.INT64),
        node("Sub", ["ends", "one"], ["lasts"]),
        node("Gather", ["sums", "lasts"], ["totals"]),
        node("Unsqueeze", ["totals", "one"], ["TOTAL"]),
        node("Slice", ["STARTS", "start", "last"], ["STARTS_"]),
        node("Shape", ["LONGEST"], ["longest"]),
        node("Cast", ["longest"], ["LONGEST_"], to=float_),
    ]
    configured = ""
    for name, kind in KINDS.items():
        given.append(port(name, float_, ["rows", 1] if name == "SHAPES" else [name]))
        made.append(port(f"GOT_{name}", float_, ["rows", 1]))
        source = f"{name}_" if name in {"STARTS", "LONGEST"} else name
        if name == "SHAPES":
            nodes.append(node("Identity", [source], [f"GOT_{name}"]))
        elif name == "LONGEST":  # one number for the whole batch: give it to every row
            nodes += [
                node("Mul", ["SHAPES", "nothing"], ["zeros"]),
                node("Add", ["zeros", source], [f"GOT_{name}"]),
            ]
        else:
            nodes.append(node("Unsqueeze", [source, "one"], [f"GOT_{name}"]))
        configured += (
            f'batch_input [ {{ kind: {kind} target_name: "{name}" data_type: TYPE_FP32 '
            'source_input: "R" } ]\n'
            f'output [ {{ name: "GOT_{name}" data_type: TYPE_FP32 dims: [ 1 ] }} ]\n'
        )
    config = (
        f'backend: "onnxruntime" max_batch_size: {ROWS}\n'
        'input [ { name: "R" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]\n'
        'output [ { name: "ECHO" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
        'output [ { name: "TOTAL" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
        'batch_output [ { target_name: "ECHO" source_input: "R" } ]\n'
        f"{configured}{TOGETHER}"
    )
    _onnx(folder, "ragged", nodes, [given, made], config)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("models")
    _ragged(folder)
    for name in ("completed", "configured"):
        engine.examples.build("add_sub", folder)
        (folder / "add_sub").rename(folder / name)
    (folder / "completed" / "config.pbtxt").unlink()
    written = folder / "configured" / "config.pbtxt"
    kept = [
        text
        for text in written.read_text().splitlines()
        if not text.startswith(("name", "dynamic_batching"))
    ]
    written.write_text("\n".join(kept))
    with lining_up(folder) as served:
        yield served


@pytest.mark.triton("7.13", "7.14", "7.15")
@pytest.mark.parametrize("kit", list(KITS))
def test_requests_of_any_shape_share_a_batch_and_the_model_is_told_where_each_lies(
    line: Line, kit: str
) -> None:
    given = [np.arange(1, 1 + size, dtype=np.float32).reshape(1, size) for size in (3, 4, 5)]
    futures = []
    for place, r in enumerate(given, 1):
        futures.append(line.workers.submit(line.infer, "ragged", {"R": r}, kit, {}))
        if place < ROWS:  # one after the other, so that their order is known
            _until_pending(line, place)
    results = [future.result(20) for future in futures]

    def got(name: str) -> list[float]:
        return [result.as_numpy(name).item() for result in results]

    assert got("TOTAL") == [6, 16, 31]
    assert got("GOT_COUNT") == [3, 4, 5]
    assert got("GOT_ENDS") == [3, 7, 12]
    assert got("GOT_STARTS") == [0, 3, 7]
    assert got("GOT_LONGEST") == [5, 5, 5]
    assert got("GOT_SHAPES") == [3, 4, 5]
    assert got("GOT_FLAT") == [3, 4, 5]
    for r, result in zip(given, results, strict=True):
        np.testing.assert_array_equal(result.as_numpy("ECHO"), r)
    assert set(line.batch_sizes("ragged")) == {ROWS}


def _until_pending(line: Line, count: int) -> None:
    assert within(lambda: line.pending("ragged") == count)


@pytest.mark.triton("7.18")
def test_a_model_without_inputs_and_outputs_in_its_configuration_gets_a_batcher(line: Line) -> None:
    with line.client("http") as client:
        completed = client.get_model_config("completed")
        configured = client.get_model_config("configured")
    assert completed["max_batch_size"] == 4
    assert completed["dynamic_batching"]["preferred_batch_size"] == [4]
    assert "dynamic_batching" not in configured


@pytest.mark.triton("7.17")
def test_the_environment_holds_a_batcher_back_until_so_many_wait(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "echo" / "1").mkdir(parents=True)
    (models / "echo" / "config.pbtxt").write_text(
        'backend: "synthetic" max_batch_size: 8 dynamic_batching { }\n'
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 2 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] } ]\n'
    )
    flags = ("--model-repository", str(models))
    held = {"TRITONSERVER_DELAY_SCHEDULER": "3"}
    with (
        serving(*flags, folder=tmp_path, environment=held) as server,
        ThreadPoolExecutor(ROWS) as workers,
    ):

        def ask(_: int) -> Any:
            with tritonclient.http.InferenceServerClient(server.http) as client:
                x = {"X": np.ones((1, 2), np.float32)}
                return client.infer("echo", spelled(tritonclient.http, x))

        assert len(list(workers.map(ask, range(ROWS), timeout=20))) == ROWS
        with tritonclient.http.InferenceServerClient(server.http) as client:
            (statistics,) = client.get_inference_statistics("echo")["model_stats"]
    assert [size["batch_size"] for size in statistics["batch_stats"]] == [ROWS]
