"""Questions of a library to other models (BLS), and how their answers reach it.

Owns the reading of ``servetune_call`` and the writing of ``servetune_answer``, and on which thread
a library hears: in ``infer`` on its own, in ``infer_async`` on one of ours, so that whatever it
does there holds up neither the event loop nor the reading of messages. Does not own the models.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import SimpleQueue

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
from engine.calling import Caller, Nobody, Told
from engine.errors import EngineError, InvalidArgument
from engine.types import InferRequest, InferResponse, RequestedOutput


@dataclass(frozen=True, slots=True)
class _Executing:
    """An instance that executes: its way to the other models, and what is known of its batch."""

    caller: Caller
    context: Context


class Asking:
    """Asks for a library.

    A library does not say which instance asks. On the thread that executes it is that thread's; on
    another it is the one instance that executes, if there is only one; else any, and then nobody
    notices if the call could never be answered (``engine.waits``).
    """

    def __init__(self) -> None:
        self._callers: list[Caller] = []
        self._executing: dict[int, _Executing] = {}
        self._later: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def join(self, caller: Caller) -> None:
        """Learn of an instance's way to the other models."""
        self._callers.append(caller)

    def leave(self, caller: Caller) -> None:
        """Learn that an instance is gone."""
        self._callers.remove(caller)

    @contextmanager
    def executing(self, caller: Caller) -> Iterator[None]:
        """Have the calls of this thread made by ``caller``."""
        thread = threading.get_ident()
        self._executing[thread] = _Executing(caller, copy_context())
        try:
            yield
        finally:
            del self._executing[thread]

    def _call(self, model: str, version: int, request: InferRequest, told: Told) -> None:
        doing = self._executing.get(threading.get_ident())
        if doing is None:
            there = list(self._executing.values())
            doing = there[0] if len(there) == 1 else None
        if doing is not None:
            doing.context.copy().run(doing.caller.call, model, version, request, told)
        else:
            (self._callers or [Nobody()])[-1].call(model, version, request, told)

    def wait(self, call: CCall, answered: int, to: int | None) -> None:
        """Ask, and tell every answer before returning.

        Raises:
            InvalidArgument: the call cannot be read.
        """
        model, version, request = _read(call)
        answers: SimpleQueue[tuple[InferResponse | EngineError, bool]] = SimpleQueue()
        self._call(model, version, request, lambda *answer: answers.put(answer))
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

        self._call(model, version, request, told)

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
