"""How a TensorFlow model is loaded, and how its process is told. Pure.

It is read from a configuration's parameters and accelerators. The keys are those of Triton's
TensorFlow backend. What this backend has no place for is refused by name, or said to have no
effect; nothing is ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import ModelConfig

#: what changes nothing here, and why
IDLE = {
    "MAX_SESSION_SHARE_COUNT": "all instances of a model share one session",
    "TF_USE_PER_SESSION_THREADS": "every model has a process, and with it threads, of its own",
}
_INSTEAD = (
    "TensorFlow 2.18 and later have no TensorRT in them; convert the model to ONNX (tf2onnx) and"
    " serve it by backend onnxruntime with this accelerator"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a model is loaded with; "" and None leave the choice to the file and to TensorFlow."""

    graph: bool
    tag: str = "serve"
    signature: str = ""
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a process is to load; a frozen graph has no ``signature``. ``gpu`` None is the CPU."""

    path: str
    model: str
    signature: str
    tag: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    intra_op_threads: int | None
    inter_op_threads: int | None
    gpu: int | None

    def told(self) -> dict[str, Any]:
        """Write it for the process."""
        return asdict(self)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Wanted:
        """Read it in the process, where lists are what were tuples."""
        return cls(**{**told, "inputs": tuple(told["inputs"]), "outputs": tuple(told["outputs"])})


def read(config: ModelConfig) -> Settings:
    """Read a model's parameters.

    Raises:
        InvalidArgument: one is not what it should be.
        Unsupported: it cannot be done here; says what to do instead.
    """
    _refuse_accelerators(config)
    parameters = config.parameters
    if "TF_INIT_OPS_FILE" in parameters:
        raise Unsupported(
            f"model '{config.name}': parameters['TF_INIT_OPS_FILE'] is not served; save the model"
            " as a SavedModel, which initialises itself"
        )
    return Settings(
        graph=config.platform == "tensorflow_graphdef"
        or config.default_model_filename.endswith((".graphdef", ".pb")),
        tag=parameters.get("TF_GRAPH_TAG") or "serve",
        signature=parameters.get("TF_SIGNATURE_DEF", ""),
        intra_op_threads=_count(config, "TF_NUM_INTRA_THREADS"),
        inter_op_threads=_count(config, "TF_NUM_INTER_THREADS"),
    )


def _refuse_accelerators(config: ModelConfig) -> None:
    optimization = config.optimization
    accelerators = optimization.execution_accelerators if optimization else None
    if accelerators is None:
        return
    listed = (*accelerators.gpu_execution_accelerator, *accelerators.cpu_execution_accelerator)
    instead = {
        "tensorrt": _INSTEAD,
        "auto_mixed_precision": "save the model in the precision that it is to run in",
        "gpu_io": "inputs and outputs are in the CPU's memory; take it out",
    }
    for one in listed:
        if one.name in instead:
            raise Unsupported(
                f"model '{config.name}': Execution Accelerator '{one.name}' is not served for"
                f" TensorFlow models: {instead[one.name]}"
            )
        raise InvalidArgument(
            f"model '{config.name}': unknown Execution Accelerator '{one.name}' is requested"
        )


def _count(config: ModelConfig, key: str) -> int | None:
    text = config.parameters.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidArgument(
            f"model '{config.name}': parameters['{key}']: expected a whole number, found '{text}'"
        )
    return int(text)
