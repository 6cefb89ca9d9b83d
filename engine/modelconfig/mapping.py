"""How a protobuf message and a frozen value correspond, field by field, both ways.

Owns: the kinds of correspondence (a number, an enum, a list, a wrapped message ...) and the
keeping of what no correspondence names. Does not own: which messages there are
(``messages``), nor text or JSON (``convert``).

1. A field without an entry is not lost: it is kept as protobuf text under its path.
2. A message that is absent stays absent, and one that is empty stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from google.protobuf import text_format

from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path, written

# protobuf's generated code publishes no types.
Message = Any
Value = Any


@dataclass(slots=True)
class Gathered:
    """What a reading of messages gathers on its way."""

    findings: list[Finding] = field(default_factory=list)
    other: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Codec:
    """One kind of correspondence.

    ``read(message, name, path, gathered)`` takes the value out of a message's field;
    ``write(message, name, value)`` puts it in.
    """

    read: Callable[[Message, str, Path, Gathered], Value]
    write: Callable[[Message, str, Value], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value's field: the name of the message's field, and how the two correspond."""

    source: str
    codec: Codec


class Correspondence:
    """A message and the frozen dataclass that stands for it.

    Keywords give, for each field of the dataclass, its codec, or the name the message has for
    it and the codec.
    """

    def __init__(self, make: Callable[..., Value], **fields: Codec | tuple[str, Codec]) -> None:
        self._make = make
        self._entries = {
            name: Entry(*entry) if isinstance(entry, tuple) else Entry(name, entry)
            for name, entry in fields.items()
        }
        self._known = {entry.source for entry in self._entries.values()}

    def read(self, message: Message, path: Path, gathered: Gathered, **more: Value) -> Value:
        """Make the value; what has no entry goes to ``gathered.other`` (rule 1)."""
        for descriptor, _ in message.ListFields():
            if descriptor.name not in self._known:
                key = written((*path, descriptor.name))
                gathered.other[key] = _only(message, descriptor.name)
        values = {
            name: entry.codec.read(message, entry.source, (*path, entry.source), gathered)
            for name, entry in self._entries.items()
        }
        return self._make(**values, **more)

    def write(self, message: Message, value: Value) -> None:
        """Fill the message; fields that equal protobuf's defaults leave no trace."""
        for name, entry in self._entries.items():
            entry.codec.write(message, entry.source, getattr(value, name))


def _only(message: Message, name: str) -> str:
    alone = type(message)()
    alone.CopyFrom(message)
    for descriptor, _ in message.ListFields():
        if descriptor.name != name:
            alone.ClearField(descriptor.name)
    text: str = text_format.MessageToString(alone, as_utf8=True)
    return text


def restore(message: Message, other: Mapping[str, str]) -> None:
    """Put what was kept by rule 1 back in its place.

    What belonged to an element of a list that is there no more is dropped.

    Raises:
        text_format.ParseError: a kept text is not valid.
    """
    for key, text in other.items():
        target = message
        for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", key)[:-1]:
            target = getattr(target, name)
            if index:
                target = target[int(index)] if int(index) < len(target) else None
            if target is None:
                break
        if target is not None:
            text_format.Merge(text, target)


SCALAR = Codec(
    lambda message, name, _path, _gathered: getattr(message, name),
    setattr,
)
# One of several alternatives (a oneof): None if it is not the one chosen.
CHOSEN = Codec(
    lambda message, name, _path, _gathered: (
        getattr(message, name) if message.HasField(name) else None
    ),
    lambda message, name, value: None if value is None else setattr(message, name, value),
)
SCALARS = Codec(
    lambda message, name, _path, _gathered: tuple(getattr(message, name)),
    lambda message, name, value: getattr(message, name).extend(value),
)
STRINGS_BY_NAME = Codec(
    lambda message, name, _path, _gathered: dict(getattr(message, name)),
    lambda message, name, value: getattr(message, name).update(value),
)


