"""PyTorch models are served as bare PyTorch runs them, and say what is wrong with them."""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kits.backend_kit import BackendKit

from engine.backend import Placement, Signature, find
from engine.backends.pytorch.backend import PyTorch, tensorrt
from engine.errors import ConfigError, Internal, InvalidArgument, Unsupported
from engine.modelconfig.schema import (
    Accelerator,
    ExecutionAccelerators,
    ModelConfig,
    ModelInput,
    ModelOutput,
    Optimization,
)
from engine.types import DType, TensorSpec

torch = pytest.importorskip("torch", reason="PyTorch is not installed: servetune[torch]")
BACKEND = find("pytorch")
PLAIN = {one for one in DType if one is not DType.BYTES}


class Identity(torch.nn.Module):
    def forward(self, X: Any) -> Any:  # noqa: N803 - the name the kit uses
        return X


class Sum(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor, scale: float = 2.0) -> Any:
        return a + b, (a - b) * scale


class Words(torch.nn.Module):
    def forward(self, texts: list[str]) -> list[str]:
        return [text.upper() for text in texts]


class Keyed(torch.nn.Module):
    def forward(self, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"twice": given["left"] * 2, "same": given["right"]}


class Writer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> Any:
        x.add_(1)
        self.total.add_(x.sum(0))
        return x, self.total


class Strict(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        assert bool(x.sum() > 0), "nothing to do"
        return x


class Mixed(torch.nn.Module):
    def forward(self, image: Any, *, mask: Any) -> Any:
        return {"masked": image * mask, "kept": mask}


def script(path: Path, module: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(module.eval()).save(str(path))


def config(
    inputs: Mapping[str, DType], outputs: Mapping[str, DType], **changes: object
) -> ModelConfig:
    return replace(
        ModelConfig(
            name="model",
            backend="pytorch",
            max_batch_size=8,
            input=tuple(
                ModelInput(name=name, data_type=one, dims=(2,)) for name, one in inputs.items()
            ),
            output=tuple(
                ModelOutput(name=name, data_type=one, dims=(2,)) for name, one in outputs.items()
            ),
        ),
        **changes,  # type: ignore[arg-type]
    )


FP32, TWO = DType.FP32, np.arange(4, dtype=np.float32).reshape(2, 2)


class TestTorchScriptKit(BackendKit):
    backend = BACKEND

    def make(self, directory: Path) -> ModelConfig:
        script(directory / "model.pt", Identity())
        return self.identity("pytorch")


class TestExportedKit(BackendKit):
    backend = BACKEND

    def make(self, directory: Path) -> ModelConfig:
        (directory / "model.pt2").write_bytes(exported_identity())
        return self.identity("pytorch")


@cache
def exported_identity() -> bytes:
    written = io.BytesIO()
    export(written, Identity(), (torch.ones(3, 4),))
    return written.getvalue()


def export(path: Path | io.BytesIO, module: Any, args: Any, kwargs: Any = None) -> None:
    rows = {0: torch.export.Dim("batch", min=0)}
    shapes = dict.fromkeys(("image", "mask") if kwargs else ("X",), rows)
    program = torch.export.export(module, args, kwargs, dynamic_shapes=shapes)
    torch.export.save(program, path)


@pytest.mark.parametrize("dtype", sorted(PLAIN, key=lambda one: one.name))
def test_every_numeric_type_goes_through_bit_by_bit_without_a_copy(
    tmp_path: Path, dtype: DType
) -> None:
    script(tmp_path / "model.pt", Identity())
    bits = np.random.default_rng(1).integers(0, 2 if dtype is DType.BOOL else 256, (3, 2 * 8))
    array = bits.astype(np.uint8)[:, : 2 * dtype.size].copy().view(dtype.numpy)
    loaded = BACKEND.load(tmp_path, config({"X": dtype}, {"Y": dtype}), Placement())
    result = loaded.run({"X": array}, ["Y"])["Y"]
    assert result.tobytes() == array.tobytes()
    assert result.dtype == dtype.numpy
    assert np.shares_memory(result, array)


def test_strings_are_lists_of_text_inside(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Words())
    asked = config({"texts": DType.BYTES}, {"Y": DType.BYTES})
    with pytest.raises(InvalidArgument, match="1 dimensional List of String as input for 'texts'"):
        BACKEND.load(tmp_path, asked, Placement())
    asked = replace(asked, max_batch_size=0)
    loaded = BACKEND.load(tmp_path, asked, Placement())
    texts = np.array([b"a", b"", "Übermaß".encode()], object)
    assert loaded.run({"texts": texts}, ["Y"])["Y"].tolist() == [b"A", b"", "ÜBERMA\u00df".encode()]
    with pytest.raises(InvalidArgument, match="only supports 1 dimensional List of String"):
        loaded.run({"texts": texts.reshape(3, 1)}, ["Y"])
    with pytest.raises(InvalidArgument, match="input 'texts', element 1: not UTF-8"):
        loaded.run({"texts": np.array([b"a", b"\xff"], object)}, ["Y"])


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (("b", "a"), ("difference__1", "sum__0")),
        (("right__1", "left__0"), ("difference__1", "sum__0")),
        (("left", "right"), ("sum", "difference")),
    ],
)
def test_arguments_and_results_go_by_name_index_or_order(
    tmp_path: Path, names: tuple[str, str], outputs: tuple[str, str]
) -> None:
    script(tmp_path / "model.pt", Sum())
    asked = config(dict.fromkeys(names, FP32), dict.fromkeys(outputs, FP32))
    given = dict.fromkeys(names, TWO) | {name: 10 * TWO for name in names if name[0] in "br"}
    results = BACKEND.load(tmp_path, asked, Placement()).run(given, outputs)
    for name, result in results.items():
        np.testing.assert_array_equal(result, 11 * TWO if name[0] == "s" else -18 * TWO)


