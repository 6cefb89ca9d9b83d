"""How one option's value is read, whether it came from YAML or from the command line. Pure.

Each function takes a plain value and returns the typed one, or raises ValueError with what
was expected. Lists take Model Analyzer's forms: ``1,2,4``, ``start:stop:step``, a YAML list,
``{start, stop, step}`` (stop included), or a single value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

Parse = Callable[[object], Any]


def text(value: object) -> str:
    """Take a word."""
    if isinstance(value, bool | Mapping | list) or value is None:
        raise ValueError(f"expected a word, found {value!r}")
    return str(value)


def number(minimum: float = 0.0) -> Parse:
    """Take a number of at least ``minimum``."""

    def parse(value: object) -> float:
        try:
            found = float(text(value))
        except ValueError:
            raise ValueError(f"expected a number, found {value!r}") from None
        if found < minimum:
            raise ValueError(f"expected at least {minimum:g}, found {value!r}")
        return found

    return parse


def milliseconds(minimum: float) -> Parse:
    """Take milliseconds, perf_analyzer's unit, and return seconds."""
    parse = number(minimum)
    return lambda value: parse(value) / 1000


def whole(minimum: int = 1) -> Parse:
    """Take a whole number of at least ``minimum``."""

    def parse(value: object) -> int:
        try:
            found = int(text(value))
        except ValueError:
            raise ValueError(f"expected a whole number, found {value!r}") from None
        if found < minimum:
            raise ValueError(f"expected at least {minimum}, found {found}")
        return found

    return parse


def wholes(minimum: int = 1) -> Parse:
    """Take a list of whole numbers, in any of the forms above, as an ascending tuple."""
    one = whole(minimum)

    def parse(value: object) -> tuple[int, ...]:
        if isinstance(value, str) and ":" in value:
            value = dict(zip(("start", "stop", "step"), value.split(":"), strict=False))
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if isinstance(value, Mapping):
            return _span(value, one)
        found = [one(item) for item in (value if isinstance(value, list | tuple) else [value])]
        if not found:
            raise ValueError("expected at least one whole number")
        return tuple(sorted(set(found)))

    return parse


def _span(value: Mapping[object, object], one: Parse) -> tuple[int, ...]:
    if unknown := set(value) - {"start", "stop", "step"}:
        raise ValueError(
            f"expected start, stop and step, found {', '.join(sorted(map(str, unknown)))}"
        )
    if "start" not in value or "stop" not in value:
        raise ValueError("expected both start and stop")
    start, stop, step = one(value["start"]), one(value["stop"]), whole()(value.get("step", 1))
    if stop < start:
        raise ValueError(f"expected stop to be at least start, found {start} to {stop}")
    return tuple(range(start, stop + 1, step))


def one_of(*words: str) -> Parse:
    """Take one of a closed set of words."""

    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}; found {value!r}")
        return str(value)

    return parse


def member(kind: type[Enum]) -> Parse:
    """Take the word of an enum's member."""
    words = one_of(*(str(item.value) for item in kind))
    return lambda value: kind(words(value))


def paths(value: object) -> tuple[Path, ...]:
    """Take one path, or a list of them."""
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(Path(text(item)) for item in items)


def path(value: object) -> Path:
    """Take one path."""
    return Path(text(value))


def names(value: object) -> tuple[str, ...]:
    """Take names, separated by commas or as a list."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError(f"expected a list of names, found {value!r}")
    return tuple(stripped for item in items if (stripped := text(item).strip()))


def single(minimum: int = 1) -> Parse:
    """Take a list that must, in this version, have one element."""
    many = wholes(minimum)

    def parse(value: object) -> int:
        found: tuple[int, ...] = many(value)
        if len(found) > 1:
            raise ValueError(f"this version profiles one value at a time, found {len(found)}")
        return found[0]

    return parse


def objectives(value: object) -> Mapping[str, float] | tuple[str, ...]:
    """Take a list of tags (equal weights), or tags with weights: ``tag``, ``tag:weight``."""
    if isinstance(value, Mapping):
        return {text(tag): number()(weight) for tag, weight in value.items()}
    tags = names(value)
    if any(":" in tag for tag in tags):
        pairs = (tag.partition(":") for tag in tags)
        return {tag: number()(weight or 1) for tag, _, weight in pairs}
    return tags


def constraints(value: object) -> Mapping[str, Mapping[str, float]]:
    """Take ``{tag: {min|max: number}}``, or texts such as ``perf_latency_p99<=50``."""
    if isinstance(value, Mapping):
        return {text(tag): _bounds(tag, bounds) for tag, bounds in value.items()}
    found: dict[str, dict[str, float]] = {}
    for item in value if isinstance(value, list | tuple) else [value]:
        tag, sign, bound = _comparison(text(item))
        found.setdefault(tag, {})["max" if sign == "<=" else "min"] = number(float("-inf"))(bound)
    return found


def sources(value: object) -> tuple[str, ...]:
    """Take what requests carry: random, zero, or paths, as a list or apart by commas."""
    found = names(value)
    if not found:
        raise ValueError("expected random, zero or a path")
    made_up = [each for each in found if each in {"random", "zero"}]
    if made_up and len(found) > 1:
        raise ValueError(f"{made_up[0]} stands alone; found {', '.join(found)}")
    return found


def precision(value: object) -> tuple[float, float | None]:
    """Take per cent for throughput, and for latency behind a comma; return shares."""
    parts = [part.strip().removesuffix("%").strip() for part in str(value).split(",")]
    try:
        shares = [number(0)(part) / 100 for part in parts]
    except ValueError:
        shares = []
    if not 1 <= len(shares) <= 2 or not all(0 < share < 1 for share in shares):  # noqa: PLR2004 - two figures
        raise ValueError(f"expected per cent, throughput[,latency], such as 2,10; found {value!r}")
    return shares[0], shares[1] if shares[1:] else None


def shapes(value: object) -> Mapping[str, tuple[int, ...]]:
    """Take texts such as ``pixels:3,224,224``, one for each input."""
    found: dict[str, tuple[int, ...]] = {}
    for item in value if isinstance(value, list | tuple) else [value]:
        # The last colon: names of inputs may hold some, as TensorFlow's do.
        name, _, sizes = text(item).rpartition(":")
        if not name:
            raise ValueError(f"expected NAME:D1,D2,..., found {item!r}")
        if name in found:
            raise ValueError(f"input {name!r} is given two shapes")
        try:
            found[name] = tuple(whole()(size) for size in sizes.split(","))
        except ValueError as error:
            raise ValueError(f"{item}: {error}") from None
    return found


def _comparison(comparison: str) -> tuple[str, str, str]:
    for sign in ("<=", ">="):
        tag, found, bound = comparison.partition(sign)
        if found:
            return tag.strip(), sign, bound.strip()
    raise ValueError(f"expected TAG<=NUMBER or TAG>=NUMBER, found {comparison!r}")


def _bounds(tag: str, bounds: object) -> Mapping[str, float]:
    if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"min", "max"}:
        raise ValueError(f"{tag}: expected min or max with a number, found {bounds!r}")
    return {str(end): number(float("-inf"))(bound) for end, bound in bounds.items()}
