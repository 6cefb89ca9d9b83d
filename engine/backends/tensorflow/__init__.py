"""TensorFlow models: SavedModels and frozen graphs.

``settings`` reads what a configuration asks for, ``signature`` what a SavedModel says of itself.
TensorFlow runs in a process for each model: ``apart`` is the server's end of it, ``child`` and
``loaded`` what is imported there. ``borrowed`` runs a model by OpenVINO where TensorFlow is not
installed.
"""

from __future__ import annotations

from engine.backends.tensorflow.backend import TensorFlow

BACKEND = TensorFlow()