def test_a_dictionary_of_tensors_takes_and_gives_any_names(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Keyed())
    asked = config({"left": FP32, "right": FP32}, {"same": FP32, "twice": FP32})
    results = BACKEND.load(tmp_path, asked, Placement()).run(
        {"left": TWO, "right": TWO + 1}, ["same", "twice"]
    )
    np.testing.assert_array_equal(results["same"], TWO + 1)
    np.testing.assert_array_equal(results["twice"], TWO * 2)


def test_a_model_that_writes_in_place_writes_to_nothing_of_anybody_else(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Writer())
    loaded = BACKEND.load(tmp_path, config({"x": FP32}, {"Y": FP32, "T": FP32}), Placement())
    given = TWO.copy()
    first = loaded.run({"x": given}, ["Y", "T"])
    np.testing.assert_array_equal(given, TWO)
    loaded.run({"x": given}, ["Y", "T"])
    np.testing.assert_array_equal(first["T"], (TWO + 1).sum(0))


def test_what_a_model_raises_is_a_text(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Strict())
    asked = config({"x": FP32}, {"Y": FP32, "Z": FP32})
    loaded = BACKEND.load(tmp_path, asked, Placement())
    with pytest.raises(Internal, match=r"PyTorch execute failure: (?s:.*)nothing to do"):
        loaded.run({"x": -TWO}, ["Y"])
    with pytest.raises(Internal, match="there is no output 'Z': the model gave 1 results"):
        loaded.run({"x": TWO}, ["Z"])
    other = BACKEND.load(tmp_path, config({"x": FP32}, {"Y": DType.INT64}), Placement())
    with pytest.raises(Internal, match="unexpected datatype TYPE_FP32 for inference output 'Y', e"):
        other.run({"x": TWO}, ["Y"])


def test_torchscript_has_to_be_configured_and_the_error_says_what_it_takes(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Sum())
    assert BACKEND.inspect(tmp_path, config({"a": FP32, "b": FP32}, {"Y": FP32})) is None
    with pytest.raises(ConfigError, match=r"not completed from their file.* takes a, b, scale"):
        BACKEND.inspect(tmp_path, config({}, {}))


