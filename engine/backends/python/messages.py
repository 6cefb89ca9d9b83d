"""Requests and responses as Python models have them.

Part of the module that models import as ``triton_python_backend_utils`` (see ``api``): names,
arguments and texts are Triton's. Values only: a request's way out is anything with the two
members of ``Way``, so the model may as well live in another process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from engine.backends.python.door import door
from engine.backends.python.errors import TritonError, TritonModelException, later
from engine.backends.python.tensors import Tensor

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_REQUEST_RELEASE_ALL = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 2
TRITONSERVER_MEMORY_CPU = 0
TRITONSERVER_MEMORY_GPU = 2

Value = bool | int | float | str


class PreferredMemory:
    """Where the response to a request of the model's own should lie."""

    def __init__(self, preferred_memory_type: int, preferred_device_id: int = 0) -> None:
        self.preferred_memory_type = preferred_memory_type
        self.preferred_device_id = preferred_device_id


class InferenceTrace:
    """The trace of a request; requests are not traced yet."""

    def get_context(self) -> None:
        """Give the context of the trace: there is none."""


class InferenceResponse:
    """What a model answers to one request: tensors, or an error."""

    def __init__(
        self,
        output_tensors: Iterable[Tensor] = (),
        error: TritonError | None = None,
        parameters: Mapping[str, Value] | None = None,
    ) -> None:
        self._output_tensors = list(output_tensors)
        for one in self._output_tensors:
            if not isinstance(one, Tensor):
                raise TritonModelException(
                    f"InferenceResponse: output_tensors holds a {type(one).__name__}, not only"
                    " pb_utils.Tensor"
                )
        if error is not None and not isinstance(error, TritonError):
            raise TritonModelException(
                f"InferenceResponse: error is a {type(error).__name__}, not a pb_utils.TritonError"
            )
        self._error = error
        self._parameters = dict(parameters or {})
        for name, value in self._parameters.items():
            if not isinstance(name, str) or not isinstance(value, Value):
                raise TritonModelException(
                    f"InferenceResponse: parameter {name!r} is a {type(value).__name__}; expected"
                    " a text for its name, and a bool, int, float or str for its value"
                )

    def output_tensors(self) -> list[Tensor]:
        """Give its tensors."""
        return self._output_tensors

    def has_error(self) -> bool:
        """Whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Give its error."""
        return self._error

    def parameters(self) -> str:
        """Give its parameters, as JSON."""
        return json.dumps(self._parameters)

    @property
    def given(self) -> Mapping[str, Value]:
        """The parameters themselves (for the engine; not Triton's)."""
        return self._parameters


class Way(Protocol):
    """A request's way out. ``send`` may be called by any thread."""

    @property
    def cancelled(self) -> bool:
        """Whether the client has taken the request back."""
        ...

    def send(self, response: InferenceResponse | None, *, final: bool) -> None:
        """Bring a response to the client; None is only the end."""
        ...

    def lost(self) -> None:
        """Learn that nobody is left who could send the final response."""
        ...


