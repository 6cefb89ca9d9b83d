"""What the engine does for a library: the functions of ``servetune_host``.

Owns the table and what each function means; any thread of a library may call them, with the
interpreter's lock taken by ctypes. Pointers to what is the engine's are numbers that are looked up,
so that a wrong one is an error and no crash. Nothing may be raised into C.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from engine.backend import Work
from engine.backends.native import abi
from engine.backends.native.calls import Asking
from engine.backends.native.carry import Form, kind_of, shape_of
from engine.backends.native.errors import Errors
from engine.backends.native.requests import Given, Made, read_parameters
from engine.errors import EngineError, Internal, InvalidArgument
from engine.types import Parameter

logger = logging.getLogger(__name__)

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class Host:
    """The host of one library in one process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.errors = Errors()
        self.asking = Asking()
        self._numbers = count(1)
        self._given: dict[int, Given] = {}
        self._made: dict[int, Made] = {}
        #: ctypes keeps the functions alive by it
        self.table = abi.CHost(
            abi_version=abi.VERSION,
            size=ctypes.sizeof(abi.CHost),
            error_new=abi.ErrorNew(self.errors.new),
            error_code=abi.ErrorCode(self.errors.code),
            error_text=abi.ErrorText(self.errors.text),
            error_free=abi.ErrorFree(self.errors.free),
            log=abi.Log(self._log),
            response_new=abi.ResponseNew(self._safely(self._new)),
            response_output=abi.ResponseOutput(self._safely(self._output)),
            response_parameters=abi.ResponseParameters(self._safely(self._parameters)),
            response_send=abi.ResponseSend(self._safely(self._send)),
            response_free=abi.ResponseFree(self._free),
            request_end=abi.RequestEnd(self._safely(self._end)),
            request_cancelled=abi.RequestCancelled(self._cancelled),
            infer=abi.Infer(self._safely(self._infer)),
            infer_async=abi.Infer(self._safely(self._infer_async)),
        )

    def give(self, batch: Sequence[Work], form: Form) -> list[Given]:
        """Make requests known to the library."""
        given = [Given(work, form) for work in batch]
        self._given.update((one.address, one) for one in given)
        return given

    def back(self, given: Sequence[Given], *, failed: bool) -> None:
        """Learn that ``execute`` has returned; those that are over are gone for the library."""
        for one in given:
            if one.returned() or failed:
                self._forget(one)

    def _forget(self, given: Given) -> None:
        self._given.pop(given.address, None)
        for number, made in list(self._made.items()):
            if made.given is given:
                self._made.pop(number, None)

    def _safely(self, act: Callable[..., None]) -> Callable[..., int | None]:
        def safe(*arguments: Any) -> int | None:  # noqa: ANN401 - as C has them
            try:
                act(*arguments)
            except EngineError as error:
                return self.errors.put(error)
            except Exception as fault:
                logger.exception("%s: a call of the host failed", self._name)
                return self.errors.put(Internal(f"{self._name}: {type(fault).__name__}: {fault}"))
            return None

        return safe

    def _log(self, level: int, text: bytes | None) -> None:
        known = _LEVELS[min(max(level, 0), len(_LEVELS) - 1)]
        logger.log(known, "%s: %s", self._name, (text or b"").decode(errors="replace"))

    def _request(self, pointer: int | None) -> Given:
        given = self._given.get(pointer or 0)
        if given is None:
            raise InvalidArgument(
                f"{self._name}: this is no request, or one that is over: it is gone when its final"
                " response was sent and execute has returned"
            )
        return given

    def _response(self, pointer: int | None) -> Made:
        made = self._made.get(pointer or 0)
        if made is None:
            raise InvalidArgument(f"{self._name}: this is no response, or one that was sent")
        return made

    def _new(self, request: int | None, response: Any) -> None:  # noqa: ANN401 - a pointer
        made, number = Made(self._request(request)), next(self._numbers)
        self._made[number] = made
        response[0] = number

    def _output(  # noqa: PLR0913, PLR0917 - C's
        self,
        response: int | None,
        name: bytes | None,
        number: int,
        dims: Any,  # noqa: ANN401 - a pointer
        dims_count: int,
        size: int,
        memory: Any,  # noqa: ANN401 - a pointer
    ) -> None:
        made, word = self._response(response), (name or b"").decode(errors="replace")
        dtype, shape = kind_of(word, number), shape_of(word, dims, dims_count)
        blank = made.given.form.blank(word, dtype, shape, size)
        made.add(blank)
        memory[0] = blank.content.ctypes.data

    def _parameters(self, response: int | None, text: bytes | None) -> None:
        found: dict[str, Parameter] = dict(read_parameters(text))
        self._response(response).parameters = found

    def _send(self, response: int | None, failure: int | None, flags: int) -> None:
        error = self.errors.take(failure)
        made = self._response(response)
        self._free(response)
        given = made.given
        final = bool(flags & abi.FINAL) or not given.form.decoupled
        try:
            made.send(error, final=final)
        except Internal as broken:  # what was filled in is no tensor: that is the answer
            with suppress(EngineError):
                given.replies.send(broken, final=final)
            raise
        finally:
            if final and given.finished():
                self._forget(given)

    def _free(self, response: int | None) -> None:
        self._made.pop(response or 0, None)

    def _end(self, request: int | None) -> None:
        given = self._request(request)
        given.replies.send(None, final=True)
        if given.finished():
            self._forget(given)

    def _cancelled(self, request: int | None) -> int:
        given = self._given.get(request or 0)
        return int(given is None or given.replies.cancelled)

    def _infer(self, call: Any, answered: int, to: int | None) -> None:  # noqa: ANN401 - a pointer
        self.asking.wait(call[0], answered, to)

    def _infer_async(self, call: Any, answered: int, to: int | None) -> None:  # noqa: ANN401 - a pointer
        self.asking.begin(call[0], answered, to)
