"""perf_analyzer's JSON files of samples: text in, samples out. Pure.

::

    {"data": [ {"INPUT0": [1, 2, 3], "INPUT1": {"b64": "..."}},
               {"INPUT0": {"content": [1, 2], "shape": [2]}} ],
     "validation_data": [ {"OUTPUT0": [1, 2, 3]}, {"OUTPUT0": [1, 2]} ]}

A list in the place of an object is a stream of a sequence model. Besides what perf_analyzer reads,
values may be nested as the tensor is, whole numbers stand for floats, a value alone for a list of
one, and a shape that follows from the values need not be said. Errors name file, line and path.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analyzer.errors import UsageError
from analyzer.load.inputs.fields import Field, Takes, check_shape, from_bytes, from_values
from analyzer.load.inputs.json_lines import line_of, spell
from analyzer.load.inputs.samples import Sample, Samples

if TYPE_CHECKING:
    from analyzer.load.inputs.json_lines import Path
    from engine.types import Array

#: what may stand beside the tensors of a sample, and is no tensor
BESIDE = frozenset({"model", "timestamp"})
#: what perf_analyzer reads for services of another kind
OTHER_KINDS = frozenset({"payload", "session_id", "delay", "message_generator", "ipc_stream"})
_KEYS = ("content", "b64", "shape")


class _Bad(Exception):
    """Something is wrong at a place in the file."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


