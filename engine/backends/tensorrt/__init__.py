"""TensorRT plans, run by TensorRT or TensorRT-RTX, whichever a plan was built by.

``settings`` reads what a configuration asks for; ``library`` brings the package and deserialises;
``plan`` says what a plan is made of and which profile fits; ``device`` is the GPU's memory, streams
and graphs; ``session`` runs one instance. The packages are imported with the first such model.
"""

from __future__ import annotations

from engine.backends.tensorrt.backend import TensorRt

BACKEND = TensorRt()
