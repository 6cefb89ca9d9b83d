"""Tensors in a GPU's memory are used there, and copied only where that cannot be.

The GPU's memory is the host's here (``HostGpu``), so that ONNX Runtime really binds it, on the CPU.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import uvloop
from onnx import TensorProto, helper
from support.host_gpu import HostGpu

from engine.backend import Placement, Runnable, Signature
from engine.backends.onnxruntime import libraries
from engine.backends.onnxruntime.bound import Bound
from engine.clock import SystemClock
from engine.delivery import Delivery
from engine.errors import EngineError, Internal
from engine.execution.host import Host
from engine.execution.model import ServedModel, load
from engine.memory.system import open_system
from engine.memory.table import RegionTable
from engine.memory.use import Use
from engine.modelconfig.schema import DynamicBatching, ModelConfig, ModelInput, ModelOutput
from engine.types import (
    Array,
    DType,
    InferRequest,
    InferResponse,
    OnDevice,
    Place,
    RequestedOutput,
    Span,
)
from engine.v2 import binary
from engine.v2.call import CudaRegion, Infer, SharedInput

CONFIG = ModelConfig(
    name="m",
    max_batch_size=8,
    input=(ModelInput(name="X", data_type=DType.FP32, dims=(4,)),),
    output=(
        ModelOutput(name="Y", data_type=DType.FP32, dims=(4,)),
        ModelOutput(name="Z", data_type=DType.INT64, dims=(-1,)),
    ),
    dynamic_batching=DynamicBatching(),
)


def session() -> ort.InferenceSession:
    """Double X into Y; tell where X is not 0 in Z, whose length only the run knows."""
    tensors = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("X", TensorProto.FLOAT, ["n", 4]),
            ("Y", TensorProto.FLOAT, ["n", 4]),
            ("Z", TensorProto.INT64, [2, "m"]),
        )
    ]
    nodes = [helper.make_node("Add", ["X", "X"], ["Y"]), helper.make_node("NonZero", ["X"], ["Z"])]
    graph = helper.make_graph(nodes, "double", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class OnHostGpu:
    """Runs the session by ``Bound``, in the memory of the GPU that is none."""

    device = 0

    def __init__(self) -> None:
        self.session = session()
        types = {"Y": (np.dtype(np.float32), (-1, 4)), "Z": (np.dtype(np.int64), (2, -1))}
        self.bound = Bound(self.session, types, 0, batched=True, memory="cpu")
        self.batches: list[tuple[str, int]] = []

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        assert isinstance(inputs["X"], np.ndarray)
        self.batches.append(("host", inputs["X"].shape[0]))
        return dict(zip(outputs, self.session.run(outputs, inputs), strict=True))

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        self.batches.append(("bound", inputs["X"].shape[0]))
        return dict(zip(places, self.bound.run(inputs, places, None), strict=True))

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "host"}

    def close(self) -> None:
        del self.bound


class Loads:
    def __init__(self) -> None:
        self.loaded = OnHostGpu()

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:  # noqa: ARG002 - protocol
        return None

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:  # noqa: ARG002 - protocol
        return self.loaded


class Client:
    """Asks a served model for tensors in a region, as the service does."""

    def __init__(self, model: ServedModel, loads: Loads) -> None:
        self.gpu = HostGpu(4096)
        self.model, self.loaded = model, loads.loaded
        self.table = RegionTable(open_system, self.gpu.block)
        self.table.register(CudaRegion("g", 0, 4096, b""))

    def ask(
        self, x: Array, at: int, *outputs: RequestedOutput
    ) -> Awaitable[InferResponse | EngineError]:
        self.gpu.memory[at : at + x.nbytes] = x.tobytes()
        slot = binary.slot("X", DType.FP32, x.shape)
        shared = SharedInput(0, slot, Span("g", at, x.nbytes))
        use = Use(self.table, self.model.binds)
        request = use.begin(Infer("m", "", InferRequest(inputs=(), outputs=outputs), (shared,)))
        assert not self.model.check(request) or outputs
        answer: asyncio.Future[InferResponse | EngineError] = asyncio.Future()
        way = Delivery(request.outputs, self.model, use, batched=True)
        self.model.submit(request, way.last(answer.set_result))
        return answer

    def there(self, at: int, like: Array) -> Array:
        return np.frombuffer(self.gpu.memory[at : at + like.nbytes], like.dtype).reshape(like.shape)


def with_client(use: Callable[[Client], Awaitable[None]], config: ModelConfig = CONFIG) -> None:
    async def main() -> None:
        loads, loop = Loads(), asyncio.get_running_loop()
        made = {"clock": SystemClock(), "loop": loop, "host": Host(cores=1)}
        model = await asyncio.to_thread(
            lambda: load("m", 1, Path("1"), config, loads, **made)  # type: ignore[arg-type]
        )
        await use(Client(model, loads))
        drained = asyncio.Event()
        model.stop(drained.set)
        await drained.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


X = np.array([[1, 0, 2, 3], [0, 0, 5, 0]], np.float32)


def output(name: str, at: int, size: int) -> RequestedOutput:
    return RequestedOutput(name, span=Span("g", at, size))


@pytest.mark.triton("6.8")
def test_a_request_whose_tensors_lie_on_the_gpu_is_computed_there_without_a_copy() -> None:
    async def use(client: Client) -> None:
        answer = await client.ask(X, 0, output("Y", 256, 32))
        assert isinstance(answer, InferResponse)
        assert answer.elsewhere == {"Y"}
        np.testing.assert_array_equal(client.there(256, X), X + X)
        assert (client.gpu.copies, client.loaded.batches) == ([], [("bound", 2)])

    with_client(use)


def test_an_output_whose_length_only_the_run_knows_takes_one_copy_within_the_gpu() -> None:
    async def use(client: Client) -> None:
        answer = await client.ask(X, 0, output("Z", 512, 64), RequestedOutput("Y"))
        assert isinstance(answer, InferResponse), answer
        found = np.array(np.nonzero(X))
        np.testing.assert_array_equal(client.there(512, found), found)
        plain = {one.name: one.array for one in answer.outputs}
        np.testing.assert_array_equal(plain["Y"], X + X)
        assert client.gpu.copies == ["within"]

    # The first dimension of Z is none of a batch.
    with_client(use, replace(CONFIG, max_batch_size=0, input=_whole(CONFIG), **_results()))


def _whole(config: ModelConfig) -> tuple[ModelInput, ...]:
    return tuple(replace(one, dims=(-1, *one.dims)) for one in config.input)


def _results() -> dict[str, Any]:
    y = ModelOutput(name="Y", data_type=DType.FP32, dims=(-1, 4))
    z = ModelOutput(name="Z", data_type=DType.INT64, dims=(2, -1))
    return {"output": (y, z), "dynamic_batching": None}


def test_requests_that_share_a_batch_are_joined_on_the_host() -> None:
    async def use(client: Client) -> None:
        asked = [client.ask(X + row, 512 * row, output("Y", 512 * row + 256, 32)) for row in (0, 1)]
        for row, answer in enumerate(await asyncio.gather(*asked)):
            assert isinstance(answer, InferResponse), answer
            np.testing.assert_array_equal(client.there(512 * row + 256, X), 2 * (X + row))
        assert client.loaded.batches == [("host", 4)]
        assert client.gpu.copies == ["to host", "to host", "to device", "to device"]

    with_client(use)


def test_what_is_not_aligned_is_copied_and_what_has_no_room_is_an_error() -> None:
    async def use(client: Client) -> None:
        answer = await client.ask(X, 16, output("Y", 260, 32))
        assert isinstance(answer, InferResponse), answer
        np.testing.assert_array_equal(client.there(260, X), X + X)
        assert client.gpu.copies == ["to host", "to device"]
        for told in (await client.ask(X, 0, output("Y", 256, 31)),):
            assert isinstance(told, Internal)
            assert "should be at least 32 bytes" in told.message
        answer = await client.ask(X, 0, replace(output("Y", 256, 64), classification=1))
        assert isinstance(answer, InferResponse), answer
        assert answer.outputs[0].dtype is DType.BYTES

    with_client(use)


def test_a_model_that_others_look_into_gets_arrays_of_the_host() -> None:
    async def use(client: Client) -> None:
        assert not client.model.binds
        await client.ask(X, 0, output("Y", 256, 32))
        assert client.loaded.batches == [("host", 2)]

    with_client(use, replace(CONFIG, response_cache=True))


def test_what_stands_for_an_array_on_a_gpu_gives_its_elements_and_nothing_else() -> None:
    gpu = HostGpu(64)
    gpu.memory[:16] = np.arange(4, dtype=np.float32).tobytes()
    place = gpu.block(CudaRegion("g", 0, 64, b"")).place(0, 16)
    there = OnDevice(place, np.dtype(np.float32), (4,))
    assert there.nbytes == 16
    np.testing.assert_array_equal(np.asarray(there.reshape((2, 2))), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(np.asarray(there, np.int32), [0, 1, 2, 3])
    with pytest.raises(ValueError, match="cannot reshape"):
        there.reshape((3,))
    with pytest.raises(ValueError, match="can only be copied"):
        np.asarray(there, copy=False)
    with pytest.raises(TypeError):
        there + 1  # type: ignore[operator]


def test_cudas_libraries_are_found_in_any_folder_of_packages(tmp_path: Path) -> None:
    for file in (
        "a/nvidia/cu13/lib/libcublas.so.13",
        "b/nvidia/cu13/lib/libcublas.so.13",
        "b/nvidia/cublas/lib/libcublas.so.12",
        "b/nvidia/cudnn/lib/libcudnn.so.9",
        "b/torch/lib/libcudart.so.13",
        "b/tensorrt_libs/libnvinfer.so.10",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    places = [str(tmp_path / "a"), str(tmp_path / "b")]
    found = [
        str(one.relative_to(tmp_path)) for one in libraries.find(libraries.CUDA, places, "13.0")
    ]
    assert found == [
        "b/torch/lib/libcudart.so.13",
        "a/nvidia/cu13/lib/libcublas.so.13",
        "b/nvidia/cudnn/lib/libcudnn.so.9",
    ]
    (old,) = libraries.find(("libcublas.so.{}",), places[1:], "12.8")
    assert old.name == "libcublas.so.12"
    (inference,) = libraries.find(libraries.TENSORRT, places, "13.0")
    assert inference.name == "libnvinfer.so.10"
