"""Which models belong to the profiled one, where they lie, and how they are spoken to."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.model_folders import write_ensemble, write_model

from analyzer import provision
from analyzer.assembly import Assembly
from analyzer.config import meaning
from analyzer.config.schema import Composing, ProfileOptions
from analyzer.errors import UsageError
from analyzer.placement import Place, Placement
from engine.modelconfig.schema import EnsembleStep, InstanceKind, ModelConfig


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_model(tmp_path, name, f'name: "{name}" backend: "onnxruntime"')
    write_ensemble(tmp_path, "p", "a", "b")
    return tmp_path


def pipeline(**steps: ModelConfig) -> Assembly:
    called = tuple(EnsembleStep(model_name=name) for name in steps)
    top = ModelConfig(name="p", platform="ensemble", ensemble_scheduling=called)
    return Assembly("p", top, {name: replace(each, name=name) for name, each in steps.items()})


def test_an_ensembles_models_and_those_that_code_calls_are_found(repository: Path) -> None:
    options = ProfileOptions(
        model="p", model_repository=(repository,), bls_composing=(Composing(name="c"),)
    )
    found = provision.sources(options, repository / "p")
    assert list(found) == ["p", "a", "b", "c"]
    assert found["c"] == repository / "c"


def test_a_model_that_is_nowhere_is_named_with_who_needs_it(
    repository: Path, tmp_path: Path
) -> None:
    named = ProfileOptions(model="a", bls_composing=(Composing(name="nobody"),))
    with pytest.raises(UsageError, match="bls_composing_models names the model 'nobody', which"):
        provision.sources(named, repository / "a")
    write_ensemble(tmp_path, "q", "a", "gone")
    with pytest.raises(UsageError, match="the ensemble q calls the model 'gone', which is not in"):
        provision.sources(ProfileOptions(model="q"), repository / "q")


def test_models_that_stay_off_the_gpus_are_put_on_the_cpu_and_told_as_changed() -> None:
    whole = pipeline(a=ModelConfig(), b=ModelConfig())
    kinds = {"a": InstanceKind.KIND_CPU, "b": None}
    for options in (
        ProfileOptions(model="p", cpu_only_composing=("a",)),
        ProfileOptions(model="p", ensemble_composing=(Composing(name="a", cpu_only=True),)),
    ):
        placed = provision.placed(options, whole)
        assert placed.altered == {"a"}
        for name, kind in kinds.items():
            groups = placed.others[name].instance_group
            assert (groups[0].kind if groups else None) == kind
    every = provision.placed(ProfileOptions(model="p", cpu_only=True), whole)
    assert every.altered == {"p", "a", "b"}
    assert every.top == whole.top, "an ensemble has no instances"


def test_what_is_said_of_models_that_are_not_behind_it_is_told() -> None:
    options = ProfileOptions(
        model="p", ensemble_composing=(Composing(name="a"), Composing(name="x")),
        cpu_only_composing=("y",),
    )  # fmt: skip
    assert provision.unknown(options, ("a", "b")) == ("x", "y")


def test_a_decoupled_model_takes_a_stream_also_behind_an_ensemble() -> None:
    quiet, talks = pipeline(a=ModelConfig()), pipeline(a=ModelConfig(decoupled=True))
    assert not provision.decoupled("p", quiet)
    assert provision.decoupled("p", talks)
    provision.check_streaming(ProfileOptions(model="p"), quiet)
    provision.check_streaming(ProfileOptions(model="p", protocol="grpc"), talks)
    with pytest.raises(UsageError, match=r"p is decoupled: .* pass --client-protocol grpc"):
        provision.check_streaming(ProfileOptions(model="p"), talks)


def test_an_ensemble_is_not_profiled_beside_other_models() -> None:
    joint = provision.joint((ProfileOptions(model="p"), ProfileOptions(model="m")))
    assert joint.model == "p+m"
    top = pipeline(a=ModelConfig()).top
    assert top is not None
    whole = Assembly.beside({"p": top, "m": ModelConfig(name="m")})
    with pytest.raises(UsageError, match="p is an ensemble: it is profiled by itself"):
        provision.check(joint, whole)


def test_a_configuration_has_one_gpu_and_rows_are_alike_on_any_of_that_kind() -> None:
    machine = {"cpu": "a CPU", "cores": 16}

    def on(gpu: str, kind: str = "H100, 80 GiB") -> ProfileOptions:
        asked = ProfileOptions(model="m", gpus_side_by_side=-1, gpus=("GPU-0", "GPU-1"))
        found = Placement((Place(gpu, frozenset({0})),), "said", kind)
        return provision.on_one_gpu(replace(asked, together=(asked, asked)), found)

    first, second, other = on("GPU-0"), on("GPU-1"), on("GPU-0", "L4, 24 GiB")
    assert meaning.environment(first) == {"CUDA_VISIBLE_DEVICES": "GPU-0"}
    assert [each.gpus for each in (first, *first.together)] == [("GPU-0",)] * 3
    assert meaning.of_rows(first, machine) == meaning.of_rows(second, machine)
    alike = meaning.of_rows(first.together[0], machine)
    assert alike == meaning.of_rows(second.together[0], machine)
    assert alike != meaning.of_rows(replace(first.together[0], one_gpu="", gpus=()), machine)
    assert meaning.of_rows(first, machine) != meaning.of_rows(other, machine)
    assert meaning.command(first)["gpus_side_by_side"] == "auto"
    assert "gpus_side_by_side" not in meaning.command(ProfileOptions(model="m"))


def test_where_there_is_no_gpu_nothing_changes() -> None:
    options = ProfileOptions(model="m", gpus_side_by_side=2)
    assert provision.on_one_gpu(options, Placement((), "none")) is options
