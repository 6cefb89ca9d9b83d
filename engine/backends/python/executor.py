"""One instance of a Python model, run in the engine's process.

Owns the way between the engine's requests and the model's: conversion both ways, and the rules of
``execute``, in Triton's words. Does not own how a model is loaded (``backend``). Rules:

1. a model that is not decoupled returns one response for each request, in their order, or None for
   one that it answered through its sender;
2. a decoupled model returns None, and answers through senders, also after ``execute`` returned.
   When nobody holds a request's sender any more, and it has no final response, the request fails;
3. what ``execute`` raises fails the requests that have no answer yet, with the traceback;
4. an ``async`` ``execute`` runs on the instance's event loop (``coroutines``): a batch of a model
   of a model that keeps sequences is waited for, any other goes on beside the next.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from engine.backend import Replies, Work
from engine.backends.python.api import (
    TRITONSERVER_REQUEST_FLAG_SEQUENCE_END,
    TRITONSERVER_REQUEST_FLAG_SEQUENCE_START,
    TRITONSERVER_RESPONSE_COMPLETE_FINAL,
    InferenceRequest,
    InferenceResponse,
    InferenceResponseSender,
    TritonError,
    TritonModelException,
)
from engine.backends.python.asking import Asking
from engine.backends.python.coroutines import Coroutines
from engine.backends.python.door import closed, through
from engine.backends.python.imports import Modules
from engine.backends.python.trace import told
from engine.backends.python.translation import ERRORS, from_engine, to_engine
from engine.errors import EngineError, Internal
from engine.types import InferRequest


class _Way:
    """A request's way out, as a sender uses it."""

    def __init__(self, replies: Replies, model: str) -> None:
        self._replies = replies
        self._model = model

    @property
    def cancelled(self) -> bool:
        return self._replies.cancelled

    def send(self, response: InferenceResponse | None, *, final: bool) -> None:
        if response is None:
            self._replies.send(None, final=final)
            return
        error = response.error()
        if error is not None:
            kind = ERRORS[error.code()]
            self._replies.send(kind(error.message()), final=final)
            return
        outputs = tuple(to_engine(one) for one in response.output_tensors())
        self._replies.send(outputs, final=final, parameters=response.given)

    def lost(self) -> None:
        text = (
            f"model '{self._model}' let go of the response sender of a request without sending its"
            " final response: send with flags=TRITONSERVER_RESPONSE_COMPLETE_FINAL"
        )
        with suppress(EngineError):  # execute may have failed, and with it the request
            self._replies.send(Internal(text), final=True)


class _Keeping(_Way):
    """Of a request that has one answer, which may be sent before it is said to be final."""

    _kept: InferenceResponse | None = None

    def send(self, response: InferenceResponse | None, *, final: bool) -> None:
        self._kept = self._kept if response is None else response
        if final:
            super().send(self._kept, final=True)


