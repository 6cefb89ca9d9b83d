import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.load.inputs.fields import Field, Takes
from analyzer.load.inputs.json_lines import line_of, spell
from analyzer.load.inputs.json_samples import read
from engine.types import DType


def field(name: str, dtype: DType, *dims: int, **more: Any) -> Field:
    return Field(name=name, dtype=dtype, dims=dims, batched=True, **more)


def model(*inputs: Field, outputs: tuple[Field, ...] = (), sequences: bool = False) -> Takes:
    return Takes(model="m", inputs=inputs, outputs=outputs, sequences=sequences)


def array(value: Any, taken: Field) -> np.ndarray[Any, Any]:
    (stream,) = read(json.dumps({"data": [{taken.name: value}]}), "a.json", model(taken)).streams
    return stream[0].inputs[taken.name]


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


X = field("X", DType.FP32, 2, 2)
OPEN = field("X", DType.INT32, -1, -1)
TEXT = field("X", DType.BYTES, 1)


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3, 4],
        [[1, 2], [3, 4.0]],
        {"content": [1, 2, 3, 4]},
        {"content": [1, 2, 3, 4], "shape": [2, 2]},
        b64(np.array([1, 2, 3, 4], "<f4").tobytes()),
        {"content": b64(np.array([1, 2, 3, 4], "<f4").tobytes()), "shape": [2, 2]},
        {**b64(np.array([1, 2, 3, 4], "<f4").tobytes()), "shape": [2, 2]},
    ],
)
def test_a_tensor_may_be_written_in_each_of_perf_analyzers_ways(value: Any) -> None:
    found = array(value, X)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("taken", "value", "shape"),
    [
        (OPEN, {"content": [1, 2, 3, 4, 5, 6], "shape": [2, 3]}, (2, 3)),
        (OPEN, [[1, 2, 3], [4, 5, 6]], (2, 3)),
        (field("X", DType.INT64, 3, -1), [1, 2, 3, 4, 5, 6], (3, 2)),
        (field("X", DType.UINT8, -1), b64(b"\x01\x02\x03"), (3,)),
        (field("X", DType.FP16, 1), 7, (1,)),
        (field("X", DType.INT8, 2), [3.0, -1], (2,)),
        (field("X", DType.BOOL, 2), [True, 0], (2,)),
    ],
)
def test_a_shape_that_follows_from_the_values_need_not_be_said(
    taken: Field, value: Any, shape: tuple[int, ...]
) -> None:
    found = array(value, taken)
    assert found.shape == shape
    assert found.dtype == taken.dtype.numpy


@pytest.mark.parametrize(
    "value",
    ["plain", ["plain"], b64(b"\x05\0\0\0plain"), {"content": b64(b"plain"), "shape": [1]}],
)
def test_a_string_may_be_plain_or_behind_its_length(value: Any) -> None:
    assert array(value, TEXT).tolist() == [b"plain"]


def test_several_strings_in_base64_stand_each_behind_its_length() -> None:
    content = b"\x01\0\0\0a\x02\0\0\0bc"
    assert array(b64(content), field("X", DType.BYTES, 2)).tolist() == [b"a", b"bc"]
    with pytest.raises(
        UsageError, match=r"each behind 4 bytes that give its length.* begin with 61 62"
    ):
        array(b64(b"abcdef"), field("X", DType.BYTES, 2))


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    assert array([1.0, -2.0], field("X", DType.BF16, 2)).tolist() == [0x3F80, 0xC000]


TWO_LINES = """{
  "data": [
    {"X": [1, 2, 3, 4]},
    {"X": %s}
  ]
}"""


