"""The engine's errors, and the closed set of codes that transports translate.

::

    EngineError                    a code, and a text: what, where, what to do
    ├── InvalidArgument            the caller's input is wrong
    │   └── ConfigError            one or more located problems in a configuration
    ├── NotFound                   no such model, version, backend, file
    ├── Unavailable                it exists and cannot answer now
    ├── Unsupported                this engine, or this installation, cannot do it
    ├── AlreadyExists
    ├── Cancelled
    └── Internal                   a fault of ours, or of a runtime below us

A transport maps ``code`` to HTTP or gRPC in one table; nothing here knows of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class Code(Enum):
    """What kind of failure it is, in the words of Triton's ``TRITONSERVER_Error_Code``."""

    UNKNOWN = "UNKNOWN"
    INTERNAL = "INTERNAL"
    NOT_FOUND = "NOT_FOUND"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAVAILABLE = "UNAVAILABLE"
    UNSUPPORTED = "UNSUPPORTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    CANCELLED = "CANCELLED"


class EngineError(Exception):
    """The root of all that the engine raises on purpose."""

    code: ClassVar[Code] = Code.UNKNOWN

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(EngineError):
    """The caller's input is wrong."""

    code = Code.INVALID_ARGUMENT


class NotFound(EngineError):
    """No such model, version, backend or file."""

    code = Code.NOT_FOUND


class Unavailable(EngineError):
    """It exists and cannot answer now."""

    code = Code.UNAVAILABLE


class Unsupported(EngineError):
    """This engine, or this installation of it, cannot do what was asked."""

    code = Code.UNSUPPORTED


class AlreadyExists(EngineError):
    """What was to be created is there already."""

    code = Code.ALREADY_EXISTS


class Cancelled(EngineError):
    """The caller took the request back."""

    code = Code.CANCELLED


class Internal(EngineError):
    """A fault of the engine, or of a runtime below it."""

    code = Code.INTERNAL


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file: where, what, and what to do about it.

    ``line`` and ``column`` count from 1; None where the whole file is meant.
    """

    source: str
    what: str
    line: int | None = None
    column: int | None = None
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        place = self.source
        if self.line is not None:
            place += f":{self.line}"
            if self.column is not None:
                place += f":{self.column}"
        text = f"{place}: {self.what}"
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(InvalidArgument):
    """A configuration that cannot be used; it carries every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
