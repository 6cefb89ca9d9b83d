"""ResNet-50, the image classifier that serving is compared on (He et al., arXiv 1512.03385).

The stride of a block that halves the image sits in its 3x3 convolution (the variant called
v1.5), and batch norms are folded into the convolutions, as every runtime does before it
serves: 25,530,472 parameters, 4.1 billion multiply-adds for an image. Answers are logits.
"""

from __future__ import annotations

from engine.examples import Example
from engine.examples._graph import FLOAT, LINEAR, Graph

CLASSES = 1000
#: how many blocks, and how many channels within each, for every size of the image
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
EXPANSION = 4
#: a branch adds a little to the path it leaves, so that 16 sums in a row stay in scale
BRANCH_GAIN = 0.5

CONFIG = """\
# ResNet-50 with seeded weights: an image in, 1000 logits out.
name: "resnet50"
backend: "onnxruntime"

# A client may send up to 8 images in one request; the batch dimension is not part of dims.
max_batch_size: 8

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

# Nothing is said here of instance_group, dynamic_batching or threads: the server's
# defaults apply. `analyze profile --model resnet50` finds out what serves best.
"""


def _model() -> bytes:
    graph = Graph("resnet50", seed=50)
    value = graph.input("input", FLOAT, 3, 224, 224)
    value = graph.node("Relu", graph.convolution(value, (3, 64, 7), stride=2))
    value = graph.node("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (blocks, width) in enumerate(STAGES):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            value = _bottleneck(graph, value, (channels, width), stride)
            channels = width * EXPANSION
    value = graph.node("Flatten", graph.node("GlobalAveragePool", value))
    graph.dense(value, channels, CLASSES, into=graph.output("output", FLOAT, CLASSES))
    return graph.to_bytes()


def _bottleneck(graph: Graph, value: str, shape: tuple[int, int], stride: int) -> str:
    channels, width = shape
    wide = width * EXPANSION
    branch = graph.node("Relu", graph.convolution(value, (channels, width, 1)))
    branch = graph.node("Relu", graph.convolution(branch, (width, width, 3), stride=stride))
    branch = graph.convolution(branch, (width, wide, 1), gain=BRANCH_GAIN)
    if channels != wide:
        value = graph.convolution(value, (channels, wide, 1), stride=stride, gain=LINEAR)
    return graph.node("Relu", graph.node("Add", branch, value))


EXAMPLE = Example(
    summary="ResNet-50, image [3,224,224] -> 1000 logits: heavy; batches gain little on a CPU",
    megabytes=102,
    config=CONFIG,
    model=_model,
)