def test_an_exported_program_says_what_it_takes_by_its_call(tmp_path: Path) -> None:
    export(tmp_path / "model.pt2", Mixed(), (torch.ones(3, 2),), {"mask": torch.ones(3, 2)})
    signature = BACKEND.inspect(tmp_path, config({}, {}))
    assert signature == Signature(
        (TensorSpec("ARGS[0]", FP32, (-1, 2)), TensorSpec("KWARGS[mask]", FP32, (-1, 2))),
        (TensorSpec("RESULT[masked]", FP32, (-1, 2)), TensorSpec("RESULT[kept]", FP32, (-1, 2))),
        batchable=True,
    )
    for given, results in (
        (("ARGS[0]", "KWARGS[mask]"), ("RESULT[masked]", "RESULT[kept]")),
        (("image", "mask"), ("masked", "kept")),
        (("i__0", "m__1"), ("o__0", "k__1")),
        (("first", "second"), ("third", "fourth")),
    ):
        asked = config(dict.fromkeys(given, FP32), dict.fromkeys(results, FP32))
        own = BACKEND.inspect(tmp_path, asked)
        assert own is not None
        assert [one.name for one in (*own.inputs, *own.outputs)] == [*given, *results]
        loaded = BACKEND.load(tmp_path, asked, Placement())
        mask = np.ones_like(TWO) * 3
        answers = loaded.run(dict(zip(given, (TWO, mask), strict=True)), results)
        np.testing.assert_array_equal(answers[results[0]], TWO * 3)
        np.testing.assert_array_equal(answers[results[1]], mask)


def test_files_that_are_no_programs_are_refused_with_what_they_are(tmp_path: Path) -> None:
    asked = config({"x": FP32}, {"Y": FP32})
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    with pytest.raises(Unsupported, match=r"weights or a pickled module.*torch\.jit\.trace"):
        BACKEND.load(tmp_path, asked, Placement())
    (tmp_path / "model.pt").write_bytes(pickle.dumps([1]))
    with pytest.raises(Unsupported, match=r"model\.pt: no PyTorch model"):
        BACKEND.inspect(tmp_path, asked)


def test_instances_share_weights_only_if_told_to(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Writer())
    asked = config({"x": FP32}, {"Y": FP32, "T": FP32})
    for word, total in (("false", (TWO + 1).sum(0)), ("true", 2 * (TWO + 1).sum(0))):
        shared = replace(asked, parameters={"ENABLE_WEIGHT_SHARING": word})
        pair = [BACKEND.load(tmp_path, shared, Placement()) for _ in range(2)]
        results = [one.run({"x": TWO}, ["T"])["T"] for one in pair]
        np.testing.assert_array_equal(results[1], total)


def test_the_first_thread_count_holds_for_all_and_a_later_one_is_said_to_have_no_effect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script(tmp_path / "model.pt", Identity())
    backend = PyTorch()
    asked = config({"X": FP32}, {"Y": FP32})
    before = backend.load(tmp_path, asked, Placement(threads=1))
    first, second = (
        replace(asked, name=f"m{count}", parameters={"INTRA_OP_THREAD_COUNT": str(count)})
        for count in (2, 3)
    )
    assert before.describe()["intra_op_threads"] == "1"
    with caplog.at_level(logging.INFO):
        loaded = backend.load(tmp_path, first, Placement(threads=1))
        later = backend.load(tmp_path, second, Placement(threads=1))
    assert "'m2' sets INTRA_OP_THREAD_COUNT=2 for all PyTorch models" in caplog.text
    assert "INTRA_OP_THREAD_COUNT=3 has no effect: model 'm2' set it to 2 first" in caplog.text
    for one in (before, loaded, later):
        one.run({"X": TWO}, ["Y"])
        assert torch.get_num_threads() == 2
        assert one.describe()["intra_op_threads"] == "2, for all PyTorch models"


