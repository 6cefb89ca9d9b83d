"""TensorFlow models are served as bare TensorFlow runs them, or by OpenVINO without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import pytest
from kits.backend_kit import BackendKit
from support.conditions import within
from support.in_thread import Ports
from support.offspring import offspring
from support.oracle_clients import Asked, Oracle
from support.served import served

from engine.backend import Placement, SelfChecking, find
from engine.backends.tensorflow.backend import TensorFlow
from engine.errors import Internal, InvalidArgument, Unavailable, Unsupported
from engine.modelconfig.schema import (
    Accelerator,
    ExecutionAccelerators,
    ModelConfig,
    ModelInput,
    ModelOutput,
    Optimization,
)
from engine.types import DType

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: servetune[tensorflow]")
BACKEND = find("tensorflow")
CONFIG = BackendKit.identity("tensorflow")


class Identity(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="X")])
    def call(self, X: Any) -> Any:  # noqa: N803 - the name the kit uses
        return {"Y": tf.identity(X)}

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="X")])
    def twice(self, X: Any) -> Any:  # noqa: N803 - as above
        return {"Y": X * 2}


@pytest.fixture(scope="module", name="made")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    module = Identity()
    signatures = {"serving_default": module.call, "twice": module.twice}
    tf.saved_model.save(module, str(folder / "model.savedmodel"), signatures=signatures)
    graph = tf.Graph()
    with graph.as_default():
        given = tf.compat.v1.placeholder(tf.float32, [None, 4], name="X")
        tf.identity(given * 3, name="Y")
    (folder / "model.graphdef").write_bytes(graph.as_graph_def().SerializeToString())
    return folder


class TestKit(BackendKit):
    backend = BACKEND

    @pytest.fixture(autouse=True)
    def _made(self, made: Path) -> None:
        self.made = made

    @pytest.fixture(scope="class")
    @classmethod
    def runnable(cls, made: Path) -> Iterator[Any]:
        loaded = BACKEND.load(made, CONFIG, Placement())
        yield loaded
        loaded.close()

    def make(self, directory: Path) -> ModelConfig:
        target = directory / "model.savedmodel"
        shutil.copytree(self.made / "model.savedmodel", target)
        return CONFIG


def without(*packages: str) -> TensorFlow:
    return TensorFlow(lambda name: name not in packages)


ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.mark.triton("2c.15")
def test_the_signature_the_tag_and_the_threads_are_those_of_the_parameters(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parameters = {"TF_SIGNATURE_DEF": "twice", "TF_GRAPH_TAG": "serve"}
    parameters |= {"TF_NUM_INTRA_THREADS": "3", "MAX_SESSION_SHARE_COUNT": "2"}
    twice = replace(CONFIG, parameters=parameters)
    loaded = BACKEND.load(made, twice, Placement())
    np.testing.assert_array_equal(loaded.run({"X": ROWS}, ["Y"])["Y"], ROWS * 2)
    assert loaded.describe()["intra_op_threads"] == "3"
    assert loaded.describe()["loader"] == "tf.saved_model"
    assert "MAX_SESSION_SHARE_COUNT has no effect" in caplog.text
    loaded.close()


@pytest.mark.triton("2c.15")
def test_what_a_parameter_asks_for_has_to_be_there(made: Path) -> None:
    for key, value, said in (
        ("TF_SIGNATURE_DEF", "none", "there are: serving_default, twice"),
        ("TF_GRAPH_TAG", "gpu", r"there are \[\['serve'\]\]"),
        ("TF_NUM_INTRA_THREADS", "few", "expected a whole number, found 'few'"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            BACKEND.inspect(made, replace(CONFIG, parameters={key: value}))
    with pytest.raises(Unsupported, match="TF_INIT_OPS_FILE"):
        BACKEND.inspect(made, replace(CONFIG, parameters={"TF_INIT_OPS_FILE": "init.json"}))


def processes() -> set[int]:
    return set(offspring("engine.child.entry"))


def test_instances_share_a_process_and_changed_files_get_another(
    made: Path, tmp_path: Path
) -> None:
    before = processes()
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    one, other = (BACKEND.load(tmp_path, CONFIG, Placement(instance=name)) for name in "ab")
    (first,) = processes() - before
    (tmp_path / "model.savedmodel/saved_model.pb").touch()
    anew = BACKEND.load(tmp_path, CONFIG, Placement())
    (second,) = processes() - before - {first}
    one.close()
    np.testing.assert_array_equal(other.run({"X": ROWS}, ["Y"])["Y"], ROWS)
    other.close()
    assert processes() - before == {second}
    np.testing.assert_array_equal(anew.run({"X": ROWS}, ["Y"])["Y"], ROWS)
    anew.close()
    assert processes() == before


def test_the_server_itself_never_has_tensorflow(made: Path) -> None:
    code = """