def read(text: str, name: str, model: Takes) -> Samples:
    """Read a file of samples for a model; ``name`` is the file's, for messages.

    Raises:
        UsageError: it is not such a file, or does not fit the model; with line and path.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{name}:{error.lineno}: not JSON: {error.msg} at column {error.colno}"
        ) from error
    try:
        return _samples(plain, name, model)
    except _Bad as bad:
        place = f"{name}:{line_of(text, bad.path)}"
        where = f" {spell(bad.path)}:" if bad.path else ""
        raise UsageError(f"{place}:{where} {bad.text}") from bad


def _samples(plain: Any, name: str, model: Takes) -> Samples:  # noqa: ANN401 - any JSON
    if not isinstance(plain, dict) or "data" not in plain:
        raise _Bad((), 'expected {"data": [...]}, as perf_analyzer reads it; no "data" is there')
    if unknown := sorted(plain.keys() - {"data", "validation_data"}):
        raise _Bad((unknown[0],), 'no such field; there are "data" and "validation_data"')
    entries = _list(plain["data"], ("data",))
    if not entries:
        raise _Bad(("data",), "expected at least one sample, found none")
    answers: list[Any] | None = None
    if "validation_data" in plain:
        answers = _list(plain["validation_data"], ("validation_data",))
        _aligned(entries, answers, ("data",), ("validation_data",))
    nested = isinstance(entries[0], list)
    streams = []
    flat = []
    for index, entry in enumerate(entries):
        path: Path = ("data", index)
        if isinstance(entry, list) != nested:
            kind = "a list (a stream)" if nested else "an object"
            raise _Bad(path, f"expected {kind}, as the first is; streams and samples do not mix")
        answer = None if answers is None else answers[index]
        answer_path: Path = ("validation_data", index)
        if nested:
            streams.append(_stream(entry, path, answer, answer_path, name, model))
        else:
            flat.append(_sample(entry, path, answer, answer_path, name, model))
    return Samples(streams=tuple(streams) if nested else (tuple(flat),), nested=nested)


def _stream(
    steps: list[Any], path: Path, answers: object, answer_path: Path, name: str, model: Takes
) -> tuple[Sample, ...]:
    if not steps:
        raise _Bad(path, "expected at least one sample in a stream, found none")
    if answers is not None:
        answers = _list(answers, answer_path)
        _aligned(steps, answers, path, answer_path)
    return tuple(
        _sample(
            step,
            (*path, index),
            None if answers is None else answers[index],
            (*answer_path, index),
            name,
            model,
        )
        for index, step in enumerate(steps)
    )


def _sample(
    entry: object, path: Path, answer: object, answer_path: Path, name: str, model: Takes
) -> Sample:
    if not isinstance(entry, dict):
        raise _Bad(path, f"expected an object of tensors by input, found {_kind(entry)}")
    fields = {each.name: each for each in model.inputs}
    arrays = {}
    for key, value in entry.items():
        if key in BESIDE:
            continue
        if key not in fields:
            raise _Bad((*path, key), _unknown(key, "input", model, tuple(fields)))
        arrays[key] = _tensor(value, (*path, key), fields[key])
    missing = [each for each in model.needed if each.name not in arrays]
    if missing:
        needed = ", ".join(f"{each.name} ({each.words})" for each in model.needed)
        raise _Bad(path, f"no {missing[0].name!r}; {model.model} needs {needed}")
    expected = {}
    if answer is not None:
        if not isinstance(answer, dict):
            raise _Bad(answer_path, f"expected an object of outputs, found {_kind(answer)}")
        outputs = {each.name: each for each in model.outputs}
        for key, value in answer.items():
            if key not in outputs:
                text = _unknown(key, "output", model, tuple(outputs))
                raise _Bad((*answer_path, key), text)
            expected[key] = _tensor(value, (*answer_path, key), outputs[key])
    at = _timestamp(entry, path)
    return Sample(inputs=arrays, expected=expected, place=f"{name}: {spell(path)}", at_ms=at)


def _tensor(value: object, path: Path, field: Field) -> Array:
    """Read one tensor: values, or an object with values or bytes and perhaps a shape."""
    shape: tuple[int, ...] | None = None
    if isinstance(value, dict):
        if unknown := sorted(value.keys() - set(_KEYS)):
            raise _Bad((*path, unknown[0]), f"no such field; a tensor has {', '.join(_KEYS)}")
        shape = _given_shape(value, path, field)
        if "content" in value:
            path, value = (*path, "content"), value["content"]
        elif "b64" not in value:
            raise _Bad(path, 'expected "content" or "b64" beside the shape, found neither')
    try:
        if isinstance(value, dict):
            return from_bytes(field, _decoded(value, path), shape)
        return from_values(field, value, shape)
    except ValueError as error:
        raise _Bad(path, str(error)) from error


def _given_shape(value: dict[str, Any], path: Path, field: Field) -> tuple[int, ...] | None:
    if "shape" not in value:
        return None
    shape = value["shape"]
    path = (*path, "shape")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise _Bad(path, f"expected a list of whole numbers, found {json.dumps(shape)}")
    try:
        return check_shape(field, shape)
    except ValueError as error:
        raise _Bad(path, str(error)) from error


def _decoded(value: Mapping[str, Any], path: Path) -> bytes:
    if set(value) - {"shape"} != {"b64"} or not isinstance(value["b64"], str):
        raise _Bad(path, f'expected values or {{"b64": "..."}}, found {_kind(value)}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except binascii.Error as error:
        raise _Bad((*path, "b64"), f"not base64: {error}") from error


def _timestamp(entry: dict[str, Any], path: Path) -> float | None:
    value = entry.get("timestamp")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise _Bad((*path, "timestamp"), f"expected milliseconds, found {json.dumps(value)}")
    return float(value)


def _aligned(data: list[Any], answers: list[Any], path: Path, answer_path: Path) -> None:
    if len(data) != len(answers):
        raise _Bad(
            answer_path,
            f"expected as many entries as {spell(path)} has, {len(data)}; found {len(answers)}",
        )


def _list(value: object, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise _Bad(path, f"expected a list, found {_kind(value)}")
    return value


def _unknown(key: str, what: str, model: Takes, names: tuple[str, ...]) -> str:
    if key in OTHER_KINDS:
        return f"{key!r} belongs to services of another kind; {model.model} is a V2 model"
    return f"{model.model} has no {what} of that name; it has {', '.join(names)}"


def _kind(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - so much fits a line
