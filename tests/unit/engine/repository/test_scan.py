"""What a scan sees, and how a model's backend is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.model_folders import write_model

from engine.errors import InvalidArgument, NotFound
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig
from engine.repository.recognise import recognise
from engine.repository.scan import ModelFolder, scan, scan_model
from engine.repository.wanted import contents, missing_file


@pytest.mark.triton("1.3")
def test_versions_are_folders_named_by_whole_numbers(tmp_path: Path) -> None:
    names = ("10", "2", "0", "03", "-1", "1.0", "latest", "warmup", "configs", ".cache")
    write_model(tmp_path, "m", versions=names)
    (tmp_path / "m" / "7").write_text("a file is no version")
    folder = scan([tmp_path]).models["m"]
    assert folder.versions == (0, 2, 10)
    assert folder.ignored == ("-1", "03", "1.0", "latest")


def test_what_is_not_a_model_is_left_out(tmp_path: Path) -> None:
    write_model(tmp_path, "m", config=None)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.md").write_text("about")
    snapshot = scan([tmp_path])
    assert list(snapshot.models) == ["m"]
    assert snapshot.models["m"].config_text is None
    assert snapshot.models["m"].source == str(tmp_path / "m")


@pytest.mark.triton("1.2")
def test_a_model_in_two_repositories_is_a_duplicate(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", "m")
    second = write_model(tmp_path / "b", "m")
    write_model(tmp_path / "b", "n")
    snapshot = scan([tmp_path / "a", tmp_path / "b", tmp_path / "b"])
    assert list(snapshot.models) == ["n"]
    assert snapshot.duplicates == {"m": (first, second)}


def test_a_repository_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotFound, match="a model repository is a folder of models"):
        scan([file])
    with pytest.raises(NotFound, match="No such file or directory"):
        scan([tmp_path / "nowhere"])


def test_a_configuration_that_is_a_link_to_nothing_is_a_fault(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "linked", config=None)
    (folder / "config.pbtxt").symlink_to("nowhere.pbtxt")
    fault = scan_model(folder).fault
    assert fault == f"{folder}/config.pbtxt: No such file or directory"


def test_a_text_that_is_no_text_is_a_fault_of_its_model_only(tmp_path: Path) -> None:
    write_model(tmp_path, "good")
    (write_model(tmp_path, "bad") / "config.pbtxt").write_bytes(b"name: \xff\xfe")
    models = scan([tmp_path]).models
    assert models["good"].fault == ""
    assert models["bad"].fault.startswith(f"{tmp_path}/bad/config.pbtxt: not UTF-8 text")


def _change_config(folder: Path) -> None:
    (folder / "config.pbtxt").write_text("max_batch_size: 1")


def _touch_model(folder: Path) -> None:
    os.utime(folder / "1" / "model.onnx", ns=(1, 1))


def _add_version(folder: Path) -> None:
    (folder / "2").mkdir()


def _add_labels(folder: Path) -> None:
    (folder / "labels.txt").write_text("cat")


@pytest.mark.parametrize("change", [_change_config, _touch_model, _add_version, _add_labels])
def test_every_change_is_seen_and_none_is_imagined(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = write_model(tmp_path, "m")
    before: ModelFolder = scan_model(folder)
    assert scan_model(folder) == before
    change(folder)
    assert scan_model(folder) != before


def test_a_linked_version_is_seen_through_its_link(tmp_path: Path) -> None:
    source = write_model(tmp_path, "source", versions=("1",))
    variant = write_model(tmp_path / "variants", "source", versions=())
    (variant / "1").symlink_to(source / "1", target_is_directory=True)
    before = scan_model(variant)
    assert before.versions == (1,)
    os.utime(source / "1" / "model.onnx", ns=(1, 1))
    assert scan_model(variant) != before


@pytest.mark.triton("1.6")
@pytest.mark.parametrize(
    ("filename", "backend"),
    [
        ("model.onnx", "onnxruntime"),
        ("model.plan", "tensorrt"),
        ("model.pt", "pytorch"),
        ("model.pt2", "pytorch"),
        ("model.xml", "openvino"),
        ("model.savedmodel", "tensorflow"),
        ("model.graphdef", "tensorflow"),
        ("model.py", "python"),
    ],
)
@pytest.mark.parametrize("folder", [True, False])
def test_a_model_file_of_its_usual_name_is_found_be_it_a_file_or_a_folder(
    tmp_path: Path, filename: str, backend: str, *, folder: bool
) -> None:
    file = write_model(tmp_path, "m", config=None, file="" if folder else filename) / "1" / filename
    if folder:
        file.mkdir()
    config = recognise(ModelConfig(), "m", contents(file.parent))
    assert (config.backend, config.default_model_filename) == (backend, filename)
    assert missing_file(config, file.parent) == ""
    file.rename(file.with_name("other"))
    assert missing_file(config, file.parent).startswith(f"{file}: the model file is missing")


@pytest.mark.triton("2a.1", "2a.2")
@pytest.mark.parametrize(
    ("text", "name", "files", "backend"),
    [
        ('backend: "mine" platform: "onnxruntime_onnx"', "m", (), "mine"),
        ('platform: "onnxruntime_onnx"', "m", ("model.py",), "onnxruntime"),
        ('platform: "pytorch_libtorch"', "m", (), "pytorch"),
        ('default_model_filename: "model.onnx"', "m", ("model.plan",), "onnxruntime"),
        ("", "m", ("model.onnx", "model.py"), "onnxruntime"),
        ("", "m", ("model.plan", "model.onnx"), "tensorrt"),
        ("", "m", ("model.py",), "python"),
        ("", "m", ("model.xml", "model.bin"), "openvino"),
        ("", "simple.identity", (), "identity"),
        ('default_model_filename: "net.bin"', "a.mine", (), "mine"),
        ('platform: "mine"', "a.b.c", ("model.onnx",), "b.c"),
        ('platform: "ensemble"', "m", (), ""),
    ],
)
def test_a_backend_is_told_in_tritons_order(
    text: str, name: str, files: tuple[str, ...], backend: str
) -> None:
    assert recognise(convert.loads(text, "c"), name, files).backend == backend


@pytest.mark.triton("1.6", "2a.1")
@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        ("", "model.savedmodel", ("tensorflow", "tensorflow_savedmodel", "model.savedmodel")),
        ("", "model.graphdef", ("tensorflow", "tensorflow_graphdef", "model.graphdef")),
        ("", "model.plan", ("tensorrt", "tensorrt_plan", "model.plan")),
        ("", "model.onnx", ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        ("", "model.xml", ("openvino", "", "model.xml")),
        ("", "model.pt", ("pytorch", "pytorch_libtorch", "model.pt")),
        ("", "model.pt2", ("pytorch", "torch_aoti", "model.pt2")),
        ("", "model.py", ("python", "", "model.py")),
        ('backend: "pytorch"', "", ("pytorch", "pytorch_libtorch", "model.pt")),
        ('backend: "pytorch"', "model.pt2", ("pytorch", "pytorch_libtorch", "model.pt")),
        ('platform: "torch_aoti"', "", ("pytorch", "torch_aoti", "model.pt2")),
        ('platform: "libtorch"', "", ("pytorch", "libtorch", "model.pt")),
        ('backend: "tensorflow"', "", ("tensorflow", "tensorflow_savedmodel", "model.savedmodel")),
        (
            'backend: "onnxruntime" default_model_filename: "net.onnx"',
            "model.plan",
            ("onnxruntime", "onnxruntime_onnx", "net.onnx"),
        ),
    ],
)
def test_a_model_file_has_a_usual_name_and_its_backend_a_platform(
    text: str, file: str, expected: tuple[str, str, str]
) -> None:
    config = recognise(convert.loads(text, "c"), "m", (file, "model.bin"))
    assert (config.backend, config.platform, config.default_model_filename) == expected


@pytest.mark.triton("2a.2")
@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("", ("net.onnx",), 'Write backend: "onnxruntime" and default_model_filename: "net.onnx"'),
        ("", (), r"Expected model name of the form 'model\.<backend_name>'"),
        ('platform: "caffe2"', (), "unexpected platform type 'caffe2' for m; there are: libtorch"),
        (
            'default_model_filename: "net.pt"',
            (),
            'Write backend: "pytorch" and default_model_filename: "net.pt"',
        ),
    ],
)
def test_what_tells_nothing_is_refused_with_what_to_write(
    text: str, files: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(InvalidArgument, match=expected):
        recognise(convert.loads(text, "c"), "m", files)
