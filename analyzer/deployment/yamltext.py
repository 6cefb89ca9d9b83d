"""YAML with comments, for files that people read. Pure.

Owns the layout: two spaces, lists below their key, a comment above what it is about. How a scalar
is spelled, and when it is quoted, is PyYAML's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

_WIDE = 96


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment above it."""

    value: object
    note: str


def plain(value: object) -> object:
    """Return a value without its comments, in JSON's types."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def dumps(document: Mapping[str, object], heading: str = "") -> str:
    """Spell a document; ``heading`` is a comment on all of it."""
    return "\n".join([*_comment(heading, 0), *_lines(document, 0)]) + "\n"


def _lines(value: object, indent: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _entry(name, each, indent)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _item(each, indent)


def _entry(name: str, value: object, indent: int) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from _comment(value.note, indent)
        value = value.value
    key = f"{' ' * indent}{_scalar(name)}:"
    if _holds(value):
        yield key
        yield from _lines(value, indent + 2)
    else:
        yield f"{key} {_scalar(value)}"


def _item(value: object, indent: int) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from _comment(value.note, indent)
        value = value.value
    pad = " " * indent
    if not _holds(value):
        yield f"{pad}- {_scalar(value)}"
        return
    begun = False
    for line in _lines(value, indent + 2):
        comment = line.lstrip().startswith("# ")
        # The dash stands before what comes first that is no comment.
        yield line if begun or comment else f"{pad}- {line[indent + 2 :]}"
        begun = begun or not comment


def _holds(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _comment(note: str, indent: int) -> Iterator[str]:
    for paragraph in note.splitlines():
        for line in textwrap.wrap(paragraph, _WIDE - indent, break_on_hyphens=False):
            yield f"{' ' * indent}# {line}"


def _scalar(value: object) -> str:
    """Spell a scalar, or an empty mapping or list, in one line."""
    if isinstance(value, tuple):
        value = list(value)
    # Other quotes would carry a line's end over as one.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text: str = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, width=10**9, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
