"""TensorRT plans, run by TensorRT or TensorRT-RTX, whichever a plan was built by.

``settings`` reads what a configuration asks for; ``library`` reads a plan (``engine.tensorrtlib``
brings the packages, with the first such model); ``plan`` says what a plan is made of and which
profile fits; ``device`` is the GPU's memory, streams and graphs; ``session`` runs one instance.
"""

from __future__ import annotations

from engine.backends.tensorrt.backend import TensorRt

BACKEND = TensorRt()
