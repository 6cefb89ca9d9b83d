"""Whole HTTP messages, without a socket: headers and body to a Call, a Reply to headers and body.

Owns the routes' meaning, the header that splits JSON from binary tensors, compression, status
codes and the error body. Does not own bytes on a wire, connections or the order of answers.

Header names are lower-case in the mappings that come in. The module that spells configurations is
imported where it is used: it brings protobuf, which takes a quarter of a second, and a client that
infers or reads statistics does without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import (
    Cancelled,
    Code,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.types import InferRequest, InferResponse
from engine.v2 import coding, memory, message, report, routes, strict
from engine.v2.binary import Content
from engine.v2.call import (
    Accepted,
    Call,
    Configuration,
    DecoupledModel,
    Health,
    Index,
    Infer,
    InferRaw,
    Load,
    Memory,
    MemoryStatus,
    ModelConfiguration,
    ModelDescription,
    ModelMetadata,
    ModelReady,
    Regions,
    RegisterMemory,
    Reply,
    RepositoryIndex,
    ServerDescription,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    StatisticsReport,
    Unload,
    UnregisterMemory,
    not_served,
)
from engine.v2.coding import UnsupportedCompression
from engine.v2.routes import MethodNotAllowed, Route, Verb

HEADER_LENGTH = "inference-header-content-length"
JSON = ("Content-Type", "application/json")
OCTETS = ("Content-Type", "application/octet-stream")
#: The status of a health call's no.
_NO = 400
#: Below this many bytes compressing an answer costs more than sending it.
WORTH_COMPRESSING = 512
#: A client reads no decompressed answer beyond this.
ANSWER_LIMIT = 1 << 40

Headers = tuple[tuple[str, str], ...]

STATUS: Mapping[Code, int] = {
    Code.UNKNOWN: 400,
    Code.INTERNAL: 500,
    Code.NOT_FOUND: 404,
    Code.INVALID_ARGUMENT: 400,
    Code.UNAVAILABLE: 503,
    Code.UNSUPPORTED: 501,
    Code.ALREADY_EXISTS: 400,
    Code.CANCELLED: 400,
}
_ERRORS: Mapping[int, type[EngineError]] = {
    400: InvalidArgument,
    404: NotFound,
    499: Cancelled,
    500: Internal,
    501: Unsupported,
    503: Unavailable,
}
_PHRASES = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A request, ready to be sent. ``Content-Length`` and ``Host`` are the sender's to add."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer, ready to be sent; its body is ``chunks`` joined."""

    status: int
    headers: Headers = ()
    chunks: tuple[bytes | memoryview, ...] = field(default=())

    @property
    def size(self) -> int:
        """The body's length, bytes."""
        return sum(map(len, self.chunks))

    @property
    def phrase(self) -> str:
        """The status in words."""
        return _PHRASES[self.status]


def parse_request(
    method: str, target: str, headers: Mapping[str, str], body: Content, *, limit: int
) -> Call:
    """Read a request; ``limit`` bounds the size of texts, in bytes.

    Raises:
        EngineError: it is not a call of the protocol, or one that is not served.
    """
    route = routes.find(method, target)
    packing = headers.get("content-encoding")
    if packing is not None:
        body = coding.decompress(body, packing, limit)
    if route.verb is not Verb.INFER:
        return _PARSERS[route.verb](route, bytes(body))
    head_size = _head_size(headers, len(body))
    if head_size == 0:
        if len(body) > limit:
            raise message.too_large(len(body), limit)
        return InferRaw(route.model, route.version, bytes(body))
    return message.parse_request(body, head_size, route.model, route.version, limit)


def _head_size(headers: Mapping[str, str], size: int) -> int | None:
    given = headers.get(HEADER_LENGTH)
    if given is None:
        return None
    try:
        head_size = int(given)
    except ValueError as error:
        wrong = f"Unable to parse Inference-Header-Content-Length, got: {given}"
        raise InvalidArgument(wrong) from error
    if not 0 <= head_size <= size:
        wrong = f"inference header size should be in range (0, {size}), got: {given}"
        raise InvalidArgument(wrong)
    return head_size


def refuse_early(headers: Mapping[str, str], size: int, limit: int) -> InvalidArgument | None:
    """Tell from the headers alone that a body of ``size`` bytes will be refused.

    Binary tensors are unlimited, so only a body that announces none can be judged.
    """
    if size <= limit or headers.get(HEADER_LENGTH, "0") != "0":
        return None
    return message.too_large(size, limit)


