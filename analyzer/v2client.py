"""A small blocking client of a V2 server: what is asked of it besides inference.

Owns the socket, and whether a server refused or is not there at all. What the messages mean is
``engine.v2``'s, which reads the answers of any server of the protocol. Does not own inference
under load (``load``). One connection a call: these calls are rare. A server of which only the gRPC
address is known is asked by gRPC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from analyzer.counters import BatchCounters, Counters, together
from analyzer.errors import LaunchError
from engine.errors import EngineError
from engine.types import InferResponse
from engine.v2 import call as calls
from engine.v2 import http

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from engine.modelconfig.schema import ModelConfig
    from engine.types import InferRequest

DEFAULT_PORT = 8000
SECONDS = 30.0

_R = TypeVar("_R", bound=calls.Reply | InferResponse)


class Unreachable(LaunchError):
    """Nothing answers there, or what answers does not speak HTTP."""


class Refused(LaunchError):
    """The server answered, and said no. ``status`` is HTTP's, ``reason`` the server's text."""

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def ready(endpoint: Endpoint, *, timeout_s: float = 5.0) -> bool:
    """Whether the server says that it is ready; False where nothing answers."""
    return _says_yes(endpoint, calls.ServerReady(), timeout_s)


def model_ready(endpoint: Endpoint, model: str, *, timeout_s: float = 5.0) -> bool:
    """Whether the server says that the model is ready; False where nothing answers."""
    return _says_yes(endpoint, calls.ModelReady(model), timeout_s)


def server_metadata(endpoint: Endpoint) -> calls.ServerDescription:
    """Ask the server what it is.

    Raises:
        LaunchError: it does not answer, or not as a V2 server does.
    """
    return _ask(endpoint, calls.ServerMetadata(), calls.ServerDescription)


def model_metadata(endpoint: Endpoint, model: str, version: str = "") -> calls.ModelDescription:
    """Ask what the model's inputs and outputs are; a version of "" leaves it to the server.

    Raises:
        LaunchError: the server has no such model, or does not answer as a V2 server does.
    """
    return _ask(endpoint, calls.ModelMetadata(model, version), calls.ModelDescription)


def model_config(endpoint: Endpoint, model: str, version: str = "") -> ModelConfig:
    """Ask for the complete configuration that the server runs the model with.

    Raises:
        LaunchError: no such model, the server has no configuration extension, or the
            configuration holds what this version does not know.
    """
    return _ask(endpoint, calls.ModelConfiguration(model, version), calls.Configuration).config


def statistics(
    endpoint: Endpoint,
    model: str,
    *,
    composing: Sequence[str] = (),
    timeout_s: float = SECONDS,
) -> Counters:
    """Read the model's counters; those of the models it is ``composing`` in the same answer.

    Raises:
        LaunchError: no such model, or the server has no statistics extension.
    """
    # Without a name the server tells of all its models at once, so that the readings agree.
    asked = calls.Statistics() if composing else calls.Statistics(model)
    report = _ask(endpoint, asked, calls.StatisticsReport, timeout_s)

    def of(name: str) -> Counters:
        return together(_counters(one) for one in report.models if one.name == name)

    return replace(of(model), composing={name: of(name) for name in composing})


def composing_models(endpoint: Endpoint, model: str) -> tuple[str, ...]:
    """Name the models that an ensemble is made of, those of ensembles in it too; () if none.

    Raises:
        Unreachable: the server does not answer.
    """
    found: dict[str, None] = {}
    unread = [model]
    while unread:
        try:
            config = model_config(endpoint, unread.pop())
        except Unreachable:
            raise
        except LaunchError:
            # Without the configuration extension nobody says what an ensemble is made of.
            continue
        steps = {step.model_name for step in config.ensemble_scheduling or ()}
        unread += sorted(steps - found.keys())
        found |= dict.fromkeys(sorted(steps))
    return tuple(found)


class CounterReader:
    """Reads a model's counters again and again, those of the models it is made of as well.

    What an ensemble is made of is asked once, at the start; ``called`` are models that its code
    calls, which nobody but the user knows.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        called: Sequence[str] = (),
        timeout_s: float = SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._timeout_s = timeout_s
        try:
            found = composing_models(endpoint, model)
            self._composing = tuple(dict.fromkeys((*found, *called)))
        except Unreachable:
            # Whoever loads it will find out, and say so in the words of that.
            self._composing = ()

    def __call__(self) -> Counters | None:
        """Read them; None where the server has none, or does not answer in time."""
        try:
            return statistics(
                self._endpoint, self._model, composing=self._composing, timeout_s=self._timeout_s
            )
        except LaunchError:
            return None


def runtime(endpoint: Endpoint, model: str) -> Mapping[str, str]:
    """Read what really runs the model, by the server's own account; {} if it gives none.

    Raises:
        Unreachable: the server does not answer.
    """
    try:
        report = _ask(endpoint, calls.Statistics(model, runtime=True), calls.StatisticsReport)
    except Refused:
        return {}
    return next((one.runtime for one in report.models if one.name == model and one.runtime), {})


def infer(
    endpoint: Endpoint, model: str, request: InferRequest, *, timeout_s: float = SECONDS
) -> InferResponse:
    """Have the model answer one request.

    Raises:
        LaunchError: it refused, or the server does not answer; the text is the server's.
    """
    return _ask(endpoint, calls.Infer(model, "", request), InferResponse, timeout_s)


