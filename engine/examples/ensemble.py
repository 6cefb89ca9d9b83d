"""A pipeline of two models, as one: ``preprocess``, then ``mobilenet``.

An ensemble has no file of its own; it is wiring. Tensors between the steps stay in the
server.
"""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# preprocess -> mobilenet: pixels in, logits out
name: "ensemble"
platform: "ensemble"

# No more than any of its models takes.
max_batch_size: 16

input [
  {
    name: "IMAGE"
    data_type: TYPE_UINT8
    dims: [ 224, 224, 3 ]
  }
]
output [
  {
    name: "LOGITS"
    data_type: TYPE_FP32
    dims: [ 1000 ]
  }
]

# In each map the key is the model's own tensor, the value the ensemble's name for it.
ensemble_scheduling {
  step [
    {
      model_name: "preprocess"
      model_version: -1
      input_map { key: "IMAGE" value: "IMAGE" }
      output_map { key: "PLANES" value: "planes" }
    },
    {
      model_name: "mobilenet"
      model_version: -1
      input_map { key: "input" value: "planes" }
      output_map { key: "output" value: "LOGITS" }
    }
  ]
}
"""

EXAMPLE = Example(
    summary="pixels -> preprocess -> mobilenet -> logits: a pipeline served as one model",
    megabytes=0.01,
    config=CONFIG,
    model=None,
    needs=("preprocess", "mobilenet"),
)
