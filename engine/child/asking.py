"""A child's way to the models of its server: what stands there for ``engine.calling.Calls``.

Owns the writing of questions and the reading of answers in the child. The words are those of
``engine.child.calls``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from engine.child.channel import Message
from engine.child.words import read_error, read_tensors, tell_files, tell_request
from engine.errors import EngineError
from engine.types import InferRequest, InferResponse

if TYPE_CHECKING:
    from engine.child.arena import Window
    from engine.child.entry import Outside

    Told = Callable[[InferResponse | EngineError, bool], None]


class Asking:
    """A ``Caller`` in a child; any thread may use it."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def call(
        self,
        model: str,
        version: int,
        request: InferRequest,
        told: Told,
        *,
        decoupled: bool = True,
    ) -> Callable[[], None]:
        """Have a model asked; ``told`` is called on the thread that hears the server."""
        outside = self._outside
        try:
            written = tell_request(request, outside.arena)
        except EngineError as error:
            told(error, True)
            return _nothing
        number = outside.call(
            {
                "t": "call",
                "b": outside.batch,
                "model": model,
                "version": version,
                "decoupled": decoupled,
                "request": written,
            },
            partial(_heard, told, outside.window),
        )
        return partial(outside.say, {"t": "uncall", "of": number})

    def ask(self, question: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - of JSON
        """Ask something that has one answer, and wait for it; not on the thread that hears.

        Raises:
            EngineError: what came of it instead.
        """
        answers: SimpleQueue[Message] = SimpleQueue()
        self._outside.call(
            {
                "t": "ask",
                "question": dict(question),
                "files": tell_files(files or {}, self._outside.arena),
            },
            answers.put,
        )
        answer = answers.get()
        if answer["error"] is not None:
            raise read_error(answer["error"])
        return answer["value"]

    def tell(self, statement: Mapping[str, Any]) -> None:
        """Say something that has no answer."""
        self._outside.say({"t": "tell", "statement": dict(statement)})


def _heard(told: Told, window: Window, message: Message) -> None:
    final = message["final"]
    if message["error"] is not None:
        told(read_error(message["error"]), final)
        return
    model, version, named, empty = message["of"]
    told(
        InferResponse(
            model=model,
            version=version,
            id=named,
            empty=empty,
            outputs=read_tensors(message["outputs"], window),
            parameters=message["parameters"],
        ),
        final,
    )


def _nothing() -> None:
    """Take back what was never asked."""
