"""The way in and out of a request whose tensors are not all in its message.

Owns what happens between a model and the answer: classes instead of values, elements into memory
regions; and that regions are given back when the last answer has come. Does not own any of the two
(``v2.classes``, ``memory``). A request that asks for neither passes by here.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from engine.errors import EngineError, Internal
from engine.v2.classes import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.memory.use import Use
    from engine.types import InferResponse, RequestedOutput

    Done = Callable[[InferResponse | EngineError], None]

logger = logging.getLogger(__name__)


class Labelled(Protocol):
    """What classification has to know of a model: the labels of the outputs that have some."""

    labels: Mapping[str, tuple[bytes, ...]]


class Delivery:
    """One request's way out. ``use`` is None where it names no region."""

    __slots__ = ("_batched", "_classes", "_labels", "_use")

    def __init__(
        self,
        outputs: Sequence[RequestedOutput],
        model: Labelled,
        use: Use | None,
        *,
        batched: bool,
    ) -> None:
        self._classes = {one.name: one.classification for one in outputs if one.classification}
        self._labels = model.labels
        self._batched = batched
        self._use = use

    def last(self, done: Done) -> Done:
        """Wrap what takes the last answer."""

        def finished(answer: InferResponse | EngineError) -> None:
            answer = self._finish(answer)
            if self._use is not None:
                self._use.end()
            done(answer)

        return finished

    def each(self, emit: Done) -> Done:
        """Wrap what takes the answers before the last."""
        return lambda answer: emit(self._finish(answer))

    def _finish(self, answer: InferResponse | EngineError) -> InferResponse | EngineError:
        if isinstance(answer, EngineError) or not answer.outputs:
            return answer
        try:
            return self._finished(answer)
        except EngineError as error:
            return error
        except Exception as fault:  # whoever asked must be answered, and the regions given back
            logger.exception("model=%s: an answer could not be delivered", answer.model)
            return Internal(f"internal error: {type(fault).__name__}: {fault}")

    def _finished(self, answer: InferResponse) -> InferResponse:
        outputs = answer.outputs
        if self._classes:
            outputs = tuple(
                classify(
                    tensor,
                    self._classes[tensor.name],
                    self._labels.get(tensor.name, ()),
                    batched=self._batched,
                )
                if tensor.name in self._classes
                else tensor
                for tensor in outputs
            )
        if self._use is None:
            return replace(answer, outputs=outputs)
        elsewhere = frozenset(tensor.name for tensor in outputs if self._use.store(tensor))
        return replace(answer, outputs=outputs, elsewhere=elsewhere)
