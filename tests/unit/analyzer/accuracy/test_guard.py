"""The guard: the default is asked once, alike variants once, over runs too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from support.single_rows import row

from analyzer.accuracy import kept
from analyzer.accuracy.distance import Answer
from analyzer.accuracy.guard import Guard, Terms
from analyzer.accuracy.samples import samples
from analyzer.errors import LaunchError
from analyzer.launcher import Endpoint
from analyzer.record.row import Row
from analyzer.space import Candidate
from analyzer.variant import make
from engine.modelconfig.schema import (
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    SequenceBatching,
)
from engine.types import DType, InferRequest, Tensor

BASE = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=4,
    default_model_filename="model.onnx",
    input=(ModelInput(name="x", data_type=DType.FP32, dims=(3,)),),
    output=(ModelOutput(name="y", data_type=DType.FP32, dims=(3,)),),
    instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=1),),
)
HERE = Endpoint(http="127.0.0.1:1")


@dataclass
class Server:
    """Answers what it is asked, off by ``error``; remembers how often."""

    error: float = 0.0
    asked: int = 0
    down: bool = False
    seen: list[InferRequest] = field(default_factory=list)

    def __call__(
        self, _: Endpoint, model: str, requests: Sequence[InferRequest]
    ) -> Sequence[Answer]:
        if self.down:
            raise LaunchError(f"{model}: no answer")
        self.asked += 1
        self.seen += requests
        made = []
        for request in requests:
            (x,) = request.inputs
            array = np.asarray(x.array) * 2 + self.error
            made.append({"y": Tensor("y", DType.FP32, array.astype(np.float32))})
        return made


def configs(**values: str | int) -> Mapping[str, ModelConfig]:
    return {"m": make(Candidate.of(**values), BASE)}


def guard(server: Server, place: Path, rows: Sequence[Row] = (), base: ModelConfig = BASE) -> Guard:
    terms = Terms(asked=("m",), place=place / "answers.npz", meaning="of the test")
    return Guard({"m": base}, terms, rows, server)


def test_what_only_counts_instances_and_batches_is_not_judged(tmp_path: Path) -> None:
    subject = guard(Server(), tmp_path)
    for counts in ({"instance_count": 2, "intra_op_thread_count": 2}, {"max_batch_size": 1}):
        assert not subject.judges(configs(**counts))
    for other in ({"backend": "openvino"}, {"precision": "INT8"}, {"accelerator": "openvino"}):
        assert subject.judges(configs(**other))


def test_a_variant_that_answers_alike_passes_and_its_kind_is_asked_once(tmp_path: Path) -> None:
    server = Server()
    subject = guard(server, tmp_path)
    subject.learn(HERE)
    server.error = 1e-4
    first = subject.check(HERE, configs(backend="openvino"))
    assert not first.fault
    assert first.worst == pytest.approx(1e-4 / 2, rel=0.2)
    assert (first.samples, first.precision, first.top1) == (8, "FP32", 1.0)
    assert first.spread is not None
    assert first.spread > 0.1
    again = subject.check(HERE, configs(backend="openvino", instance_count=2))
    assert again == first
    assert server.asked == 2
    assert len({request.inputs[0].array.tobytes() for request in server.seen[:8]}) == 8


def test_a_variant_that_answers_otherwise_is_out_by_its_own_precisions_tolerance(
    tmp_path: Path,
) -> None:
    server = Server()
    subject = guard(server, tmp_path)
    subject.learn(HERE)
    server.error = 0.03
    assert "output 'y' is off" in subject.check(HERE, configs(backend="openvino")).fault
    assert not subject.check(HERE, configs(backend="openvino", precision="BF16")).fault


def test_a_later_run_asks_neither_the_default_nor_what_was_compared(tmp_path: Path) -> None:
    server = Server()
    first = guard(server, tmp_path)
    first.learn(HERE)
    passed = first.check(HERE, configs(backend="openvino"))
    rows = [replace(row("0"), accuracy=passed)]
    later = guard(server, tmp_path, rows)
    assert not later.wants_default
    assert later.check(HERE, configs(backend="openvino")) == passed
    assert server.asked == 2
    other = replace(BASE, parameters={"team": "b"})
    assert guard(server, tmp_path, base=other).wants_default


def test_without_the_defaults_answers_nothing_is_compared_and_that_is_said(tmp_path: Path) -> None:
    subject = guard(Server(down=True), tmp_path)
    subject.learn(HERE)
    found = subject.check(HERE, configs(backend="openvino"))
    assert not found.fault
    assert "could not be had: m: no answer" in found.unchecked
    keeps = replace(BASE, sequence_batching=SequenceBatching())
    sequences = guard(Server(), tmp_path / "other", base=keeps)
    assert not sequences.wants_default
    assert "keeps sequences" in sequences.check(HERE, configs(backend="openvino")).unchecked


def test_a_variant_that_does_not_answer_is_no_variant(tmp_path: Path) -> None:
    server = Server()
    subject = guard(server, tmp_path)
    subject.learn(HERE)
    server.down = True
    with pytest.raises(LaunchError, match="no answer"):
        subject.check(HERE, configs(backend="openvino"))


def test_answers_of_every_type_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.npz"
    answers: list[Answer] = [
        {
            "a/b": Tensor("a/b", DType.FP32, np.array([[1.5, -2.0]], np.float32)),
            "s": Tensor("s", DType.BYTES, np.array([b"one", b"\x00two\x00"], np.object_)),
            "n": Tensor("n", DType.INT64, np.array(7)),
            "e": Tensor("e", DType.FP16, np.empty((0, 4), np.float16)),
        }
    ] * 2
    kept.write(path, "k", answers)
    found = kept.read(path, "k")
    assert found is not None
    for left, right in zip(answers, found, strict=True):
        assert list(left) == list(right)
        for name, tensor in left.items():
            assert right[name].dtype is tensor.dtype
            assert right[name].array.shape == tensor.array.shape
            assert right[name].array.tolist() == tensor.array.tolist()
    assert kept.read(path, "another") is None
    path.write_bytes(path.read_bytes()[:100])
    assert kept.read(path, "k") is None
    assert kept.read(tmp_path / "none.npz", "k") is None


def test_samples_are_the_runs_own_data(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.arange(9, dtype=np.float32).reshape(3, 3))
    found = samples(BASE, (str(file),), {}, 8)
    assert [request.inputs[0].array.tolist() for request in found] == [
        [[0.0, 1.0, 2.0]], [[3.0, 4.0, 5.0]], [[6.0, 7.0, 8.0]]
    ]  # fmt: skip
    made_up = samples(BASE, ("zero",), {}, 4)
    assert len({request.inputs[0].array.tobytes() for request in made_up}) == 4
    again = samples(BASE, ("random",), {}, 4)
    assert [one.inputs[0].array.tolist() for one in again] == [
        one.inputs[0].array.tolist() for one in made_up
    ]
