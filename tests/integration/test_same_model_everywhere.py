"""One ResNet-50, its weights in every format, all in one server: the answers are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.in_thread import Ports
from support.oracle_clients import Asked, Oracle
from support.served import served

from engine.examples.resnet50 import EXAMPLE

torch = pytest.importorskip("torch", reason="PyTorch is not installed: servetune[torch]")
ov = pytest.importorskip("openvino", reason="OpenVINO is not installed: servetune[openvino]")
tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: servetune[tensorflow]")

CONFIG = """
max_batch_size: 8
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 1000 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
{more}
"""
FORMATS = {
    "onnx": 'backend: "onnxruntime"',
    "openvino": 'backend: "openvino"',
    "torchscript": 'platform: "pytorch_libtorch"',
    "exported": 'platform: "torch_aoti"',
    "savedmodel": 'platform: "tensorflow_savedmodel"',
}
REFERENCE = "onnx"


def walk(graph: Any, value: Any, weights: dict[str, Any], layers: dict[str, Any]) -> Any:
    """Compute an ONNX graph of one input and output with another framework's layers."""
    values = {graph.input[0].name: value, **weights}
    for node in graph.node:
        given = [values[name] for name in node.input]
        told = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        values[node.output[0]] = layers[node.op_type](*given, **told)
    return values[graph.output[0].name]


def in_torch(graph: Any, arrays: dict[str, Any]) -> Any:
    functional = torch.nn.functional
    layers = {
        "Conv": lambda x, w, b, strides, pads, **_: functional.conv2d(x, w, b, strides[0], pads[0]),
        "Relu": torch.relu,
        "Add": torch.add,
        "MaxPool": lambda x, **_: functional.max_pool2d(x, 3, 2, 1),
        "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
        "Flatten": lambda x: x.flatten(1),
        "Gemm": lambda x, w, b, **_: functional.linear(x, w, b),
    }

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, array in arrays.items():
                self.register_buffer(name, torch.from_numpy(array.copy()))

        def forward(self, input: Any) -> Any:  # noqa: A002 - the tensor's name
            return walk(graph, input, dict(self.named_buffers()), layers)

    return Net().eval()


def in_tensorflow(graph: Any, arrays: dict[str, Any]) -> Any:
    def padded(x: Any, pad: int) -> Any:
        return tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])

    def convolved(x: Any, w: Any, b: Any, strides: Any, pads: Any, **_: Any) -> Any:
        return tf.nn.conv2d(padded(x, pads[0]), w, strides[0], "VALID") + b

    layers = {
        "Conv": convolved,
        "Relu": tf.nn.relu,
        "Add": tf.add,
        "MaxPool": lambda x, **_: tf.nn.max_pool2d(padded(x, 1), 3, 2, "VALID"),
        "GlobalAveragePool": lambda x: tf.reduce_mean(x, [1, 2]),
        "Flatten": tf.identity,
        "Gemm": lambda x, w, b, **_: tf.matmul(x, w, transpose_b=True) + b,
    }

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = {
                name: tf.Variable(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array)
                for name, array in arrays.items()
            }

        @tf.function(input_signature=[tf.TensorSpec([None, 3, 224, 224], name="input")])
        def call(self, input: Any) -> Any:  # noqa: A002 - the tensor's name
            image = tf.transpose(input, [0, 2, 3, 1])
            return {"output": walk(graph, image, self.weights, layers)}

    return Net()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("everywhere")
    for name, more in FORMATS.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(CONFIG.format(more=more))
    file = repository / "onnx/1/model.onnx"
    assert EXAMPLE.model is not None
    file.write_bytes(EXAMPLE.model())
    graph = onnx.load(file).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    ir = ov.convert_model(file)
    ov.save_model(ir, repository / "openvino/1/model.xml", compress_to_fp16=False)
    net, example = in_torch(graph, arrays), torch.zeros(2, 3, 224, 224)
    with torch.no_grad():
        torch.jit.trace(net, example, check_trace=False).save(
            str(repository / "torchscript/1/model.pt")
        )
        rows = {0: torch.export.Dim("batch")}
        exported = torch.export.export(net, (example,), dynamic_shapes=(rows,))
    torch.export.save(exported, repository / "exported/1/model.pt2")
    other = in_tensorflow(graph, arrays)
    tf.saved_model.save(
        other,
        str(repository / "savedmodel/1/model.savedmodel"),
        signatures={"serving_default": other.call},
    )
    with served(repository, max_input_size=16 << 20) as ports:
        yield ports


@pytest.mark.parametrize("rows", [1, 2])
def test_the_same_weights_give_the_same_answers_in_every_format(server: Ports, rows: int) -> None:
    images = np.random.default_rng(rows).standard_normal((rows, 3, 224, 224), dtype=np.float32)
    client = Oracle("http", server.http.port, server.grpc.port)
    answers = {
        name: client.infer(Asked(name, {"input": images})).as_numpy("output") for name in FORMATS
    }
    reference = answers[REFERENCE]
    assert reference.shape == (rows, 1000)
    scale = float(np.abs(reference).max())
    assert scale > 0.1
    for name, answer in answers.items():
        assert float(np.abs(answer - reference).max()) < 1e-3 * scale, name
        np.testing.assert_array_equal(answer.argmax(1), reference.argmax(1), err_msg=name)
