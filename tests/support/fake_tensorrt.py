"""A stand-in for TensorRT and for the GPU it runs on: plans are JSON, memory is the host's.

The GPU does nothing before somebody waits for it, as real ones may, and what was captured is not
run before it is launched; so what is forgotten to be waited for, or copied too late, gives wrong
answers. The context keeps TensorRT's rules: shapes within the profile that was set, an address for
every tensor.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.modelconfig.schema import ModelPriority
from engine.types import Array

VERSION = "10.13.0.fake"
_TYPES = {"FLOAT": np.float32, "INT32": np.int32, "INT64": np.int64, "HALF": np.float16}
Op = Callable[[], None]


class FakeGpu:
    """One GPU. ``streams`` are what each still has to do; ``launched`` counts graphs."""

    def __init__(self) -> None:
        self.memory: dict[int, Array] = {}
        self.pinned: dict[int, Array] = {}
        self.streams: dict[int, list[Op]] = {}
        self.priorities: list[ModelPriority] = []
        self.graphs: dict[int, list[Op]] = {}
        self.launched = 0
        self.waits: list[bool] = []
        self.capturable = True
        self._recording: list[Op] | None = None
        self._count = 0

    def enter(self) -> None:
        pass

    def allocate(self, size: int) -> int:
        array = np.full(max(1, size), 0xEE, np.uint8)
        self.memory[array.ctypes.data] = array
        return array.ctypes.data

    def free(self, address: int) -> None:
        del self.memory[address]

    def pin(self, size: int) -> Array:
        array = np.full(max(1, size), 0xEE, np.uint8)
        self.pinned[array.ctypes.data] = array
        return array[:size]

    def unpin(self, memory: Array) -> None:
        del self.pinned[memory.ctypes.data]

    def to_device(self, address: int, memory: Array, stream: int) -> None:
        assert address in self.memory
        self.enqueue(stream, lambda: _move(address, memory.ctypes.data, memory.nbytes))

    def to_host(self, memory: Array, address: int, stream: int) -> None:
        assert address in self.memory
        self.enqueue(stream, lambda: _move(memory.ctypes.data, address, memory.nbytes))

    def open_stream(self, priority: ModelPriority) -> int:
        self._count += 1
        self.streams[self._count] = []
        self.priorities.append(priority)
        return self._count

    def close_stream(self, stream: int) -> None:
        assert not self.streams.pop(stream), "something was not waited for"

    def wait(self, stream: int, *, spins: bool) -> None:
        self.waits.append(spins)
        todo, self.streams[stream] = self.streams[stream], []
        for op in todo:
            op()

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> int:
        assert not self.streams[stream], "what is captured must not lean on what still runs"
        self._recording = []
        done, recorded = enqueue(), self._recording
        self._recording = None
        if not done or not self.capturable:
            return 0
        self._count += 1
        self.graphs[self._count] = recorded
        return self._count

    def launch(self, graph: int, stream: int) -> None:
        self.launched += 1
        self.streams[stream].extend(self.graphs[graph])

    def drop(self, graph: int) -> None:
        del self.graphs[graph]

    def enqueue(self, stream: int, op: Op) -> None:
        (self.streams[stream] if self._recording is None else self._recording).append(op)


def _move(to: int, source: int, size: int) -> None:
    ctypes.memmove(to, source, size)


class Strategy(Enum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1


class FakeTensorRt:
    """The module. Plans of another version, or garbled, are refused in TensorRT's kind of text."""

    __version__ = VERSION
    ExecutionContextAllocationStrategy = Strategy

    class ILogger:
        def log(self, severity: int, text: str) -> None:
            raise NotImplementedError

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.strategies: list[Strategy] = []
        self.deserialized = 0
        self.failing = ""
        self.plugins: list[str] = []

    def init_libnvinfer_plugins(self, logger: ILogger, namespace: str) -> None:
        assert isinstance(logger, FakeTensorRt.ILogger)
        self.plugins.append(namespace)

    def Runtime(self, logger: ILogger) -> Any:  # noqa: N802 - TensorRT's name
        return SimpleNamespace(
            engine_host_code_allowed=False,
            deserialize_cuda_engine=lambda content: self._engine(logger, content),
        )

    def _engine(self, logger: ILogger, content: bytes) -> _Engine | None:
        self.deserialized += 1
        try:
            plan = json.loads(content[4:])
        except ValueError:
            logger.log(1, "Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed")
            return None
        if plan["version"] != VERSION:
            text = f"expecting library version {VERSION} got {plan['version']}"
            logger.log(1, text)
            return None
        return _Engine(self, logger, plan)


