"""MobileNetV2, a small image classifier (Sandler et al., arXiv 1801.04381), at width 1.0.

Inverted residuals with linear bottlenecks, ReLU6, batch norms folded in: 3,487,816
parameters, 0.3 billion multiply-adds for an image. Answers are logits.
"""

from __future__ import annotations

from engine.examples import Example
from engine.examples._graph import FLOAT, LINEAR, Graph

CLASSES = 1000
#: table 2 of the paper: expansion, channels out, how many, stride of the first
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, HEAD = 32, 1280
BRANCH_GAIN = 0.5

CONFIG = """\
# MobileNetV2 with seeded weights: an image in, 1000 logits out.
name: "mobilenet"
backend: "onnxruntime"
max_batch_size: 16

input [
  {
    name: "input"
    data_type: TYPE_FP32
    format: FORMAT_NCHW
    dims: [ 3, 224, 224 ]
  }
]
output [
  {
    name: "output"
    data_type: TYPE_FP32
    dims: [ 1000 ]
  }
]
"""


def _model() -> bytes:
    graph = Graph("mobilenet", seed=2)
    value = graph.input("input", FLOAT, 3, 224, 224)
    value = _relu6(graph, graph.convolution(value, (3, STEM, 3), stride=2))
    channels = STEM
    for expansion, filters, repeats, stride in STAGES:
        for number in range(repeats):
            step = stride if number == 0 else 1
            value = _inverted_residual(graph, value, (channels, filters, expansion), step)
            channels = filters
    value = _relu6(graph, graph.convolution(value, (channels, HEAD, 1)))
    value = graph.node("Flatten", graph.node("GlobalAveragePool", value))
    graph.dense(value, HEAD, CLASSES, into=graph.output("output", FLOAT, CLASSES))
    return graph.to_bytes()


def _inverted_residual(graph: Graph, value: str, shape: tuple[int, int, int], stride: int) -> str:
    channels, filters, expansion = shape
    wide = channels * expansion
    branch = value
    if expansion != 1:
        branch = _relu6(graph, graph.convolution(branch, (channels, wide, 1)))
    branch = _relu6(graph, graph.convolution(branch, (wide, wide, 3), stride=stride, groups=wide))
    residual = stride == 1 and channels == filters
    branch = graph.convolution(branch, (wide, filters, 1), gain=BRANCH_GAIN if residual else LINEAR)
    return graph.node("Add", value, branch) if residual else branch


def _relu6(graph: Graph, value: str) -> str:
    return graph.bounded(value, 0.0, 6.0)


EXAMPLE = Example(
    summary="MobileNetV2, image [3,224,224] -> 1000 logits: small, ten times as fast",
    megabytes=14,
    config=CONFIG,
    model=_model,
)
