import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analyzer.errors import LoadError, UsageError
from analyzer.load.inputs.source import Asked, Requests, prepare, workload
from analyzer.load.payload import Texts
from engine.modelconfig.schema import InputFormat, ModelConfig, ModelInput, SequenceBatching
from engine.types import DType, TensorSpec
from engine.v2.call import ModelDescription


def described(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()) -> ModelDescription:
    return ModelDescription("m", ("1",), "onnxruntime_onnx", inputs, outputs)


A = TensorSpec("A", DType.FP32, (-1, 2))
B = TensorSpec("B", DType.BYTES, (-1, 2))
SUM = TensorSpec("SUM", DType.FP32, (-1, 2))
MODEL = described(A, B, outputs=(SUM,))


def asked(*sources: Path | str, **more: Any) -> Asked:
    return Asked(sources=tuple(map(str, sources)), **more)


def arrays(found: Requests, place: int = 0) -> dict[str, Any]:
    return {each.name: each.array.tolist() for each in found.every[place].request.inputs}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "A").write_bytes(np.array([1, 2], "<f4").tobytes())
    (tmp_path / "B").write_text("first line\nsecond\n")
    (tmp_path / "SUM").write_bytes(np.array([3, 4], "<f4").tobytes())
    return tmp_path


def test_a_folder_has_a_file_for_each_input_and_may_have_the_answers(folder: Path) -> None:
    found = prepare(MODEL, None, asked(folder, batch_size=2))
    (item,) = workload(found, 2, "3").items
    assert (item.model, item.version, item.inferences) == ("m", "3", 2)
    assert item.requests == (found.every[0].request,)
    assert item.expected == (found.every[0].expected,)
    assert item.places == (str(folder),)
    assert arrays(found) == {"A": [[1, 2]] * 2, "B": [[b"first line", b"second"]] * 2}
    assert found.every[0].expected[0].array.tolist() == [[3, 4]] * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda at: (at / "B").unlink(), r"expected a file B \(BYTES \[2\]\); none there"),
        (lambda at: (at / "C").touch(), r"/C: m has no input or output of that name; it has A, B"),
        (lambda at: (at / "A").write_bytes(b"12345678901"), r"/A: expected FP32 \[2\], a multiple"),
        (lambda at: (at / "A").write_bytes(b"1234"), r"/A: expected 8 bytes for FP32 .* found 4"),
        (lambda at: (at / "B").write_text("one"), r"/B: expected 2 lines, one a string of BYTES"),
        (lambda at: (at / "sub").mkdir(), r"/sub: is a folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_with_the_file(
    folder: Path, change: Callable[[Path], object], text: str
) -> None:
    change(folder)
    with pytest.raises(UsageError, match=text):
        prepare(MODEL, None, asked(folder))


def test_arrays_hold_one_sample_or_many(tmp_path: Path) -> None:
    texts = np.array([["a", "b"], ["c", "d"]])
    np.savez(tmp_path / "many.npz", A=np.array([[1, 2], [3, 4]]), B=texts, SUM=np.ones((2, 2)))
    found = prepare(MODEL, None, asked(tmp_path / "many.npz"))
    assert arrays(found, 1) == {"A": [[3, 4]], "B": [[b"c", b"d"]]}
    assert found.every[1].request.inputs[0].array.dtype == np.float32
    assert [each.array.tolist() for each in found.every[1].expected] == [[[1, 1]]]
    np.save(tmp_path / "one.npy", np.array([5, 6], np.float64))
    assert arrays(prepare(described(A), None, asked(tmp_path / "one.npy"))) == {"A": [[5, 6]]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"A": np.ones((2, 2))}, r"expected an array 'B' \(BYTES \[2\]\); none there"),
        ({"A": np.ones((2, 2)), "B": np.array([["a", "b"]])}, r"as many samples .* A 2, B 1"),
        ({"A": np.ones((2, 3)), "B": np.array([["a", "b"]])}, r"A\[0\]: expected shape \[2\], the"),
        ({"A": np.ones((1, 2, 2))}, r"expected an array 'B'"),
        ({"A": np.array([["x", "y"]]), "B": np.array([["a", "b"]])}, r"expected values for FP32"),
        ({"Z": np.ones(2)}, r"'Z' is no input or output of m; it has A, B, SUM"),
    ],
)
def test_arrays_that_do_not_fit_are_told_by_name(
    tmp_path: Path, content: dict[str, Any], text: str
) -> None:
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(UsageError, match=text):
        prepare(MODEL, None, asked(tmp_path / "x.npz"))


