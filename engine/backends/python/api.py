"""The module that Python models import as ``triton_python_backend_utils``.

Owns what it offers. It is faithful to Triton's in names, arguments and meaning, and knows nothing
of the engine: values in, values out. What is not served yet raises
``TritonModelException`` and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar

from engine.backends.python.answers import Responses as ResponseIterator
from engine.backends.python.autoconfig import ModelConfig
from engine.backends.python.door import door
from engine.backends.python.errors import TritonError, TritonModelException
from engine.backends.python.messages import (
    TRITONSERVER_MEMORY_CPU,
    TRITONSERVER_MEMORY_GPU,
    TRITONSERVER_REQUEST_FLAG_SEQUENCE_END,
    TRITONSERVER_REQUEST_FLAG_SEQUENCE_START,
    TRITONSERVER_REQUEST_RELEASE_ALL,
    TRITONSERVER_REQUEST_RELEASE_RESCHEDULE,
    TRITONSERVER_RESPONSE_COMPLETE_FINAL,
    InferenceRequest,
    InferenceResponse,
    InferenceResponseSender,
    InferenceTrace,
    PreferredMemory,
    get_input_tensor_by_name,
    get_output_tensor_by_name,
)
from engine.backends.python.metrics import Metric, MetricFamily, MetricKind
from engine.backends.python.tensors import (
    TYPES,
    Tensor,
    deserialize_bytes_tensor,
    numpy_to_triton_type,
    serialize_byte_tensor,
    triton_string_to_numpy,
    triton_to_numpy_type,
)

__all__ = [
    "TRITONSERVER_MEMORY_CPU",
    "TRITONSERVER_MEMORY_GPU",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_END",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_START",
    "TRITONSERVER_REQUEST_RELEASE_ALL",
    "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE",
    "TRITONSERVER_RESPONSE_COMPLETE_FINAL",
    "TRITON_STRING_TO_NUMPY",
    "TRITON_TO_NUMPY_TYPE",
    "InferenceRequest",
    "InferenceResponse",
    "InferenceResponseSender",
    "InferenceTrace",
    "Logger",
    "Metric",
    "MetricFamily",
    "MetricKind",
    "ModelConfig",
    "PreferredMemory",
    "ResponseIterator",
    "Tensor",
    "TritonError",
    "TritonModelException",
    "deserialize_bytes_tensor",
    "get_input_config_by_name",
    "get_input_tensor_by_name",
    "get_output_config_by_name",
    "get_output_tensor_by_name",
    "is_model_ready",
    "load_model",
    "numpy_to_triton_type",
    "serialize_byte_tensor",
    "triton_string_to_numpy",
    "triton_to_numpy_type",
    "unload_model",
    "using_decoupled_model_transaction_policy",
]

#: the name under which models import this module
NAME = "triton_python_backend_utils"

TRITON_TO_NUMPY_TYPE = dict(TYPES)
TRITON_STRING_TO_NUMPY = {
    f"TYPE_{word}": triton_string_to_numpy(word)
    for word in (
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16",
        "FP32", "FP64", "STRING",
    )
}  # fmt: skip

_logger = logging.getLogger("engine.python")


class LogLevel(Enum):
    """How much a line of the log matters."""

    INFO = logging.INFO
    WARNING = logging.WARNING
    ERROR = logging.ERROR
    VERBOSE = logging.DEBUG


class Logger:
    """The server's log; its levels are its own members, too."""

    INFO: ClassVar = LogLevel.INFO
    WARNING: ClassVar = LogLevel.WARNING
    ERROR: ClassVar = LogLevel.ERROR
    VERBOSE: ClassVar = LogLevel.VERBOSE

    @staticmethod
    def log(message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Write a line, of a level."""
        _logger.log(level.value, "%s", message)

    @staticmethod
    def log_info(message: str) -> None:
        """Write a line of information."""
        _logger.info("%s", message)

    @staticmethod
    def log_warn(message: str) -> None:
        """Write a warning."""
        _logger.warning("%s", message)

    @staticmethod
    def log_error(message: str) -> None:
        """Write an error."""
        _logger.error("%s", message)

    @staticmethod
    def log_verbose(message: str) -> None:
        """Write a line that only a verbose log shows."""
        _logger.debug("%s", message)


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    """Find what a configuration says of an input; None if there is no such one."""
    return _by_name(model_config, "input", name)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    """Find what a configuration says of an output; None if there is no such one."""
    return _by_name(model_config, "output", name)


def _by_name(model_config: Mapping[str, Any], side: str, name: str) -> Any:  # noqa: ANN401 - JSON
    return next((one for one in model_config.get(side, ()) if one["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    """Whether a configuration says that the model is decoupled."""
    policy = model_config.get("model_transaction_policy", {})
    return bool(policy.get("decoupled", False))


def load_model(model_name: str, config: str = "", files: Mapping[str, bytes] | None = None) -> None:
    """Have the server load a model, or load it anew; waits until it is ready.

    ``config`` is a configuration, as JSON, that takes the place of the model's; ``files`` are
    contents by their paths, as ``file:1/model.onnx``, that take the place of its folder's. Only in
    the explicit model control mode.

    Raises:
        TritonModelException: it could not be loaded, and why.
    """
    if files is not None and not isinstance(files, Mapping):
        raise TritonModelException(
            f"failed to load model '{model_name}', files should be a dictionary of file paths and"
            " file contents"
        )
    door().ask({"what": "load", "model": model_name, "config": config}, files)


def unload_model(model_name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - Triton's
    """Have the server unload a model; only in the explicit model control mode.

    Raises:
        TritonModelException: it could not be unloaded, and why.
    """
    door().ask({"what": "unload", "model": model_name, "dependents": unload_dependents})


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    """Ask whether a model is ready, in any version or this one.

    Raises:
        TritonModelException: the version is no number.
    """
    return bool(door().ask({"what": "ready", "model": model_name, "version": str(model_version)}))
