"""The way of a model's code to the other models of its server (Triton's business logic scripting).

Owns the calls of one instance while they are under way: that each is answered, taken back with the
request it was made for, and failed when it could never be answered (``engine.waits``). Does not own
the models (``engine.inside``), nor where the code runs: in the server's process it uses ``Calls``
itself, in a child what stands for it there (``engine.child.asking``). Rules:

1. ``told`` gets at least one answer to a call, the last one as the last; on the event loop's
   thread, so it may not block;
2. calls are made in the order in which they were asked for, by whatever thread;
3. when all requests of a batch are taken back, so are the calls that were made for it;
4. nothing is answered after ``drop``: there is nobody left who asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from weakref import WeakValueDictionary

from engine.backend import Work
from engine.errors import EngineError, InvalidArgument, NotFound, Unavailable, Unsupported
from engine.inside import Call, Callee, Inside, Meters, asked_by
from engine.types import InferRequest, InferResponse
from engine.waits import Key, Member

#: gets every answer to a call, and whether it is the last; must not block
Told = Callable[[InferResponse | EngineError, bool], None]
#: what is asked of the server besides calls: ``load``, ``unload``, ``ready``, ``metric``
Question = Mapping[str, Any]


class Caller(Protocol):
    """The way to the other models; any thread may use it."""

    def call(
        self,
        model: str,
        version: int,
        request: InferRequest,
        told: Told,
        *,
        decoupled: bool = True,
    ) -> Callable[[], None]:
        """Have a model asked, -1 being its newest version; returns what takes the call back.

        A decoupled model answers with an error who does not expect it to be one.
        """
        ...

    def ask(self, question: Question, files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - of JSON
        """Ask something that has one answer, and wait for it.

        ``{"what": "load", "model": ..., "config": ...}`` (with ``files``), ``{"what": "unload",
        "model": ..., "dependents": ...}``, ``{"what": "ready", "model": ..., "version": ...}``,
        ``{"what": "metric", ...}`` (``engine.inside.Meters``).

        Raises:
            EngineError: what came of it instead.
        """
        ...

    def tell(self, statement: Question) -> None:
        """Say something of a metric that has no answer."""
        ...


class Nobody:
    """The way where there is none."""

    def call(
        self,
        model: str,
        version: int,  # noqa: ARG002 - protocol
        request: InferRequest,  # noqa: ARG002 - protocol
        told: Told,
        *,
        decoupled: bool = True,  # noqa: ARG002 - protocol
    ) -> Callable[[], None]:
        """Say so."""
        told(Unavailable(f"model '{model}' cannot be called: there is no way to it here"), True)
        return _nothing

    def ask(self, question: Question, files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401, ARG002 - protocol
        """Say so."""
        raise Unavailable(f"{question['what']}: there is no way to the server here")

    def tell(self, statement: Question) -> None:
        """Tell nobody."""


@dataclass(slots=True, eq=False)
class _Asked:
    """A call under way."""

    told: Told
    batch: int
    number: int = 0
    call: Call | None = None
    doing: _Doing | None = None
    cancelled: bool = False
    over: bool = False


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Doing:
    """A batch: the places of its requests that are wanted, and the calls that were made for it.

    It lives as long as any of its requests: what takes one back holds it.
    """

    wanted: set[int]
    calls: set[_Asked] = field(default_factory=set)


#: the batch for which code of this thread, or task, runs; in the server's process
_doing: ContextVar[int] = ContextVar("doing", default=0)


class Calls:
    """The calls of one instance of the model ``model``."""

    def __init__(self, inside: Inside, model: Key) -> None:
        self._inside = inside
        self._member = Member(model)
        self._numbers = itertools.count(1)
        self._executing = 0
        self._batches: WeakValueDictionary[int, _Doing] = WeakValueDictionary()
        self._open: set[_Asked] = set()
        inside.post(inside.waits.join, self._member)

    # What the instance's thread says.

    @contextmanager
    def attending(self, works: Sequence[Work], *, held: bool, lasting: bool) -> Iterator[None]:
        """Execute a batch in the server's process; see ``began``.

        Unless it is ``lasting``, it is over when it was executed, and what any thread of the
        instance does meanwhile is done for it.
        """
        number = next(self._numbers)
        self._executing = 0 if lasting else number
        taken_back = self.began(number, [one.request for one in works], held=held)
        for place, work in enumerate(works):
            work.replies.watch(partial(taken_back, place))
        before = _doing.set(number)
        try:
            yield
        finally:
            _doing.reset(before)
            self._executing = 0
            self.ran(number)

    def began(
        self, batch: int, requests: Sequence[InferRequest], *, held: bool
    ) -> Callable[[int], None]:
        """Begin to execute a batch; ``held`` says that no other is executed meanwhile.

        Returns:
            what is to be told of a request that is taken back: its place in the batch.
        """
        doing = self._batches[batch] = _Doing(set(range(len(requests))))
        if held:
            self._member.began(batch, tuple(one.call for one in requests if one.call))
        return partial(self._inside.post, self._take_back, doing)

    def ran(self, batch: int) -> None:
        """Have executed a batch; requests of it may still be open."""
        self._member.ran(batch)

    # What its code asks.

    def call(
        self,
        model: str,
        version: int,
        request: InferRequest,
        told: Told,
        *,
        decoupled: bool = True,
        batch: int | None = None,
    ) -> Callable[[], None]:
        """Have a model asked; ``batch`` is what the call is made for."""
        asked = _Asked(told, _doing.get() or self._executing if batch is None else batch)
        self._inside.post(self._begin, asked, (model, version), request, decoupled)
        return partial(self._inside.post, self._cancel, asked)

    def ask(self, question: Question, files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - protocol
        """Ask something that has one answer, and wait for it; not on the loop's thread."""
        return self.begin(question, files).result()

    def begin(
        self,
        question: Question,
        files: Mapping[str, bytes] | None = None,
        holder: Hashable | None = None,
    ) -> Future[Any]:
        """Ask something that has one answer, which may come at any time.

        ``holder`` is who holds the metrics that are made, if not this instance.
        """
        if question["what"] == "metric":
            answer: Future[Any] = Future()
            try:
                answer.set_result(self._meters().do(holder or self, question))
            except EngineError as error:
                answer.set_exception(error)
            return answer
        return self._inside.begin(self._answer(question, files or {}))

    def tell(self, statement: Question, holder: Hashable | None = None) -> None:
        """Say something of a metric that has no answer."""
        with suppress(EngineError):  # it was let go of meanwhile
            self._meters().do(holder or self, statement)

    def _meters(self) -> Meters:
        if self._inside.meters is None:
            raise Unavailable("there are no metrics here")
        return self._inside.meters

    def drop(self, holder: Hashable | None = None) -> None:
        """Take everything back: whoever asked is gone."""
        self._inside.post(self._drop)
        if self._inside.meters is not None:
            self._inside.meters.leave(holder or self)

    def close(self) -> None:
        """Take everything back, for good."""
        self.drop()
        self._inside.post(self._inside.waits.leave, self._member)

    # What is done on the loop.

    def _begin(
        self,
        asked: _Asked,
        of: tuple[str, int],
        request: InferRequest,
        decoupled: bool,  # noqa: FBT001 - posted
    ) -> None:
        waits = self._inside.waits
        asked.number = waits.begin(
            self._member, asked.batch, of[0], partial(self._inside.post, self._fail, asked)
        )
        self._open.add(asked)
        asked.doing = doing = self._batches.get(asked.batch)
        if doing is not None:
            doing.calls.add(asked)
        try:
            callee = self._find(*of)
            if callee.config.decoupled and not decoupled:
                raise Unsupported(
                    f"Model '{callee.name}' is using the decoupled. The current BLS request call"
                    " doesn't support models using the decoupled transaction policy. Please use"
                    " 'decoupled=True' argument to the 'exec' or 'async_exec' calls for decoupled"
                    " models.'"
                )
            asked.call = self._inside.call(
                callee,
                replace(request, call=asked.number),
                partial(self._done, asked),
                partial(self._emit, asked),
            )
        except EngineError as error:
            self._done(asked, error)
            return
        if not callee.config.is_ensemble:
            waits.arrive(asked.number, (callee.name, callee.version))
        if asked.cancelled or (doing is not None and not doing.wanted):
            asked.call.cancel()

    def _find(self, model: str, version: int) -> Callee:
        try:
            return self._inside.find(model, version)
        except (NotFound, Unavailable) as error:
            raise type(error)(
                f"Failed for execute the inference request. Model '{model}' is not ready."
                f" ({error.message})"
            ) from None

    def _emit(self, asked: _Asked, answer: InferResponse | EngineError) -> None:
        if not asked.over:
            asked.told(answer, False)

    def _done(self, asked: _Asked, answer: InferResponse | EngineError) -> None:
        if asked.over:
            return
        asked.over = True
        self._open.discard(asked)
        if asked.doing is not None:
            asked.doing.calls.discard(asked)
            asked.doing = None
        self._inside.waits.end(asked.number)
        told, asked.told = asked.told, _nobody  # or whoever asked would keep himself alive by it
        told(answer, True)

    def _cancel(self, asked: _Asked) -> None:
        asked.cancelled = True
        if asked.call is not None and not asked.over:
            asked.call.cancel()

    def _fail(self, asked: _Asked, text: str) -> None:
        self._done(asked, Unavailable(text))
        if asked.call is not None:
            asked.call.cancel()

    def _take_back(self, doing: _Doing, place: int) -> None:
        doing.wanted.discard(place)
        if not doing.wanted:
            for asked in tuple(doing.calls):
                self._cancel(asked)

    def _drop(self) -> None:
        for asked in tuple(self._open):
            asked.told = _nobody
            self._cancel(asked)

    async def _answer(self, question: Question, files: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - protocol
        models, name = self._inside.models, question.get("model", "")
        asked_by.set(self._member.model[0])
        match question["what"]:
            case "load":
                config = question.get("config", "")
                await models.load(name, {**({"config": config} if config else {}), **files})
            case "unload":
                await models.unload(name, question["dependents"])
            case "ready":
                return await self._is_ready(name, question["version"])
            case what:
                raise InvalidArgument(f"a model's code asked the server for {what!r}")
        return None

    async def _is_ready(self, name: str, version: str) -> bool:
        if version and not version.isdecimal():
            raise InvalidArgument(
                f"failed to get model version from specified version string '{version}', version"
                " should be an integral value > 0"
            )
        try:
            return await self._inside.models.get(name, version).is_ready()
        except (NotFound, Unavailable):
            return False


def _nobody(answer: InferResponse | EngineError, final: bool) -> None:  # noqa: FBT001 - Told
    """Tell nobody."""


def _nothing() -> None:
    """Take nothing back."""