def _later(route: Route, body: bytes) -> Call:
    del body
    raise not_served(route.verb.value)


_PARSERS: Mapping[Verb, Callable[[Route, bytes], Call]] = {
    Verb.LIVE: lambda _route, _body: ServerLive(),
    Verb.READY: lambda _route, _body: ServerReady(),
    Verb.SERVER: lambda _route, _body: ServerMetadata(),
    Verb.MODEL_READY: lambda route, _body: ModelReady(route.model, route.version),
    Verb.MODEL: lambda route, _body: ModelMetadata(route.model, route.version),
    Verb.CONFIG: lambda route, _body: ModelConfiguration(route.model, route.version),
    Verb.STATS: lambda route, _body: Statistics(route.model, route.version),
    Verb.RUNTIME: lambda route, _body: Statistics(route.model, route.version, runtime=True),
    Verb.INDEX: lambda _route, body: report.index_request(body),
    Verb.LOAD: lambda route, body: report.load_request(route.model, body),
    Verb.UNLOAD: lambda route, body: report.unload_request(route.model, body),
    Verb.GENERATE: _later,
    Verb.TRACE: _later,
    Verb.LOGGING: _later,
    Verb.MEMORY_STATUS: lambda route, _body: MemoryStatus(Memory(route.memory), route.region),
    Verb.MEMORY_REGISTER: lambda route, body: memory.register_request(
        Memory(route.memory), route.region, body
    ),
    Verb.MEMORY_UNREGISTER: lambda route, _body: UnregisterMemory(
        Memory(route.memory), route.region
    ),
}


def render_reply(call: Call, reply: Reply, accept_encoding: str | None = None) -> HttpReply:
    """Write the answer to ``call``; ``accept_encoding`` is the request's header.

    Raises:
        InvalidArgument: an output cannot be written in the form that was asked for.
    """
    if isinstance(reply, InferResponse):
        assert isinstance(call, Infer)
        return _render_inference(call.request, reply, accept_encoding)
    if isinstance(reply, Health):
        if reply.ok:
            return HttpReply(200)
        if isinstance(call, ModelReady):
            return _error(400, "Model version not ready")
        return HttpReply(400)
    if isinstance(reply, Accepted):
        return HttpReply(200)
    return HttpReply(200, (JSON,), (strict.dumps(_plain(reply)),))


def _plain(
    reply: ServerDescription
    | ModelDescription
    | Configuration
    | StatisticsReport
    | Index
    | Regions,
) -> Any:  # noqa: ANN401 - JSON can be anything
    match reply:
        case ServerDescription():
            return report.server_to_json(reply)
        case ModelDescription():
            return report.model_to_json(reply)
        case Configuration():
            from engine.modelconfig import convert  # noqa: PLC0415 - as at the top

            return convert.to_json(reply.config)
        case StatisticsReport():
            return report.statistics_to_json(reply)
        case Index():
            return report.index_to_json(reply)
        case Regions():
            return memory.regions_to_json(reply)


def _render_inference(
    request: InferRequest, response: InferResponse, accept_encoding: str | None
) -> HttpReply:
    head, contents = message.render_response(request, response)
    headers: Headers = (JSON,)
    if any(contents):
        headers = (OCTETS, ("Inference-Header-Content-Length", str(len(head))))
    chunks = (head, *contents)
    if accept_encoding is not None and sum(map(len, chunks)) >= WORTH_COMPRESSING:
        chosen = coding.choose(accept_encoding)
        if chosen != coding.IDENTITY:
            packed = coding.compress(chunks, chosen)
            return HttpReply(200, (*headers, ("Content-Encoding", chosen)), (packed,))
    return HttpReply(200, headers, chunks)


def render_error(error: EngineError) -> HttpReply:
    """Write an error: its text under ``error``, and the status of its code."""
    if isinstance(error, MethodNotAllowed):
        return _error(405, error.message)
    if isinstance(error, UnsupportedCompression):
        return _error(501, error.message, ("Accept-Encoding", "gzip, deflate"))
    if isinstance(error, DecoupledModel):
        text = "HTTP end point doesn't support models with decoupled transaction policy"
        return _error(STATUS[error.code], text)
    return _error(STATUS[error.code], error.message)


