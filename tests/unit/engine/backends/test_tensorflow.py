"""TensorFlow models are served as bare TensorFlow runs them, or by OpenVINO without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits.backend_kit import BackendKit
from support.in_thread import Ports
from support.oracle_clients import Asked, Oracle
from support.served import served

from engine.backend import Placement, find
from engine.backends.tensorflow.backend import TensorFlow
from engine.errors import InvalidArgument, Unsupported
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

    def make(self, directory: Path) -> ModelConfig:
        target = directory / "model.savedmodel"
        shutil.copytree(self.made / "model.savedmodel", target)
        return CONFIG


def without(*packages: str) -> TensorFlow:
    names = {"tensorflow": "loaded", "openvino": "borrowed"}

    def bring(name: str) -> Any:
        for package in packages:
            if name.endswith(names[package]):
                raise ImportError(f"No module named '{package}'", name=package)
        return import_module(name)

    return TensorFlow(bring)


ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.mark.triton("2c.15")
def test_the_signature_and_the_tag_are_those_of_the_parameters(made: Path) -> None:
    twice = replace(CONFIG, parameters={"TF_SIGNATURE_DEF": "twice", "TF_GRAPH_TAG": "serve"})
    loaded = BACKEND.load(made, twice, Placement())
    np.testing.assert_array_equal(loaded.run({"X": ROWS}, ["Y"])["Y"], ROWS * 2)
    for key, value, said in (
        ("TF_SIGNATURE_DEF", "none", "there are: serving_default, twice"),
        ("TF_GRAPH_TAG", "gpu", r"there are \[\['serve'\]\]"),
        ("TF_NUM_INTRA_THREADS", "few", "expected a whole number, found 'few'"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            BACKEND.inspect(made, replace(CONFIG, parameters={key: value}))
    with pytest.raises(Unsupported, match="TF_INIT_OPS_FILE"):
        BACKEND.inspect(made, replace(CONFIG, parameters={"TF_INIT_OPS_FILE": "init.json"}))


@pytest.mark.triton("2c.15")
def test_a_thread_count_that_comes_too_late_is_said_to_have_no_effect(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tf.constant(1)  # TensorFlow has begun
    told = {"TF_NUM_INTRA_THREADS": "17", "MAX_SESSION_SHARE_COUNT": "2"}
    BACKEND.load(made, replace(CONFIG, parameters=told), Placement())
    assert "its thread count has no effect" in caplog.text
    assert "MAX_SESSION_SHARE_COUNT has no effect" in caplog.text


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


def test_without_tensorflow_openvino_runs_it_and_says_so(made: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: servetune[openvino]")
    loaded = without("tensorflow").load(made, CONFIG, Placement())
    assert "openvino" in loaded.describe()["runtime"]
    assert "since TensorFlow is not installed" in loaded.describe()["runtime"]
    np.testing.assert_array_equal(loaded.run({"X": ROWS}, ["Y"])["Y"], ROWS)


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
    results = BACKEND.load(tmp_path, asked, Placement()).run({"T": texts, "B": bits}, ["T2", "B2"])
    assert results["T2"].tolist() == texts.tolist()
    np.testing.assert_array_equal(results["B2"], bits)
