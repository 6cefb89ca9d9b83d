"""Label files: what they say, and what is refused when a model loads."""

from pathlib import Path

import pytest

from engine.errors import EngineError, InvalidArgument, Unsupported
from engine.execution.labels import read_labels
from engine.modelconfig.schema import ModelConfig, ModelOutput
from engine.types import DType


def config(*files: str) -> ModelConfig:
    outputs = tuple(
        ModelOutput(name=f"y{n}", data_type=DType.FP32, dims=(3,), label_filename=file)
        for n, file in enumerate(files)
    )
    return ModelConfig(name="m", output=outputs)


@pytest.mark.triton("2e.1")
@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"cat\ndog\n", (b"cat", b"dog")),
        (b"cat\ndog", (b"cat", b"dog")),
        (b"cat\r\ndog\r\n", (b"cat", b"dog")),
        (b"\n\xff\n\n", (b"", b"\xff", b"")),
        (b"", ()),
    ],
)
def test_a_line_is_a_label(tmp_path: Path, text: bytes, labels: tuple[bytes, ...]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "labels.txt").write_bytes(text)
    assert read_labels(tmp_path, config("", "sub/labels.txt")) == {"y1": labels}


@pytest.mark.triton("2e.1")
@pytest.mark.parametrize(
    ("file", "kind", "text"),
    [
        ("../labels.txt", Unsupported, "is outside of the model's folder"),
        ("/etc/passwd", Unsupported, "is outside of the model's folder"),
        ("sub/../../labels.txt", Unsupported, "is outside of the model's folder"),
        ("none.txt", InvalidArgument, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_not_there_to_read_is_told(
    tmp_path: Path, file: str, kind: type[EngineError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        read_labels(tmp_path, config(file))
    assert f"model 'm': label_filename '{file}' of output 'y0' {text}" in caught.value.message
