"""Drawing ONNX graphs node by node, with seeded weights.

Owns: names of nodes and tensors, the seeded generator, the layers the examples share. Does
not own: any model. Standard deviations follow He et al. 2015 (arXiv 1502.01852): what goes
into a ReLU keeps its scale from layer to layer, so that activations neither vanish nor
overflow however deep a network is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from engine.types import Array

FLOAT = int(TensorProto.FLOAT)
INT32 = int(TensorProto.INT32)
UINT8 = int(TensorProto.UINT8)

OPSET = 17
IR_VERSION = 8

#: gain of a layer that a ReLU follows, and of one that nothing follows
RELU, LINEAR = math.sqrt(2.0), 1.0


class Graph:
    """One graph being drawn: every method that adds something answers with a tensor's name."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, kind: int, *dims: int) -> str:
        """Declare an input; the batch dimension is put before ``dims``."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, ["batch", *dims]))
        return name

    def output(self, name: str, kind: int, *dims: int) -> str:
        """Declare an output likewise; a node must write it."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, ["batch", *dims]))
        return name

    def constant(self, array: Array) -> str:
        """Store an array in the model."""
        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, into: str = "", **attributes: int | list[int]) -> str:
        """Add a node; ``into`` names its output, for the graph's own outputs."""
        name = f"{kind}_{len(self._nodes)}"
        output = into or f"{name}_out"
        given: dict[str, Any] = {"name": name, **attributes}
        self._nodes.append(helper.make_node(kind, inputs, [output], **given))
        return output

    def normal(self, *shape: int, std: float) -> str:
        """Draw weights from a normal distribution around 0."""
        return self.constant(
            self._random.standard_normal(shape, dtype=np.float32) * np.float32(std)
        )

    def bounded(self, value: str, low: float, high: float) -> str:
        """Keep every element between ``low`` and ``high``."""
        bounds = (self.constant(np.array(bound, np.float32)) for bound in (low, high))
        return self.node("Clip", value, *bounds)

    def convolution(
        self,
        value: str,
        shape: tuple[int, int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        gain: float = RELU,
    ) -> str:
        """Convolve and add a bias: what is left of a batch norm that was folded in.

        ``shape`` is (channels in, channels out, kernel size); padding keeps the image's size
        at stride 1.
        """
        channels, filters, kernel = shape
        fan_in = channels // groups * kernel * kernel
        weights = self.normal(
            filters, channels // groups, kernel, kernel, std=gain / math.sqrt(fan_in)
        )
        return self.node(
            "Conv",
            value,
            weights,
            self.normal(filters, std=0.05),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=groups,
        )

    def dense(
        self, value: str, width: int, units: int, *, gain: float = LINEAR, into: str = ""
    ) -> str:
        """Multiply [batch, width] by a matrix and add a bias."""
        weights = self.normal(units, width, std=gain / math.sqrt(width))
        return self.node("Gemm", value, weights, self.normal(units, std=0.05), transB=1, into=into)

    def to_bytes(self) -> bytes:
        """Write the model down.

        Raises:
            onnx.checker.ValidationError: the graph that was drawn is not valid ONNX.
        """
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=self._weights
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="servetune"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
