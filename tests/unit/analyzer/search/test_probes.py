"""What is measured first, before anything can be foretold."""

from __future__ import annotations

from analyzer.search import probes
from analyzer.search.features import Embedding
from analyzer.space import BACKEND, CONCURRENCY, PRECISION, Axis, Candidate, Dimension, Space

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
