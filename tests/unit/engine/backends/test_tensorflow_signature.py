"""A SavedModel's signature is read from the file itself, by no TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.backend import Signature
from engine.backends.tensorflow.settings import Settings
from engine.backends.tensorflow.signature import choose, inspect
from engine.errors import EngineError, Internal, InvalidArgument, Unsupported
from engine.types import DType, TensorSpec

SETTINGS = Settings(graph=False)
FLOAT, STRING, RESOURCE = 1, 7, 20


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """Write a protobuf message."""
    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


def tensor(dtype: int, sizes: Iterable[int] | None) -> bytes:
    if sizes is None:
        shape = message((3, 1))
    else:
        shape = message(*((2, message((1, size), (2, b"axis"))) for size in sizes))
    return message((1, b"graph/name:0"), (2, dtype), (3, shape))


def entry(name: str, value: bytes) -> bytes:
    return message((1, name.encode()), (2, value))


def signature(inputs: dict[str, bytes], outputs: dict[str, bytes]) -> bytes:
    given = [(1, entry(name, one)) for name, one in inputs.items()]
    return message(*given, *((2, entry(name, one)) for name, one in outputs.items()))


def saved(folder: Path, signatures: dict[str, bytes], *tags: str) -> Path:
    info = message((1, b"v1"), *((4, tag.encode()) for tag in tags or ("serve",)))
    graph = varint(3 << 3 | 1) + struct.pack("<d", 1.0) + varint(7 << 3 | 5) + b"four"
    told = [(5, entry(name, one)) for name, one in signatures.items()]
    (folder / "saved_model.pb").write_bytes(
        message((1, 1), (2, message((1, info), (2, graph), *told)))
    )
    return folder


PLAIN = signature({"T": tensor(STRING + 100, [-1])}, {"Y": tensor(FLOAT, [-1, 4])})
OTHER = signature({"X": tensor(FLOAT, [])}, {"Y": tensor(FLOAT, [3])})


@pytest.mark.triton("1.6")
def test_names_types_and_shapes_are_those_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, {"serving_default": PLAIN, "other": OTHER, "__saved_model_init_op": b""})
    given = (TensorSpec("T", DType.BYTES, (-1,)),)
    assert inspect(path, SETTINGS) == Signature(
        given, (TensorSpec("Y", DType.FP32, (-1, 4)),), batchable=True
    )
    other = inspect(path, Settings(graph=False, signature="other"))
    assert other is not None
    assert (other.inputs[0].shape, other.outputs[0].shape, other.batchable) == ((), (3,), False)


def test_a_rank_that_is_not_known_leaves_the_configuration_to_its_writer(tmp_path: Path) -> None:
    free = signature({"X": tensor(FLOAT, None)}, {"Y": tensor(FLOAT, [1])})
    assert inspect(saved(tmp_path, {"serving_default": free}), SETTINGS) is None


@pytest.mark.triton("2c.15")
def test_the_signature_is_the_parameters_or_the_usual_one_or_the_first(tmp_path: Path) -> None:
    path = saved(tmp_path, {"b": PLAIN, "__saved_model_init_op": b"", "a": PLAIN})
    assert choose(path, SETTINGS) == "a"
    assert choose(path, Settings(graph=False, signature="b")) == "b"
    with pytest.raises(InvalidArgument, match=r"no signature 'c' .* there are: a, b"):
        choose(path, Settings(graph=False, signature="c"))
    with pytest.raises(InvalidArgument, match=r"no graph is tagged 'gpu' .*\[\['serve'\]\]"):
        choose(path, Settings(graph=False, tag="gpu"))


def test_a_type_that_v2_has_no_word_for_is_refused_by_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path, {"serving_default": signature({"X": tensor(RESOURCE, [])}, {})})
    with pytest.raises(Unsupported, match="tensor 'X' is a resource"):
        inspect(path, SETTINGS)


def test_a_missing_file_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(Internal, match=str(tmp_path)):
        inspect(tmp_path, SETTINGS)


@given(cut=st.integers(0, 200), byte=st.integers(0, 255), rest=st.binary(max_size=8))
@example(cut=0, byte=0, rest=b"")
def test_whatever_the_file_holds_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: int, byte: int, rest: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = saved(folder, {"serving_default": PLAIN}).joinpath("saved_model.pb").read_bytes()
    cut = min(cut, len(whole))
    (folder / "saved_model.pb").write_bytes(
        whole[:cut] + bytes([byte]) * (cut > 0) + rest + whole[cut + 1 :] * (byte % 2)
    )
    try:
        read = inspect(folder, SETTINGS)
    except EngineError:
        return
    assert read is None or isinstance(read, Signature)