@pytest.mark.parametrize(
    ("taken", "written", "text"),
    [
        (X, "[1, 2, 3]", r"a.json:4: data\[1\].X: expected 4 values for FP32 \[2, 2\], found 3"),
        (X, '[1, 2, 3, "4"]', r"expected numbers for FP32 \[2, 2\], found '4' at \[3\]"),
        (X, '{"b64": "AAAA"}', r"a multiple of 4 bytes, found 3 bytes"),
        (X, '{"b64": "AAAAAA=="}', r"data\[1\].X: expected 16 bytes for FP32 \[2, 2\], found 4"),
        (X, '{"b64": "?"}', r"data\[1\].X.b64: not base64"),
        (X, '{"shape": [2, 2]}', r'expected "content" or "b64" beside the shape'),
        (X, '{"content": [1, 2, 3, 4], "shape": [4]}', r"X.shape: expected shape \[2, 2\], "),
        (X, '{"content": [1, 2, 3, 4], "shape": ["2", 2]}', r"expected a list of whole numbers"),
        (X, '{"values": [1]}', r"data\[1\].X.values: no such field; a tensor has content, b64"),
        (field("X", DType.INT32, 4), "[1, 2, 3, 4.5]", r"whole numbers .* found 4.5 at \[3\]"),
        (field("X", DType.UINT8, 4), "[1, 2, 3, 256]", r"UINT8 values from 0 to 255, found 256"),
        (field("X", DType.BYTES, 4), '["a", "b", "c", 4]', r"expected strings .* found 4"),
        (field("X", DType.BOOL, 4), "[1, 0, 1, 2]", r"expected true, false, 0 or 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_line_path_expected_and_found(
    taken: Field, written: str, text: str
) -> None:
    first = {"BYTES": '["a", "b", "c", "d"]', "BOOL": "[0, 0, 0, 0]"}
    document = TWO_LINES % written
    document = document.replace(
        "[1, 2, 3, 4]}", first.get(taken.dtype.value, "[1, 2, 3, 4]") + "}", 1
    )
    with pytest.raises(UsageError, match=text) as caught:
        read(document, "a.json", model(taken))
    assert caught.value.message.startswith("a.json:4: data[1].X")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ('{"data": [1,', r"a.json:1: not JSON: .* at column"),
        ('{"rows": []}', r'a.json:1: expected {"data": \[...\]}'),
        ('{"data": []}', r"a.json:1: data: expected at least one sample"),
        ('{"data": {}}', r"data: expected a list, found {}"),
        ('{"data": [[]]}', r"data\[0\]: expected at least one sample in a stream"),
        ('{"data": [{"X": [1,2,3,4]}, []]}', r"data\[1\]: expected an object, as the first is"),
        ('{"data": [{}]}', r"data\[0\]: no 'X'; m needs X \(FP32 \[2, 2\]\)"),
        ('{"data": [{"Y": [1]}]}', r"data\[0\].Y: m has no input of that name; it has X"),
        ('{"data": [{"payload": [1]}]}', r"belongs to services of another kind"),
        ('{"data": [5]}', r"data\[0\]: expected an object of tensors by input, found 5"),
        ('{"data": [{"X": [1,2,3,4]}], "validation_data": []}',
         r"validation_data: expected as many entries as data has, 1; found 0"),
        ('{"data": [{"X": [1,2,3,4]}], "validation_data": [{"Z": 1}]}',
         r"validation_data\[0\].Z: m has no output of that name"),
        ('{"data": [], "extra": 1}', r"extra: no such field"),
        ('{"data": [{"X": [1,2,3,4], "timestamp": "x"}]}', r"timestamp: expected milliseconds"),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_told_what_is_missing(document: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read(document, "a.json", model(X))


def test_an_open_shape_that_nothing_tells_asks_for_it() -> None:
    with pytest.raises(UsageError, match=r"pass --shape X:D1,D2"):
        array([1, 2, 3], OPEN)


def test_lists_of_lists_are_streams_and_answers_lie_beside_them() -> None:
    taken = model(field("X", DType.INT32, 1), outputs=(field("Y", DType.INT32, 1),), sequences=True)
    document = {
        "data": [[{"X": [1]}, {"X": [2]}], [{"X": [3]}]],
        "validation_data": [[{"Y": [10]}, {"Y": [20]}], [{"Y": [30]}]],
    }
    found = read(json.dumps(document), "a.json", taken)
    assert found.nested
    told = [
        [(int(s.inputs["X"][0]), int(s.expected["Y"][0])) for s in each] for each in found.streams
    ]
    assert told == [[(1, 10), (2, 20)], [(3, 30)]]
    assert found.streams[0][1].place == "a.json: data[0][1]"
    document["validation_data"][0].pop()
    with pytest.raises(UsageError, match=r"validation_data\[0\]: expected as many entries"):
        read(json.dumps(document), "a.json", taken)


def test_optional_inputs_may_be_left_out_and_the_model_and_time_named() -> None:
    taken = model(X, field("Y", DType.INT32, 1, optional=True))
    document = {"data": [{"X": [1, 2, 3, 4], "model": "m", "timestamp": 250}]}
    (stream,) = read(json.dumps(document), "a.json", taken).streams
    assert set(stream[0].inputs) == {"X"}
    assert stream[0].at_ms == 250


VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=5) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES, st.data())
def test_the_line_of_a_value_is_where_the_printed_text_has_it(
    value: Any, data: st.DataObject
) -> None:
    """Law: every element on a line of its own; a path leads to the line where its value begins."""
    path: list[str | int] = []
    here = value
    while isinstance(here, (dict, list)) and here and data.draw(st.booleans()):
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        step: str | int = data.draw(st.sampled_from(keys))
        path.append(step)
        here = here[step]
    marked = _with(value, path, "\0here")
    text = json.dumps(marked, indent=1)
    number = next(n for n, line in enumerate(text.splitlines(), 1) if "\\u0000here" in line)
    assert line_of(text, tuple(path)) == number
    assert spell(("data", 3, "X")) == "data[3].X"


def _with(value: Any, path: list[str | int], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy
