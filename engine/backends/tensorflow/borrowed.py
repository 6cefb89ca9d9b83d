"""TensorFlow models, run by OpenVINO, where TensorFlow is not installed.

Numbers are 32 bits wide, as in TensorFlow: OpenVINO's own choice may be fewer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from engine.backend import Placement
from engine.backends.tensorflow.settings import Settings
from engine.errors import Internal, InvalidArgument, Unsupported
from engine.modelconfig.schema import ModelConfig
from engine.types import Array


def load(path: Path, config: ModelConfig, settings: Settings, placement: Placement) -> _Model:
    """Load one instance.

    Raises:
        EngineError: OpenVINO's text, and where.
    """
    if placement.device is not None:
        raise Unsupported(f"model '{config.name}': OpenVINO runs TensorFlow models on the CPU only")
    if settings.tag != "serve" or settings.signature not in {"", "serving_default"}:
        raise Unsupported(
            f"model '{config.name}': another graph or signature than the default takes TensorFlow;"
            " pip install 'servetune[tensorflow]'"
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "model.pb"  # OpenVINO goes by a graph's ending
            link.symlink_to(path.absolute())
            core = ov.Core()
            model = core.read_model(link if settings.graph else path)
            threads = {"INFERENCE_NUM_THREADS": placement.threads}
            told = {"INFERENCE_PRECISION_HINT": "f32", **threads}
            compiled = core.compile_model(model, "CPU", told)
    except Exception as fault:
        raise Internal(f"{path}: OpenVINO could not load it: {fault}") from fault
    given = {one.name: _port(path, compiled.inputs, one.name) for one in config.input}
    made = {one.name: _port(path, compiled.outputs, one.name) for one in config.output}
    return _Model(compiled, given, made)


def _port(path: Path, ports: Sequence[Any], name: str) -> Any:  # noqa: ANN401 - untyped library
    for port in ports:
        if {name, f"{name}:0"} & port.get_names():
            return port
    there = "; ".join(", ".join(sorted(port.get_names())) for port in ports)
    raise InvalidArgument(f"{path}: there is no tensor '{name}'; there are: {there}")


class _Model:
    """One compiled model and its request."""

    def __init__(self, compiled: Any, given: Mapping[str, Any], made: Mapping[str, Any]) -> None:  # noqa: ANN401 - untyped library
        self._compiled, self._given, self._made = compiled, given, made
        self._request = compiled.create_infer_request()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``.

        Raises:
            Internal: OpenVINO's text.
        """
        feed = {self._given[name]: np.asarray(one, order="C") for name, one in inputs.items()}
        try:
            results = self._request.infer(feed)
        except Exception as fault:
            raise Internal(f"OpenVINO execute failure: {fault}") from fault
        return {name: np.array(results[self._made[name]]) for name in outputs}

    def describe(self) -> Mapping[str, str]:
        """Say what really runs."""
        threads = str(self._compiled.get_property("INFERENCE_NUM_THREADS"))
        version = str(ov.__version__).partition("-")[0]
        runtime = f"openvino {version}, since TensorFlow is not installed"
        return {"runtime": runtime, "intra_op_threads": threads, "precision": "f32"}

    def close(self) -> None:
        """Let the model go."""
        del self._request, self._compiled
