"""From a model's folder to what a backend loads: what a model says of its own configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.model_folders import FakeBackend, write_model

from engine.errors import ConfigError
from engine.modelconfig.schema import DynamicBatching, ModelConfig, ModelInput, ModelOutput
from engine.repository.prepare import declare, prepare
from engine.repository.scan import scan_model
from engine.repository.terms import Terms
from engine.types import DType

_INPUT = ModelInput(name="x", data_type=DType.FP32, dims=(3,))
_OUTPUT = ModelOutput(name="y", data_type=DType.FP32, dims=(2,))


class _Code(FakeBackend):
    """A backend whose models add to their own configuration, and remember what they were given."""

    def __init__(self, dims: tuple[int, ...] = (3,)) -> None:
        super().__init__(signature=None)
        self.asked: list[ModelConfig] = []
        self._dims = dims

    def auto_complete(self, directory: Path, config: ModelConfig) -> ModelConfig:
        assert (directory / "model.py").exists()
        self.asked.append(config)
        return replace(
            config,
            input=(replace(_INPUT, dims=self._dims),),
            output=(_OUTPUT,),
            max_batch_size=8,
            dynamic_batching=DynamicBatching(),
            decoupled=True,
            instance_group=(),
            metric_tags={"a": "model has no say in this"},
        )


def _prepared(repository: Path, backend: _Code, text: str, *, auto: bool = True) -> ModelConfig:
    folder = scan_model(write_model(repository, "code", text, file="model.py"))
    terms = Terms(find=lambda _: backend, auto=auto)
    return prepare(declare(folder), folder, 1, terms).config


def test_a_model_that_is_code_completes_its_own_configuration(tmp_path: Path) -> None:
    backend = _Code()
    config = _prepared(tmp_path, backend, 'backend: "python"')
    assert (config.input, config.output) == ((_INPUT,), (_OUTPUT,))
    assert (config.max_batch_size, config.decoupled) == (8, True)
    assert config.dynamic_batching == DynamicBatching(preferred_batch_size=(8,))
    assert [group.name for group in config.instance_group] == ["code"]
    assert config.metric_tags == {}
    (asked,) = backend.asked
    assert (asked.name, asked.default_model_filename) == ("code", "model.py")


def test_completion_switched_off_does_not_run_the_models_code(tmp_path: Path) -> None:
    backend = _Code()
    assert _prepared(tmp_path, backend, 'backend: "python"', auto=False).max_batch_size == 0
    assert backend.asked == []


def test_what_a_model_says_of_itself_is_checked_like_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model input 'x' dimension must be integer >= 1, or -1"):
        _prepared(tmp_path, _Code(dims=(0,)), 'backend: "python"')


class _OnCpu(FakeBackend):
    """A backend whose library was installed without its part for GPUs."""

    def no_gpu(self) -> str:
        return "its library was built without CUDA; pip install library-gpu"


def test_a_backend_that_cannot_use_gpus_has_its_models_on_the_cpu_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def groups(
        name: str, gpus: tuple[int, ...], text: str = ""
    ) -> list[tuple[str, tuple[int, ...]]]:
        folder = scan_model(write_model(tmp_path, name, f'backend: "fake" {text}'))
        terms = Terms(find=lambda _: _OnCpu(), gpus=gpus)
        config = prepare(declare(folder), folder, 1, terms).config
        return [(one.kind.value, one.gpus) for one in config.instance_group]

    assert groups("without", ()) == [("KIND_CPU", ())]
    assert groups("asked", (0,), "instance_group { kind: KIND_GPU }") == [("KIND_GPU", (0,))]
    assert caplog.text == ""
    assert groups("left", (0,)) == [("KIND_CPU", ())]
    assert "model 'left' is on the CPU though there is a GPU: its library was built" in caplog.text
