import json

import pytest

from analyzer.load.inputs.example import LENGTH, example
from analyzer.load.inputs.fields import Field, Takes
from analyzer.load.inputs.json_samples import read
from engine.types import DType


@pytest.mark.parametrize("sequences", [False, True])
def test_an_example_is_read_back_whatever_the_model_takes(sequences: bool) -> None:  # noqa: FBT001 - pytest's argument
    fields = tuple(
        Field(name=f"{dtype.value}{index}", dtype=dtype, dims=dims, batched=True)
        for dtype in DType
        for index, dims in enumerate([(2, 3), (-1, 2), (700,)])
    )
    model = Takes(model="m", inputs=fields, outputs=(), sequences=sequences)
    text = example(model, 2, seed=1)
    found = read(text, "x.json", model)
    assert [len(stream) for stream in found.streams] == ([LENGTH] * 2 if sequences else [2])
    first = found.streams[0][0].inputs
    for field in fields:
        assert first[field.name].dtype == field.dtype.numpy
        assert first[field.name].shape in {(2, 3), (1, 2), (700,)}
    assert text == example(model, 2, seed=1)
    assert json.loads(text)["data"]
