"""One request as a library sees it, and the responses it makes.

Owns that a request's memory lives until its final response was sent *and* ``execute`` has
returned, and that it has one final response. Does not own the functions that a library calls
(``host``).
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from threading import Lock

import orjson

from engine.backend import Work
from engine.backends.native.abi import SEQUENCE_END, SEQUENCE_START, CRequest
from engine.backends.native.carry import Blank, Form, Lent, texts
from engine.errors import EngineError, InvalidArgument
from engine.types import InferRequest, Parameter


class Given:
    """A request that a library has."""

    __slots__ = ("_executing", "_kept", "_lock", "_over", "form", "replies", "struct")

    def __init__(self, work: Work, form: Form) -> None:
        self.form = form
        self.replies = work.replies
        self.struct, self._kept = _laid_out(work.request, form)
        self._lock = Lock()
        self._executing, self._over = True, False

    @property
    def address(self) -> int:
        """Where the library finds it."""
        return ctypes.addressof(self.struct)

    def finished(self) -> bool:
        """Say that it has its final response; true if nothing needs it any more."""
        with self._lock:
            self._over = True
            return not self._executing

    def returned(self) -> bool:
        """Say that ``execute`` has returned; true if nothing needs it any more."""
        with self._lock:
            self._executing = False
            return self._over or not self.form.decoupled


class Made:
    """A response that a library makes."""

    __slots__ = ("given", "outputs", "parameters")

    def __init__(self, given: Given) -> None:
        self.given = given
        self.outputs: dict[str, Blank] = {}
        self.parameters: Mapping[str, Parameter] = {}

    def add(self, blank: Blank) -> None:
        """Take an output.

        Raises:
            InvalidArgument: it has one of that name.
        """
        if blank.name in self.outputs:
            raise InvalidArgument(f"output '{blank.name}' was added to a response twice")
        self.outputs[blank.name] = blank

    def send(self, failure: EngineError | None, *, final: bool) -> None:
        """Send it."""
        outcome = failure or tuple(one.filled() for one in self.outputs.values())
        self.given.replies.send(outcome, final=final, parameters=self.parameters)


def read_parameters(text: bytes | None) -> Mapping[str, Parameter]:
    """Read a JSON object of texts, numbers and booleans; NULL and "" stand for none.

    Raises:
        InvalidArgument: it is none.
    """
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as fault:
        raise InvalidArgument(f"parameters: expected a JSON object, but {fault}") from None
    if not isinstance(found, dict) or not all(
        isinstance(value, bool | int | float | str) for value in found.values()
    ):
        raise InvalidArgument("parameters: expected a JSON object of texts, numbers and booleans")
    return found


def _laid_out(request: InferRequest, form: Form) -> tuple[CRequest, object]:
    inputs = Lent(request.inputs)
    wanted = tuple(one.name for one in request.outputs) or form.outputs
    names, sequence = texts(wanted), request.sequence_id
    struct = CRequest(
        id=request.id.encode(),
        correlation_text=sequence.encode() if isinstance(sequence, str) else b"",
        correlation_id=0 if isinstance(sequence, str) else sequence,
        inputs=inputs.first,
        outputs=names,
        parameters=orjson.dumps(dict(request.parameters)) if request.parameters else b"{}",
        timeout_us=request.timeout_us,
        priority=request.priority,
        inputs_count=inputs.count,
        outputs_count=len(wanted),
        flags=SEQUENCE_START * request.sequence_start | SEQUENCE_END * request.sequence_end,
    )
    return struct, (inputs, names)