def is_repeated(field: Message) -> bool:
    """Say whether a descriptor's field is a list or a map, in old protobuf and new."""
    new = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if new is None else new)


def enum_word(message: Message, name: str) -> str:
    """Name the value of an enum's field; "" for a number that has no name."""
    value = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number.get(
        getattr(message, name)
    )
    return value.name if value is not None else ""


def enum(kind: type[Enum]) -> Codec:
    """Correspond to an enum whose values are the schema's names."""
    words = {member.value: member for member in kind}
    stand_in = next(iter(kind))

    def read(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
        word = enum_word(message, name)
        if word not in words:
            what = f"{written(path)}: no such value {word or getattr(message, name)}"
            gathered.findings.append(Finding(path, what, near(word, words)))
        return words.get(word, stand_in)

    def write(message: Message, name: str, value: Value) -> None:
        descriptor = message.DESCRIPTOR.fields_by_name[name].enum_type
        setattr(message, name, descriptor.values_by_name[value.value].number)

    return Codec(read, write)


def inside(inner: str, codec: Codec, absent: Value = None) -> Codec:
    """Correspond to the one field ``inner`` of a message; ``absent`` if there is none.

    A message that is there and says what ``absent`` says is kept apart (rule 2).
    """

    def read(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
        if not message.HasField(name):
            return absent
        value = codec.read(getattr(message, name), inner, (*path, inner), gathered)
        if value == absent:
            gathered.other[written(path)] = f"{name} {{\n}}\n"
        return value

    def write(message: Message, name: str, value: Value) -> None:
        if value != absent:
            getattr(message, name).SetInParent()
            codec.write(getattr(message, name), inner, value)

    return Codec(read, write)


def strings_inside(inner: str) -> Codec:
    """Correspond to a map whose values are messages with one string ``inner``."""

    def read(message: Message, name: str, _path: Path, _gathered: Gathered) -> Value:
        return {key: getattr(value, inner) for key, value in getattr(message, name).items()}

    def write(message: Message, name: str, value: Value) -> None:
        for key, text in value.items():
            getattr(message, name)[key].SetInParent()
            setattr(getattr(message, name)[key], inner, text)

    return Codec(read, write)


def numbers_inside(inner: str) -> Codec:
    """Correspond to a map whose values are messages with one list of numbers ``inner``."""

    def read(message: Message, name: str, _path: Path, _gathered: Gathered) -> Value:
        entries = getattr(message, name)
        return {key: tuple(getattr(entries[key], inner)) for key in sorted(entries)}

    def write(message: Message, name: str, value: Value) -> None:
        for key, numbers in value.items():
            getattr(message, name)[key].SetInParent()
            getattr(getattr(message, name)[key], inner).extend(numbers)

    return Codec(read, write)


def optional(of: Correspondence) -> Codec:
    """Correspond to a message that may be absent."""

    def read(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
        return of.read(getattr(message, name), path, gathered) if message.HasField(name) else None

    def write(message: Message, name: str, value: Value) -> None:
        if value is not None:
            getattr(message, name).SetInParent()
            of.write(getattr(message, name), value)

    return Codec(read, write)


def repeated(of: Correspondence) -> Codec:
    """Correspond to a list of messages."""

    def read(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
        return tuple(
            of.read(element, (*path, index), gathered)
            for index, element in enumerate(getattr(message, name))
        )

    def write(message: Message, name: str, value: Value) -> None:
        for element in value:
            of.write(getattr(message, name).add(), element)

    return Codec(read, write)


def by_name(of: Correspondence) -> Codec:
    """Correspond to a map of messages."""

    def read(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
        entries = getattr(message, name)
        return {key: of.read(entries[key], (*path, str(key)), gathered) for key in sorted(entries)}

    def write(message: Message, name: str, value: Value) -> None:
        for key, element in value.items():
            getattr(message, name)[key].SetInParent()
            of.write(getattr(message, name)[key], element)

    return Codec(read, write)
