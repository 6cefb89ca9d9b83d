"""An ONNX model whose ``openvino`` accelerator is the package ``openvino``.

That package reads ONNX itself. It stands in where the installed ONNX Runtime was built without its
OpenVINO provider, as the usual one is. Both may be installed beside each other, which the builds of
ONNX Runtime may not. Owns what the model's configuration means over there; the ``openvino`` backend
does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from engine.backend import Placement, Runnable, find
from engine.backends.onnxruntime.settings import cpu_instances
from engine.errors import Unsupported
from engine.modelconfig.schema import ModelConfig

if TYPE_CHECKING:
    from engine.types import Array

_THREADS = "intra_op_thread_count"


def through_openvino(
    directory: Path,
    path: Path,
    config: ModelConfig,
    placement: Placement,
    *,
    look_up: Callable[[str], object] = find_spec,
) -> Runnable:
    """Load one instance of the ONNX file ``path`` of the version's folder ``directory``.

    ``look_up`` tells whether a package is installed.

    Raises:
        Unsupported: the package is not installed; the text names both ways to have OpenVINO.
        EngineError: it could not load the model.
    """
    if look_up("openvino") is None:
        raise Unsupported(
            f"model '{config.name}' asks for the openvino accelerator, and neither package that"
            " brings it is installed: pip install 'servetune[openvino]', which reads the ONNX file"
            " itself; or onnxruntime-openvino in the place of onnxruntime: pip uninstall -y"
            " onnxruntime && pip install onnxruntime-openvino. Or take the accelerator out of"
            " config.pbtxt"
        )
    there = stand_in(config, str(path.relative_to(directory)))
    loaded = find("openvino").load(directory, there, placement)
    return _Accelerated(cast("Runnable", loaded))


def stand_in(config: ModelConfig, filename: str) -> ModelConfig:
    """Say in OpenVINO's words what the configuration says in ONNX Runtime's: pure."""
    parameters = {}
    threads = config.parameters.get(_THREADS, "")
    if threads.isdecimal() and int(threads) > 0:
        parameters["INFERENCE_NUM_THREADS"] = str(int(threads) * max(1, cpu_instances(config)))
    return replace(
        config, backend="openvino", default_model_filename=filename, parameters=parameters
    )


class _Accelerated:
    """The stand-in, which says what it is."""

    def __init__(self, loaded: Runnable) -> None:
        self._loaded = loaded
        self._run = loaded.run

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``."""
        return self._run(inputs, outputs)

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        return {**self._loaded.describe(), "accelerator": "openvino, by the package openvino"}

    def close(self) -> None:
        """Free it."""
        self._loaded.close()
