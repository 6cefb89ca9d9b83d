"""TensorRT plans: read, given shapes, run, captured, and refused in words (spec 2a.5, 2b.6, 2c)."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CDLL
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from kits.backend_kit import BackendKit
from support import libcuda
from support.fake_tensorrt import FakeGpu, FakeTensorRt, Strategy, plan

from engine.backend import Binding, Placement, Runnable, Signature, find
from engine.backends.tensorrt.backend import TensorRt
from engine.backends.tensorrt.device import Gpu
from engine.cudadriver import CudaDriver
from engine.errors import ConfigError, EngineError, Internal, InvalidArgument, Unsupported
from engine.modelconfig.complete import complete
from engine.modelconfig.schema import (
    CudaOptions,
    DynamicBatching,
    GraphBound,
    GraphSpec,
    ModelConfig,
    ModelInput,
    ModelOutput,
    ModelPriority,
    Optimization,
)
from engine.tensorrtlib import Libraries
from engine.types import DType, OnDevice, Place, TensorSpec

X = {"mode": "INPUT", "shape": [-1, 4]}
Y = {"mode": "OUTPUT", "shape": [-1, 4]}
SMALL = {"X": [[1, 4], [2, 4], [4, 4]]}
LARGE = {"X": [[4, 4], [8, 4], [16, 4]]}
ON_GPU = Placement(device=0)


class Rig:
    """A backend on a GPU that is none."""

    def __init__(self, **packages: Any) -> None:
        self.gpu = FakeGpu()
        self.library = FakeTensorRt(self.gpu)
        there = packages or {"tensorrt": self.library}

        def bring(name: str) -> Any:
            if name not in there:
                raise ImportError(f"No module named '{name}'", name=name)
            return there[name]

        self.backend = TensorRt(libraries=Libraries(bring), open_gpu=lambda _: self.gpu)

    def load(self, directory: Path, config: ModelConfig, placement: Placement = ON_GPU) -> Runnable:
        return self.backend.load(directory, config, placement)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def config(**changes: Any) -> ModelConfig:
    return replace(BackendKit.identity("tensorrt"), **changes)


def write(directory: Path, *profiles: Any, **more: Any) -> None:
    tensors = more.pop("tensors", {"X": X, "Y": Y})
    (directory / "model.plan").write_bytes(plan(tensors, profiles or (SMALL, LARGE), **more))


def rows(count: int, value: float = 0) -> Any:
    return np.arange(4 * count, dtype=np.float32).reshape(count, 4) + value


class _OnGpu:
    """The kit places models on the CPU; plans are for GPUs."""

    def __init__(self) -> None:
        self.backend = Rig().backend

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        return self.backend.inspect(directory, config)

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        return self.backend.load(directory, config, replace(placement, device=0))


class TestKit(BackendKit):
    backend = _OnGpu()

    def make(self, directory: Path) -> ModelConfig:
        write(directory, {"X": [[1, 4], [2, 4], [8, 4]]})
        return self.identity("tensorrt")


@pytest.mark.triton("2a.5")
def test_a_configuration_is_completed_from_the_profiles(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    bare = ModelConfig(name="m", platform="tensorrt_plan")
    signature = rig.backend.inspect(tmp_path, bare)
    assert signature is not None
    assert signature.most_rows == 16
    whole = complete(
        bare,
        inputs=signature.inputs,
        outputs=signature.outputs,
        batchable=signature.batchable,
        most_rows=signature.most_rows,
    )
    assert whole.max_batch_size == 16
    assert whole.dynamic_batching == DynamicBatching(preferred_batch_size=(16,))
    assert whole.input[0].dims == whole.output[0].dims == (4,)


@pytest.mark.triton("2a.5")
def test_a_plan_of_one_shape_does_not_batch(rig: Rig, tmp_path: Path) -> None:
    fixed = {"X": {**X, "shape": [2, 4]}, "Y": {**Y, "shape": [2, 4]}}
    write(tmp_path, {"X": [[2, 4]] * 3}, tensors=fixed)
    shape = (TensorSpec("X", DType.FP32, (2, 4)),), (TensorSpec("Y", DType.FP32, (2, 4)),)
    assert rig.backend.inspect(tmp_path, config()) == Signature(*shape, batchable=False)


@pytest.mark.triton("2b.6")
def test_the_profile_that_fits_best_runs_a_batch(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    loaded = rig.load(tmp_path, config(max_batch_size=16), Placement(device=0, profiles=("1", "0")))
    for count in (1, 4, 16):
        got = loaded.run({"X": rows(count)}, ["Y"])["Y"]
        np.testing.assert_array_equal(got, rows(count))
    assert loaded.describe()["profiles"] == "1, 0"
    loaded.close()
    assert not rig.gpu.memory
    assert not rig.gpu.pinned
    assert not rig.gpu.streams


@pytest.mark.triton("2b.6")
def test_an_instance_keeps_to_its_profiles_and_says_what_they_take(
    rig: Rig, tmp_path: Path
) -> None:
    write(tmp_path)
    loaded = rig.load(tmp_path, config())
    with pytest.raises(
        InvalidArgument, match=r"input 'X' has shape \[8, 4\].*profile 0: \[1, 4\] to \[4, 4\]"
    ):
        loaded.run({"X": rows(8)}, ["Y"])
    np.testing.assert_array_equal(loaded.run({"X": rows(3)}, ["Y"])["Y"], rows(3))
    loaded.close()
    for names, told in (("2",), "has no optimisation profile 2"), (("x",), "profile 'x': expected"):
        with pytest.raises(InvalidArgument, match=told):
            rig.load(tmp_path, config(), Placement(device=0, profiles=names))
    with pytest.raises(InvalidArgument, match=r"max-batch 17 but TensorRT engine only .* 16"):
        rig.load(tmp_path, config(max_batch_size=17))
    assert not rig.backend.shelf


def test_instances_on_a_gpu_share_the_engine(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    two = [rig.load(tmp_path, config()) for _ in range(2)]
    assert rig.library.deserialized == 1
    for one in two:
        one.close()
    rig.load(tmp_path, config()).close()
    assert rig.library.deserialized == 2


def asks(**cuda: Any) -> ModelConfig:
    return config(max_batch_size=4, optimization=Optimization(cuda=CudaOptions(**cuda)))


@pytest.mark.triton("2c.3")
def test_a_graph_is_captured_for_each_shape_and_launched_from_then_on(
    rig: Rig, tmp_path: Path
) -> None:
    write(tmp_path)
    loaded = rig.load(tmp_path, asks(graphs=True, busy_wait_events=True))
    for turn in range(3):
        for count in (1, 3):
            got = loaded.run({"X": rows(count, turn)}, ["Y"])["Y"]
            np.testing.assert_array_equal(got, rows(count, turn))
    assert (len(rig.gpu.graphs), rig.gpu.launched) == (2, 4)
    assert rig.gpu.waits[-1], "the waiting thread spins"
    loaded.close()
    assert not rig.gpu.graphs


@pytest.mark.triton("2c.3")
@pytest.mark.parametrize(
    ("spec", "captured"),
    [
        (GraphSpec(batch_size=3), {3}),
        (GraphSpec(batch_size=3, graph_lower_bound=GraphBound(batch_size=2)), {2, 3}),
        (GraphSpec(batch_size=2, input={"X": (4,)}), {2}),
        (GraphSpec(batch_size=2, input={"X": (5,)}), set()),
        (GraphSpec(batch_size=2, input={"X": (4, 1)}), set()),
    ],
)
def test_graph_spec_says_for_which_shapes(
    rig: Rig, tmp_path: Path, spec: GraphSpec, captured: set[int]
) -> None:
    write(tmp_path)
    loaded = rig.load(tmp_path, asks(graphs=True, graph_spec=(spec,)))
    seen = set()
    for count in (1, 2, 3, 4):
        before = len(rig.gpu.graphs)
        loaded.run({"X": rows(count)}, ["Y"])
        seen |= {count} if len(rig.gpu.graphs) > before else set()
    assert seen == captured


def test_what_cannot_be_captured_runs_without(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    rig.gpu.capturable = False
    loaded = rig.load(tmp_path, asks(graphs=True))
    for turn in range(3):
        got = loaded.run({"X": rows(2, turn)}, ["Y"])["Y"]
        np.testing.assert_array_equal(got, rows(2, turn))
    assert not rig.gpu.launched


@pytest.mark.triton("2c.2", "2c.9", "2c.16")
def test_priority_pinned_memory_and_the_way_contexts_are_allocated(
    rig: Rig, tmp_path: Path
) -> None:
    write(tmp_path)
    unpinned = Optimization(
        priority=ModelPriority.MAX, input_pinned_memory=False, output_pinned_memory=False
    )
    key = "execution_context_allocation_strategy"
    given = config(optimization=unpinned, parameters={key: "ON_PROFILE_CHANGE"})
    loaded = rig.load(tmp_path, given)
    np.testing.assert_array_equal(loaded.run({"X": rows(2)}, ["Y"])["Y"], rows(2))
    assert rig.gpu.priorities == [ModelPriority.MAX]
    assert not rig.gpu.pinned
    assert rig.library.strategies == [Strategy.ON_PROFILE_CHANGE]
    with pytest.raises(InvalidArgument, match="expected one of STATIC, ON_PROFILE_CHANGE"):
        rig.load(tmp_path, config(parameters={key: "LATER"}))


def test_tensors_on_the_gpu_are_used_where_they_are(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    loaded = rig.load(tmp_path, asks(graphs=True))
    assert isinstance(loaded, Binding)
    given, wanted = rig.gpu.allocate(32), rig.gpu.allocate(32)
    rig.gpu.memory[given][:] = rows(2).view(np.uint8).reshape(-1)
    there = OnDevice(place(rig, given), np.dtype(np.float32), (2, 4)).as_array()
    answer = loaded.run_bound({"X": there}, {"Y": place(rig, wanted)})["Y"]
    assert not isinstance(answer, np.ndarray)
    np.testing.assert_array_equal(rig.gpu.memory[wanted].view(np.float32).reshape(2, 4), rows(2))
    assert not rig.gpu.graphs
    np.testing.assert_array_equal(loaded.run({"X": there}, ["Y"])["Y"], rows(2))
    small = replace(place(rig, wanted), size=31)
    got = loaded.run_bound({"X": rows(2, 1)}, {"Y": small})["Y"]
    np.testing.assert_array_equal(got, rows(2, 1))


def place(rig: Rig, address: int) -> Place:
    def read(into: memoryview) -> None:
        into[:] = rig.gpu.memory[address].data[: len(into)]

    return Place(0, address, 32, read)


def test_values_of_a_shape_tensor_are_shapes(rig: Rig, tmp_path: Path) -> None:
    tensors = {
        "X": {**X, "shape": [4]},
        "S": {"mode": "INPUT", "shape": [2], "dtype": "INT32", "host": True},
        "Y": {**Y, "shape": [-1, -1]},
    }
    write(tmp_path, {"X": [[4]] * 3, "S": [[1, 1], [2, 2], [3, 3]]}, tensors=tensors)
    given = config(
        max_batch_size=0,
        input=(
            ModelInput(name="X", data_type=DType.FP32, dims=(4,)),
            ModelInput(name="S", data_type=DType.INT32, dims=(2,), is_shape_tensor=True),
        ),
        output=(ModelOutput(name="Y", data_type=DType.FP32, dims=(-1, -1)),),
    )
    loaded = rig.load(tmp_path, given)
    x, s = np.arange(4, dtype=np.float32), np.array([3, 2], np.int32)
    got = loaded.run({"X": x, "S": s}, ["Y"])["Y"]
    np.testing.assert_array_equal(got, np.resize(x, (3, 2)))
    with pytest.raises(InvalidArgument, match=r"'S' has shape \[4, 2\]"):
        loaded.run({"X": x, "S": np.array([4, 2], np.int32)}, ["Y"])
    with pytest.raises(Unsupported, match="shape tensors in a model that batches"):
        rig.load(tmp_path, replace(given, max_batch_size=1))


@pytest.mark.parametrize(
    ("spoil", "kind", "told"),
    [
        ({"dtype": "FP8"}, Unsupported, "input 'X' is of FP8"),
        ({"vector": 1}, Unsupported, "input 'X' is vectorised"),
        ({"shape": [-1, 5]}, ConfigError, "X"),
    ],
)
def test_tensors_that_cannot_be_served_are_named(
    rig: Rig, tmp_path: Path, spoil: Any, kind: type[EngineError], told: str
) -> None:
    write(tmp_path, tensors={"X": {**X, **spoil}, "Y": Y})
    with pytest.raises(kind, match=told):
        rig.load(tmp_path, config())


def test_an_output_whose_shape_depends_on_values_is_an_error(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path, tensors={"X": X, "Y": {**Y, "values": True}})
    loaded = rig.load(tmp_path, config(max_batch_size=4))
    with pytest.raises(Internal, match=r"output 'Y' has shape \[-1, 4\], which depends on the val"):
        loaded.run({"X": rows(2)}, ["Y"])


def test_what_tensorrt_says_is_the_error_and_the_next_run_works(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    loaded = rig.load(tmp_path, config())
    rig.library.failing = "Cuda failure: an illegal memory access"
    with pytest.raises(Internal, match=r"tensorrt 10.13.0.fake failed .*illegal memory access"):
        loaded.run({"X": rows(2)}, ["Y"])
    rig.library.failing = ""
    np.testing.assert_array_equal(loaded.run({"X": rows(1)}, ["Y"])["Y"], rows(1))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: write(path, version="9.1"), r"expecting library version .* got 9.1"),
        (lambda path: (path / "model.plan").write_bytes(b"nonsense"), "magicTag"),
        (lambda path: (path / "model.plan").write_bytes(b""), "magicTag"),
    ],
)
def test_a_plan_for_another_version_is_refused_with_both_and_what_to_do(
    rig: Rig, tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(tmp_path)
    for act in (
        lambda: rig.load(tmp_path, config()),
        lambda: rig.backend.inspect(tmp_path, config()),
    ):
        with pytest.raises(InvalidArgument, match=told) as caught:
            act()
        assert "engine convert --to tensorrt" in caught.value.message
        assert "tensorrt 10.13.0.fake cannot read this plan" in caught.value.message


@pytest.mark.triton("2.8")
def test_without_its_package_a_plan_names_the_extra(tmp_path: Path) -> None:
    for mark, extra in ((b"ftrt", "servetune[tensorrt]"), (b"vtrt", "servetune[tensorrt-rtx]")):
        there = Rig(other=None)
        write(tmp_path, mark=mark)
        with pytest.raises(Unsupported) as caught:
            there.backend.inspect(tmp_path, config())
        assert f"pip install '{extra}'" in caught.value.message
        assert "No module named" in caught.value.message
    assert "pip install 'servetune[tensorrt]'" in Rig(other=None).backend.no_gpu()
    assert not Rig().backend.no_gpu()


def test_on_the_cpu_no_plan_runs(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(Unsupported, match="TensorRT plans run on GPUs only"):
        rig.load(tmp_path, config(), Placement())


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_without_a_driver_it_says_what_is_missing(tmp_path: Path) -> None:
    there = Rig()
    write(tmp_path)
    real = cast("TensorRt", find("tensorrt"))
    backend = replace(real, libraries=there.backend.libraries)
    with pytest.raises(EngineError, match="A TensorRT plan needs an NVIDIA GPU"):
        backend.load(tmp_path, config(), ON_GPU)


@pytest.mark.triton("2c.16")
def test_settings_for_all_plans(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path)
    told = rig.backend.configured({"version-compatible": "true"})
    told.load(tmp_path, config(), ON_GPU).close()
    assert rig.library.plugins == [""]
    with pytest.raises(InvalidArgument, match="version-compatible: expected true or false"):
        rig.backend.configured({"version-compatible": "maybe"})
    missing = rig.backend.configured({"plugins": "/nowhere/libmine.so"})
    with pytest.raises(EngineError, match="libmine"):
        missing.load(tmp_path, config(), ON_GPU)


def test_the_drivers_own_functions_are_called_as_they_are(tmp_path: Path) -> None:
    library = str(libcuda.build(tmp_path))
    gpu, raw = Gpu(CudaDriver("A test", "do without", library), 0), CDLL(library)
    gpu.enter()
    ranks = {}
    for priority in ModelPriority:
        gpu.close_stream(gpu.open_stream(priority))
        ranks[priority] = raw.last_rank()
    assert ranks == {ModelPriority.DEFAULT: 0, ModelPriority.MAX: -5, ModelPriority.MIN: 0}
    stream, address, pinned = gpu.open_stream(ModelPriority.MAX), gpu.allocate(8), gpu.pin(8)
    given = np.arange(8, dtype=np.uint8)
    gpu.to_device(address, given, stream)
    gpu.to_host(pinned, address, stream)
    for spins in (False, True):
        gpu.wait(stream, spins=spins)
    np.testing.assert_array_equal(pinned, given)

    def enqueue() -> bool:
        gpu.to_device(address, given, stream)
        return True

    graph = gpu.capture(stream, enqueue)
    given += 1
    gpu.to_host(pinned, address, stream)
    np.testing.assert_array_equal(pinned, given - 1)
    gpu.launch(graph, stream)
    gpu.to_host(pinned, address, stream)
    np.testing.assert_array_equal(pinned, given)
    gpu.drop(graph)
    assert gpu.capture(stream, lambda: False) == 0
    gpu.unpin(pinned)
    gpu.free(address)
    gpu.close_stream(stream)
    assert raw.left() == 0
    with pytest.raises(EngineError, match="GPU 7 cannot be used"):
        Gpu(gpu.driver, 7).enter()
