"""Prometheus's text format, as Prometheus's own parser reads it."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from engine.telemetry.exposition import Family, Kind, Sample, number, render

LABELS = st.dictionaries(
    st.from_regex(r"_?[a-z][a-z0-9_]{0,5}", fullmatch=True), st.text(), max_size=3
)
NUMBERS = st.integers(0, 2**63) | st.floats(allow_nan=False)


@given(st.lists(st.tuples(LABELS, NUMBERS), max_size=4), st.text())
def test_what_is_written_is_what_prometheus_reads(
    samples: list[tuple[dict[str, str], float]], text: str
) -> None:
    written = [Sample(value, labels) for labels, value in samples]
    (family,) = text_string_to_metric_families(
        render([Family("nv_x", Kind.GAUGE, text.strip("\r\n "), written)])
    )
    assert (family.name, family.type) == ("nv_x", "gauge")
    assert [(sample.labels, float(sample.value)) for sample in family.samples] == [
        (labels, float(value)) for labels, value in samples
    ]


def test_numbers_are_plain() -> None:
    written = [
        number(value) for value in (0, 5, 5.0, 0.25, 1e-7, 3e20, math.nan, math.inf, -math.inf)
    ]
    assert written == [
        "0", "5", "5", "0.25", "1e-07", "300000000000000000000", "NaN", "+Inf", "-Inf",
    ]  # fmt: skip


def test_each_family_is_described_once_before_its_series() -> None:
    page = render([
        Family("a", Kind.COUNTER, "what a\nis", (Sample(1, {}), Sample(2, {"x": "y"}, "_sum"))),
        Family("b", Kind.GAUGE, "b"),
    ])  # fmt: skip
    assert page == (
        '# HELP a what a\\nis\n# TYPE a counter\na 1\na_sum{x="y"} 2\n# HELP b b\n# TYPE b gauge\n'
    )
    assert not render([])
