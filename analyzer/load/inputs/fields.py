"""A model's inputs and outputs as a file of samples fills them: without the batch. Pure.

Owns the reading of metadata and configuration into ``Takes``, and how elements from a file come to
be an array of a field's type and shape. Every error says what was expected and what was found;
the place in the file is the reader's to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.load.payload import batched, settled
from engine.errors import EngineError
from engine.modelconfig.schema import InputFormat
from engine.types import DType, TensorSpec
from engine.v2.binary import decode, slot, strings

if TYPE_CHECKING:
    from engine.modelconfig.schema import ModelConfig
    from engine.types import Array

FLOATS = frozenset({DType.FP16, DType.FP32, DType.FP64, DType.BF16})
#: bits that a float32 has more than a bfloat16, which is its upper half
_BF16_SHIFT = 16
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """An input or output of one sample. ``dims`` are without the batch; -1 may vary.

    ``batched`` says whether requests stack samples of it: not for shape tensors, whose one value
    holds for a whole batch.
    """

    name: str
    dtype: DType
    dims: tuple[int, ...]
    batched: bool
    optional: bool = False
    format: InputFormat = InputFormat.FORMAT_NONE

    @property
    def words(self) -> str:
        """Say what it is: ``FP32 [3, 224, 224]``."""
        return f"{self.dtype.value} {list(self.dims)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What a model takes and gives."""

    model: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    sequences: bool = False

    def input(self, name: str) -> Field | None:
        """Return the input of that name."""
        return next((each for each in self.inputs if each.name == name), None)

    def output(self, name: str) -> Field | None:
        """Return the output of that name."""
        return next((each for each in self.outputs if each.name == name), None)

    @property
    def needed(self) -> tuple[Field, ...]:
        """The inputs that every request has."""
        return tuple(each for each in self.inputs if not each.optional)


def takes(
    model: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    config: ModelConfig | None,
    batch_size: int,
    shapes: Mapping[str, tuple[int, ...]],
) -> Takes:
    """Read metadata (full shapes) and the configuration, where the server shows one.

    ``shapes`` gives shapes by input, without the batch dimension, as ``--shape`` does.

    Raises:
        LoadError: the model cannot take that batch size, or a given shape does not fit.
    """
    batches = batched(inputs, config, batch_size)
    declared = {} if config is None else {each.name: each for each in config.input}
    given = {} if config is None else {each.name: each for each in config.output}
    chosen = settled(inputs, config, batches, shapes)
    fields = []
    for spec in inputs:
        entry = declared.get(spec.name)
        leading = batches and not (entry is not None and entry.is_shape_tensor)
        own = spec.shape[1:] if leading else spec.shape
        fields.append(
            Field(
                name=spec.name,
                dtype=spec.dtype,
                dims=chosen.get(spec.name, own),
                batched=leading,
                optional=spec.optional if entry is None else entry.optional,
                format=InputFormat.FORMAT_NONE if entry is None else entry.format,
            )
        )
    made = []
    for spec in outputs:
        shaped = given.get(spec.name)
        leading = batches and not (shaped is not None and shaped.is_shape_tensor)
        dims = spec.shape[1:] if leading else spec.shape
        made.append(Field(name=spec.name, dtype=spec.dtype, dims=dims, batched=leading))
    keeps = config is not None and config.sequence_batching is not None
    return Takes(model=model, inputs=tuple(fields), outputs=tuple(made), sequences=keeps)


def from_values(field: Field, values: object, shape: tuple[int, ...] | None) -> Array:
    """Make an array of plain values, nested or flat, as JSON has them.

    Whole numbers are taken for floats, a single value for a list of one. Without a ``shape`` it
    is the field's own; where that leaves dimensions open, they come from the nesting, or one of
    them from the number of values.

    Raises:
        ValueError: what was expected, and what was found.
    """
    nested = values if isinstance(values, list) else [values]
    flat, shown = _flat(nested)
    shape = _shape(field, shape, len(flat), shown)
    if len(flat) != prod(shape):
        raise ValueError(
            f"expected {prod(shape)} values for {field.words}"
            f"{_of(shape, field.dims)}, found {len(flat)}"
        )
    return _typed(field, flat).reshape(shape)


