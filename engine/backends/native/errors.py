"""Errors across the C interface: opaque pointers on its side, ``EngineError`` on ours.

Owns the errors that are on their way. An error's pointer is a number that stands for it; its text
lives as long as it does. Any thread may use it.
"""

from __future__ import annotations

import ctypes
from itertools import count

from engine.backends.native.abi import CODES, ERRORS
from engine.errors import EngineError, Internal


class Errors:
    """The errors that were made and not taken yet."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._under_way: dict[int, tuple[EngineError, ctypes.Array[ctypes.c_char]]] = {}

    def put(self, error: EngineError) -> int:
        """Give the pointer of an error."""
        number = next(self._numbers)
        text = error.message.replace("\0", " ").encode()
        self._under_way[number] = (error, ctypes.create_string_buffer(text))
        return number

    def take(self, pointer: int | None) -> EngineError | None:
        """Give the error of a pointer, which means nothing afterwards; None for NULL."""
        if not pointer:
            return None
        found = self._under_way.pop(pointer, None)
        if found is None:
            return Internal("the library gave a pointer that is no servetune_error, or was freed")
        return found[0]

    def new(self, code: int, text: bytes | None) -> int:
        """Make an error of a library's words."""
        return self.put(ERRORS.get(code, EngineError)((text or b"").decode(errors="replace")))

    def code(self, pointer: int | None) -> int:
        """Number an error's kind."""
        found = self._under_way.get(pointer or 0)
        return CODES[found[0].code] if found else 0

    def text(self, pointer: int | None) -> int:
        """Give the address of an error's text; NULL if there is no such error."""
        found = self._under_way.get(pointer or 0)
        return ctypes.addressof(found[1]) if found else 0

    def free(self, pointer: int | None) -> None:
        """Forget an error."""
        self._under_way.pop(pointer or 0, None)
