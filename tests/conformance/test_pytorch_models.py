"""PyTorch models behind a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.in_thread import Ports
from support.oracle_clients import Asked, Oracle
from support.served import served
from tritonclient.utils import InferenceServerException

torch = pytest.importorskip("torch", reason="PyTorch is not installed: servetune[torch]")

ADD_SUB = """
max_batch_size: 8
{backend}
input [
  {{ name: "{0}" data_type: TYPE_FP32 dims: [ 4 ] }},
  {{ name: "{1}" data_type: TYPE_FP32 dims: [ 4 ] }}
]
output [
  {{ name: "{2}" data_type: TYPE_FP32 dims: [ 4 ] }},
  {{ name: "{3}" data_type: TYPE_FP32 dims: [ 4 ] }}
]
parameters {{ key: "ENABLE_WEIGHT_SHARING" value: {{ string_value: "true" }} }}
parameters {{ key: "INFERENCE_MODE" value: {{ string_value: "true" }} }}
instance_group [ {{ kind: KIND_CPU count: 2 }} ]
"""
NAMES = {
    "by_name": ("minuend", "addend", "SUM", "DIFFERENCE"),
    "by_index": ("B__1", "A__0", "DIFFERENCE__1", "SUM__0"),
    "by_order": ("A", "B", "SUM", "DIFFERENCE"),
}
WORDS = """
platform: "libtorch"
input [ { name: "TEXTS" data_type: TYPE_STRING dims: [ DIMS ] } ]
output [ { name: "LOUD" data_type: TYPE_STRING dims: [ DIMS ] } ]
"""


class AddSub(torch.nn.Module):
    def forward(self, addend: torch.Tensor, minuend: torch.Tensor) -> Any:
        return addend + minuend, addend - minuend


class Words(torch.nn.Module):
    def forward(self, texts: list[str]) -> list[str]:
        return [text.upper() for text in texts]


def write(repository: Path, name: str, module: Any, config: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    torch.jit.script(module).save(str(repository / name / "1" / "model.pt"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("pytorch")
    for name, names in NAMES.items():
        # Found by its file's name alone, by its platform, by its backend.
        said = {"by_name": "", "by_index": 'platform: "pytorch_libtorch"'}
        backend = said.get(name, 'backend: "pytorch"')
        write(repository, name, AddSub(), ADD_SUB.format(*names, backend=backend))
    write(repository, "words", Words(), WORDS.replace("DIMS", "-1"))
    write(repository, "words_2d", Words(), WORDS.replace("DIMS", "-1, 1"))
    write(repository, "untold", AddSub(), "")
    exported = repository / "exported" / "1"
    exported.mkdir(parents=True)
    (repository / "exported" / "config.pbtxt").write_text('platform: "torch_aoti"')
    example = (torch.ones(3, 4), torch.ones(3, 4))
    rows = {0: torch.export.Dim("batch", min=0)}
    shapes = {"addend": rows, "minuend": rows}
    torch.export.save(
        torch.export.export(AddSub(), example, dynamic_shapes=shapes), exported / "model.pt2"
    )
    with served(repository, exit_on_error=False) as ports:
        yield ports


@pytest.fixture
def client(server: Ports) -> Oracle:
    return Oracle("grpc", server.http.port, server.grpc.port)


@pytest.mark.triton("1.6", "2c.13", "2c.14")
@pytest.mark.parametrize("model", NAMES)
def test_torchscript_tensors_go_by_name_index_or_order(client: Oracle, model: str) -> None:
    first = np.arange(8, dtype=np.float32).reshape(2, 4)
    second = np.full((2, 4), 3, np.float32)
    one, other, *outputs = NAMES[model]
    pair = (first, second) if model == "by_order" else (second, first)
    result = client.infer(Asked(model, dict(zip((one, other), pair, strict=True))))
    for name in outputs:
        expected = first + second if name.startswith("SUM") else first - second
        np.testing.assert_array_equal(result.as_numpy(name), expected)


@pytest.mark.triton("2c.14")
def test_strings_have_one_dimension(client: Oracle) -> None:
    texts = np.array([b"one", b"two"], np.object_)
    answer = client.infer(Asked("words", {"TEXTS": texts})).as_numpy("LOUD")
    assert answer.tolist() == [b"ONE", b"TWO"]
    with pytest.raises(InferenceServerException, match="1 dimensional List of String as input for"):
        client.does("load_model", "words_2d")


@pytest.mark.triton("2a.7")
def test_torchscript_is_not_completed_and_an_exported_program_is_by_its_call(
    client: Oracle,
) -> None:
    with pytest.raises(InferenceServerException, match="takes addend, minuend"):
        client.does("load_model", "untold")
    metadata = client.plain("get_model_metadata", "exported")
    assert [one["name"] for one in metadata["inputs"]] == ["ARGS[0]", "ARGS[1]"]
    assert [one["name"] for one in metadata["outputs"]] == ["RESULT[0]", "RESULT[1]"]
    assert metadata["platform"] == "torch_aoti"
    rows = np.ones((2, 4), np.float32)
    result = client.infer(Asked("exported", {"ARGS[0]": rows, "ARGS[1]": rows * 3}))
    np.testing.assert_array_equal(result.as_numpy("RESULT[1]"), rows * -2)


@pytest.mark.triton("2c.13")
def test_a_parameter_that_cannot_be_is_refused(client: Oracle) -> None:
    wrong = {
        "backend": "pytorch",
        "parameters": {"INFERENCE_MODE": {"string_value": "perhaps"}},
    }
    with pytest.raises(InferenceServerException, match="expected true or false, found 'perhaps'"):
        client.does("load_model", "by_name", config=json.dumps(wrong))
    assert client.does("is_model_ready", "by_name")
