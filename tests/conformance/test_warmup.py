"""Rows 2d: samples that run on every instance before a model is ready, behind a real server."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton_http
from support.in_thread import Ports
from support.recorder import Recorder, config, recording, write
from support.serving import serving, until
from tritonclient.utils import InferenceServerException

from engine import examples
from engine.execution.host import Host
from engine.modelconfig import convert
from engine.options import ModelControlMode, ServeOptions
from engine.ratelimit import RateLimiter
from engine.repository.lint import lint

INSTANCES = "instance_group [ { kind: KIND_CPU count: %d } ]"


def sample(inputs: str, name: str = "s", batch: int = 1, count: int = 0) -> str:
    return f'model_warmup [ {{ name: "{name}" batch_size: {batch} count: {count} {inputs} }} ]'


def given(how: str, name: str = "X", kind: str = "TYPE_FP32", dims: str = "2") -> str:
    value = f"{{ data_type: {kind} dims: [ {dims} ] {how} }}"
    return f'inputs {{ key: "{name}" value: {value} }}'


ZERO, RANDOM = given("zero_data: true"), given("random_data: true")
STRINGS = """
input [ { name: "X" data_type: TYPE_STRING dims: [ 2 ] } ]
output [ { name: "Y" data_type: TYPE_STRING dims: [ 2 ] } ]
"""
SEQUENCES = """
sequence_batching { %s control_input [ { name: "START" control [
  { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] } ]
  state [ { input_name: "S" output_name: "S" data_type: TYPE_FP32 dims: [ 1 ] } ] }
"""


@dataclass(frozen=True)
class World:
    repository: Path
    recorder: Recorder
    ports: Ports
    http: Any

    def load(self, name: str, more: str, **texts: Any) -> None:
        """Load a model of this configuration; what is there of the name is replaced."""
        write(self.repository, name, more, **texts)
        self.recorder.forget()
        self.load_again(name)

    def load_again(self, name: str) -> None:
        # A client of its own: this one keeps to one thread.
        with triton_http.InferenceServerClient(f"127.0.0.1:{self.ports.http.port}") as http:
            http.load_model(name)

    def seen(self) -> list[dict[str, Any]]:
        return [
            {key: one.tolist() for key, one in inputs.items()} for _, inputs in self.recorder.seen
        ]

    def statistics(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get_inference_statistics(name)["model_stats"][0]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    repository = tmp_path_factory.mktemp("models")
    recorder = Recorder()
    options = ServeOptions(
        model_repository=(repository,), model_control_mode=ModelControlMode.EXPLICIT
    )
    host = Host(cores=2, limiter=RateLimiter({}, threading.Lock()))
    with (
        recording(options, host, recorder) as (ports, _),
        triton_http.InferenceServerClient(f"127.0.0.1:{ports.http.port}") as http,
    ):
        yield World(repository, recorder, ports, http)


@pytest.mark.triton("2d.1")
def test_every_instance_runs_every_sample_as_often_as_it_says_before_the_model_is_ready(
    world: World,
) -> None:
    samples = sample(ZERO, "a", count=2) + sample(RANDOM, "b") + sample(ZERO, "none", batch=0)
    with world.recorder.doors_closed():
        loading = threading.Thread(target=world.load, args=("all", (INSTANCES % 3) + samples))
        loading.start()
        world.recorder.wait_for(1)
        with triton_http.InferenceServerClient(f"127.0.0.1:{world.ports.http.port}") as other:
            assert not other.is_model_ready("all")
            assert {"LOADING"} == {one["state"] for one in other.get_model_repository_index()}
    loading.join(20)
    assert world.http.is_model_ready("all")
    assert len(world.recorder.seen) == 3 * (2 + 1)
    assert world.recorder.most["all"] == 1, "one after the other"
    zeros = [one == {"X": [[0.0, 0.0]]} for one in world.seen()]
    assert zeros == [True, True, False] * 3


@pytest.mark.triton("2d.1", "2b.4")
def test_a_passive_instance_does_not_warm_up(world: World) -> None:
    groups = "instance_group [ { kind: KIND_CPU count: 1 }, { kind: KIND_CPU passive: true } ]"
    world.load("idle", groups + sample(ZERO))
    assert len(world.recorder.placed) == 2
    assert len(world.recorder.seen) == 1


@pytest.mark.triton("2d.2")
def test_a_batch_is_equal_requests_that_run_together(world: World) -> None:
    world.load("many", sample(RANDOM, batch=3))
    ((_, inputs),) = world.recorder.seen
    assert inputs["X"].shape == (3, 2)
    assert np.unique(inputs["X"], axis=0).shape == (1, 2)
    assert np.all((inputs["X"] >= 0) & (inputs["X"] < 1))


@pytest.mark.triton("2d.2")
def test_data_come_from_files_in_the_warmup_folder(world: World) -> None:
    folder = world.repository / "filed" / "warmup"
    folder.mkdir(parents=True)
    (folder / "x.bin").write_bytes(np.array([3, 4, 5], np.float32).tobytes())
    world.load("filed", sample(given('input_data_file: "x.bin"')))
    assert world.seen() == [{"X": [[3.0, 4.0]]}]


@pytest.mark.triton("2d.2")
def test_strings_are_empty_or_come_from_a_file_with_their_lengths(world: World) -> None:
    folder = world.repository / "texts" / "warmup"
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(struct.pack("<I", 2) + b"ab" + struct.pack("<I", 3) + b"cde")
    how = ("zero_data: true", "random_data: true", 'input_data_file: "x"')
    samples = "".join(sample(given(one, kind="TYPE_STRING"), str(one)[:3]) for one in how)
    world.load("texts", samples, tensors=STRINGS)
    assert [one["X"] for one in world.seen()] == [[[b"", b""]], [[b"", b""]], [[b"ab", b"cde"]]]


@pytest.mark.triton("2d.2")
@pytest.mark.parametrize(
    "kind", ["BOOL", "UINT8", "INT16", "INT64", "UINT64", "FP16", "FP64", "BF16"]
)
def test_random_data_are_of_the_inputs_type(world: World, kind: str) -> None:
    tensors = f"""
    input [ {{ name: "X" data_type: TYPE_{kind} dims: [ 64 ] }} ]
    output [ {{ name: "Y" data_type: TYPE_{kind} dims: [ 64 ] }} ]
    """
    how = given("random_data: true", kind=f"TYPE_{kind}", dims="64")
    world.load("kinds", sample(how), tensors=tensors)
    ((_, inputs),) = world.recorder.seen
    assert len(np.unique(inputs["X"])) > 1
    if kind != "BF16":
        assert np.all(np.isfinite(inputs["X"].astype(np.float64)))


WRONG = {
    'input_data_file: "short"': (
        "warmup setting expects 8 bytes, but the data provided from short only has 4 bytes"
    ),
    'input_data_file: "missing"': "failed to open data file",
    'input_data_file: "link"': "is outside of the model's warmup folder",
}


@pytest.mark.triton("2d.1", "2d.2")
@pytest.mark.parametrize("how", WRONG)
def test_a_sample_whose_data_are_not_there_fails_the_load(world: World, how: str) -> None:
    folder = world.repository / "wrong" / "warmup"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "short").write_bytes(bytes(4))
    (folder / "link").unlink(missing_ok=True)
    (folder / "link").symlink_to(world.repository / "many" / "config.pbtxt")
    with pytest.raises(InferenceServerException) as refused:
        world.load("wrong", sample(given(how), "its name"))
    said = str(refused.value)
    assert "load failed for model 'wrong'" in said
    assert "failed to run warmup sample 'its name': " in said
    assert WRONG[how] in said
    assert not world.recorder.seen


@pytest.mark.triton("2d.1")
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            given("zero_data: true", kind="TYPE_INT32"),
            "data-type is 'INT32', but model 'wrong' expects",
        ),
        (given("zero_data: true", dims="3"), "unexpected shape for input 'X' for model 'wrong'"),
    ],
)
def test_a_sample_that_the_model_does_not_take_fails_the_load(
    world: World, inputs: str, said: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        world.load("wrong", sample(inputs))
    assert said in str(refused.value)


@pytest.mark.triton("2d.1")
@pytest.mark.parametrize(
    "sees", ["", 'parameters { key: "sees" value: { string_value: "requests" } }']
)
def test_an_error_of_the_model_fails_the_load_and_what_served_before_goes_on(
    world: World, sees: str
) -> None:
    world.load("faulty", sees)
    world.recorder.fails.add("faulty")
    with pytest.raises(InferenceServerException) as refused:
        world.load(
            "faulty", sees + sample(ZERO, "first", batch=2, count=5) + sample(ZERO, "second")
        )
    world.recorder.fails.clear()
    assert "failed to run warmup sample 'first': faulty fails; " in str(refused.value)
    assert "second" not in str(refused.value)
    assert world.http.is_model_ready("faulty")
    world.load("faulty", sees + sample(ZERO))
    assert world.seen() == [{"X": [[0.0, 0.0]]}]


@pytest.mark.triton("2d.1")
@pytest.mark.parametrize("decoupled", ["", "model_transaction_policy { decoupled: true }"])
def test_models_that_see_requests_warm_up_on_the_thread_they_run_on(
    world: World, decoupled: str
) -> None:
    sees = 'parameters { key: "sees" value: { string_value: "requests" } }'
    world.load("seeing", sees + decoupled + sample(ZERO, batch=2))
    assert world.seen() == [{"X": [[0.0, 0.0]]}] * 2
    assert world.recorder.threads["seeing"] == "seeing_0"


@pytest.mark.triton("2d.1")
@pytest.mark.parametrize("strategy", ["direct { }", "oldest { max_candidate_sequences: 4 }"])
def test_a_sample_is_a_sequence_of_one_or_brings_what_the_batcher_would_fill(
    world: World, strategy: str
) -> None:
    own = given("random_data: true", "START", "TYPE_INT32", "1") + given(
        "zero_data: true", "S", dims="1"
    )
    samples = sample(ZERO, batch=2, count=2) + sample(ZERO + own)
    world.load("sequences", SEQUENCES % strategy + samples)
    *first, second = world.seen()
    assert first == [{"X": [[0.0, 0.0]] * 2, "START": [[1]] * 2, "S": [[0.0]] * 2}] * 2
    assert second.keys() == {"X", "START", "S"}
    assert second["START"] not in ([[0]], [[1]])


@pytest.mark.triton("2d.4")
def test_the_statistics_count_the_warm_up(world: World) -> None:
    world.load("counted", (INSTANCES % 2) + sample(ZERO, batch=3, count=2))
    found = world.statistics("counted")
    assert (found["inference_count"], found["execution_count"]) == (12, 4)
    assert found["inference_stats"]["success"]["count"] == 12
    assert [one["batch_size"] for one in found["batch_stats"]] == [3]
    assert found["last_inference"] > 0


@pytest.mark.triton("2d.1", "10.1")
def test_under_the_limiter_a_warm_up_waits_for_its_resources(world: World) -> None:
    limited = (
        "instance_group [ { kind: KIND_CPU count: 2 rate_limiter "
        '{ resources [ { name: "R" count: 1 } ] } } ]'
    )
    world.load("first", limited)
    world.recorder.forget()
    with world.recorder.doors_closed():
        asking = threading.Thread(target=_ask, args=(world, "first"))
        asking.start()
        world.recorder.wait_for(1, "first")
        loading = threading.Thread(target=_load, args=(world, limited + sample(ZERO)))
        loading.start()
        until(lambda: len(world.recorder.placed) == 2, "the instances of the second")
    asking.join(20)
    loading.join(20)
    assert world.recorder.order == ["first", "second", "second"]
    assert world.recorder.most[""] == 1


def _ask(world: World, model: str) -> None:
    with triton_http.InferenceServerClient(f"127.0.0.1:{world.ports.http.port}") as http:
        one = triton_http.InferInput("X", [1, 2], "FP32")
        one.set_data_from_numpy(np.ones((1, 2), np.float32))
        http.infer(model, [one])


def _load(world: World, more: str) -> None:
    override = json.dumps(convert.to_json(convert.loads(config("second", more), "test")))
    write(world.repository, "second")
    with triton_http.InferenceServerClient(f"127.0.0.1:{world.ports.http.port}") as http:
        http.load_model("second", config=override)


@pytest.mark.triton("2d.3")
def test_an_ensemble_may_not_have_a_warm_up(world: World) -> None:
    ensemble = """
    ensemble_scheduling { step [ { model_name: "many" model_version: -1
      input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }
    """
    text = config("ensemble", ensemble + sample(ZERO))
    folder = write(world.repository, "ensemble")
    (folder / "config.pbtxt").write_text(
        text.replace('backend: "recorder"', 'platform: "ensemble"'), encoding="utf-8"
    )
    said = [problem.what for problem in lint([folder])]
    assert "model_warmup can not be specified for ensemble 'ensemble'" in said
    with pytest.raises(InferenceServerException):
        world.load_again("ensemble")


PYTHON = """
backend: "python" max_batch_size: 4
input [ { name: "X" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_STRING dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
MODEL = """
import numpy
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.seen = []

    def execute(self, requests):
        answers = []
        for request in requests:
            given = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            self.seen += [one[0] for one in given]
            said = numpy.array([[str(self.seen).encode()]] * len(given), numpy.object_)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", said)]))
        return answers
"""


@pytest.mark.triton("2d.1", "2d.2")
def test_python_and_onnx_models_warm_up(tmp_path: Path) -> None:
    examples.build("add_sub", tmp_path)
    with (tmp_path / "add_sub" / "config.pbtxt").open("a", encoding="utf-8") as onnx:
        both = "".join(given("random_data: true", f"INPUT{one}", dims="16") for one in (0, 1))
        onnx.write(sample(both, batch=2, count=3))
    model = tmp_path / "said"
    (model / "1").mkdir(parents=True)
    (model / "warmup").mkdir()
    (model / "warmup" / "x").write_bytes(struct.pack("<I", 5) + b"hello")
    (model / "1" / "model.py").write_text(MODEL, encoding="utf-8")
    warm = sample(given('input_data_file: "x"', kind="TYPE_STRING", dims="1"), batch=2)
    (model / "config.pbtxt").write_text(PYTHON + warm, encoding="utf-8")
    with (
        serving(f"--model-repository={tmp_path}", folder=tmp_path) as server,
        triton_http.InferenceServerClient(server.http) as http,
    ):
        one = triton_http.InferInput("X", [1, 1], "BYTES")
        one.set_data_from_numpy(np.array([[b"me"]], np.object_))
        answer = http.infer("said", [one]).as_numpy("Y")
        assert answer.tolist() == [[b"[b'hello', b'hello', b'me']"]]
        found = http.get_inference_statistics("add_sub")["model_stats"][0]
        assert found["execution_count"] % 3 == 0
        assert found["inference_count"] == 2 * found["execution_count"]
