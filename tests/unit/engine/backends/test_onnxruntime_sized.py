"""Batches of all sizes run in a few sessions, each of which sees one size; nobody notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from engine.backends.onnxruntime import graphs
from engine.backends.onnxruntime.sized import BySize, sizes_of
from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import DynamicBatching, ModelConfig
from engine.types import Array, Place

CONFIG = ModelConfig(name="m", max_batch_size=12)


class OneSize:
    """A session that doubles, and keeps what shapes it saw."""

    device = 0

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.bound: list[int] = []
        self.interrupted = False
        self.closed = False

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        self.seen.append(len(inputs["X"]))
        return dict.fromkeys(outputs, inputs["X"] * 2)

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        self.bound.append(len(inputs["X"]))
        return dict.fromkeys(places, inputs["X"] * 2)

    def interrupt(self, *, on: bool) -> None:
        self.interrupted = on

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "one"}

    def close(self) -> None:
        self.closed = True


class Maker:
    """Makes sessions, up to ``room`` of them in all."""

    def __init__(self, room: int = 100) -> None:
        self.made = [OneSize()]
        self.room = room

    def __call__(self) -> OneSize:
        if len(self.made) >= self.room:
            raise Internal("CUDA out of memory")
        self.made.append(OneSize())
        return self.made[-1]


def batch(rows: int) -> dict[str, Array]:
    return {"X": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)}


def test_sizes_are_powers_of_two_and_what_is_preferred_and_the_greatest() -> None:
    assert sizes_of(CONFIG) == (1, 2, 4, 8, 12)
    preferring = replace(CONFIG, dynamic_batching=DynamicBatching(preferred_batch_size=(6,)))
    assert sizes_of(preferring) == (1, 2, 4, 6, 8, 12)
    assert sizes_of(replace(CONFIG, max_batch_size=1)) == ()
    assert sizes_of(replace(CONFIG, parameters={"batch_sizes": "0"})) == ()
    assert sizes_of(replace(CONFIG, parameters={"batch_sizes": "8, 2"})) == (2, 8, 12)


@pytest.mark.parametrize("text", ["", "13", "1,0", "four", "-1"])
def test_sizes_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"'m'.*batch_sizes.*1 to max_batch_size \(12\)"):
        sizes_of(replace(CONFIG, parameters={"batch_sizes": text}))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_every_session_sees_one_size_and_every_row_is_answered(rows: list[int]) -> None:
    maker = Maker()
    runnable = BySize(maker.made[0], maker, sizes_of(CONFIG))
    for count in rows:
        given = batch(count)
        np.testing.assert_array_equal(runnable.run(given, ["Y"])["Y"], given["X"] * 2)
    assert all(len(set(session.seen)) == 1 for session in maker.made)
    assert sum(len(session.seen) for session in maker.made) == len(rows)
    runnable.close()
    assert all(session.closed for session in maker.made)


def test_sizes_without_a_session_run_in_what_there_is_where_memory_is_full() -> None:
    maker = Maker(room=2)
    runnable = BySize(maker.made[0], maker, sizes_of(CONFIG))
    for count in (1, 2, 7, 7):
        np.testing.assert_array_equal(runnable.run(batch(count), ["Y"])["Y"], batch(count)["X"] * 2)
    assert maker.made[0].seen == [1, 8, 8]
    assert maker.made[1].seen == [2]


def test_sessions_for_one_shape_alone_fail_where_memory_is_full() -> None:
    maker = Maker(room=1)
    runnable = BySize(maker.made[0], maker, sizes_of(CONFIG), fixed=True)
    runnable.run(batch(3), ["Y"])
    with pytest.raises(Internal, match="out of memory"):
        runnable.run(batch(8), ["Y"])
    runnable.run_bound(batch(4), {"Y": None})
    assert maker.made[0].seen == [4, 4]


def test_what_lies_on_a_gpu_is_not_filled_up() -> None:
    maker = Maker()
    runnable = BySize(maker.made[0], maker, sizes_of(CONFIG))
    runnable.run_bound(batch(3), {"Y": None})
    runnable.run_bound(batch(4), {"Y": None})
    runnable.run(batch(3), ["Y"])
    assert [session.bound for session in maker.made] == [[3], [4]]
    assert maker.made[1].seen == [4]


def test_interrupting_reaches_every_session_and_those_that_come() -> None:
    maker = Maker()
    runnable = BySize(maker.made[0], maker, sizes_of(CONFIG))
    runnable.run(batch(1), ["Y"])
    runnable.interrupt(on=True)
    runnable.run(batch(2), ["Y"])
    assert [session.interrupted for session in maker.made] == [True, True]
    runnable.interrupt(on=False)
    assert [session.interrupted for session in maker.made] == [False, False]
    assert runnable.describe()["batch_sizes"] == "1, 2, 4, 8, 12 (a session each)"


def test_a_recording_runs_again_with_what_is_put_in_its_place() -> None:
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("X", "Y")
    ]
    graph = helper.make_graph(
        [helper.make_node("Add", ["X", "X"], ["Y"])], "double", tensors[:1], tensors[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = {"Y": (np.dtype(np.float32), (3,))}
    recorded = graphs.Recorded(session, outputs, 0, memory="cpu")
    for factor in (1, 2, 3):
        array = batch(4)["X"] * factor
        (answer,) = recorded.run({"X": array}, ["Y"], ort.RunOptions())
        np.testing.assert_array_equal(answer, array * 2)


def test_graphs_are_asked_for_by_cudas_own_option() -> None:
    assert graphs.asked_for({"enable_cuda_graph": "1"})
    assert not graphs.asked_for({"enable_cuda_graph": "0"})
    assert not graphs.asked_for({})
