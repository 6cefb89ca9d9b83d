"""A Python model's calls, between Triton's form of them and the engine's.

Owns the translation both ways, and when a model may call at all: as in Triton while it executes,
not while it is initialised or finalised; the server may be asked (to load a model) at any time.
Does not own the way (``engine.calling.Caller``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.backends.python.answers import Responses
from engine.backends.python.errors import TritonError, TritonModelException
from engine.backends.python.messages import (
    TRITONSERVER_REQUEST_FLAG_SEQUENCE_END,
    TRITONSERVER_REQUEST_FLAG_SEQUENCE_START,
    InferenceRequest,
    InferenceResponse,
)
from engine.backends.python.tensors import Tensor
from engine.backends.python.translation import CODES, from_engine, to_engine
from engine.errors import EngineError
from engine.types import InferRequest, InferResponse, RequestedOutput

if TYPE_CHECKING:
    from engine.calling import Caller

_FAILED = {"load": "load model", "unload": "unload model", "ready": "check model readiness"}


class Asking:
    """An instance's ``Door``; ``open`` while it may call."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.open = False

    def call(self, request: InferenceRequest, *, decoupled: bool) -> Responses[InferenceResponse]:
        """Have a model asked; what is wrong with that is the answer."""
        responses: Responses[InferenceResponse] = Responses()
        if not self.open:
            text = "BLS is supported only during the 'execute' function."
            responses.came(InferenceResponse((), TritonError(text)), True)
            return responses
        cancel = self._caller.call(
            request.model_name(),
            request.model_version(),
            _written(request),
            partial(_came, responses),
            decoupled=decoupled,
        )
        responses.begun(cancel)
        return responses

    def ask(self, question: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - of JSON
        """Ask the server something."""
        try:
            return self._caller.ask(question, files)
        except EngineError as error:
            what = _FAILED.get(question["what"])
            text = f"Failed to {what}: {error.message}" if what else error.message
            raise TritonModelException(text) from None

    def tell(self, statement: Mapping[str, Any]) -> None:
        """Say something to the server that has no answer."""
        self._caller.tell(statement)


def _written(request: InferenceRequest) -> InferRequest:
    flags = request.flags()
    for one in request.inputs():
        if not isinstance(one, Tensor):
            raise TritonModelException(
                f"InferenceRequest of model '{request.model_name()}': inputs holds a"
                f" {type(one).__name__}, not only pb_utils.Tensor"
            )
    return InferRequest(
        inputs=tuple(to_engine(one) for one in request.inputs()),
        id=request.request_id(),
        outputs=tuple(RequestedOutput(name) for name in request.requested_output_names()),
        priority=request.priority(),
        timeout_us=request.timeout(),
        sequence_id=request.correlation_id(),
        sequence_start=bool(flags & TRITONSERVER_REQUEST_FLAG_SEQUENCE_START),
        sequence_end=bool(flags & TRITONSERVER_REQUEST_FLAG_SEQUENCE_END),
        parameters=request.given,
    )


def _came(
    responses: Responses[InferenceResponse],
    answer: InferResponse | EngineError,
    final: bool,  # noqa: FBT001 - engine.calling.Told
) -> None:
    if isinstance(answer, EngineError):
        response = InferenceResponse((), TritonError(answer.message, CODES[answer.code]))
    else:
        response = InferenceResponse(
            [from_engine(one) for one in answer.outputs], None, answer.parameters
        )
    responses.came(response, final)
