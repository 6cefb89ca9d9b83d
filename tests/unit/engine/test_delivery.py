"""The way out of answers: classes, regions, and that whoever asked is told, whatever happens."""

from typing import Any

import numpy as np
import pytest
from support.fake_block import FakeBlock
from support.fake_registry import FakeModel

from engine.delivery import Delivery
from engine.errors import Cancelled, EngineError, Internal
from engine.memory.table import RegionTable
from engine.memory.use import Use
from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Span, Tensor
from engine.v2.call import Infer, Memory, SystemRegion

VALUES = np.array([[1, 3, 2]], np.float32)
IN_REGION = RequestedOutput("OUTPUT0", span=Span("r", 0, 12))
CLASSES = RequestedOutput("OUTPUT1", classification=1)


def answer(array: Any = VALUES, **more: Any) -> InferResponse:
    outputs = tuple(Tensor(f"OUTPUT{n}", DType.FP32, array) for n in range(2))
    return InferResponse(model="m", version="1", outputs=outputs, **more)


class Way:
    """A request's way out, and who waits at its end."""

    def __init__(self, *outputs: RequestedOutput, labels: tuple[bytes, ...] = ()) -> None:
        self.came: list[InferResponse | EngineError] = []
        self.table = RegionTable(self._open, self._open)
        self.table.register(SystemRegion("r", "k", 0, 12))
        use = Use(self.table)
        use.begin(Infer("m", "", InferRequest(inputs=(), outputs=outputs)))
        self.table.unregister(Memory.SYSTEM)
        model = FakeModel()
        model.labels = {"OUTPUT1": labels}
        self.delivery = Delivery(outputs, model, use, batched=True)
        self.last = self.delivery.last(self.came.append)
        self.each = self.delivery.each(self.came.append)

    def _open(self, region: Any) -> FakeBlock:
        self.block = FakeBlock(region)
        return self.block


def test_outputs_go_where_and_as_they_are_wanted() -> None:
    way = Way(IN_REGION, CLASSES, labels=(b"a", b"b"))
    way.each(answer())
    assert not way.block.closed
    way.last(answer(id="7", parameters={"p": 1}))
    assert way.block.closed
    for came in way.came:
        assert isinstance(came, InferResponse)
        assert came.elsewhere == {"OUTPUT0"}
        assert came.outputs[1].array.tolist() == [[b"3.000000:1:b"]]
    assert bytes(way.block.memory) == VALUES.tobytes()
    last = way.came[1]
    assert isinstance(last, InferResponse)
    assert (last.id, last.parameters) == ("7", {"p": 1})


def test_an_error_and_an_end_without_an_answer_pass_as_they_are() -> None:
    for end in (Cancelled("gone"), InferResponse(model="m", version="1", outputs=(), empty=True)):
        way = Way(IN_REGION)
        way.last(end)
        assert way.came == [end]
        assert way.block.closed


@pytest.mark.parametrize("broken", ["not an array", np.zeros((1, 4), np.float32)])
def test_whatever_goes_wrong_is_told_and_gives_the_regions_back(broken: Any) -> None:
    way = Way(IN_REGION, CLASSES)
    way.last(answer(broken))
    (told,) = way.came
    assert isinstance(told, Internal)
    assert way.block.closed
