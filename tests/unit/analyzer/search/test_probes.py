"""What is measured first, before anything can be foretold."""

from __future__ import annotations

import math

from analyzer.record.outcome import Outcome
from analyzer.search import probes
from analyzer.search.features import Embedding
from analyzer.space import (
    BACKEND,
    CONCURRENCY,
    MAX_BATCH_SIZE,
    PRECISION,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.strategy import Problem, find

SPACE = Space((
    Dimension(BACKEND, ("onnxruntime", "openvino")),
    Dimension(PRECISION, ("FP32", "BF16", "INT8")),
    Dimension(CONCURRENCY, (1, 8), Axis.LOAD),
))  # fmt: skip


def test_of_the_categories_those_in_fewer_bits_come_first_and_of_them_the_nearest() -> None:
    best = Candidate.of(backend="onnxruntime", precision="FP32", concurrency=8)
    asked = list(probes.categories(Embedding(SPACE), best))
    assert [(each.get(BACKEND), each.get(PRECISION)) for each in asked] == [
        ("onnxruntime", "INT8"),
        ("openvino", "INT8"),
        ("onnxruntime", "BF16"),
        ("openvino", "BF16"),
        ("openvino", "FP32"),
    ]
    assert {each.get(CONCURRENCY) for each in asked} == {8}


def test_a_slow_server_is_not_asked_to_hold_more_than_can_be_waited_for() -> None:
    loads = Space((
        Dimension(MAX_BATCH_SIZE, (1, 8, 32)),
        Dimension(CONCURRENCY, tuple(2**power for power in range(10)), Axis.LOAD),
    ))  # fmt: skip
    embedding = Embedding(loads)

    def asked(rate: float | None) -> float:
        return probes.wide(loads, embedding, 2, probes.bearable(rate, 2)).get(CONCURRENCY)

    assert probes.bearable(None, 2) == math.inf
    assert asked(None) == asked(1000.0) > 32
    assert asked(20.0) == 32
    # However slow: with less than this nothing of batches can be seen.
    assert asked(0.1) == 16


def test_larger_batches_are_probed_by_what_computes_fastest_so_far() -> None:
    space = Space((
        *SPACE.dimensions[:2],
        Dimension(MAX_BATCH_SIZE, (1, 8, 32)),
        Dimension(CONCURRENCY, (1, 8, 64), Axis.LOAD),
    ))  # fmt: skip
    strategy = find("auto")(Problem(space=space, cores=2))
    asked: dict[str, Candidate] = {}
    for _ in range(10):
        candidate, why = strategy.ask(), strategy.why()
        assert candidate is not None
        assert why is not None
        asked[why.text] = candidate
        fast = candidate.get(BACKEND) == "openvino" and candidate.get(PRECISION) == "BF16"
        strategy.tell(Outcome(candidate, 100.0 if fast else 10.0))
    (wide,) = (each for text, each in asked.items() if "larger batches" in text)
    assert (wide.get(BACKEND), wide.get(PRECISION)) == ("openvino", "BF16")
    assert wide.get(MAX_BATCH_SIZE) == 32
