"""How the values of perf_analyzer's flags are read, one by one. Pure.

Each takes the text of one flag and returns the typed value, or raises ValueError with what was
expected. What is common to all commands is in ``config.values``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from analyzer.config.values import number, whole
from analyzer.perf.options import Promise, Range

Parse = Callable[[Any], Any]

_PROMISE = re.compile(r"\s*p(\d+(?:\.\d+)?)\s*<=?\s*(\d+(?:\.\d+)?)\s*(us|ms|s|)\s*")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "": 1.0, "s": 1e3}
_DISTRIBUTIONS = ("constant", "poisson", "gamma")
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def levels(*, whole_numbers: bool) -> Parse:
    """Take START[:END[:STEP]]; without an end there is one level.

    An end of 0 is none: on until the latency threshold is reached.
    """
    form = "START[:END[:STEP]]"

    def parse(value: str) -> Range:
        parts = value.split(":")
        if len(parts) > 3:  # noqa: PLR2004 - start, end, step
            raise ValueError(f"expected {form}, found {value!r}")
        one = whole(0) if whole_numbers else number(0)
        try:
            start, *rest = [one(part) for part in parts]
        except ValueError:
            kind = "whole numbers" if whole_numbers else "numbers"
            raise ValueError(f"expected {form} in {kind}, found {value!r}") from None
        if start <= 0:
            raise ValueError(f"expected a start above 0, found {value!r}")
        end = rest[0] if rest else start
        step = rest[1] if rest[1:] else 1
        if step <= 0:
            raise ValueError(f"expected a step above 0, found {value!r}")
        return Range(start=start, end=end, step=step)

    return parse


def staircase(value: str) -> Range:
    """Take the START:END[:STEP] of periodic concurrency, where steps lead from one to the other."""
    if value.count(":") == 0:
        raise ValueError(f"expected START:END[:STEP], found {value!r}")
    found: Range = levels(whole_numbers=True)(value)
    if found.end < found.start or (found.end - found.start) % found.step:
        raise ValueError(
            f"expected an END that STEPs lead to from START, found {value!r}: "
            f"{found.end:g} - {found.start:g} is no multiple of {found.step:g}"
        )
    return found


def percentile(value: str) -> int | None:
    """Take 1 to 99, or -1 for the average."""
    try:
        found = int(value)
    except ValueError:
        raise ValueError(f"expected a whole number, found {value!r}") from None
    if found == -1:
        return None
    if not 1 <= found <= 99:  # noqa: PLR2004 - perf_analyzer's bounds
        raise ValueError(f"expected 1 to 99, or -1 for the average; found {found}")
    return found


def promise(value: str) -> Promise:
    """Take ``p99<=10ms``."""
    match = _PROMISE.fullmatch(value)
    if match is None:
        raise ValueError(f"expected a percentile and a time, such as p99<=10ms; found {value!r}")
    limit = float(match[2]) * _MILLISECONDS[match[3]]
    if not 0 < float(match[1]) < 100 or limit <= 0:  # noqa: PLR2004 - percent
        raise ValueError(f"expected a percentile below 100 and a time above 0; found {value!r}")
    return Promise(percentile=float(match[1]), limit_ms=limit)


def distribution(value: str) -> tuple[str, float]:
    """Take ``constant``, ``poisson`` or ``gamma:CV``; return it with its CV."""
    name, _, cv = value.partition(":")
    if name not in _DISTRIBUTIONS or (cv and name != "gamma") or (name == "gamma" and not cv):
        raise ValueError(f"expected constant, poisson or gamma:CV; found {value!r}")
    found = number(0)(cv or "1")
    if not found:
        raise ValueError(f"expected a coefficient of variation above 0; found {value!r}")
    return name, found


def identifiers(value: str) -> tuple[int, int | None]:
    """Take START[:END] of sequence ids, END not included; 0 is no id, so 1 is taken for it."""
    parts = value.split(":")
    if len(parts) > 2:  # noqa: PLR2004 - start and end
        raise ValueError(f"expected START[:END], found {value!r}")
    start, *rest = [whole(0)(part) for part in parts]
    if rest and rest[0] <= start:
        raise ValueError(f"expected an END above START, found {value!r}")
    return max(1, start), rest[0] if rest else None


def models(value: str) -> tuple[tuple[str, str], ...]:
    """Take NAME[:VERSION],...; "" is no version."""
    pairs = [part.strip().partition(":") for part in value.split(",")]
    if not all(name for name, _, _ in pairs):
        raise ValueError(f"expected NAME[:VERSION],..., found {value!r}")
    return tuple((name, version) for name, _, version in pairs)


def headers(value: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Take NAME:VALUE, each."""
    pairs = [each.partition(":") for each in value]
    for name, colon, _ in pairs:
        if not name.strip() or not colon:
            raise ValueError(f"expected NAME:VALUE, found {name + colon!r}")
    return tuple((name.strip(), rest.strip()) for name, _, rest in pairs)


def parameters(value: Sequence[str]) -> dict[str, bool | int | str]:
    """Take NAME:VALUE:TYPE, each; the types are bool, int and string."""
    found: dict[str, bool | int | str] = {}
    for each in value:
        parts = each.split(":")
        if len(parts) != 3 or not parts[0]:  # noqa: PLR2004 - name, value, type
            raise ValueError(f"expected NAME:VALUE:TYPE, found {each!r}")
        name, text, kind = parts
        match kind.lower():
            case "int" if re.fullmatch(r"-?\d+", text):
                found[name] = int(text)
            case "bool" if text.lower() in _TRUE | _FALSE:
                found[name] = text.lower() in _TRUE
            case "string":
                found[name] = text
            case _:
                raise ValueError(
                    f"expected NAME:VALUE:TYPE with TYPE bool, int or string, found {each!r}"
                )
    return found


def seconds(value: str) -> tuple[float, ...]:
    """Take times from the start, apart by commas."""
    found = tuple(number(0)(part) for part in value.split(","))
    if list(found) != sorted(found):
        raise ValueError(f"expected times in order, found {value!r}")
    return found
