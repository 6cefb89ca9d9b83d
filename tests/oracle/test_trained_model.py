"""A trained model, taken from a package, is served exactly as the bare runtime computes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from support.serving import Server, serving

from engine.types import Array

MODEL = Path(str(files("magika"))) / "models" / "standard_v3_3" / "model.onnx"
# One thread on both sides: sums in another order would differ in their last bits.
CONFIG = """
max_batch_size: 8
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("trained")
    version = folder / "models" / "magika" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(MODEL.read_bytes())
    (version.parent / "config.pbtxt").write_text(CONFIG)
    with serving("--model-repository", str(folder / "models"), folder=folder) as server:
        yield server


@pytest.fixture(scope="module")
def bare() -> Callable[[Array], Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(MODEL.read_bytes(), options)

    def run(content: Array) -> Array:
        (output,) = session.run(None, {"bytes": content})
        return np.asarray(output)

    return run


def contents(rows: int) -> Array:
    """The beginnings of files of different kinds, as the model takes them."""
    texts = [
        b"#!/usr/bin/env python3\nimport sys\n\n\ndef main():\n    print(sys.argv)\n" * 20,
        b'{"name": "a", "values": [1, 2, 3], "nested": {"b": null}}\n' * 20,
        b"<!doctype html><html><head><title>x</title></head><body><p>y</p></body></html>" * 15,
        b"SELECT name, count(*) FROM models GROUP BY name ORDER BY 2 DESC;\n" * 20,
    ]
    found = np.full((rows, 2048), 256, np.int32)
    for row in range(rows):
        text = texts[row % len(texts)][:1024]
        found[row, : len(text)] = np.frombuffer(text, np.uint8)
        found[row, -len(text) :] = np.frombuffer(text, np.uint8)
    return found


def over_http(server: Server, content: Array, *, binary: bool) -> Array:
    with httpclient.InferenceServerClient(server.http) as client:
        return asked(client, httpclient, content, binary_data=binary)


def over_grpc(server: Server, content: Array) -> Array:
    with grpcclient.InferenceServerClient(server.grpc) as client:
        return asked(client, grpcclient, content)


def asked(client: Any, library: Any, content: Array, **form: bool) -> Array:
    tensor = library.InferInput("bytes", list(content.shape), "INT32")
    tensor.set_data_from_numpy(content, **form)
    output = library.InferRequestedOutput("target_label", **form)
    answer = client.infer("magika", [tensor], outputs=[output])
    return np.asarray(answer.as_numpy("target_label"))


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("form", ["json", "binary", "grpc"])
def test_the_answer_is_the_bare_runtimes_to_the_last_bit(
    served: Server, bare: Callable[[Array], Array], form: str, rows: int
) -> None:
    content = contents(rows)
    if form == "grpc":
        answer = over_grpc(served, content)
    else:
        answer = over_http(served, content, binary=form == "binary")
    expected = bare(content)
    assert answer.dtype == expected.dtype
    np.testing.assert_array_equal(answer, expected)


def test_the_weights_are_trained_ones(served: Server) -> None:
    """What each content is comes out right, which no random weights would find."""
    labels = json.loads((MODEL.parent / "config.min.json").read_text())["target_labels_space"]
    scores = over_grpc(served, contents(4))
    assert [labels[best] for best in scores.argmax(axis=1)] == ["python", "jsonl", "html", "sql"]
