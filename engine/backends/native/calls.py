"""Questions of a library to other models (BLS), and how their answers reach it.

Owns the reading of ``servetune_call`` and the writing of ``servetune_answer``, and on which thread
a library hears: in ``infer`` on its own, in ``infer_async`` on one of ours, so that whatever it
does there holds up neither the event loop nor the reading of messages. Does not own the models.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol

from engine.backends.native.abi import (
    ANSWERED,
    CODES,
    FINAL,
    SEQUENCE_END,
    SEQUENCE_START,
    CAnswer,
    CCall,
)
from engine.backends.native.carry import Lent, received
from engine.backends.native.requests import read_parameters
from engine.errors import EngineError, InvalidArgument, Unavailable
from engine.types import InferRequest, InferResponse, RequestedOutput

#: gets every answer, and whether it is the last; must not block
Told = Callable[[InferResponse | EngineError, bool], None]


class Caller(Protocol):
    """The way to the other models of the server."""

    def call(self, model: str, version: int, request: InferRequest, told: Told) -> None:
        """Have a model asked; ``told`` gets at least one answer, at any time, on any thread."""
        ...


class Nobody:
    """The way of a server in which models cannot call each other."""

    def call(self, model: str, version: int, request: InferRequest, told: Told) -> None:  # noqa: ARG002 - protocol
        """Say so."""
        told(Unavailable(f"model '{model}' cannot be called: there is no way to it here"), True)


class _Inside(Protocol):
    """What is used of ``engine.inside.Inside``."""

    def find(self, name: str, version: int = -1) -> Any: ...  # noqa: ANN401 - its own
    def call(self, callee: Any, request: InferRequest, done: Any, emit: Any) -> object: ...  # noqa: ANN401 - as above
    def post(self, callback: Callable[..., object], *arguments: object) -> None: ...


class InsideCaller:
    """The way from inside the server's own process."""

    def __init__(self, inside: _Inside) -> None:
        self._inside = inside

    def call(self, model: str, version: int, request: InferRequest, told: Told) -> None:
        """Have the loop ask."""
        self._inside.post(self._ask, model, version, request, told)

    def _ask(self, model: str, version: int, request: InferRequest, told: Told) -> None:
        try:
            callee = self._inside.find(model, version)
            self._inside.call(
                callee,
                request,
                lambda answer: told(answer, True),
                lambda answer: told(answer, False),
            )
        except EngineError as error:
            told(error, True)


class Asking:
    """Asks for a library."""

    def __init__(self) -> None:
        self.caller: Caller = Nobody()
        self._later: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wait(self, call: CCall, answered: int, to: int | None) -> None:
        """Ask, and tell every answer before returning.

        Raises:
            InvalidArgument: the call cannot be read.
        """
        model, version, request = _read(call)
        answers: SimpleQueue[tuple[InferResponse | EngineError, bool]] = SimpleQueue()
        self.caller.call(model, version, request, lambda *answer: answers.put(answer))
        tell, final = ANSWERED(answered), False
        while not final:
            answer, final = answers.get()
            _tell(tell, to, answer, final=final)

    def begin(self, call: CCall, answered: int, to: int | None) -> None:
        """Ask, and tell answers as they come.

        Raises:
            InvalidArgument: the call cannot be read.
        """
        model, version, request = _read(call)
        tell = ANSWERED(answered)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._tell_on, name="native answers", daemon=True
                )
                self._thread.start()

        def told(answer: InferResponse | EngineError, final: bool) -> None:  # noqa: FBT001 - Told
            self._later.put(lambda: _tell(tell, to, answer, final=final))

        self.caller.call(model, version, request, told)

    def _tell_on(self) -> None:
        while True:
            self._later.get()()


def _read(call: CCall) -> tuple[str, int, InferRequest]:
    model = (call.model or b"").decode(errors="replace")
    if not model:
        raise InvalidArgument("servetune_call: model is missing")
    text = (call.correlation_text or b"").decode(errors="replace")
    request = InferRequest(
        inputs=tuple(received(one, model) for one in call.inputs[: call.inputs_count]),
        id=(call.id or b"").decode(errors="replace"),
        outputs=tuple(
            RequestedOutput(name.decode(errors="replace"))
            for name in call.outputs[: call.outputs_count]
        ),
        priority=call.priority,
        timeout_us=call.timeout_us,
        sequence_id=text or call.correlation_id,
        sequence_start=bool(call.flags & SEQUENCE_START),
        sequence_end=bool(call.flags & SEQUENCE_END),
        parameters=read_parameters(call.parameters),
    )
    return model, call.version, request


def _tell(
    tell: Callable[..., object],
    to: int | None,
    answer: InferResponse | EngineError,
    *,
    final: bool,
) -> None:
    struct = CAnswer(flags=FINAL if final else 0)
    if isinstance(answer, EngineError):
        struct.failure = answer.message.replace("\0", " ").encode()
        struct.failure_code = CODES[answer.code]
    else:
        lent = Lent(answer.outputs)
        struct.outputs, struct.outputs_count = lent.first, lent.count
    tell(to, ctypes.byref(struct))
