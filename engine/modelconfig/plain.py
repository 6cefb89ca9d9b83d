"""The JSON form of a configuration: what ``/config`` answers and a load override brings.

Owns: Triton's way of writing a message as plain values and reading it back. Does not own:
bytes (the caller's JSON library), nor the schema (``messages``).

1. Fields bear protobuf's names. Those without presence are always written; an absent message,
   and an alternative not chosen, is left out.
2. 64-bit numbers are strings, as protobuf's JSON has them, except at the places that Triton
   turns back into numbers (``_NUMBERS``; its ``ModelConfigToJson``).
3. Numbers that JSON lacks are words: "NaN", "Infinity"; numbers may be read from texts.
4. Read, enums are matched without regard to case, names may be in camel case as well, and an
   unknown field is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path
from engine.modelconfig.mapping import Message, is_repeated
from engine.modelconfig.messages import DTYPES, nearest_type

# Of protobuf's FieldDescriptor.Type.
_DOUBLE, _FLOAT, _BOOL, _STRING, _MESSAGE, _ENUM = 1, 2, 8, 9, 11, 14
_KINDS: dict[int, tuple[tuple[type, ...], str]] = {
    _DOUBLE: ((int, float), "a number"),
    _FLOAT: ((int, float), "a number"),
    _BOOL: ((bool,), "true or false"),
    _STRING: ((str,), "a string"),
}
# What JSON has no numbers for, protobuf's JSON has words for.
_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_LONGEST = 60  # characters of a wrong value that a message shows
_RANGES = {3: (-(2**63), 2**63), 4: (0, 2**64), 5: (-(2**31), 2**31), 13: (0, 2**32)}

_NUMBERS = frozenset(
    {
        "input.dims",
        "input.reshape.shape",
        "output.dims",
        "output.reshape.shape",
        "version_policy.specific.versions",
        "dynamic_batching.max_queue_delay_microseconds",
        "dynamic_batching.priority_levels",
        "dynamic_batching.default_priority_level",
        "dynamic_batching.default_queue_policy.default_timeout_microseconds",
        "dynamic_batching.priority_queue_policy.default_timeout_microseconds",
        "sequence_batching.max_sequence_idle_microseconds",
        "sequence_batching.oldest.max_queue_delay_microseconds",
        "sequence_batching.direct.max_queue_delay_microseconds",
        "sequence_batching.state.dims",
        "ensemble_scheduling.step.model_version",
        "model_warmup.inputs.dims",
    }
)


def is_map(field: Message) -> bool:
    """Say whether a field is a map."""
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def write(message: Message, place: str = "") -> dict[str, Any]:
    """Write a message as plain values (rules 1 to 3)."""
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        inner = f"{place}.{field.name}" if place else field.name
        if is_map(field):
            of = field.message_type.fields_by_name["value"]
            plain[field.name] = {
                str(key): _write_one(value[key], of, inner) for key in sorted(value)
            }
        elif is_repeated(field):
            plain[field.name] = [_write_one(element, field, inner) for element in value]
        elif not field.has_presence or message.HasField(field.name):
            plain[field.name] = _write_one(value, field, inner)
    return plain


def _write_one(value: Any, field: Message, place: str) -> Any:  # noqa: ANN401 - a plain value
    match field.type:
        case 11:
            return write(value, place)
        case 14:
            word = field.enum_type.values_by_number.get(value)
            return word.name if word is not None else value
        case 3 | 4:
            return value if place in _NUMBERS else str(value)
        case 1 | 2 if not isfinite(value):
            return _NO_NUMBERS[str(value)]
        case 2:
            return float(str(np.float32(value)))  # the shortest text of a 32-bit number
        case _:
            return value


def fill(message: Message, plain: Any, path: Path = ()) -> list[Finding]:  # noqa: ANN401 - JSON
    """Fill an empty message with plain values (rule 4); the findings say what did not fit."""
    if not isinstance(plain, Mapping):
        return [Finding(path, f"expected an object, found {_shown(plain)}")]
    findings: list[Finding] = []
    known = message.DESCRIPTOR.fields_by_name
    for key, value in plain.items():
        name = key if key in known else _snake(str(key))
        if name not in known:
            what = f"no such field in {message.DESCRIPTOR.name}"
            findings.append(Finding((*path, str(key)), what, near(str(key), known)))
        elif value is not None:
            findings += _fill_field(message, known[name], value, (*path, name))
    return findings


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match.group(1).lower(), name)


def _fill_field(message: Message, field: Message, value: Any, path: Path) -> list[Finding]:  # noqa: ANN401 - JSON
    if is_map(field):
        return _fill_map(message, field, value, path)
    if is_repeated(field):
        return _fill_list(message, field, value, path)
    if (oneof := field.containing_oneof) is not None:
        other = message.WhichOneof(oneof.name)
        if other not in {None, field.name}:
            return [Finding(path, f"cannot be given together with {other}", "keep one of them")]
    if field.type == _MESSAGE:
        getattr(message, field.name).SetInParent()
        return fill(getattr(message, field.name), value, path)
    read, what, hint = _read_one(field, value)
    if what:
        return [Finding(path, what, hint)]
    setattr(message, field.name, read)
    return []


def _fill_list(message: Message, field: Message, value: Any, path: Path) -> list[Finding]:  # noqa: ANN401 - JSON
    if not isinstance(value, list | tuple):
        return [Finding(path, f"expected a list, found {_shown(value)}")]
    findings: list[Finding] = []
    elements = getattr(message, field.name)
    for index, element in enumerate(value):
        if field.type == _MESSAGE:
            findings += fill(elements.add(), element, (*path, index))
            continue
        read, what, hint = _read_one(field, element)
        if what:
            findings.append(Finding((*path, index), what, hint))
        else:
            elements.append(read)
    return findings


def _fill_map(message: Message, field: Message, value: Any, path: Path) -> list[Finding]:  # noqa: ANN401 - JSON
    if not isinstance(value, Mapping):
        return [Finding(path, f"expected an object, found {_shown(value)}")]
    findings: list[Finding] = []
    entries = getattr(message, field.name)
    of_key, of_value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    for key, element in value.items():
        read_key, what, hint = _read_one(of_key, key)
        if what:
            findings.append(Finding((*path, str(key)), f"as a key: {what}", hint))
        elif of_value.type == _MESSAGE:
            entries[read_key].SetInParent()
            findings += fill(entries[read_key], element, (*path, str(key)))
        else:
            read, what, hint = _read_one(of_value, element)
            if what:
                findings.append(Finding((*path, str(key)), what, hint))
            else:
                entries[read_key] = read
    return findings


def _read_one(field: Message, value: Any) -> tuple[Any, str, str]:  # noqa: ANN401 - JSON
    """Read one scalar: the value, or what is wrong with it and what to do."""
    if field.type == _ENUM:
        return _read_word(field.enum_type, value)
    if field.type in _RANGES:
        return _read_whole(value, *_RANGES[field.type])
    kinds, expected = _KINDS[field.type]
    if field.type in {_DOUBLE, _FLOAT} and isinstance(value, str | int):
        value = _number(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and field.type != _BOOL):
        return _expected(expected, value)
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return None, f"half a character, found {_shown(value)}", ""
    return value, "", ""


def _number(given: str | int) -> float | str | int:
    """Read a number, which may be a text, as protobuf's JSON allows; else give back what it is."""
    try:
        return given if isinstance(given, bool) else float(given)
    except (ValueError, OverflowError):
        return str(given)


def _read_whole(value: Any, least: int, end: int) -> tuple[Any, str, str]:  # noqa: ANN401 - JSON
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+", value):
        value = int(value)  # protobuf's JSON has 64-bit numbers as strings
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return _expected("a whole number", value)
    if not least <= value < end:
        return _expected(f"a whole number from {least} to {end - 1}", value)
    return value, "", ""


def _read_word(enum: Message, value: Any) -> tuple[Any, str, str]:  # noqa: ANN401 - JSON
    words = {word.upper(): number.number for word, number in enum.values_by_name.items()}
    if isinstance(value, str):
        if value.upper() in words:
            return words[value.upper()], "", ""
        hint = nearest_type(value) if words.keys() > DTYPES.keys() else near(value, words)
        return None, f"no such value {value!r}", hint
    if isinstance(value, int) and not isinstance(value, bool) and value in words.values():
        return value, "", ""
    return None, f"expected one of {', '.join(words)}, found {_shown(value)}", ""


def _expected(kind: str, value: Any) -> tuple[Any, str, str]:  # noqa: ANN401 - JSON
    return None, f"expected {kind}, found {_shown(value)}", ""


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
