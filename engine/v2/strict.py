"""JSON, read strictly and written both ways of the NaN question.

Owns reading a text, asking members of an object for what they must be (with Triton's words when
they are not), and writing. Strict JSON knows no NaN and no Infinity, Triton's does: a text that
holds such a literal takes a second, slower path. Does not own what any member means.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from engine.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A member that is absent, which differs from one that is null.
ABSENT: Any = object()


def loads(text: bytes, what: str = "request") -> Any:  # noqa: ANN401 - JSON can be anything
    """Read a JSON text; ``NaN``, ``Infinity`` and ``-Infinity`` count as numbers.

    Raises:
        InvalidArgument: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if b"NaN" in text or b"Infinity" in text:
            return _loads_with_nan(text, what)
        raise _unreadable(error, what) from error


def _loads_with_nan(text: bytes, what: str) -> Any:  # noqa: ANN401 - as above
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _unreadable(error, what) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidArgument(f"failed to parse the {what} JSON buffer: {error}") from error


def _unreadable(error: json.JSONDecodeError, what: str) -> InvalidArgument:
    return InvalidArgument(f"failed to parse the {what} JSON buffer: {error.msg} at {error.pos}")


def dumps(plain: object) -> bytes:
    """Write a JSON text without blanks; no NaN may be in it."""
    return orjson.dumps(plain)


def wrong(name: str, why: str) -> InvalidArgument:
    """Say that a member is not what it must be."""
    return InvalidArgument(f"Unable to parse '{name}': {why}")


def _absent(name: str) -> str:
    return f"attempt to access non-existing object member '{name}'"


def document(text: bytes, what: str = "request") -> dict[str, Any]:
    """Read a text that must be an object.

    Raises:
        InvalidArgument: it is not.
    """
    plain = loads(text, what)
    if type(plain) is not dict:
        message = f"failed to parse the {what} JSON buffer: expected an object"
        raise InvalidArgument(message)
    return plain


def text(owner: Mapping[str, Any], name: str) -> str:
    """Get a member that must be a string.

    Raises:
        InvalidArgument: it is absent or something else. So for the others below.
    """
    value = owner.get(name, ABSENT)
    if type(value) is str:
        return value
    raise wrong(name, _absent(name) if value is ABSENT else _not("string"))


def array(owner: Mapping[str, Any], name: str) -> list[Any]:
    """Get a member that must be an array."""
    value = owner.get(name, ABSENT)
    if type(value) is list:
        return value
    raise wrong(name, _absent(name) if value is ABSENT else _not("array"))


def objects(owner: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Get a member that must be an array of objects."""
    value = array(owner, name)
    if all(type(one) is dict for one in value):
        return value
    raise wrong(name, _not("object"))


def members(owner: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Get a member that must be an object; an absent one counts as an empty one."""
    value = owner.get(name, ABSENT)
    if type(value) is dict:
        return value
    if value is ABSENT:
        return {}
    raise wrong(name, _not("object"))


def flag(owner: Mapping[str, Any], name: str) -> bool:
    """Get a member that must be true or false."""
    value = owner.get(name, ABSENT)
    if type(value) is bool:
        return value
    raise wrong(name, _absent(name) if value is ABSENT else _not("boolean"))


def unsigned(owner: Mapping[str, Any], name: str) -> int:
    """Get a member that must be a whole number of at least 0."""
    value = owner.get(name, ABSENT)
    if value is ABSENT:
        raise wrong(name, _absent(name))
    return natural(value, name)


def natural(value: object, name: str) -> int:
    """Take a value that must be a whole number of at least 0 (and less than 2 to the 64)."""
    if type(value) is int and 0 <= value < 1 << 64:
        return value
    raise wrong(name, _not("unsigned-integer"))


def _not(kind: str) -> str:
    return f"attempt to access JSON non-{kind} as {kind}"


def error_text(body: bytes) -> str:
    """Return the server's own words out of an error's body: V2 puts them under ``error``."""
    try:
        return str(document(body)["error"])
    except (InvalidArgument, KeyError):
        return body.decode(errors="replace").strip()
