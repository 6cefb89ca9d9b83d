"""``analyze export``: what lies in the folder, and what is said where it cannot be made."""

from __future__ import annotations

import os
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.deployments import config, journal_head, measured, profiled, rows

from analyzer import workspace
from analyzer.cli import main
from analyzer.deployment.compose import Asked, export
from analyzer.deployment.values import Format, Wish
from analyzer.errors import UsageError
from analyzer.record.row import Row
from analyzer.workspace import Workspace
from engine.modelconfig import convert

ENSEMBLE = """
name: "m" platform: "ensemble" max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ { model_name: "a" model_version: -1
  input_map { key: "IN" value: "IN" } output_map { key: "OUT" value: "OUT" } } ] }
"""
MANIFESTS = {
    "kubernetes/deployment.yaml", "kubernetes/service.yaml", "kubernetes/hpa.yaml",
    "kubernetes/pdb.yaml", "kubernetes/kustomization.yaml",
    "kubernetes/prometheus-adapter-values.yaml", "kserve/servingruntime.yaml",
    "kserve/inferenceservice.yaml", "kserve/kustomization.yaml",
}  # fmt: skip
IMAGE = {"Dockerfile", ".dockerignore", "requirements.txt", "wheels/README.md"}
MODEL = {"config.pbtxt", "labels.txt", "1/model.onnx", "1/model_int8.onnx"}


def exported(place: Workspace, wish: Wish | None = None, **asked: Any) -> tuple[Path, str]:
    console = Console(file=StringIO(), width=200)
    what = Asked(model=str(place.root), export_path=Path("nowhere"), wish=wish or Wish())
    assert export(replace(what, **asked), console) == 0
    assert isinstance(console.file, StringIO)
    return place.root / "export", console.file.getvalue()


def names(root: Path) -> set[str]:
    every = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return every - {".servetune-export.json"}


def test_the_folder_holds_all_that_it_takes(tmp_path: Path) -> None:
    place = profiled(tmp_path)
    root, said = exported(place)
    assert names(root) == {"README.md", *MANIFESTS, *IMAGE, *(f"models/m/{one}" for one in MODEL)}
    assert not [path for path in root.rglob("*") if path.is_symlink()]
    found = convert.loads((root / "models/m/config.pbtxt").read_text(), "m")
    assert found.instance_group[0].count == 2, "the winner's"
    assert "better throughput than the default" in said
    assert "docker build --tag m:m_config_0" in said
    readme = (root / "README.md").read_text()
    for words in ("measurement 4", "concurrency 4", "the knee", "4 cores of Some CPU", "900m"):
        assert words in readme


def test_written_again_nothing_changes_and_after_another_profile_it_is_replaced(
    tmp_path: Path,
) -> None:
    place = profiled(tmp_path)
    root, said = exported(place)
    assert "(18 new)" in said
    assert "(18 unchanged)" in exported(place)[1]
    _, said = exported(place, variant="m_config_default")
    assert "replaced" in said
    found = convert.loads((root / "models/m/config.pbtxt").read_text(), "m")
    assert found.instance_group[0].count == 1
    (root / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(UsageError, match="changed after it: Dockerfile"):
        exported(place)


def test_a_dry_run_lists_and_writes_nothing(tmp_path: Path) -> None:
    root, said = exported(profiled(tmp_path), dry_run=True)
    assert not root.exists()
    assert f"new        {root}/models/m/1/model.onnx" in said
    assert "Nothing was written; it would be 18 files: 18 new." in said


def test_formats_are_written_as_asked_for(tmp_path: Path) -> None:
    root, _ = exported(profiled(tmp_path), Wish(formats=frozenset({Format.KUBERNETES})))
    found = names(root)
    assert not IMAGE & found
    assert {name for name in found if name.startswith("k")} == {
        name for name in MANIFESTS if name.startswith("kubernetes")
    }


def test_what_was_not_verified_is_said_where_it_goes(tmp_path: Path) -> None:
    root, said = exported(profiled(tmp_path, rows(1.5, pairs=0)))
    assert "m_config_0, the best that was found, is not verified to be better" in said
    found = convert.loads((root / "models/m/config.pbtxt").read_text(), "m")
    assert found.instance_group[0].count != 1
    assert "is not verified to be better" in (root / "README.md").read_text()


def pipeline() -> tuple[Row, ...]:
    return tuple(replace(each, config=ENSEMBLE, composing={"a": config(3, "a")}) for each in rows())


def test_a_pipeline_goes_with_all_its_models_and_its_empty_version(tmp_path: Path) -> None:
    place = profiled(tmp_path, pipeline())
    root, _ = exported(place)
    models = {name for name in names(root) if name.startswith("models/")}
    assert models == {
        "models/m/config.pbtxt", "models/m/1/.gitkeep", *(f"models/a/{one}" for one in MODEL)
    }  # fmt: skip
    found = convert.loads((root / "models/a/config.pbtxt").read_text(), "a")
    assert found.instance_group[0].count == 3


def test_what_apply_kept_and_litter_stay_behind(tmp_path: Path) -> None:
    place = profiled(tmp_path)
    source = tmp_path / "models" / "m"
    workspace.replace_config(source, config(5))
    (source / "1" / "__pycache__").mkdir()
    (source / "1" / "__pycache__" / "x.pyc").write_text("")
    root, _ = exported(place, repositories=(tmp_path / "models",))
    assert {name for name in names(root) if name.startswith("models/")} == {
        f"models/m/{one}" for one in MODEL
    }


def test_models_that_are_gone_are_named_with_what_to_do(tmp_path: Path) -> None:
    place = profiled(tmp_path)
    (tmp_path / "models").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"chosen/m/1: its file is gone.*--model-repository PATH"):
        exported(place)
    root, _ = exported(place, repositories=(tmp_path / "moved",))
    assert (root / "models/m/1/model.onnx").read_bytes() == b"m" * 1000


