"""The JSON of the shared memory extensions: register, unregister and status, both ways.

Owns their members and texts. Does not own regions (``engine.memory``), nor the parameters that
send an inference's tensors there (``v2.message``).
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidArgument
from engine.v2 import strict
from engine.v2.call import (
    CudaRegion,
    Memory,
    MemoryStatus,
    Region,
    Regions,
    RegisterMemory,
    SystemRegion,
    UnregisterMemory,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: CUDA's handle of memory for other processes, bytes.
HANDLE_SIZE = 64


def register_request(kind: Memory, name: str, body: bytes) -> RegisterMemory:
    """Read what is to be registered under ``name``.

    Raises:
        InvalidArgument: there is no name, or a member is missing or of another kind.
    """
    if not name:
        raise InvalidArgument(nameless(kind))
    plain = strict.document(body)
    if kind is Memory.SYSTEM:
        return RegisterMemory(_system(name, plain))
    return RegisterMemory(_cuda(name, plain))


def nameless(kind: Memory) -> str:
    """Say that a region needs a name."""
    return f"'region name' is necessary to register {kind.value} shared memory region"


def _system(name: str, plain: Mapping[str, Any]) -> SystemRegion:
    _want(plain, "key", "byte_size")
    return SystemRegion(
        name,
        strict.text(plain, "key"),
        strict.unsigned(plain, "offset") if "offset" in plain else 0,
        strict.unsigned(plain, "byte_size"),
    )


def _cuda(name: str, plain: Mapping[str, Any]) -> CudaRegion:
    _want(plain, "raw_handle")
    spelled = strict.text(strict.members(plain, "raw_handle"), "b64")
    size, device = strict.unsigned(plain, "byte_size"), strict.unsigned(plain, "device_id")
    try:
        handle = a2b_base64(spelled)
    except (NotBase64, ValueError):
        handle = b""
    check_handle(handle)
    return CudaRegion(name, device, size, handle)


def check_handle(handle: bytes) -> None:
    """Let a handle pass that is as long as CUDA's.

    Raises:
        InvalidArgument: it is not.
    """
    if len(handle) != HANDLE_SIZE:
        raise InvalidArgument("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")


def _want(plain: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in plain:
            raise InvalidArgument(f"Shared memory register request has no '{name}' field")


def register_to_json(call: RegisterMemory) -> bytes:
    """Spell what is to be registered."""
    match call.region:
        case SystemRegion(_, key, offset, size):
            return strict.dumps({"key": key, "offset": offset, "byte_size": size})
        case CudaRegion(_, device, size, handle):
            spelled = {"b64": b64encode(handle).decode()}
            plain = {"raw_handle": spelled, "device_id": device, "byte_size": size}
            return strict.dumps(plain)


def path_of(call: RegisterMemory | UnregisterMemory | MemoryStatus) -> tuple[Memory, str, str]:
    """Say what stands in a call's path: the kind, the region's name, the verb."""
    match call:
        case RegisterMemory(region):
            kind = Memory.SYSTEM if isinstance(region, SystemRegion) else Memory.CUDA
            return kind, region.name, "register"
        case UnregisterMemory(kind, name):
            return kind, name, "unregister"
        case MemoryStatus(kind, name):
            return kind, name, "status"


def regions_to_json(reply: Regions) -> list[dict[str, Any]]:
    """Spell a status: one object a region, in the order of their names."""
    return [_region_to_json(region) for region in reply.regions]


def _region_to_json(region: Region) -> dict[str, Any]:
    match region:
        case SystemRegion(name, key, offset, size):
            return {"name": name, "key": key, "offset": offset, "byte_size": size}
        case CudaRegion(name, device, size, _):
            return {"name": name, "device_id": device, "byte_size": size}


def regions_from_json(kind: Memory, plain: object) -> Regions:
    """Read a status.

    Raises:
        InvalidArgument: a member is missing or of another kind.
    """
    listed = strict.objects({"regions": plain}, "regions")
    if kind is Memory.SYSTEM:
        return Regions(kind, tuple(_system(strict.text(one, "name"), one) for one in listed))
    return Regions(
        kind,
        tuple(
            CudaRegion(
                strict.text(one, "name"),
                strict.unsigned(one, "device_id"),
                strict.unsigned(one, "byte_size"),
            )
            for one in listed
        ),
    )
