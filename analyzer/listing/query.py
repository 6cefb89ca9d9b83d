"""Which records are listed, in which order, and what of them. Pure.

Owns the forms of ``--where``, ``--sort`` and ``--columns``. What is not known meets no condition
but ``!=``, and stands last in any order. Does not own which tables there are (``lists``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from analyzer.errors import UsageError
from analyzer.metrics import BY_TAG, Direction
from analyzer.report.flat import Column, Kind, Record, Value

_CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_EQUAL = frozenset({"=", "==", "!="})
_TRUTHS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a record's value has to be: a column's name, a sign, and what stands behind it."""

    name: str
    sign: str
    bound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to list: conditions that all have to hold, an order, so many, and which columns.

    ``order`` holds names with whether the greatest comes first; () leaves records as they are.
    ``columns`` None: those of the table. ``top`` None: all.
    """

    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    columns: tuple[str, ...] | None = None
    top: int | None = None


def parse(
    where: Sequence[str] = (),
    sort: Sequence[str] = (),
    columns: str | None = None,
    top: int | None = None,
) -> Query:
    """Read a query as the command line has it.

    Raises:
        UsageError: a condition or an order has no such form.
    """
    named = None
    if columns is not None:
        named = tuple(_own(name) for each in columns.split(",") if (name := each.strip()))
        if not named:
            raise UsageError("--columns: expected names apart by commas, such as variant,percent")
    return Query(
        conditions=tuple(map(_condition, where)),
        order=tuple(_order(one) for each in sort for one in each.split(",") if one.strip()),
        columns=named,
        top=top,
    )


def pick(found: Sequence[Record], shown: Sequence[Column], query: Query) -> tuple[Record, ...]:
    """Return the records that a query wants, in its order.

    Raises:
        UsageError: it names what is no column, or compares what cannot be compared.
    """
    by_name = {each.name: each for each in shown}
    tests = [_test(each, _column(each.name, by_name, "--where")) for each in query.conditions]
    kept = [record for record in found if all(test(record) for test in tests)]
    # Sorting is stable: what is named first decides last.
    for name, descending in reversed(query.order):
        _column(name, by_name, "--sort")
        known = [record for record in kept if record[name] is not None]
        unknown = [record for record in kept if record[name] is None]
        known.sort(key=lambda record: _key(record[name]), reverse=descending)
        kept = known + unknown
    return tuple(kept[: query.top])


def columns_of(names: Sequence[str], shown: Sequence[Column]) -> tuple[Column, ...]:
    """Return columns by their names.

    Raises:
        UsageError: there is none of a name.
    """
    by_name = {each.name: each for each in shown}
    return tuple(_column(name, by_name, "--columns") for name in names)


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise UsageError(
            f"--where: expected COLUMN, one of <= >= < > = !=, and a value, such as "
            f"'perf_latency_p99<=20'; found {text!r}"
        )
    return Condition(_own(match[1]), match[2], match[3])


def _order(text: str) -> tuple[str, bool]:
    name, way = text.strip(), ""
    if name.endswith((":asc", ":desc")):
        name, _, way = name.rpartition(":")
    elif ":" in name.replace("::", ""):
        raise UsageError(f"--sort: expected COLUMN, COLUMN:asc or COLUMN:desc; found {text!r}")
    name = _own(name)
    if not way:
        # What is better comes first; of what is no metric, what is less.
        more = name in BY_TAG and BY_TAG[name].direction is Direction.MORE
        return name, more or name == "percent"
    return name, way == "desc"


def _own(name: str) -> str:
    """Return a column's own name for an older one of a metric's."""
    return BY_TAG[name].tag if name in BY_TAG else name


def _column(name: str, by_name: Mapping[str, Column], place: str) -> Column:
    if name in by_name:
        return by_name[name]
    near = get_close_matches(name, list(by_name), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(by_name)}"
    raise UsageError(f"{place}: no column named {name!r}; {hint}")


def _test(condition: Condition, column: Column) -> Callable[[Record], bool]:
    bound, compare = _bound(condition, column), _SIGNS[condition.sign]

    def test(record: Record) -> bool:
        value = record[column.name]
        if value is None:
            return condition.sign == "!="
        if column.name == "variant" and isinstance(value, str) and value.endswith(f"_{bound}"):
            # Configurations are shown without their model's name, so they may be given so.
            value = bound
        return compare(value, bound)

    return test


def _bound(condition: Condition, column: Column) -> Value:
    """Read what a value is compared with, as the column has it."""
    place = f"--where: {condition.name}{condition.sign}{condition.bound}"
    if column.kind in {Kind.WHOLE, Kind.NUMBER}:
        try:
            return float(condition.bound)
        except ValueError:
            raise UsageError(f"{place}: expected a number behind the sign") from None
    if condition.sign not in _EQUAL:
        raise UsageError(f"{place}: {condition.name} is no number; compare it by = or !=")
    if column.kind is Kind.TEXT:
        return condition.bound
    if condition.bound.lower() not in _TRUTHS:
        raise UsageError(f"{place}: expected yes or no behind the sign")
    return _TRUTHS[condition.bound.lower()]


def _key(value: Value) -> tuple[float, str]:
    """Return what values of one column are ordered by."""
    return (0.0, value) if isinstance(value, str) else (float(value or 0), "")
