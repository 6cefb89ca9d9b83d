"""Prometheus's text format: families of samples, written down. Pure.

Owns the form: help and type before a family's samples, escaping, numbers. Does not own which
families there are (``families``, ``machine``), nor the port they are read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf

CONTENT_TYPE = "text/plain; charset=utf-8"
Number = int | float


class Kind(Enum):
    """What a family's numbers are; the value is Prometheus's word."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number; ``suffix`` ends its name where a family has several (``_sum``, ``_count``)."""

    value: Number
    labels: Mapping[str, str]
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """The numbers that share a name and a meaning."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample] = ()


def render(families: Iterable[Family]) -> str:
    """Write the page; a family without samples is described all the same."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind.value}")
        lines.extend(
            f"{family.name}{sample.suffix}{_labels(sample.labels)} {number(sample.value)}"
            for sample in family.samples
        )
    return "\n".join(lines) + "\n" if lines else ""


def number(value: Number) -> str:
    """Write a number: whole ones plainly, others as the shortest text that reads the same."""
    if value != value:  # noqa: PLR0124 - NaN is the one number that is not itself
        return "NaN"
    if value in {inf, -inf}:
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
