"""Variants are linked, not copied; the winner appears in one step; errors list what is there."""

from pathlib import Path

import pytest

from analyzer import workspace
from analyzer.errors import UsageError
from analyzer.workspace import Workspace
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig, VersionPolicy


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "m"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(b"weights")
    (folder / "labels.txt").write_text("cat\ndog\n")
    (folder / "config.pbtxt").write_text('name: "m"\n')
    return folder


CONFIG = ModelConfig(name="m", max_batch_size=4)


def test_a_variant_links_the_model_and_has_a_configuration_of_its_own(
    model: Path, tmp_path: Path
) -> None:
    repository = workspace.write_variant(tmp_path / "v0", {"m": model}, {"m": CONFIG})
    written = repository / "m"
    assert convert.loads((written / "config.pbtxt").read_text(), "v0") == CONFIG
    assert (written / "1" / "model.onnx").read_bytes() == b"weights"
    assert (written / "1").is_symlink()
    assert (model / "config.pbtxt").read_text() == 'name: "m"\n'


def test_the_default_variant_is_the_model_as_it_is(model: Path, tmp_path: Path) -> None:
    repository = workspace.write_variant(tmp_path / "v", {"m": model}, {"m": None})
    assert (repository / "m" / "config.pbtxt").read_text() == 'name: "m"\n'


def test_writing_a_variant_again_replaces_it(model: Path, tmp_path: Path) -> None:
    workspace.write_variant(tmp_path / "v", {"m": model}, {"m": None})
    repository = workspace.write_variant(tmp_path / "v", {"m": model}, {"m": CONFIG})
    assert "max_batch_size: 4" in (repository / "m" / "config.pbtxt").read_text()
    assert (model / "config.pbtxt").read_text() == 'name: "m"\n'


def test_the_winner_lies_where_serving_looks_for_it(model: Path, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "results" / "m")
    place.root.mkdir(parents=True)
    for size in (1, 2):
        config = ModelConfig(name="m", max_batch_size=size)
        workspace.write_chosen(place, {"m": model}, {"m": config}, "m: the best")
    assert "max_batch_size: 2" in (place.chosen / "m" / "config.pbtxt").read_text()
    assert {path.name for path in place.root.iterdir()} == {"chosen", "chosen.txt"}
    assert (place.root / "chosen.txt").read_text() == "m: the best\n"


ENSEMBLE = """name: "%s"
platform: "ensemble"
ensemble_scheduling { step [ { model_name: "m" }, { model_name: "%s" } ] }
"""


def test_an_ensembles_models_are_found_beside_it_through_ensembles_in_it(model: Path) -> None:
    for name, step in (("outer", "inner"), ("inner", "n")):
        (model.parent / name).mkdir()
        (model.parent / name / "config.pbtxt").write_text(ENSEMBLE % (name, step))
    assert workspace.composing([model.parent], "outer") == ("m", "inner", "n")
    assert workspace.composing([model.parent], "m") == ()


def test_several_models_of_a_variant_lie_side_by_side(model: Path, tmp_path: Path) -> None:
    (model.parent / "n").mkdir()
    (model.parent / "n" / "config.pbtxt").write_text('name: "n"\n')
    sources = {"m": model, "n": model.parent / "n"}
    repository = workspace.write_variant(tmp_path / "v", sources, {"m": CONFIG})
    assert "max_batch_size: 4" in (repository / "m" / "config.pbtxt").read_text()
    assert (repository / "n" / "config.pbtxt").read_text() == 'name: "n"\n'


def test_an_unknown_model_is_answered_with_those_that_are_there(model: Path) -> None:
    with pytest.raises(UsageError, match=r"model 'n' is not in .*models; there: m"):
        workspace.require_model([model.parent], "n")
    with pytest.raises(UsageError, match="is not a directory"):
        workspace.require_model([model.parent / "none"], "m")


def test_the_old_configuration_is_kept(model: Path) -> None:
    kept = workspace.replace_config(model, "new")
    assert (model / "config.pbtxt").read_text() == "new"
    assert kept.read_text() == 'name: "m"\n'


@pytest.mark.parametrize("change", ["1/model.onnx", "config.pbtxt", "labels.txt", "2/model.onnx"])
def test_the_fingerprint_changes_with_any_file(model: Path, change: str) -> None:
    before = workspace.fingerprint(model)
    assert workspace.fingerprint(model) == before
    (model / change).parent.mkdir(exist_ok=True)
    (model / change).write_text("something else")
    assert workspace.fingerprint(model) != before


def test_an_example_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no example named 'resnet51'.*add_sub.*resnet50"):
        workspace.build_example("resnet51", tmp_path)


def test_an_example_is_built_by_the_engine(tmp_path: Path) -> None:
    folder = workspace.build_example("add_sub", tmp_path / "models")
    assert (folder / "1" / "model.onnx").is_file()


def test_a_file_counts_where_every_version_that_is_served_has_it(model: Path) -> None:
    (model / "10").mkdir()
    for name in ("model.onnx", "model_int8.onnx"):
        (model / "10" / name).write_bytes(b"weights")
    both = {"model.onnx", "model_int8.onnx"}
    assert workspace.version_files(model, None) == both
    assert workspace.version_files(model, VersionPolicy(latest=1)) == both
    assert workspace.version_files(model, VersionPolicy(all=True)) == {"model.onnx"}
    assert workspace.version_files(model, VersionPolicy(specific=(1,))) == {"model.onnx"}
    assert workspace.version_files(model, VersionPolicy(specific=(7,))) == frozenset()
