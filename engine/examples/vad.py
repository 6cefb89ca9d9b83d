"""Finding speech in a stream of audio: a trained model whose state the server keeps.

The weights are silero-vad's (MIT). Its graph takes the last 64 samples that were heard together
with 512 new ones, keeps the state of an LSTM with the batch on the second axis, and is told the
sampling rate by a scalar. None of that is a client's business, so it is wrapped: a request is 512
samples of a sequence and nothing else.

1. Every tensor has the batch in front; the state is transposed at the graph's edges.
2. What was heard last (``CONTEXT``) is state, as the LSTM's is (``STATE``).
3. On START both are zeros, whatever they were: no first value has to be configured.
4. The rate is a constant: 16 kHz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.examples import Example
from engine.examples._outside import Outside

if TYPE_CHECKING:
    from engine.types import Array

SILERO = Outside("silero-vad")
WEIGHTS = "silero_vad/data/silero_vad_16k_op15.onnx"
RATE, CHUNK, CONTEXT, WIDTH = 16_000, 512, 64, 128

CONFIG = """\
# 512 samples at 16 kHz of a stream in, how likely they are speech out. A stream is a sequence.
name: "vad"
backend: "onnxruntime"
max_batch_size: 16

input [ { name: "AUDIO" data_type: TYPE_FP32 dims: [ 512 ] } ]
output [ { name: "SPEECH" data_type: TYPE_FP32 dims: [ 1 ] } ]

sequence_batching {
  # A stream that is silent for a minute (no requests, that is) is forgotten.
  max_sequence_idle_microseconds: 60000000

  # Streams that have something to say now run as one batch; 64 may be under way.
  oldest { max_candidate_sequences: 64 }

  control_input [
    {
      name: "START"
      control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ]
    }
  ]
  state [
    {
      input_name: "STATE_IN"
      output_name: "STATE_OUT"
      data_type: TYPE_FP32
      dims: [ 2, 128 ]
    },
    {
      input_name: "CONTEXT_IN"
      output_name: "CONTEXT_OUT"
      data_type: TYPE_FP32
      dims: [ 64 ]
    }
  ]
}
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def wrapped(inner: bytes) -> bytes:
    """Wrap the package's graph as the module's rules say.

    Raises:
        onnx.checker.ValidationError: the graph is not the one that is expected.
    """
    model = onnx.load_from_string(inner)
    graph = model.graph
    before = [
        helper.make_node("Greater", ["START", "wrap.half"], ["wrap.start"]),
        helper.make_node("Reshape", ["wrap.start", "wrap.cube"], ["wrap.starts"]),
        helper.make_node("Where", ["wrap.starts", "wrap.zero", "STATE_IN"], ["wrap.state"]),
        helper.make_node("Transpose", ["wrap.state"], ["state"], perm=[1, 0, 2]),
        helper.make_node("Where", ["wrap.start", "wrap.zero", "CONTEXT_IN"], ["wrap.context"]),
        helper.make_node("Concat", ["wrap.context", "AUDIO"], ["input"], axis=1),
    ]
    after = [
        helper.make_node("Identity", ["output"], ["SPEECH"]),
        helper.make_node("Transpose", ["stateN"], ["STATE_OUT"], perm=[1, 0, 2]),
        helper.make_node("Slice", ["AUDIO", "wrap.from", "wrap.to", "wrap.axis"], ["CONTEXT_OUT"]),
    ]
    nodes = [*before, *graph.node, *after]
    constants = [
        _constant("sr", np.array(RATE, np.int64)),
        _constant("wrap.half", np.array(0.5, np.float32)),
        _constant("wrap.zero", np.array(0, np.float32)),
        _constant("wrap.cube", np.array([-1, 1, 1], np.int64)),
        _constant("wrap.from", np.array([CHUNK - CONTEXT], np.int64)),
        _constant("wrap.to", np.array([CHUNK], np.int64)),
        _constant("wrap.axis", np.array([1], np.int64)),
    ]
    inputs = [
        _tensor("AUDIO", CHUNK),
        _tensor("START", 1),
        _tensor("STATE_IN", 2, WIDTH),
        _tensor("CONTEXT_IN", CONTEXT),
    ]
    outputs = [
        _tensor("SPEECH", 1),
        _tensor("STATE_OUT", 2, WIDTH),
        _tensor("CONTEXT_OUT", CONTEXT),
    ]
    whole = helper.make_graph(
        nodes, "vad", inputs, outputs, initializer=[*graph.initializer, *constants]
    )
    made = helper.make_model(whole, opset_imports=list(model.opset_import), producer_name="silero")
    made.ir_version = model.ir_version
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))


def _tensor(name: str, *dims: int) -> Any:  # noqa: ANN401 - onnx publishes no types
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *dims])


def _constant(name: str, array: Array) -> Any:  # noqa: ANN401 - as above
    return numpy_helper.from_array(array, name)


def _model() -> bytes:
    return wrapped(SILERO.read(WEIGHTS))


EXAMPLE = Example(
    summary="speech in a stream of audio, trained: a sequence whose state the server keeps",
    megabytes=1.3,
    config=CONFIG,
    model=_model,
    outside=(SILERO,),
)
