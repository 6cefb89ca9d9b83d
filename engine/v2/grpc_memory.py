"""The shared memory messages of gRPC: protobuf to the calls and replies of ``v2.call``, and back.

Does not own regions (``engine.memory``), nor the parameters that send an inference's tensors
there (``v2.grpc_infer``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tritonclient.grpc import service_pb2

from engine.errors import InvalidArgument
from engine.v2.call import (
    CudaRegion,
    Memory,
    MemoryStatus,
    Regions,
    RegisterMemory,
    SystemRegion,
    UnregisterMemory,
)
from engine.v2.memory import check_handle, nameless, path_of

Message = Any  # protobuf's generated code publishes no types
MemoryCall = RegisterMemory | UnregisterMemory | MemoryStatus

_WORD = {Memory.SYSTEM: "System", Memory.CUDA: "Cuda"}


def _register_system(message: Message) -> RegisterMemory:
    if not message.name:
        raise InvalidArgument(nameless(Memory.SYSTEM))
    return RegisterMemory(
        SystemRegion(message.name, message.key, message.offset, message.byte_size)
    )


def _register_cuda(message: Message) -> RegisterMemory:
    if not message.name:
        raise InvalidArgument(nameless(Memory.CUDA))
    check_handle(message.raw_handle)
    return RegisterMemory(
        CudaRegion(message.name, message.device_id, message.byte_size, message.raw_handle)
    )


def _status(kind: Memory) -> Callable[[Message], MemoryCall]:
    return lambda message: MemoryStatus(kind, message.name)


def _unregister(kind: Memory) -> Callable[[Message], MemoryCall]:
    return lambda message: UnregisterMemory(kind, message.name)


PARSERS: Mapping[type, Callable[[Message], MemoryCall]] = {
    service_pb2.SystemSharedMemoryRegisterRequest: _register_system,
    service_pb2.CudaSharedMemoryRegisterRequest: _register_cuda,
    service_pb2.SystemSharedMemoryStatusRequest: _status(Memory.SYSTEM),
    service_pb2.CudaSharedMemoryStatusRequest: _status(Memory.CUDA),
    service_pb2.SystemSharedMemoryUnregisterRequest: _unregister(Memory.SYSTEM),
    service_pb2.CudaSharedMemoryUnregisterRequest: _unregister(Memory.CUDA),
}


def accepted(call: RegisterMemory | UnregisterMemory) -> Message:
    """Write that a region was registered, or let go of."""
    kind, _, verb = path_of(call)
    return getattr(service_pb2, f"{_WORD[kind]}SharedMemory{verb.title()}Response")()


def regions_to_proto(reply: Regions) -> Message:
    """Write a status: a map by the regions' names."""
    message = getattr(service_pb2, f"{_WORD[reply.kind]}SharedMemoryStatusResponse")()
    for region in reply.regions:
        one = message.regions[region.name]
        one.name, one.byte_size = region.name, region.size
        if isinstance(region, SystemRegion):
            one.key, one.offset = region.key, region.offset
        else:
            one.device_id = region.device
    return message


def regions_from_proto(message: Message) -> Regions:
    """Read a status, in the order of the regions' names."""
    found = [region for _, region in sorted(message.regions.items())]
    if isinstance(message, service_pb2.SystemSharedMemoryStatusResponse):
        return Regions(
            Memory.SYSTEM,
            tuple(SystemRegion(one.name, one.key, one.offset, one.byte_size) for one in found),
        )
    return Regions(
        Memory.CUDA, tuple(CudaRegion(one.name, one.device_id, one.byte_size) for one in found)
    )


def render_request(call: MemoryCall) -> tuple[str, Message]:
    """Write a request, as a client sends it: the RPC's name and its message."""
    kind, name, verb = path_of(call)
    rpc = f"{_WORD[kind]}SharedMemory{verb.title()}"
    message = getattr(service_pb2, f"{rpc}Request")(name=name)
    if isinstance(call, RegisterMemory):
        message.byte_size = call.region.size
        if isinstance(call.region, SystemRegion):
            message.key, message.offset = call.region.key, call.region.offset
        else:
            message.device_id, message.raw_handle = call.region.device, call.region.handle
    return rpc, message


REPLIES: Mapping[type, Callable[[Message], Regions]] = {
    service_pb2.SystemSharedMemoryStatusResponse: regions_from_proto,
    service_pb2.CudaSharedMemoryStatusResponse: regions_from_proto,
}
#: Answers that say no more than that it was done.
BARE = tuple(
    getattr(service_pb2, f"{word}SharedMemory{verb}Response")
    for word in _WORD.values()
    for verb in ("Register", "Unregister")
)
