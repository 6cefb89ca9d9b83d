"""PyTorch models: TorchScript, ``torch.export`` programs and AOTInductor packages.

``naming`` and ``settings`` decide, from a configuration, which tensor is which argument and how
the model runs; ``program`` opens the three kinds of files, ``session`` runs them, ``accelerate``
hands them to TensorRT. ``torch`` is imported with the first model that needs it.
"""

from __future__ import annotations

from engine.backends.pytorch.backend import PyTorch

BACKEND = PyTorch()
