"""Protobuf messages to Calls and Replies, and back. The same values as ``v2.http`` gives.

Owns the fields of Triton's ``grpc_service.proto`` that the served calls need, and which
gRPC status means which code. Does not own channels, servers or deadlines. Messages are
``tritonclient.grpc.service_pb2``'s, whose generated code publishes no types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tritonclient.grpc import service_pb2

from engine.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.modelconfig import convert
from engine.types import InferResponse, TensorSpec
from engine.v2 import grpc_infer, grpc_memory
from engine.v2.call import (
    Accepted,
    BatchFigures,
    Call,
    Configuration,
    Count,
    DecoupledModel,
    Health,
    Index,
    IndexedModel,
    Infer,
    InferRaw,
    Load,
    MemoryFigures,
    MemoryStatus,
    ModelConfiguration,
    ModelDescription,
    ModelFigures,
    ModelMetadata,
    ModelReady,
    Regions,
    RegisterMemory,
    Reply,
    RepositoryIndex,
    ResponseFigures,
    ServerDescription,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    StatisticsReport,
    Unload,
    UnregisterMemory,
)
from engine.v2.message import datatype

Message = Any

SERVICE = "inference.GRPCInferenceService"

#: The name of the gRPC status that stands for each code.
STATUS: Mapping[Code, str] = {
    Code.UNKNOWN: "UNKNOWN",
    Code.INTERNAL: "INTERNAL",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.INVALID_ARGUMENT: "INVALID_ARGUMENT",
    Code.UNAVAILABLE: "UNAVAILABLE",
    Code.UNSUPPORTED: "UNIMPLEMENTED",
    Code.ALREADY_EXISTS: "ALREADY_EXISTS",
    Code.CANCELLED: "CANCELLED",
}
_ERRORS: Mapping[str, type[EngineError]] = {
    STATUS[kind.code]: kind
    for kind in (
        AlreadyExists, Cancelled, Internal, InvalidArgument, NotFound, Unavailable, Unsupported,
    )
}  # fmt: skip


def error_of(status: str, text: str) -> EngineError:
    """Make the error that a gRPC status, by its name, and its details stand for."""
    return _ERRORS.get(status, EngineError)(text)


def error_text(error: EngineError) -> str:
    """Word an error for gRPC."""
    if isinstance(error, DecoupledModel):
        return "ModelInfer RPC doesn't support models with decoupled transaction policy"
    return error.message


def parse_request(message: Message) -> Call:
    """Read a request.

    Raises:
        EngineError: it is not a call of the protocol, or one that is not served.
    """
    return _PARSERS[type(message)](message)


def _load(message: Message) -> Load:
    _one_repository(message)
    parameters: dict[str, str | bytes] = {}
    for name, parameter in message.parameters.items():
        kind = "bytes_param" if name.startswith("file:") else "string_param"
        if name != "config" and kind == "string_param":
            raise InvalidArgument(f"unrecognized load parameter '{name}'.")
        if parameter.WhichOneof("parameter_choice") != kind:
            raise InvalidArgument(
                f"invalid value type for load parameter '{name}', expected {kind}."
            )
        parameters[name] = getattr(parameter, kind)
    return Load(message.model_name, parameters)


def _unload(message: Message) -> Unload:
    _one_repository(message)
    for name, parameter in message.parameters.items():
        if name == "unload_dependents":
            if parameter.WhichOneof("parameter_choice") != "bool_param":
                text = f"invalid value type for unload parameter '{name}', expected bool_param."
                raise InvalidArgument(text)
            return Unload(message.model_name, parameter.bool_param)
    return Unload(message.model_name)


def _one_repository(message: Message) -> None:
    if message.repository_name:
        raise Unsupported("'repository_name' specification is not supported")


_PARSERS: Mapping[type, Callable[[Message], Call]] = {
    service_pb2.ServerLiveRequest: lambda _message: ServerLive(),
    service_pb2.ServerReadyRequest: lambda _message: ServerReady(),
    service_pb2.ServerMetadataRequest: lambda _message: ServerMetadata(),
    service_pb2.ModelReadyRequest: lambda message: ModelReady(message.name, message.version),
    service_pb2.ModelMetadataRequest: lambda message: ModelMetadata(message.name, message.version),
    service_pb2.ModelConfigRequest: lambda message: ModelConfiguration(
        message.name, message.version
    ),
    service_pb2.ModelStatisticsRequest: lambda message: Statistics(message.name, message.version),
    service_pb2.RepositoryIndexRequest: lambda message: RepositoryIndex(message.ready),
    service_pb2.RepositoryModelLoadRequest: _load,
    service_pb2.RepositoryModelUnloadRequest: _unload,
    service_pb2.ModelInferRequest: grpc_infer.parse_request,
    **grpc_memory.PARSERS,
}


def render_reply(call: Call, reply: Reply) -> Message:
    """Write the answer to ``call``."""
    if isinstance(reply, InferResponse):
        return grpc_infer.render_response(reply)
    if isinstance(reply, Health | Accepted):
        return _render_bare(call, reply)
    return _RENDERERS[type(reply)](reply)


def _render_bare(call: Call, reply: Health | Accepted) -> Message:
    """Write an answer whose message depends on the question, not on what is answered."""
    if isinstance(reply, Accepted):
        if isinstance(call, Load):
            return service_pb2.RepositoryModelLoadResponse()
        if isinstance(call, RegisterMemory | UnregisterMemory):
            return grpc_memory.accepted(call)
        return service_pb2.RepositoryModelUnloadResponse()
    if isinstance(call, ServerLive):
        return service_pb2.ServerLiveResponse(live=reply.ok)
    if isinstance(call, ServerReady):
        return service_pb2.ServerReadyResponse(ready=reply.ok)
    return service_pb2.ModelReadyResponse(ready=reply.ok)


def _spec_to_proto(spec: TensorSpec) -> Message:
    return service_pb2.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.dtype.value, shape=spec.shape
    )


def _indexed_to_proto(model: IndexedModel) -> Message:
    return service_pb2.RepositoryIndexResponse.ModelIndex(
        name=model.name, version=model.version, state=model.state, reason=model.reason
    )


_TALLIES = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit",
    "cache_miss",
)  # fmt: skip
_BATCH_TALLIES = ("compute_input", "compute_infer", "compute_output")
_RESPONSE_TALLIES = (
    "compute_infer", "compute_output", "success", "fail", "empty_response", "cancel",
)  # fmt: skip


def _figures_to_proto(figures: ModelFigures) -> Message:
    message = service_pb2.ModelStatistics(
        name=figures.name,
        version=figures.version,
        last_inference=figures.last_inference,
        inference_count=figures.inference_count,
        execution_count=figures.execution_count,
    )
    for name in _TALLIES:
        _set_count(getattr(message.inference_stats, name), getattr(figures, name))
    for batch in figures.batches:
        one = message.batch_stats.add(batch_size=batch.batch_size)
        for name in _BATCH_TALLIES:
            _set_count(getattr(one, name), getattr(batch, name))
    for response in figures.responses:
        responses = message.response_stats[str(response.index)]
        for name in _RESPONSE_TALLIES:
            _set_count(getattr(responses, name), getattr(response, name))
    for used in figures.memory:
        message.memory_usage.add(type=used.type, id=used.id, byte_size=used.byte_size)
    return message


def _set_count(message: Message, count: Count) -> None:
    message.SetInParent()  # a tally of 0 is there, not left out
    message.count, message.ns = count.count, count.ns


def _figures_from_proto(message: Message) -> ModelFigures:
    def count(owner: Message, name: str) -> Count:
        tally = getattr(owner, name)
        return Count(tally.count, tally.ns)

    tallies: dict[str, Any] = {name: count(message.inference_stats, name) for name in _TALLIES}
    return ModelFigures(
        name=message.name,
        version=message.version,
        last_inference=message.last_inference,
        inference_count=message.inference_count,
        execution_count=message.execution_count,
        **tallies,
        batches=tuple(
            BatchFigures(one.batch_size, *(count(one, name) for name in _BATCH_TALLIES))
            for one in message.batch_stats
        ),
        responses=tuple(
            ResponseFigures(
                index=int(index),
                **{name: count(one, name) for name in _RESPONSE_TALLIES},
            )
            for index, one in sorted(message.response_stats.items(), key=lambda pair: int(pair[0]))
        ),
        memory=tuple(
            MemoryFigures(one.type, one.id, one.byte_size) for one in message.memory_usage
        ),
    )


_RENDERERS: Mapping[type, Callable[[Any], Message]] = {
    ServerDescription: lambda reply: service_pb2.ServerMetadataResponse(
        name=reply.name, version=reply.version, extensions=reply.extensions
    ),
    ModelDescription: lambda reply: service_pb2.ModelMetadataResponse(
        name=reply.name,
        versions=reply.versions,
        platform=reply.platform,
        inputs=map(_spec_to_proto, reply.inputs),
        outputs=map(_spec_to_proto, reply.outputs),
    ),
    Configuration: lambda reply: service_pb2.ModelConfigResponse(
        config=convert.to_proto(reply.config)
    ),
    StatisticsReport: lambda reply: service_pb2.ModelStatisticsResponse(
        model_stats=map(_figures_to_proto, reply.models)
    ),
    Index: lambda reply: service_pb2.RepositoryIndexResponse(
        models=map(_indexed_to_proto, reply.models)
    ),
    Regions: grpc_memory.regions_to_proto,
}


def render_request(call: Call) -> tuple[str, Message]:
    """Write a request, as a client sends it: the RPC's name and its message.

    Raises:
        Unsupported: gRPC has no such call.
    """
    if isinstance(call, InferRaw):
        raise Unsupported("gRPC knows no inference request without a head")
    if isinstance(call, RegisterMemory | UnregisterMemory | MemoryStatus):
        return grpc_memory.render_request(call)
    rpc, render = _QUESTIONS[type(call)]
    return rpc, render(call)


def _load_to_proto(call: Load) -> Message:
    message = service_pb2.RepositoryModelLoadRequest(model_name=call.model)
    for name, value in call.parameters.items():
        kind = "bytes_param" if isinstance(value, bytes) else "string_param"
        setattr(message.parameters[name], kind, value)
    return message


def _unload_to_proto(call: Unload) -> Message:
    message = service_pb2.RepositoryModelUnloadRequest(model_name=call.model)
    if call.dependents:
        message.parameters["unload_dependents"].bool_param = True
    return message


def _named(kind: Callable[..., Message]) -> Callable[[Any], Message]:
    return lambda call: kind(name=call.model, version=call.version)


_QUESTIONS: Mapping[type, tuple[str, Callable[[Any], Message]]] = {
    Infer: ("ModelInfer", grpc_infer.render_request),
    ServerLive: ("ServerLive", lambda _call: service_pb2.ServerLiveRequest()),
    ServerReady: ("ServerReady", lambda _call: service_pb2.ServerReadyRequest()),
    ServerMetadata: ("ServerMetadata", lambda _call: service_pb2.ServerMetadataRequest()),
    ModelReady: ("ModelReady", _named(service_pb2.ModelReadyRequest)),
    ModelMetadata: ("ModelMetadata", _named(service_pb2.ModelMetadataRequest)),
    ModelConfiguration: ("ModelConfig", _named(service_pb2.ModelConfigRequest)),
    Statistics: ("ModelStatistics", _named(service_pb2.ModelStatisticsRequest)),
    RepositoryIndex: (
        "RepositoryIndex",
        lambda call: service_pb2.RepositoryIndexRequest(ready=call.ready),
    ),
    Load: ("RepositoryModelLoad", _load_to_proto),
    Unload: ("RepositoryModelUnload", _unload_to_proto),
}


def parse_reply(message: Message) -> Reply:
    """Read an answer, as a client gets it.

    Raises:
        InvalidArgument: its tensors do not fit their shapes.
    """
    return _REPLIES[type(message)](message)


def _described(message: Message) -> ModelDescription:
    return ModelDescription(
        message.name,
        tuple(message.versions),
        message.platform,
        tuple(map(_spec_from_proto, message.inputs)),
        tuple(map(_spec_from_proto, message.outputs)),
    )


def _spec_from_proto(one: Message) -> TensorSpec:
    return TensorSpec(one.name, datatype(one.datatype, one.name), tuple(one.shape))


_REPLIES: Mapping[type, Callable[[Message], Reply]] = {
    service_pb2.ServerLiveResponse: lambda message: Health(message.live),
    service_pb2.ServerReadyResponse: lambda message: Health(message.ready),
    service_pb2.ModelReadyResponse: lambda message: Health(message.ready),
    service_pb2.ServerMetadataResponse: lambda message: ServerDescription(
        message.name, message.version, tuple(message.extensions)
    ),
    service_pb2.ModelMetadataResponse: _described,
    service_pb2.ModelConfigResponse: lambda message: Configuration(
        convert.from_proto(message.config)
    ),
    service_pb2.ModelStatisticsResponse: lambda message: StatisticsReport(
        tuple(map(_figures_from_proto, message.model_stats))
    ),
    service_pb2.RepositoryIndexResponse: lambda message: Index(
        tuple(IndexedModel(one.name, one.version, one.state, one.reason) for one in message.models)
    ),
    service_pb2.RepositoryModelLoadResponse: lambda _message: Accepted(),
    service_pb2.RepositoryModelUnloadResponse: lambda _message: Accepted(),
    service_pb2.ModelInferResponse: grpc_infer.parse_response,
    **grpc_memory.REPLIES,
    **dict.fromkeys(grpc_memory.BARE, lambda _message: Accepted()),
}
