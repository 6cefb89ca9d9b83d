"""The first step of an image pipeline: pixels as a camera gives them, made fit for a network.

``IMAGE`` UINT8 [224,224,3] (height, width, red-green-blue) becomes FP32 [3,224,224], less
ImageNet's mean and divided by its standard deviation.
"""

from __future__ import annotations

import numpy as np

from engine.examples import Example
from engine.examples._graph import FLOAT, UINT8, Graph

MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)

CONFIG = """\
# Pixels [height, width, colour] -> normalised planes [colour, height, width]
name: "preprocess"
backend: "onnxruntime"
max_batch_size: 16

input [
  {
    name: "IMAGE"
    data_type: TYPE_UINT8
    format: FORMAT_NHWC
    dims: [ 224, 224, 3 ]
  }
]
output [
  {
    name: "PLANES"
    data_type: TYPE_FP32
    dims: [ 3, 224, 224 ]
  }
]
"""


def _model() -> bytes:
    graph = Graph("preprocess", seed=0)
    value = graph.node("Cast", graph.input("IMAGE", UINT8, 224, 224, 3), to=FLOAT)
    value = graph.node("Sub", value, graph.constant(np.array(MEAN, np.float32)))
    value = graph.node("Div", value, graph.constant(np.array(DEVIATION, np.float32)))
    planes = graph.output("PLANES", FLOAT, 3, 224, 224)
    graph.node("Transpose", value, perm=[0, 3, 1, 2], into=planes)
    return graph.to_bytes()


EXAMPLE = Example(
    summary="pixels [224,224,3] -> normalised [3,224,224]: the first step of `ensemble`",
    megabytes=0.01,
    config=CONFIG,
    model=_model,
)
