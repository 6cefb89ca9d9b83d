"""Tensors in CUDA shared memory: right, and without copies where a model is bound to them.

The client's side of it is CUDA's driver by ctypes, as NVIDIA's own client needs a package that is
seldom there; where it is, it has its turn as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from analyzer.launcher import Endpoint
from benchmarks.gpu.ground import (
    ON_GPU,
    RESNET,
    Client,
    Ground,
    NotTried,
    apart,
    groups,
    must_serve,
    served,
    timed,
)
from engine.types import Array, DType, InferRequest, RequestedOutput, Span, Tensor
from engine.v2 import binary
from engine.v2.call import (
    CudaRegion,
    Infer,
    Memory,
    RegisterMemory,
    SharedInput,
    UnregisterMemory,
)

_ROWS = 8
_TIMES = 40
_OUTPUT_AT = 16 << 20
_SIZE = 32 << 20
#: off CUDA's alignment, so that the server copies
_OFF = 4
_REGION = "region"
#: the same kernels on the same tensors
_SAME = 1e-6


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * 64),)


class Device:
    """GPU 0, and memory on it that other processes may open.

    Raises:
        NotTried: there is no driver.
    """

    def __init__(self) -> None:
        try:
            self._cuda = ctypes.CDLL("libcuda.so.1")
        except OSError as fault:
            raise NotTried(f"no CUDA driver: {fault}") from fault
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    @contextmanager
    def memory(self, size: int) -> Iterator[ctypes.c_uint64]:
        """Have memory for a while."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        try:
            yield address
        finally:
            self._call("cuMemFree_v2", address)

    def handle(self, address: ctypes.c_uint64) -> bytes:
        """Give what another process opens memory by."""
        handle = _Handle()
        self._call("cuIpcGetMemHandle", ctypes.byref(handle), address)
        return bytes(handle)

    def write(self, address: int, content: bytes) -> None:
        """Copy to the GPU."""
        size = ctypes.c_size_t(len(content))
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_char_p(content), size)

    def read(self, address: int, size: int) -> bytes:
        """Copy from the GPU."""
        into = ctypes.create_string_buffer(size)
        self._call("cuMemcpyDtoH_v2", into, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return into.raw

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._cuda, name)(*arguments)
        if code:
            word = ctypes.c_char_p()
            self._cuda.cuGetErrorName(code, ctypes.byref(word))
            raise AssertionError(f"{name}: {(word.value or b'').decode() or code}")


def cuda_shared_memory(ground: Ground) -> Mapping[str, Any]:
    """Send tensors in a region, bound and copied, and compare with sending them in the message."""
    ground.need_gpu()
    repository = ground.onnx("models", RESNET, RESNET, groups(ON_GPU))
    with served(repository) as server:
        must_serve(server.endpoint, RESNET)
        with Client(server.endpoint) as client:
            found = _compared(client)
        try:
            found["tritonclient"] = _by_tritonclient(server.endpoint)
        except NotTried as why:
            found["tritonclient"] = {"not tried": str(why)}
    return found


def _compared(client: Client) -> dict[str, Any]:
    shape = (_ROWS, 3, 224, 224)
    array = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    given = Tensor("input", DType.FP32, array)
    (plain,) = client.infer(RESNET, given)
    found: dict[str, Any] = {"in the message": timed(_TIMES, lambda: client.infer(RESNET, given))}
    device = Device()
    with device.memory(_SIZE) as address:
        region = CudaRegion(_REGION, 0, _SIZE, device.handle(address))
        client.ask(RegisterMemory(region))
        try:
            for name, off in (("bound where it lies", 0), ("copied to the host and back", _OFF)):
                device.write(address.value + off, array.tobytes())
                device.write(address.value + _OUTPUT_AT, bytes(plain.nbytes + off))
                call = _call(array, plain, off)
                client.ask(call)
                content = device.read(address.value + _OUTPUT_AT + off, plain.nbytes)
                answer = np.frombuffer(content, np.float32).reshape(plain.shape)
                distance = apart(answer, plain)
                times = timed(_TIMES, lambda call=call: client.ask(call))
                found[name] = {**times, "difference": distance}
                if distance > _SAME:
                    raise AssertionError(f"{name}: {distance} from the answer in a message")
        finally:
            client.ask(UnregisterMemory(Memory.CUDA, _REGION))
    return found


def _call(array: Array, plain: Array, off: int) -> Infer:
    slot = binary.slot("input", DType.FP32, array.shape)
    shared = SharedInput(0, slot, Span(_REGION, off, array.nbytes))
    there = RequestedOutput("output", span=Span(_REGION, _OUTPUT_AT + off, plain.nbytes))
    return Infer(RESNET, "", InferRequest(inputs=(), outputs=(there,)), (shared,))


def _by_tritonclient(endpoint: Endpoint) -> Mapping[str, Any]:
    """Do the same by NVIDIA's client."""
    try:
        memory = import_module("tritonclient.utils.cuda_shared_memory")
        http = import_module("tritonclient.http")
    except (ImportError, RuntimeError) as fault:
        raise NotTried(str(fault)) from fault
    array = np.random.default_rng(3).standard_normal((1, 3, 224, 224)).astype(np.float32)
    size = array.nbytes
    region = memory.create_shared_memory_region("theirs", size, 0)
    try:
        memory.set_shared_memory_region(region, [array])
        with http.InferenceServerClient(endpoint.http) as client:
            handle = memory.get_raw_handle(region)
            client.register_cuda_shared_memory("theirs", handle, 0, size)
            given = http.InferInput("input", list(array.shape), "FP32")
            given.set_shared_memory("theirs", size)
            there = client.infer(RESNET, [given]).as_numpy("output")
            given.set_data_from_numpy(array)
            plain = client.infer(RESNET, [given]).as_numpy("output")
            client.unregister_cuda_shared_memory("theirs")
    finally:
        memory.destroy_shared_memory_region(region)
    distance = apart(there, plain)
    if distance > _SAME:
        raise AssertionError(f"tritonclient: {distance} from the answer in a message")
    return {"difference": distance}