def plan(
    tensors: Mapping[str, Mapping[str, Any]],
    profiles: Sequence[Mapping[str, Sequence[Sequence[int]]]],
    version: str = VERSION,
    mark: bytes = b"ftrt",
) -> bytes:
    """Write a plan. A tensor has ``mode``, ``shape``, and may have ``dtype``, ``host``, ``vector``.

    The output Y is the input X, in the shape that the input S says, if there is one; any other
    output is X doubled.
    """
    return (
        mark + json.dumps({"version": version, "tensors": tensors, "profiles": profiles}).encode()
    )


class _Engine:
    def __init__(self, library: FakeTensorRt, logger: Any, plan: Mapping[str, Any]) -> None:
        self.library, self.logger = library, logger
        self.tensors: Mapping[str, Mapping[str, Any]] = plan["tensors"]
        self.profiles = plan["profiles"]
        self.num_io_tensors = len(self.tensors)
        self.num_optimization_profiles = len(self.profiles)

    def get_tensor_name(self, place: int) -> str:
        return list(self.tensors)[place]

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name]["mode"])

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name].get("dtype", "FLOAT"))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name]["shape"])

    def get_tensor_location(self, name: str) -> Any:
        return SimpleNamespace(name="HOST" if self.tensors[name].get("host") else "DEVICE")

    def get_tensor_vectorized_dim(self, name: str) -> int:
        return int(self.tensors[name].get("vector", -1))

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        assert not self.tensors[name].get("host")
        return self.profiles[profile][name]

    def get_tensor_profile_values(self, profile: int, name: str) -> Any:
        assert self.tensors[name].get("host")
        return self.profiles[profile][name]

    def create_execution_context(self, strategy: Strategy) -> _Context:
        self.library.strategies.append(strategy)
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.profile: Mapping[str, Any] | None = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, number: int, stream: int) -> bool:
        assert stream in self.engine.library.gpu.streams
        self.profile = self.engine.profiles[number]
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None
        low, _, high = self.profile[name]
        fits = all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))
        if not fits:
            text = f"setInputShape: {name} {shape} out of range"
            self.engine.logger.log(1, text)
            return False
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return bool(address)

    def infer_shapes(self) -> list[str]:
        return [
            name
            for name, tensor in self.engine.tensors.items()
            if tensor["mode"] == "INPUT"
            and name not in (self.addresses if tensor.get("host") else self.shapes)
        ]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        tensor = self.engine.tensors[name]
        if tensor.get("values"):
            return tuple(tensor["shape"])
        if "S" in self.engine.tensors:
            return tuple(self._values())
        rows = next(iter(self.shapes.values()))[0]
        return tuple(rows if size == -1 else size for size in tensor["shape"])

    def _values(self) -> list[int]:
        shape = self.engine.tensors["S"]["shape"]
        return [int(one) for one in _at(self.addresses["S"], np.int32, shape)]

    def execute_async_v3(self, stream: int) -> bool:
        library = self.engine.library
        if library.failing:
            self.engine.logger.log(1, library.failing)
            return False
        assert set(self.addresses) == set(self.engine.tensors), "a tensor has no address"
        places = dict(self.addresses)
        shapes = {name: self.get_tensor_shape(name) for name in places if name in self._outputs()}
        x = self.shapes["X"]

        def run() -> None:
            given = _at(places["X"], self._type("X"), x)
            for name, shape in shapes.items():
                out = _at(places[name], self._type(name), shape)
                out[...] = np.resize(given if name == "Y" else given * 2, shape)

        library.gpu.enqueue(stream, run)
        return True

    def _outputs(self) -> list[str]:
        tensors = self.engine.tensors.items()
        return [name for name, tensor in tensors if tensor["mode"] == "OUTPUT"]

    def _type(self, name: str) -> Any:
        return _TYPES[self.engine.tensors[name].get("dtype", "FLOAT")]


def _at(address: int, dtype: Any, shape: Sequence[int]) -> Array:
    """See memory as an array."""
    kind = np.dtype(dtype)
    raw = (ctypes.c_uint8 * (prod(shape) * kind.itemsize)).from_address(address)
    return np.frombuffer(raw, kind).reshape(shape)
