"""Models that OpenVINO reads: its own IR, ONNX, TensorFlow, TFLite, Paddle.

``settings`` decides, from a configuration, how a model is compiled; ``graph`` reads a model and
gives it its shapes; ``backend`` has it compiled once for all instances of a model version;
``request`` runs it. The package ``openvino`` is imported with the first model that needs it.
"""

from __future__ import annotations

from engine.backends.openvino.backend import OpenVino

BACKEND = OpenVino()
