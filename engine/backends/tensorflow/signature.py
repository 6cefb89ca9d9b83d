"""What a SavedModel says of itself, read from ``saved_model.pb`` without TensorFlow.

Only the few fields that name signatures and their tensors are looked at; the graph, which may be
gigabytes, is stepped over. Numbers of fields are those of TensorFlow's ``saved_model.proto``,
``meta_graph.proto`` and ``tensor_shape.proto``, which do not change. Pure but for the file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Signature
from engine.backends.tensorflow.settings import Settings
from engine.errors import Internal, InvalidArgument, Unsupported
from engine.types import DType, TensorSpec

_INIT = "__saved_model_init_op"
_REFERENCE = 100  # a reference to a type is that type's number and this
_DTYPES = {
    1: DType.FP32, 2: DType.FP64, 3: DType.INT32, 4: DType.UINT8, 5: DType.INT16, 6: DType.INT8,
    7: DType.BYTES, 9: DType.INT64, 10: DType.BOOL, 14: DType.BF16, 17: DType.UINT16,
    19: DType.FP16, 22: DType.UINT32, 23: DType.UINT64,
}  # fmt: skip
#: numbers of types that V2 has no word for
_OTHERS = {
    8: "complex64", 11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16",
    18: "complex128", 20: "resource", 21: "variant",
}  # fmt: skip
# How a field's value is written: a number, bytes behind their count, or a number of a fixed size.
_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}
_MORE = 0x80
_Value = int | memoryview


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor of a signature; no ``shape`` is a rank that is not known."""

    dtype: int
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class _Signature:
    inputs: Mapping[str, _Tensor]
    outputs: Mapping[str, _Tensor]


def inspect(path: Path, settings: Settings) -> Signature | None:
    """Read the chosen signature of the SavedModel in the folder ``path``.

    Returns:
        shapes as the file has them; None where a tensor's rank is not known.

    Raises:
        EngineError: there is no such signature, or it has types that cannot be served.
    """
    chosen = _signatures(path, settings)[choose(path, settings)]
    sides = [_specs(path, side) for side in (chosen.inputs, chosen.outputs)]
    if None in sides:
        return None
    inputs, outputs = (tuple(side or ()) for side in sides)
    every = (*inputs, *outputs)
    batchable = bool(inputs) and all(spec.shape[:1] == (-1,) for spec in every)
    return Signature(inputs, outputs, batchable)


def choose(path: Path, settings: Settings) -> str:
    """Name the signature that is to be served: the parameter's, the usual one, or the first.

    Raises:
        InvalidArgument: there is none of that name.
    """
    names = sorted(name for name in _signatures(path, settings) if name != _INIT)
    wanted = settings.signature or "serving_default"
    if wanted in names:
        return wanted
    if settings.signature or not names:
        raise InvalidArgument(
            f"{path}: no signature '{wanted}' (TF_SIGNATURE_DEF); there are: {', '.join(names)}"
        )
    return names[0]


def _specs(path: Path, side: Mapping[str, _Tensor]) -> list[TensorSpec] | None:
    specs = []
    for name, told in sorted(side.items()):
        if told.shape is None:
            return None
        number = told.dtype % _REFERENCE
        dtype = _DTYPES.get(number)
        if dtype is None:
            word = _OTHERS.get(number, f"type {number}")
            raise Unsupported(f"{path}: tensor '{name}' is a {word}, which V2 has no type for")
        specs.append(TensorSpec(name, dtype, told.shape))
    return specs


def _signatures(path: Path, settings: Settings) -> Mapping[str, _Signature]:
    file = path / "saved_model.pb"
    try:
        with file.open("rb") as opened:
            whole = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        graphs = list(_graphs(memoryview(whole)))
    except (OSError, ValueError) as fault:
        raise Internal(f"{path}: no SavedModel that can be read: {fault}") from fault
    for tags, signatures in graphs:
        if settings.tag in tags:
            return signatures
    raise InvalidArgument(
        f"{path}: no graph is tagged '{settings.tag}' (TF_GRAPH_TAG); there are"
        f" {[sorted(tags) for tags, _ in graphs]}"
    )


def _graphs(saved: memoryview) -> Iterator[tuple[list[str], dict[str, _Signature]]]:
    for graph in _messages(saved, 2):
        tags = [_text(tag) for info in _messages(graph, 1) for tag in _messages(info, 4)]
        yield (
            tags,
            {
                name: _Signature(_tensors(told, 1), _tensors(told, 2))
                for name, told in _entries(graph, 5)
            },
        )


def _tensors(signature: memoryview, side: int) -> dict[str, _Tensor]:
    return {name: _tensor(told) for name, told in _entries(signature, side)}


def _tensor(told: memoryview) -> _Tensor:
    dtype = _number(told, 2)
    shape = next(_messages(told, 3), memoryview(b""))
    if _number(shape, 3):  # unknown_rank
        return _Tensor(dtype, None)
    return _Tensor(dtype, tuple(_number(one, 1) for one in _messages(shape, 2)))


def _number(message: memoryview, number: int) -> int:
    for found, value in _fields(message):
        if found == number and isinstance(value, int):
            return value - (1 << 64) if value >> 63 else value
    return 0


def _entries(message: memoryview, number: int) -> Iterator[tuple[str, memoryview]]:
    """Read a map from texts to messages."""
    for entry in _messages(message, number):
        name = "".join(map(_text, _messages(entry, 1)))
        for value in _messages(entry, 2):
            yield name, value


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    for found, value in _fields(message):
        if found == number and isinstance(value, memoryview):
            yield value


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", "replace")


def _fields(message: memoryview) -> Iterator[tuple[int, _Value]]:
    """Read the fields of a protobuf message: numbers, or bytes that are not copied.

    Raises:
        ValueError: it is none.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"it is no protobuf message: byte {at} begins a field of kind {kind}")
        if at + size > len(message):
            raise ValueError(f"it ends {at + size - len(message)} bytes too early")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in message[at : at + 10]:
        value |= (byte & ~_MORE) << shift
        at, shift = at + 1, shift + 7
        if not byte & _MORE:
            return value, at
    raise ValueError(f"it is no protobuf message: byte {at} is in no number")