import sys, pathlib
from engine.backend import Placement, find
from engine.modelconfig import convert
backend, folder = find("tensorflow"), pathlib.Path(sys.argv[1])
config = convert.loads('name: "m" backend: "tensorflow"', "config.pbtxt")
assert backend.inspect(folder, config).batchable
loaded = backend.load(folder, config, Placement())
assert "tensorflow" in loaded.describe()["runtime"]
loaded.close()
print(sorted(name for name in sys.modules if name.partition(".")[0] in {"tensorflow", "keras"}))
"""
    run = [sys.executable, "-c", code, str(made)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_process_that_dies_fails_its_request_and_is_followed_by_another(tmp_path: Path) -> None:
    class Long(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="X")])
        def call(self, X: Any) -> Any:  # noqa: N803 - the tensor's name
            return {"Y": tf.while_loop(lambda i: i < X, lambda i: (i + 1,), (tf.zeros_like(X),))[0]}

    long = Long()
    signatures = {"serving_default": long.call}
    tf.saved_model.save(long, str(tmp_path / "model.savedmodel"), signatures=signatures)
    before, kind = processes(), DType.INT64
    asked = ModelConfig(
        name="long",
        backend="tensorflow",
        input=(ModelInput(name="X", data_type=kind, dims=()),),
        output=(ModelOutput(name="Y", data_type=kind, dims=()),),
    )
    loaded = BACKEND.load(tmp_path, asked, Placement())
    assert isinstance(loaded, SelfChecking)
    (number,) = processes() - before
    process = psutil.Process(number)
    idle = process.cpu_times().user
    faults: list[Internal] = []

    def ask() -> None:
        with pytest.raises(
            Internal, match=r"is not healthy: its process \d+ was killed by"
        ) as told:
            loaded.run({"X": np.array(1 << 60)}, ["Y"])
        faults.append(told.value)

    thread = Thread(target=ask)
    thread.start()
    assert within(lambda: process.cpu_times().user > idle + 0.1)  # it computes
    assert loaded.is_ready()
    process.kill()
    thread.join()
    assert len(faults) == 1
    assert not loaded.is_ready()

    def answers() -> bool:
        try:
            return int(loaded.run({"X": np.array(5)}, ["Y"])["Y"]) == 5
        except Unavailable:  # where TensorFlow takes longer to start than a request waits
            return False

    assert within(answers, 60)
    assert loaded.is_ready()
    loaded.close()
    assert processes() == before


def test_a_model_that_tensorflow_cannot_load_is_refused_in_its_own_words(
    made: Path, tmp_path: Path
) -> None:
    before = processes()
    file = tmp_path / "model.savedmodel/saved_model.pb"
    shutil.copytree(made / "model.savedmodel", file.parent)
    shutil.rmtree(file.parent / "variables")
    file.write_bytes(
        file.read_bytes().replace(b"StatefulPartitionedCall", b"StatefulPartitionedCxll")
    )
    for _ in range(2):
        with pytest.raises(Internal, match="TensorFlow could not load it"):
            BACKEND.load(tmp_path, CONFIG, Placement())
    assert within(lambda: processes() == before)


@pytest.mark.parametrize("backend", [BACKEND, without("tensorflow")])
def test_a_frozen_graph_has_the_tensors_that_the_configuration_names(
    made: Path, backend: Any
) -> None:
    if backend is not BACKEND:
        pytest.importorskip("openvino", reason="OpenVINO is not installed: servetune[openvino]")
    graph = replace(CONFIG, platform="tensorflow_graphdef", default_model_filename="model.graphdef")
    assert backend.inspect(made, graph) is None
    loaded = backend.load(made, graph, Placement())
    np.testing.assert_array_equal(loaded.run({"X": ROWS}, ["Y"])["Y"], ROWS * 3)
    loaded.close()


def test_without_tensorflow_openvino_runs_it_and_says_so(made: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: servetune[openvino]")
    loaded = without("tensorflow").load(made, CONFIG, Placement())
    assert "openvino" in loaded.describe()["runtime"]
    assert "since TensorFlow is not installed" in loaded.describe()["runtime"]
    np.testing.assert_array_equal(loaded.run({"X": ROWS}, ["Y"])["Y"], ROWS)
    signature = without("tensorflow").inspect(made, replace(CONFIG, input=(), output=()))
    assert signature == BACKEND.inspect(made, CONFIG)


def test_without_either_the_error_names_both(made: Path) -> None:
    with pytest.raises(Unsupported, match=r"servetune\[tensorflow\]' or 'servetune\[openvino\]"):
        without("tensorflow", "openvino").load(made, CONFIG, Placement())


@pytest.mark.triton("2c.8")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorrt", "convert the model to ONNX"),
        ("auto_mixed_precision", "save the model in the precision"),
        ("gpu_io", "in the CPU's memory"),
    ],
)
def test_accelerators_of_old_tensorflow_are_refused_with_what_to_do(
    made: Path, name: str, said: str
) -> None:
    one = ExecutionAccelerators(gpu_execution_accelerator=(Accelerator(name=name),))
    asked = replace(CONFIG, optimization=Optimization(execution_accelerators=one))
    with pytest.raises(Unsupported, match=said):
        BACKEND.inspect(made, asked)


@pytest.fixture(scope="module")
def server(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("repository")
    shutil.copytree(made / "model.savedmodel", repository / "plain/1/model.savedmodel")
    with served(repository) as ports:
        yield ports


@pytest.mark.triton("1.6", "2a.6")
def test_a_savedmodel_without_a_configuration_is_completed_from_its_signature(
    server: Ports,
) -> None:
    client = Oracle("http", server.http.port, server.grpc.port)
    config = client.plain("get_model_config", "plain")
    assert config["max_batch_size"] == 4
    assert config["platform"] == "tensorflow_savedmodel"
    answer = client.infer(Asked("plain", {"X": ROWS})).as_numpy("Y")
    np.testing.assert_array_equal(answer, ROWS)


def test_strings_and_bf16_go_through(tmp_path: Path) -> None:
    class Both(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, name="T"),
                tf.TensorSpec([None], tf.bfloat16),
            ]
        )
        def call(self, T: Any, B: Any) -> Any:  # noqa: N803 - names of tensors
            return {"T2": tf.identity(T), "B2": tf.identity(B)}

    module = Both()
    tf.saved_model.save(
        module, str(tmp_path / "model.savedmodel"), signatures={"serving_default": module.call}
    )
    kinds = {"T": DType.BYTES, "B": DType.BF16}
    asked = ModelConfig(
        name="both",
        backend="tensorflow",
        input=tuple(ModelInput(name=n, data_type=k, dims=(-1,)) for n, k in kinds.items()),
        output=tuple(ModelOutput(name=n + "2", data_type=k, dims=(-1,)) for n, k in kinds.items()),
    )
    texts = np.array([b"a", b"\xff"], object)
    bits = np.array([0x3F80, 0x7FC0], np.uint16)
    loaded = BACKEND.load(tmp_path, asked, Placement())
    results = loaded.run({"T": texts, "B": bits}, ["T2", "B2"])
    assert results["T2"].tolist() == texts.tolist()
    np.testing.assert_array_equal(results["B2"], bits)
    loaded.close()