class PythonExecutor:
    """An initialised ``TritonPythonModel``."""

    def __init__(  # noqa: PLR0913 - what an instance is made of
        self,
        model: Any,  # noqa: ANN401 - the user's class
        modules: Modules,
        name: str,
        outputs: Sequence[str],
        asking: Asking,
        *,
        decoupled: bool,
        sequences: bool = False,
    ) -> None:
        self._model = model
        self._modules = modules
        self._name = name
        self._outputs = outputs
        self._asking = asking
        self._decoupled = decoupled
        asynchronous = inspect.iscoroutinefunction(model.execute)
        self._coroutines = Coroutines(name) if asynchronous else None
        #: whether batches of a model that is not decoupled are executed side by side
        self.overlaps = asynchronous and not decoupled and not sequences
        #: whether answers may come after ``execute`` has returned
        self.lasting = decoupled or self.overlaps

    def execute(self, batch: Sequence[Work]) -> None:
        """Have the model execute a batch.

        Raises:
            Internal: it raised, or broke a rule.
        """
        with through(self._asking):
            self._execute([self._request(work) for work in batch])

    def _execute(self, requests: Sequence[InferenceRequest]) -> None:
        try:
            returned = self._model.execute(list(requests))
            if self._coroutines is not None and self._decoupled:
                self._coroutines.begin(returned, partial(self._ended, requests))
            elif self._coroutines is not None and self.overlaps:
                self._coroutines.begin(
                    self._answered(requests, returned), partial(self._ended, requests)
                )
            elif self._decoupled:
                self._check_nothing(returned)
            elif self._coroutines is not None:
                self._answer(requests, self._coroutines.wait_for(returned))
            else:
                self._answer(requests, returned)
        except (Exception, SystemExit) as fault:  # noqa: BLE001 - a model may raise anything, or call exit()
            raise self._failed(fault) from None

    def describe(self) -> Mapping[str, str]:
        """Say what runs."""
        return {"runtime": "python", "process": "the engine's own"}

    def close(self) -> None:
        """Let the model finalize, and forget its modules."""
        finalize = getattr(self._model, "finalize", None)
        self._asking.open = False
        try:
            if finalize is not None:
                with through(self._asking):
                    finalize()
        finally:
            if self._coroutines is not None:
                self._coroutines.close()
            self._model = None
            self._modules.forget()
            closed(self._modules.name)

    def _request(self, work: Work) -> InferenceRequest:
        request = work.request
        way = _Keeping if self.overlaps else _Way
        sender = InferenceResponseSender(way(work.replies, self._name), decoupled=self._decoupled)
        return InferenceRequest(
            request_id=request.id,
            correlation_id=request.sequence_id,
            requested_output_names=[one.name for one in request.outputs] or self._outputs,
            inputs=[from_engine(one) for one in request.inputs],
            model_name=self._name,
            flags=_flags(request),
            timeout=request.timeout_us,
            parameters=request.parameters,
            priority=request.priority,
            sender=sender,
        )

    def _failed(self, fault: BaseException) -> Internal:
        return Internal(
            f"Failed to process the request(s) for model '{self._name}', message: {told(fault)}"
        )

    def _ended(self, requests: Sequence[InferenceRequest], fault: BaseException | None) -> None:
        """Answer the requests of a coroutine that failed."""
        if fault is None:
            return
        error = TritonError(self._failed(fault).message)
        for request in requests:
            with suppress(TritonModelException):  # it has its final response
                sender = request.get_response_sender()
                sender.send(InferenceResponse((), error), TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def _answered(
        self, requests: Sequence[InferenceRequest], returning: Coroutine[Any, Any, object]
    ) -> None:
        """Answer the requests with what a coroutine returns, and leave none open."""
        self._answer(requests, await returning)
        for request in requests:
            sender = request.get_response_sender()
            if not sender.closed:
                sender.send(flags=TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _check_nothing(self, returned: object) -> None:
        if returned is not None:
            raise _Broken(
                f"Python model '{self._name}' is using the decoupled mode and the execute function"
                " must return None."
            )

    def _answer(self, requests: Sequence[InferenceRequest], returned: object) -> None:
        senders = [request.get_response_sender() for request in requests]
        if returned is None and all(sender.used for sender in senders):
            returned = [None] * len(senders)
        if not isinstance(returned, list):
            raise _Broken(
                f"Expected a list in the execute return, found type '{type(returned).__name__}'."
            )
        if len(returned) != len(requests):
            raise _Broken(
                "Number of InferenceResponse objects do not match the number of InferenceRequest"
                f" objects. InferenceRequest(s) size is:{len(requests)}, and InferenceResponse(s)"
                f" size is:{len(returned)}\n"
            )
        for sender, response in zip(senders, returned, strict=True):
            if response is None and sender.used:
                continue
            if not isinstance(response, InferenceResponse):
                raise _Broken(
                    "Expected an 'InferenceResponse' object in the execute function return list,"
                    f" found type '{type(response).__name__}'."
                )
            sender.send(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL)


class CheckedExecutor(PythonExecutor):
    """A model that knows whether it can answer."""

    def is_ready(self) -> bool:
        """Ask the model; raises what it raises."""
        answer = self._model.is_ready()
        if inspect.iscoroutine(answer):
            own = self._coroutines
            answer = asyncio.run(answer) if own is None else own.wait_for(answer)
        return bool(answer)


class _Broken(TritonModelException):
    """The model broke a rule of ``execute``; told without a traceback, which would be ours."""


def _flags(request: InferRequest) -> int:
    flags = 0
    if request.sequence_start:
        flags |= TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
    if request.sequence_end:
        flags |= TRITONSERVER_REQUEST_FLAG_SEQUENCE_END
    return flags