def from_bytes(field: Field, content: bytes, shape: tuple[int, ...] | None) -> Array:
    """Make an array of raw bytes: little-endian, row-major, strings behind 4 bytes of length.

    For a field of one string, bytes that no such lengths divide are that string.

    Raises:
        ValueError: what was expected, and what was found.
    """
    size = field.dtype.size
    if not size:
        return _texts(field, content, shape)
    if len(content) % size:
        raise ValueError(
            f"expected {field.words}, a multiple of {size} bytes, found {len(content)} bytes"
        )
    shape = _shape(field, shape, len(content) // size, None)
    if len(content) != prod(shape) * size:
        raise ValueError(
            f"expected {prod(shape) * size} bytes for {field.words}"
            f"{_of(shape, field.dims)}, found {len(content)}"
        )
    return np.frombuffer(content, field.dtype.numpy).reshape(shape)


def from_lines(field: Field, lines: Sequence[bytes]) -> Array:
    """Make an array of strings, one a line.

    Raises:
        ValueError: another number of them was expected.
    """
    shape = _shape(field, None, len(lines), None)
    if len(lines) != prod(shape):
        raise ValueError(
            f"expected {prod(shape)} lines, one a string of {field.words}, found {len(lines)}"
        )
    return strings(list(lines)).reshape(shape)


def from_array(field: Field, array: Array) -> Array:
    """Convert an array of one sample to the field's type, and check its shape.

    Raises:
        ValueError: what was expected, and what was found.
    """
    shape = check_shape(field, array.shape)
    if field.dtype is DType.BYTES:
        return strings([_encoded(field, each) for each in array.ravel().tolist()]).reshape(shape)
    kind = array.dtype.kind
    wanted = field.dtype.numpy.kind
    if field.dtype is DType.BF16:
        wanted = "f"
    if kind not in {"b", "i", "u", "f"} or (wanted in "iub" and kind == "f"):
        raise ValueError(f"expected values for {field.words}, found {array.dtype}")
    if wanted in "iu":
        return _whole(field, array)
    return _floats(field, array) if wanted == "f" else array.astype(field.dtype.numpy)


def check_shape(field: Field, shape: Iterable[int]) -> tuple[int, ...]:
    """Return the shape.

    Raises:
        ValueError: it is not one that the field can have.
    """
    found = tuple(int(size) for size in shape)
    fits = len(found) == len(field.dims) and all(
        have >= 0 and want in {-1, have} for have, want in zip(found, field.dims, strict=True)
    )
    if not fits:
        note = ", the batch dimension not included" if field.batched else ""
        raise ValueError(f"expected shape {list(field.dims)}{note}, found {list(found)}")
    return found


def _shape(
    field: Field, given: tuple[int, ...] | None, count: int, nesting: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Settle the shape: as given, the field's own, as nested, or from the number of values."""
    if given is not None:
        return check_shape(field, given)
    varying = [place for place, size in enumerate(field.dims) if size < 0]
    if not varying:
        return field.dims
    if nesting is not None and len(nesting) == len(field.dims) and len(nesting) > 1:
        return check_shape(field, nesting)
    rest = prod(size for size in field.dims if size >= 0)
    if len(varying) == 1 and rest and count % rest == 0:
        return tuple(count // rest if size < 0 else size for size in field.dims)
    raise ValueError(
        f"expected a shape that says what the open dimensions of {field.words} are: "
        f'write {{"content": [...], "shape": [...]}}, or pass --shape {field.name}:D1,D2'
    )


def _of(shape: tuple[int, ...], dims: tuple[int, ...]) -> str:
    return "" if shape == dims else f" of shape {list(shape)}"


def _flat(values: list[Any]) -> tuple[list[Any], tuple[int, ...] | None]:
    """Unnest values; return also the shape that the nesting shows, None where it is uneven."""
    sizes, even = [len(values)], True
    while any(isinstance(each, list) for each in values):
        lengths = {len(each) if isinstance(each, list) else -1 for each in values}
        even = even and len(lengths) == 1
        sizes.append(min(lengths))
        values = [
            inner for each in values for inner in (each if isinstance(each, list) else [each])
        ]
    return values, tuple(sizes) if even else None


def _typed(field: Field, flat: list[Any]) -> Array:
    dtype = field.dtype
    if dtype is DType.BYTES:
        return strings([_encoded(field, each) for each in flat])
    if dtype is DType.BOOL:
        return _checked(field, flat, lambda each: each in {0, 1}, "true, false, 0 or 1")
    if dtype in FLOATS:
        numbers = _checked(field, flat, _is_number, "numbers")
        return _floats(field, numbers)
    _checked(field, flat, _is_whole, "whole numbers")
    return _whole(field, np.array([int(each) for each in flat], dtype=np.object_))


def _checked(field: Field, flat: list[Any], good: Any, wanted: str) -> Array:  # noqa: ANN401 - a test of any JSON value
    for place, each in enumerate(flat):
        if isinstance(each, (str, dict, list)) or each is None or not good(each):
            raise ValueError(f"expected {wanted} for {field.words}, found {each!r} at [{place}]")
    if field.dtype is DType.BOOL:
        return np.array(flat, dtype=np.bool_)
    return np.array(flat, dtype=np.float64 if field.dtype in FLOATS else np.object_)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return _is_number(value) and value == int(value) if _finite(value) else False  # type: ignore[call-overload]


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _whole(field: Field, numbers: Array) -> Array:
    limits = np.iinfo(field.dtype.numpy)
    flat = numbers.ravel().tolist()
    beyond = next((each for each in flat if not limits.min <= each <= limits.max), None)
    if beyond is not None:
        raise ValueError(
            f"expected {field.dtype.value} values from {limits.min} to {limits.max}, found {beyond}"
        )
    return numbers.astype(field.dtype.numpy)


def _floats(field: Field, numbers: Array) -> Array:
    with np.errstate(over="ignore"):  # a double beyond the type becomes infinity, as in C++
        if field.dtype is DType.BF16:
            bits = numbers.astype(np.float32).view(np.uint32) >> _BF16_SHIFT
            return bits.astype(np.uint16)
        return numbers.astype(field.dtype.numpy)


def _encoded(field: Field, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected strings for {field.words}, found {value!r}")
    return value.encode()


def _texts(field: Field, content: bytes, shape: tuple[int, ...] | None) -> Array:
    """Read strings, each behind its length; or take the bytes as the one string there is."""
    found = _divided(content)
    single = prod(shape or field.dims) == 1
    if found is None or (single and len(found) != 1):
        if single or (found is None and field.dims == (-1,) and shape is None):
            one = (1,) * len(field.dims)
            return strings([content]).reshape(check_shape(field, shape or one))
        raise ValueError(
            f"expected strings for {field.words}, each behind 4 bytes that give its length "
            f"(little-endian); found {len(content)} bytes that begin with {content[:4].hex(' ')}"
        )
    settled_shape = _shape(field, shape, len(found), None)
    if len(found) != prod(settled_shape):
        raise ValueError(
            f"expected {prod(settled_shape)} strings for {field.words}"
            f"{_of(settled_shape, field.dims)}, found {len(found)}"
        )
    return strings(found).reshape(settled_shape)


def _divided(content: bytes) -> list[bytes] | None:
    """Divide strings that stand behind their lengths; None where the lengths do not add up."""
    count, at = 0, 0
    while at + 4 <= len(content):
        at += 4 + int.from_bytes(content[at : at + 4], "little")
        count += 1
    if at != len(content):
        return None
    try:
        tensor = decode(content, slot("", DType.BYTES, (count,)), "", "")
    except EngineError:
        return None
    return list(tensor.array)
