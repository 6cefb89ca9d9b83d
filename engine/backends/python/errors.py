"""What Python models raise and answer when something fails; part of ``api``, in Triton's names."""

from __future__ import annotations

from typing import ClassVar

_CODES = (
    "UNKNOWN", "INTERNAL", "NOT_FOUND", "INVALID_ARG", "UNAVAILABLE", "UNSUPPORTED",
    "ALREADY_EXISTS", "CANCELLED",
)  # fmt: skip


class TritonModelException(Exception):
    """A model, or what it asked of the server, failed."""


class TritonError:
    """An error that is the answer to one request. ``code`` is one of the class's own."""

    UNKNOWN: ClassVar[int] = 0
    INTERNAL: ClassVar[int] = 1
    NOT_FOUND: ClassVar[int] = 2
    INVALID_ARG: ClassVar[int] = 3
    UNAVAILABLE: ClassVar[int] = 4
    UNSUPPORTED: ClassVar[int] = 5
    ALREADY_EXISTS: ClassVar[int] = 6
    CANCELLED: ClassVar[int] = 7

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        if code not in range(len(_CODES)):
            raise TritonModelException(
                f"TritonError: no such code {code!r}; there are: "
                + ", ".join(f"TritonError.{name}" for name in _CODES)
            )
        self._message = message
        self._code = code

    def message(self) -> str:
        """Text of the error."""
        return self._message

    def code(self) -> int:
        """Which kind of error it is."""
        return self._code

    def __str__(self) -> str:
        return self._message


def later(what: str) -> TritonModelException:
    """Say that a part of Triton's interface is not served yet."""
    return TritonModelException(f"{what} is not served yet by this version of the engine")
