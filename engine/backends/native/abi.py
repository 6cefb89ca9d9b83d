"""The structs of ``servetune_backend.h``, for ctypes: one class for each, field for field.

Owns the layout and the numbers of the interface, and nothing of what it means. A test compiles the
header and compares every size and offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int32,
    c_int64,
    c_uint32,
    c_uint64,
    c_void_p,
)

from engine.errors import (
    AlreadyExists,
    Cancelled,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.types import DType

MAJOR, MINOR = 1, 1
VERSION = MAJOR << 16 | MINOR

FINAL = 1
SEQUENCE_START, SEQUENCE_END = 1, 2

#: the errors that ``enum servetune_code`` numbers
ERRORS: Mapping[int, type[EngineError]] = dict(
    enumerate(
        (
            EngineError,
            Internal,
            NotFound,
            InvalidArgument,
            Unavailable,
            Unsupported,
            AlreadyExists,
            Cancelled,
        )
    )
)
CODES = {kind.code: number for number, kind in ERRORS.items()}

#: the types that ``enum servetune_dtype`` numbers, which are those of ``config.pbtxt``
DTYPES: Mapping[int, DType] = dict(
    enumerate(
        (
            DType.BOOL,
            DType.UINT8,
            DType.UINT16,
            DType.UINT32,
            DType.UINT64,
            DType.INT8,
            DType.INT16,
            DType.INT32,
            DType.INT64,
            DType.FP16,
            DType.FP32,
            DType.FP64,
            DType.BYTES,
            DType.BF16,
        ),
        1,
    )
)
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


class CTensor(Structure):
    """``servetune_tensor``."""

    _fields_ = (
        ("name", c_char_p),
        ("dims", POINTER(c_int64)),
        ("data", c_void_p),
        ("byte_size", c_uint64),
        ("dims_count", c_uint32),
        ("dtype", c_int32),
    )


class CRequest(Structure):
    """``servetune_request``."""

    _fields_ = (
        ("id", c_char_p),
        ("correlation_text", c_char_p),
        ("correlation_id", c_uint64),
        ("inputs", POINTER(CTensor)),
        ("outputs", POINTER(c_char_p)),
        ("parameters", c_char_p),
        ("timeout_us", c_uint64),
        ("priority", c_uint64),
        ("inputs_count", c_uint32),
        ("outputs_count", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    )


class CCall(Structure):
    """``servetune_call``."""

    _fields_ = (
        ("model", c_char_p),
        ("version", c_int64),
        ("id", c_char_p),
        ("correlation_text", c_char_p),
        ("correlation_id", c_uint64),
        ("inputs", POINTER(CTensor)),
        ("outputs", POINTER(c_char_p)),
        ("parameters", c_char_p),
        ("timeout_us", c_uint64),
        ("priority", c_uint64),
        ("inputs_count", c_uint32),
        ("outputs_count", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    )


class CAnswer(Structure):
    """``servetune_answer``."""

    _fields_ = (
        ("outputs", POINTER(CTensor)),
        ("failure", c_char_p),
        ("outputs_count", c_uint32),
        ("failure_code", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    )


class CModelArgs(Structure):
    """``servetune_model_args``."""

    _fields_ = (
        ("size", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("version", c_int64),
        ("config", c_char_p),
        ("model_directory", c_char_p),
        ("version_directory", c_char_p),
        ("settings", c_char_p),
    )


class CInstanceArgs(Structure):
    """``servetune_instance_args``."""

    _fields_ = (
        ("size", c_uint32),
        ("kind", c_int32),
        ("device", c_int32),
        ("threads", c_uint32),
        ("name", c_char_p),
    )


# Pointers that go in and out are numbers here: NULL is 0 one way and None the other.
ANSWERED = CFUNCTYPE(None, c_void_p, POINTER(CAnswer))
TOLD = CFUNCTYPE(None, c_void_p, c_char_p)
ErrorNew = CFUNCTYPE(c_void_p, c_int32, c_char_p)
ErrorCode = CFUNCTYPE(c_int32, c_void_p)
ErrorText = CFUNCTYPE(c_void_p, c_void_p)
ErrorFree = CFUNCTYPE(None, c_void_p)
Log = CFUNCTYPE(None, c_int32, c_char_p)
ResponseNew = CFUNCTYPE(c_void_p, c_void_p, POINTER(c_void_p))
ResponseOutput = CFUNCTYPE(
    c_void_p,
    c_void_p,
    c_char_p,
    c_int32,
    POINTER(c_int64),
    c_uint32,
    c_uint64,
    POINTER(c_void_p),
)
ResponseParameters = CFUNCTYPE(c_void_p, c_void_p, c_char_p)
ResponseSend = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_uint32)
ResponseFree = CFUNCTYPE(None, c_void_p)
RequestEnd = CFUNCTYPE(c_void_p, c_void_p)
RequestCancelled = CFUNCTYPE(c_int32, c_void_p)
Infer = CFUNCTYPE(c_void_p, POINTER(CCall), c_void_p, c_void_p)


class CHost(Structure):
    """``servetune_host``."""

    _fields_ = (
        ("abi_version", c_uint32),
        ("size", c_uint32),
        ("error_new", ErrorNew),
        ("error_code", ErrorCode),
        ("error_text", ErrorText),
        ("error_free", ErrorFree),
        ("log", Log),
        ("response_new", ResponseNew),
        ("response_output", ResponseOutput),
        ("response_parameters", ResponseParameters),
        ("response_send", ResponseSend),
        ("response_free", ResponseFree),
        ("request_end", RequestEnd),
        ("request_cancelled", RequestCancelled),
        ("infer", Infer),
        ("infer_async", Infer),
    )
