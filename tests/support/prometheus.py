"""A metrics page as Prometheus's own client reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(page: str) -> Values:
    """Read every series: its name as it is written, its labels, its value."""
    values: Values = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            # The parser names counters as a newer format wants them.
            key = (sample.name.removesuffix("_total"), frozenset(sample.labels.items()))
            assert key not in values, "a series is there once"
            values[key] = sample.value
    return values


def names(values: Values) -> set[str]:
    return {name for name, _ in values}


def of(values: Values, name: str, **labels: str) -> float:
    """Give the number of a series of exactly these labels."""
    return values[name, frozenset(labels.items())]