def test_a_folder_that_leads_back_into_itself_is_refused(tmp_path: Path) -> None:
    place = profiled(tmp_path)
    (tmp_path / "models" / "m" / "1" / "again").symlink_to(tmp_path / "models" / "m")
    with pytest.raises(UsageError, match="a link to a folder that it is in"):
        exported(place)


def test_a_model_that_was_changed_since_is_told(tmp_path: Path) -> None:
    made = tuple(replace(each, taken_at="2020-01-01T00:00:00+00:00") for each in rows())
    _, said = exported(profiled(tmp_path, made))
    assert "was changed after m_config_0 was measured" in said


def test_a_server_elsewhere_needs_a_repository(tmp_path: Path) -> None:
    place = profiled(tmp_path, opening=journal_head({"server": "host:8000"}))
    with pytest.raises(UsageError, match=r"measured on a server elsewhere \(host:8000\)"):
        exported(place)
    root, _ = exported(place, repositories=(tmp_path / "models",))
    assert (root / "models/m/1/model.onnx").is_file()


def test_what_another_program_measured_cannot_go(tmp_path: Path) -> None:
    made = (replace(measured("default", 0, 1, 10.0), config=""),)
    with pytest.raises(UsageError, match="does not say what m_config_default was"):
        exported(profiled(tmp_path, made))


def test_native_backends_and_wheels_go_along(tmp_path: Path) -> None:
    backends, wheel = tmp_path / "b", tmp_path / "servetune-0.1.0-py3-none-any.whl"
    (backends / "own").mkdir(parents=True)
    library = backends / "own" / "libtriton_own.so"
    library.write_bytes(b"\x7fELF")
    library.chmod(0o755)
    wheel.write_bytes(b"PK")
    opening = journal_head({"server_flags": [f"--backend-directory={backends}"]})
    place = profiled(tmp_path, opening=opening)
    root, _ = exported(place, wheels=(wheel,))
    assert os.access(root / "backends/own/libtriton_own.so", os.X_OK)
    assert (root / "wheels" / wheel.name).is_file()
    with pytest.raises(UsageError, match="is no wheel"):
        exported(place, wheels=(library,))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere",), 2, "no results of 'nowhere'"),
        (("m", "--format", "helm"), 2, "no 'helm'; there are docker, kubernetes and kserve"),
        (("m", "--image", "Bad Image"), 2, "is no name of an image"),
        (("m", "--dry-run"), 0, "Nothing was written"),
        (("--help",), 0, "Example: analyze export"),
    ],
)
def test_the_command_ends_as_it_says(
    words: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profiled(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["export", *words, "--export-path", str(tmp_path / "results")])
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert said in out + err