def test_modes_are_what_the_parameters_say(tmp_path: Path) -> None:
    class Mode(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    script(tmp_path / "model.pt", Mode())
    asked = config({"x": FP32}, {"Y": FP32})
    plain = replace(
        asked, parameters={"INFERENCE_MODE": "false", "DISABLE_OPTIMIZED_EXECUTION": "true"}
    )
    for one, mode in ((asked, "inference"), (plain, "no gradients")):
        loaded = BACKEND.load(tmp_path, one, Placement())
        assert loaded.describe()["mode"] == mode
        np.testing.assert_array_equal(loaded.run({"x": TWO}, ["Y"])["Y"], TWO * 2)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_an_aoti_package_is_called_by_its_call_specification() -> None:
    program = import_module("engine.backends.pytorch.program")
    pytree = import_module("torch.utils._pytree")
    spec = pytree.tree_structure(((0,), {"mask": 0})), pytree.tree_structure({"s": 0, "t": 0})
    loader = SimpleNamespace(get_call_spec=lambda: [pytree.treespec_dumps(one) for one in spec])

    class Package:
        def __init__(self) -> None:
            self.loader = loader

        def __call__(self, image: Any, *, mask: Any) -> Any:
            return {"s": image + mask, "t": image * mask}

    opened = program.package(Package())
    assert [slot.names[0] for slot in opened.inputs] == ["ARGS[0]", "KWARGS[mask]"]
    assert [slot.names for slot in opened.outputs] == [("RESULT[s]", "s"), ("RESULT[t]", "t")]
    assert opened.call([3, 4]) == [7, 12]


def on_gpu(**parameters: str) -> ModelConfig:
    accelerators = ExecutionAccelerators(
        gpu_execution_accelerator=(Accelerator(name="tensorrt", parameters=parameters),)
    )
    return config(
        {"x": FP32}, {"Y": FP32}, optimization=Optimization(execution_accelerators=accelerators)
    )


def test_tensorrt_is_asked_for_what_the_configuration_says() -> None:
    choose = import_module("engine.backends.pytorch.accelerate").choose
    asked: dict[str, Any] = {}
    compiler = SimpleNamespace(
        Input=lambda **given: given,
        dtype=SimpleNamespace(float16="half", float32="single"),
        compile=lambda module, **options: asked.update(options) or f"fast {module}",
    )
    told = on_gpu(precision_mode="FP16", max_workspace_size_bytes="1024")
    assert choose(told, Placement(device=0), lambda: compiler)("module") == "fast module"
    assert asked == {
        "ir": "dynamo",
        "inputs": [
            {"min_shape": (1, 2), "opt_shape": (8, 2), "max_shape": (8, 2), "dtype": "single"}
        ],
        "enabled_precisions": {"half"},
        "require_full_compilation": False,
        "workspace_size": 1024,
    }
    with pytest.raises(InvalidArgument, match="unsupported precision mode 'FP7' is requested"):
        choose(on_gpu(precision_mode="FP7"), Placement(device=0), lambda: compiler)
    with pytest.raises(InvalidArgument, match="unknown parameter 'trt_x' is provided"):
        choose(on_gpu(trt_x="1"), Placement(device=0), lambda: compiler)
    texts = ModelInput(name="t", data_type=DType.BYTES, dims=(1,))
    with pytest.raises(InvalidArgument, match="'t' is of TYPE_STRING, which TensorRT has no type"):
        choose(replace(on_gpu(), input=(texts,)), Placement(device=0), lambda: compiler)


def absent(package: str) -> Any:
    def bring(name: str) -> Any:
        if package in {name, "torch"}:
            raise ImportError(f"No module named '{package}'", name=package)
        return import_module(name)

    return bring


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Identity())
    asked = config({"X": FP32}, {"Y": FP32})
    without_torch = PyTorch(bring=absent("torch"))
    for act in (
        lambda: without_torch.inspect(tmp_path, asked),
        lambda: without_torch.load(tmp_path, asked, Placement()),
    ):
        with pytest.raises(Unsupported, match=r"pip install 'servetune\[torch\]'"):
            act()
    choose = import_module("engine.backends.pytorch.accelerate").choose
    bring = partial(tensorrt, absent("torch_tensorrt"), on_gpu())
    with pytest.raises(Unsupported, match=r"cannot be imported .*pip install torch-tensorrt"):
        choose(on_gpu(), Placement(device=0), bring)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_pytorch_cannot_use_is_an_error(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", Identity())
    with pytest.raises(Unsupported, match=r"is to run on GPU 0, and PyTorch .* cannot use one"):
        BACKEND.load(tmp_path, config({"X": FP32}, {"Y": FP32}), Placement(device=0))
