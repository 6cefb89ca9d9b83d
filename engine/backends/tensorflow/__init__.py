"""TensorFlow models: SavedModels and frozen graphs.

``settings`` reads what a configuration asks for; ``loaded`` runs a model by TensorFlow,
``borrowed`` by OpenVINO where TensorFlow is not installed. Either is imported with the first
such model.
"""

from __future__ import annotations

from engine.backends.tensorflow.backend import TensorFlow

BACKEND = TensorFlow()