class InferenceResponseSender:
    """Sends the responses to one request."""

    def __init__(self, way: Way, *, decoupled: bool) -> None:
        self._way = way
        self._decoupled = decoupled
        self._sent = 0
        self.closed = False

    def is_cancelled(self) -> bool:
        """Whether the client has taken the request back."""
        return self._way.cancelled

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send a response, or with the flag for it only say that there will be no more.

        Raises:
            TritonModelException: it may not be sent, and why.
        """
        final = flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL
        said = "Unable to send response."
        if flags not in (0, TRITONSERVER_RESPONSE_COMPLETE_FINAL):
            raise TritonModelException(f"{said} Unsupported flag provided.")
        if self.closed:
            raise TritonModelException(f"{said} Response sender has been closed.")
        if response is None and not final:
            raise TritonModelException(
                "Inference Response object must be provided when the response flags is set to zero."
            )
        if response is not None and not isinstance(response, InferenceResponse):
            raise TritonModelException(
                f"{said} Expected a pb_utils.InferenceResponse, found {type(response).__name__}."
            )
        if not self._decoupled and response is not None and self._sent:
            raise TritonModelException(
                f"{said} Non-decoupled model cannot send more than one response."
            )
        if not self._decoupled and response is None and not self._sent:
            raise TritonModelException(
                f"{said} Non-decoupled model cannot send complete final before sending a response."
            )
        self._sent += response is not None
        self.closed = final
        self._way.send(response, final=final)

    @property
    def used(self) -> bool:
        """Whether something was sent (for the engine; not Triton's)."""
        return self._sent > 0 or self.closed

    def __del__(self) -> None:
        if self._decoupled and not self.closed:
            self._way.lost()


class InferenceRequest:
    """A request, the client's or one of the model's own.

    ``sender``, which Triton has not, is where the responses to a client's request go.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - Triton's
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        requested_output_names: Sequence[str] = (),
        inputs: Sequence[Tensor] = (),
        model_name: str = "",
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory | None = None,
        trace: InferenceTrace | None = None,
        parameters: Mapping[str, Value] | str | None = None,
        priority: int = 0,
        *,
        sender: InferenceResponseSender | None = None,
    ) -> None:
        self._request_id = request_id
        self._correlation_id = correlation_id
        self._requested_output_names = list(requested_output_names)
        self._inputs = list(inputs)
        self._model_name = model_name
        self._model_version = model_version
        self._flags = flags
        self._timeout = timeout
        self._preferred_memory = preferred_memory
        self._trace = trace or InferenceTrace()
        self._parameters = parameters
        self._priority = priority
        self._sender = sender

    def inputs(self) -> list[Tensor]:
        """Give its inputs, each with the request's own batch dimension."""
        return self._inputs

    def request_id(self) -> str:
        """Give the client's id of it, "" if it has none."""
        return self._request_id

    def correlation_id(self) -> int | str:
        """Give the id of its sequence, 0 if it belongs to none."""
        return self._correlation_id

    def requested_output_names(self) -> list[str]:
        """Name the outputs that are wanted."""
        return self._requested_output_names

    def model_name(self) -> str:
        """Name the model it is for."""
        return self._model_name

    def model_version(self) -> int:
        """Give the version it is for."""
        return self._model_version

    def flags(self) -> int:
        """Give its flags: where in its sequence it stands."""
        return self._flags

    def set_flags(self, flags: int) -> None:
        """Set its flags."""
        self._flags = flags

    def timeout(self) -> int:
        """Give its timeout in microseconds, 0 for none."""
        return self._timeout

    def preferred_memory(self) -> PreferredMemory | None:
        """Say where its response should lie."""
        return self._preferred_memory

    def trace(self) -> InferenceTrace:
        """Give its trace."""
        return self._trace

    def parameters(self) -> str:
        """Give its parameters, as JSON."""
        given = self._parameters
        return given if isinstance(given, str) else json.dumps(dict(given or {}))

    def is_cancelled(self) -> bool:
        """Whether the client has taken it back."""
        return self._sender is not None and self._sender.is_cancelled()

    def get_response_sender(self) -> InferenceResponseSender:
        """Give what sends its responses."""
        if self._sender is None:
            raise TritonModelException("only a request of a client has a response sender")
        return self._sender

    def set_release_flags(self, flags: int) -> None:
        """Say what becomes of the request when ``execute`` returns; here it is over."""
        if flags != TRITONSERVER_REQUEST_RELEASE_ALL:
            raise later("rescheduling a request (TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)")

    def priority(self) -> int:
        """Give its priority, 0 for the model's default."""
        return self._priority

    @property
    def given(self) -> Mapping[str, Value]:
        """The parameters themselves (for the engine; not Triton's)."""
        parameters = self._parameters
        if isinstance(parameters, str):
            read: Mapping[str, Value] = json.loads(parameters) if parameters else {}
            return read
        return parameters or {}

    def exec(self, decoupled: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - Triton's
        """Have another model answer it; waits for the answer.

        Returns:
            the response, which may be an error; with ``decoupled`` what iterates over responses.
        """
        responses = door().call(self, decoupled=decoupled)
        return responses if decoupled else next(responses)

    async def async_exec(self, decoupled: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - Triton's
        """Have another model answer it; the event loop goes on meanwhile.

        A task that is cancelled while it waits takes the request back.

        Returns:
            as ``exec``.
        """
        responses = door().call(self, decoupled=decoupled)
        return responses if decoupled else await anext(responses)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """Find an input of a request; None if it has no such one."""
    return next((one for one in inference_request.inputs() if one.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """Find an output of a response; None if it has no such one, or is an error."""
    if inference_response.has_error():
        return None
    return next((one for one in inference_response.output_tensors() if one.name() == name), None)