def test_one_array_cannot_fill_two_inputs_and_a_text_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(2))
    with pytest.raises(UsageError, match=r"m needs A, B; give an \.npz"):
        prepare(MODEL, None, asked(tmp_path / "x.npy"))
    (tmp_path / "y.npz").write_text("no")
    with pytest.raises(UsageError, match=r"y\.npz: "):
        prepare(MODEL, None, asked(tmp_path / "y.npz"))


def image_model(dtype: DType, *dims: int, form: InputFormat = InputFormat.FORMAT_NONE) -> Any:
    config = ModelConfig(
        name="m",
        max_batch_size=8,
        input=(ModelInput(name="image", data_type=dtype, dims=dims, format=form),),
    )
    return described(TensorSpec("image", dtype, (-1, *dims))), config


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 6), (255, 0, 51)).save(tmp_path / "red.png")
    Image.new("RGB", (4, 4), (0, 255, 0)).save(tmp_path / "green.png")
    return tmp_path


@pytest.mark.parametrize(
    ("dtype", "dims", "form", "shape", "pixel"),
    [
        (DType.FP32, (3, 2, 5), InputFormat.FORMAT_NONE, (2, 3, 2, 5), [0, 1, 0]),
        (DType.UINT8, (2, 5, 3), InputFormat.FORMAT_NONE, (2, 2, 5, 3), [0, 255, 0]),
        (DType.UINT8, (3, 2, 3), InputFormat.FORMAT_NHWC, (2, 3, 2, 3), [0, 255, 0]),
    ],
)
def test_pictures_are_brought_to_the_size_and_layout_of_the_input(
    pictures: Path, dtype: DType, dims: Any, form: Any, shape: Any, pixel: Any
) -> None:
    model, config = image_model(dtype, *dims, form=form)
    found = prepare(model, config, asked(pictures, batch_size=2)).every[0].request.inputs[0].array
    assert found.shape == shape
    first = form is InputFormat.FORMAT_NONE and dims[0] == 3
    green = found[0][:, 0, 0] if first else found[0][0, 0]
    assert green.tolist() == pixel


def test_open_sizes_keep_the_pictures_own_and_bytes_take_the_file(pictures: Path) -> None:
    model, config = image_model(DType.UINT8, -1, -1, 3)
    found = prepare(model, config, asked(pictures))
    assert [each.request.inputs[0].array.shape for each in found.every] == [
        (1, 4, 4, 3),
        (1, 6, 8, 3),
    ]
    model, config = image_model(DType.BYTES, 1)
    found = prepare(model, config, asked(pictures / "red.png"))
    content = (pictures / "red.png").read_bytes()
    assert found.every[0].request.inputs[0].array.tolist() == [[content]]
    model, config = image_model(DType.FP32, 16)
    with pytest.raises(UsageError, match=r"image is FP32 \[16\]: no picture fits it"):
        prepare(model, config, asked(pictures))


def test_made_up_data_takes_shapes_and_strings(tmp_path: Path) -> None:
    texts = Texts(length=5)
    found = prepare(MODEL, None, asked("random", batch_size=3, texts=texts))
    assert found.made_up
    assert {len(each) for each in found.every[0].request.inputs[1].array.flat} == {5}
    found = prepare(MODEL, None, asked("zero", texts=Texts(content="hello")))
    assert arrays(found) == {"A": [[0, 0]], "B": [[b"hello"] * 2]}
    with pytest.raises(UsageError, match="random stands alone"):
        prepare(MODEL, None, asked("random", tmp_path))
    with pytest.raises(LoadError, match="does not fit"):
        prepare(MODEL, None, asked("random", shapes={"A": (3,)}))


def test_json_files_are_read_one_after_another_and_missing_ones_are_named(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        document = {"data": [{"A": [value, value], "B": ["x", "y"]}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    found = prepare(MODEL, None, asked(tmp_path / "a.json", tmp_path / "b.json"))
    assert [arrays(found, place)["A"] for place in (0, 1)] == [[[1, 1]], [[2, 2]]]
    assert found.every[1].place.endswith("b.json: data[0]")
    with pytest.raises(UsageError, match="no such file or folder; expected random, zero"):
        prepare(MODEL, None, asked(tmp_path / "c.json"))
    (tmp_path / "latin.json").write_bytes(b'{"data": "\xff"}')
    with pytest.raises(UsageError, match=r"latin\.json: not UTF-8"):
        prepare(MODEL, None, asked(tmp_path / "latin.json"))


def test_a_model_of_sequences_may_be_given_one_list_for_all() -> None:
    config = ModelConfig(
        name="m",
        max_batch_size=8,
        input=(ModelInput(name="A", data_type=DType.FP32, dims=(2,)),),
        sequence_batching=SequenceBatching(),
    )
    found = prepare(described(A), config, asked("zero"))
    (item,) = workload(found, 1).items
    assert item.sequences == ((found.every[0].request,),)
    assert not item.requests
