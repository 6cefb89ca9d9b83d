"""On which line of a JSON text a value stands: for messages about it. Pure.

Python's parser does not say where it found things, so the text is walked again to the one place
that is asked about. Only a message pays for that.
"""

from __future__ import annotations

import json
import re

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def line_of(text: str, path: Path) -> int:
    """Return the line, from 1, on which the value at ``path`` begins, in a text that is JSON.

    Where the path leads nowhere, it is the line of the last part of it that is there.
    """
    at = _space(text, 0)
    for step in path:
        found = _member(text, at, step)
        if found is None:
            break
        at = found
    return text.count("\n", 0, at) + 1


def spell(path: Path) -> str:
    """Spell a path: ``data[3].INPUT0``."""
    words = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return words.removeprefix(".")


def _member(text: str, at: int, step: str | int) -> int | None:
    """Find a member of the array or object that begins at ``at``; return where its value does."""
    opening = "[" if isinstance(step, int) else "{"
    if text[at] != opening:
        return None
    at = _space(text, at + 1)
    index = 0
    while text[at] not in "]}":
        key: str | int = index
        if opening == "{":
            key, at = _DECODER.raw_decode(text, at)
            at = _space(text, _space(text, at) + 1)
        if key == step:
            return at
        _, at = _DECODER.raw_decode(text, at)
        at = _space(text, at)
        if text[at] == ",":
            at = _space(text, at + 1)
        index += 1
    return None


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
