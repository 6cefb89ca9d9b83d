"""Arrays from and to DLPack, without a copy, for the types numpy knows and for BF16.

numpy exports neither arrays that can only be read, as a model's inputs are, nor BF16, so the
structure is written here (DLPack 0.x: ``DLManagedTensor`` in a capsule named ``dltensor``, which
a consumer renames ``used_dltensor`` and then owns). Arrays on the CPU only.
"""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.backends.python.errors import TritonModelException

Array = npt.NDArray[Any]

#: DLPack's device: the CPU's memory
CPU = (1, 0)
_BFLOAT = 4
_KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}
_NAME, _USED = b"dltensor", b"used_dltensor"


class _Tensor(ctypes.Structure):
    _fields_: ClassVar = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [
    ("tensor", _Tensor),
    ("context", ctypes.c_void_p),
    ("deleter", _Deleter),
]
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _Destructor]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype = ctypes.c_int
_is_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.restype = ctypes.c_int
_rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
# The same two, for a destructor: it gets a capsule that is being deleted, so only its address.
_raw_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_raw_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

#: what was exported and not given back: everything its structure points to, by its address
_exported: dict[int, tuple[object, ...]] = {}


def _delete(managed: Any) -> None:  # noqa: ANN401 - a ctypes pointer
    _exported.pop(ctypes.addressof(managed.contents), None)


def _destroy(capsule: int) -> None:
    if _raw_valid(capsule, _NAME):  # nobody took it
        _exported.pop(_raw_pointer(capsule, _NAME), None)


# Kept for good: whoever holds a capsule holds their addresses.
_deleter = _Deleter(_delete)
_destructor = _Destructor(_destroy)


def export(array: Array, *, bf16: bool = False) -> object:
    """Make a capsule of an array; ``bf16`` says that its 16-bit elements are BF16."""
    array = np.ascontiguousarray(array)
    shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
    managed = _Managed()
    tensor = managed.tensor
    tensor.data = array.ctypes.data
    tensor.device_type, tensor.device_id = CPU
    tensor.ndim = array.ndim
    tensor.code = _BFLOAT if bf16 else _KINDS[array.dtype.kind]
    tensor.bits = array.dtype.itemsize * 8
    tensor.lanes = 1
    tensor.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = _deleter
    address = ctypes.addressof(managed)
    _exported[address] = (managed, shape, array)
    return _new(address, _NAME, _destructor)


class _Owner:
    """Keeps what a capsule points to, until nobody uses it; shows it to numpy."""

    def __init__(self, managed: Any, interface: dict[str, object]) -> None:  # noqa: ANN401 - a ctypes pointer
        self._managed = managed
        self.__array_interface__ = interface

    def __del__(self) -> None:
        if self._managed.contents.deleter:
            self._managed.contents.deleter(self._managed)


def import_(source: object) -> tuple[Array, bool]:
    """Take an array over; also says whether its 16-bit elements are BF16."""
    if (device := getattr(source, "__dlpack_device__", None)) is not None and device()[0] != CPU[0]:
        raise _elsewhere()
    give = getattr(source, "__dlpack__", None)
    capsule = give() if give is not None else source
    if type(capsule).__name__ != "PyCapsule" or not _is_valid(capsule, _NAME):
        raise TritonModelException(
            "from_dlpack() takes a DLPack capsule that nobody has used, or an object with"
            f" __dlpack__, not {type(source).__name__}"
        )
    managed = ctypes.cast(_pointer(capsule, _NAME), ctypes.POINTER(_Managed))
    tensor = managed.contents.tensor
    if tensor.device_type != CPU[0]:
        raise _elsewhere()
    bf16 = (tensor.code, tensor.bits) == (_BFLOAT, 16)
    kind = "u" if bf16 else {code: kind for kind, code in _KINDS.items()}.get(tensor.code)
    if kind is None or tensor.lanes != 1 or tensor.bits % 8:
        raise TritonModelException(
            f"DLPack type code {tensor.code} with {tensor.bits} bits has no type in Triton"
        )
    size = tensor.bits // 8
    interface: dict[str, object] = {
        "version": 3,
        "typestr": f"{'|' if size == 1 else '<'}{kind}{size}",
        "shape": tuple(tensor.shape[: tensor.ndim]),
        "data": ((tensor.data or 0) + tensor.byte_offset, False),
    }
    if tensor.strides:
        interface["strides"] = tuple(one * size for one in tensor.strides[: tensor.ndim])
    _rename(capsule, _USED)
    return np.asarray(_Owner(managed, interface)), bf16


def _elsewhere() -> TritonModelException:
    return TritonModelException(
        "the tensor is not in the memory of the CPU, and only such are served: call .cpu() first"
    )
