"""The module that Python models import as ``triton_python_backend_utils``.

Owns what it offers. It is faithful to Triton's in names, arguments and meaning, and knows nothing
of the engine: values in, values out. What is not served yet (other models from within one, custom
metrics) raises ``TritonModelException`` and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, NoReturn

from engine.backends.python.autoconfig import ModelConfig
from engine.backends.python.errors import TritonError, TritonModelException, later
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
    "ModelConfig",
    "PreferredMemory",
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


class MetricFamily:
    """A family of metrics of the model's own; not served yet."""

    COUNTER: ClassVar = "counter"
    GAUGE: ClassVar = "gauge"
    HISTOGRAM: ClassVar = "histogram"

    def __init__(self, name: str, description: str, kind: object) -> None:
        said = f"MetricFamily {name!r}, {description!r}, {kind}"
        raise later(f"a metric of the model's own ({said})")


class Metric:
    """One metric of a family; not served yet."""

    def __init__(self, *_: object, **__: object) -> None:
        raise later("a metric of the model's own (Metric)")


def load_model(model_name: str, *_: object, **__: object) -> NoReturn:
    """Have the server load a model; not served yet."""
    raise later(f"loading model '{model_name}' from a Python model (load_model)")


def unload_model(model_name: str, *_: object, **__: object) -> NoReturn:
    """Have the server unload a model; not served yet."""
    raise later(f"unloading model '{model_name}' from a Python model (unload_model)")


def is_model_ready(model_name: str, *_: object, **__: object) -> NoReturn:
    """Ask whether a model is ready; not served yet."""
    raise later(f"asking for model '{model_name}' from a Python model (is_model_ready)")