def index(endpoint: Endpoint) -> tuple[calls.IndexedModel, ...]:
    """List the repository of the server.

    Raises:
        LaunchError: the server does not answer, or has no model repository extension.
    """
    return _ask(endpoint, calls.RepositoryIndex(), calls.Index).models


def load(
    endpoint: Endpoint, model: str, config: Mapping[str, Any] | None = None, *, timeout_s: float
) -> None:
    """Have the server load the model, under ``config`` (Triton's JSON form) or its own.

    Raises:
        LaunchError: it refused, or the model did not load; the text is the server's.
    """
    parameters = {} if config is None else {"config": json.dumps(config)}
    _ask(endpoint, calls.Load(model, parameters), calls.Accepted, timeout_s)


def unload(endpoint: Endpoint, model: str, *, timeout_s: float) -> None:
    """Have the server unload the model.

    Raises:
        LaunchError: it refused.
    """
    _ask(endpoint, calls.Unload(model), calls.Accepted, timeout_s)


def register_memory(endpoint: Endpoint, region: calls.Region) -> None:
    """Let requests use a region of memory by its name.

    Raises:
        LaunchError: the server refused, or does not answer.
    """
    _ask(endpoint, calls.RegisterMemory(region), calls.Accepted)


def unregister_memory(endpoint: Endpoint, region: calls.Region) -> None:
    """Have a server forget a region.

    Raises:
        LaunchError: the server refused, or does not answer.
    """
    cuda = isinstance(region, calls.CudaRegion)
    kind = calls.Memory.CUDA if cuda else calls.Memory.SYSTEM
    _ask(endpoint, calls.UnregisterMemory(kind, region.name), calls.Accepted)


def split(address: str) -> tuple[str, int]:
    """Split ``host:port`` (a scheme of http:// is accepted, the port may be left out).

    Raises:
        LaunchError: it is no such address, or it asks for https.
    """
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LaunchError(f"{address!r} is not an address; expected host:port") from error
    if parts.scheme not in {"", "http"} or not host or parts.path.strip("/"):
        raise LaunchError(f"{address!r} is not an address; expected host:port (plain HTTP)")
    return host, port or DEFAULT_PORT


def _says_yes(endpoint: Endpoint, call: calls.Call, timeout_s: float) -> bool:
    try:
        return _ask(endpoint, call, calls.Health, timeout_s).ok
    except (Refused, Unreachable):
        return False


def _ask(endpoint: Endpoint, call: calls.Call, kind: type[_R], timeout_s: float = SECONDS) -> _R:
    """Send a call, and return the reply, which is of the ``kind`` that answers such a call."""
    if not endpoint.http and endpoint.grpc:
        return _ask_by_grpc(endpoint, call, kind, timeout_s)
    message = http.render_request(call)
    url = f"{'http' if endpoint.tls is None else 'https'}://{endpoint.http}{message.target}"
    connection = _connection(endpoint, timeout_s)
    sent = {**dict(message.headers), "Connection": "close"}
    try:
        connection.request(message.method, message.target, message.body, sent)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as error:
        raise Unreachable(f"no answer from {url}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    try:
        reply = http.parse_reply(call, answer.status, headers, content)
    except EngineError as error:
        if 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's successes
            raise LaunchError(f"{url}: not the answer of a V2 server: {error.message}") from error
        text = f"{url} answered {answer.status}: {error.message}"
        raise Refused(text, status=answer.status, reason=error.message) from error
    assert isinstance(reply, kind)
    return reply


def _connection(endpoint: Endpoint, timeout_s: float) -> HTTPConnection:
    host, port = split(endpoint.http)
    if endpoint.tls is None:
        return HTTPConnection(host, port, timeout=timeout_s)
    return HTTPSConnection(host, port, timeout=timeout_s, context=endpoint.tls.context())


def _ask_by_grpc(endpoint: Endpoint, call: calls.Call, kind: type[_R], timeout_s: float) -> _R:
    from analyzer import v2client_grpc  # noqa: PLC0415 - grpc takes a tenth of a second to import

    address = endpoint.grpc or ""
    try:
        reply = v2client_grpc.ask(address, call, timeout_s, endpoint.tls)
    except v2client_grpc.NoAnswer as error:
        raise Unreachable(f"no answer from {address} by gRPC: {error}") from error
    except EngineError as error:
        text = f"{address} answered by gRPC: {error.message}"
        raise Refused(text, status=http.render_error(error).status, reason=error.message) from error
    assert isinstance(reply, kind)
    return reply


def _counters(figures: calls.ModelFigures) -> Counters:
    return Counters(
        requests=figures.success.count,
        failed=figures.fail.count,
        inferences=figures.inference_count,
        executions=figures.execution_count,
        request_ns=figures.success.ns,
        queue_ns=figures.queue.ns,
        compute_input_ns=figures.compute_input.ns,
        compute_infer_ns=figures.compute_infer.ns,
        compute_output_ns=figures.compute_output.ns,
        cache_hits=figures.cache_hit.count,
        cache_hit_ns=figures.cache_hit.ns,
        cache_misses=figures.cache_miss.count,
        cache_miss_ns=figures.cache_miss.ns,
        batches={
            one.batch_size: BatchCounters(
                executions=one.compute_infer.count,
                compute_input_ns=one.compute_input.ns,
                compute_infer_ns=one.compute_infer.ns,
                compute_output_ns=one.compute_output.ns,
            )
            for one in figures.batches
        },
    )