def _error(status: int, text: str, *headers: tuple[str, str]) -> HttpReply:
    # A text may quote bytes of the request that are no text: never let that lose the error.
    body = strict.dumps({"error": text.encode(errors="replace").decode()})
    return HttpReply(status, (JSON, *headers), (body,))


def render_request(call: Call) -> HttpMessage:
    """Write a request, as a client sends it; an inference's inputs go as binary tensors."""
    match call:
        case Infer():
            head, contents = message.render_request(call)
            target = routes.model_path(call.model, call.version, "infer")
            length = (("Inference-Header-Content-Length", str(len(head))),) if contents else ()
            return HttpMessage("POST", target, (*length, OCTETS), b"".join((head, *contents)))
        case InferRaw():
            target = routes.model_path(call.model, call.version, "infer")
            zero = ("Inference-Header-Content-Length", "0")
            return HttpMessage("POST", target, (zero, OCTETS), call.content)
        case RepositoryIndex():
            body = b'{"ready":true}' if call.ready else b""
            return HttpMessage("POST", "/v2/repository/index", (JSON,), body)
        case Load() | Unload() | RegisterMemory():
            target, body = _order(call)
            return HttpMessage("POST", target, (JSON,), body)
        case _:
            method = "POST" if isinstance(call, UnregisterMemory) else "GET"
            return HttpMessage(method, _QUESTIONS[type(call)](call))


def _order(call: Load | Unload | RegisterMemory) -> tuple[str, bytes]:
    match call:
        case Load():
            return routes.repository_path(call.model, "load"), report.load_to_json(call)
        case Unload():
            return routes.repository_path(call.model, "unload"), report.unload_to_json(call)
        case RegisterMemory():
            return _memory_path(call), memory.register_to_json(call)


def _memory_path(call: RegisterMemory | UnregisterMemory | MemoryStatus) -> str:
    kind, name, verb = memory.path_of(call)
    return routes.memory_path(kind.value, name, verb)


#: The paths of calls without a body.
_QUESTIONS: Mapping[type, Callable[[Any], str]] = {
    UnregisterMemory: _memory_path,
    MemoryStatus: _memory_path,
    ServerLive: lambda _call: "/v2/health/live",
    ServerReady: lambda _call: "/v2/health/ready",
    ServerMetadata: lambda _call: "/v2",
    ModelReady: lambda call: routes.model_path(call.model, call.version, "ready"),
    ModelMetadata: lambda call: routes.model_path(call.model, call.version),
    ModelConfiguration: lambda call: routes.model_path(call.model, call.version, "config"),
    Statistics: lambda call: (
        routes.model_path(call.model, call.version, "stats/runtime" if call.runtime else "stats")
        if call.model
        else "/v2/models/stats"
    ),
}


def parse_reply(call: Call, status: int, headers: Mapping[str, str], body: Content) -> Reply:
    """Read the answer to ``call``, as a client gets it.

    Raises:
        EngineError: the server's error, with its text; or an answer that cannot be read.
    """
    succeeded = status // 100 == 2  # noqa: PLR2004 - HTTP's own number
    if isinstance(call, ServerLive | ServerReady | ModelReady) and (succeeded or status == _NO):
        return Health(succeeded)
    if not succeeded:
        text = strict.error_text(bytes(body)) or f"the server answered {status} and said nothing"
        raise _ERRORS.get(status, EngineError)(text)
    packing = headers.get("content-encoding")
    if packing is not None:
        body = coding.decompress(body, packing, ANSWER_LIMIT)
    if isinstance(call, Infer | InferRaw):
        return message.parse_response(body, _head_size(headers, len(body)))
    if isinstance(call, Load | Unload | RegisterMemory | UnregisterMemory):
        return Accepted()
    return _described(call, bytes(body))


def _described(call: Call, body: bytes) -> Reply:
    if isinstance(call, RepositoryIndex):
        return report.index_from_json(strict.loads(body, "response"))
    if isinstance(call, MemoryStatus):
        return memory.regions_from_json(call.kind, strict.loads(body, "response"))
    plain = strict.document(body, "response")
    match call:
        case ServerMetadata():
            return report.server_from_json(plain)
        case ModelMetadata():
            return report.model_from_json(plain)
        case ModelConfiguration():
            from engine.modelconfig import convert  # noqa: PLC0415 - as at the top

            return Configuration(convert.from_json(plain, f"configuration of '{call.model}'"))
        case _:
            return report.statistics_from_json(plain)
