"""How one option's value is read, whether it came from YAML or from the command line. Pure.

Each function takes a plain value and returns the typed one, or raises ValueError with what
was expected; ``Wrong`` where several parts are, each with the way to it. Lists take Model
Analyzer's forms: ``1,2,4``, ``start:stop:step``, a YAML list, ``{start, stop, step}`` (stop
included), or a single value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any

from analyzer.metrics import BY_TAG
from analyzer.space import PRECISIONS

Parse = Callable[[object], Any]
#: the way to a part of a value: keys and positions
Way = tuple[str | int, ...]

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
#: metrics that Model Analyzer has of language models alone
_LANGUAGE = ("output_token_throughput", "inter_token_latency_", "time_to_first_token_")


class Wrong(ValueError):
    """Parts of a value that cannot be, each with the way to it."""

    def __init__(self, found: Sequence[tuple[Way, str]]) -> None:
        said = (": ".join(filter(None, (".".join(map(str, way)), what))) for way, what in found)
        super().__init__("; ".join(said))
        self.found = tuple(found)


class Parts:
    """Reads the parts of one value, so that all that is wrong with them is said at once."""

    def __init__(self) -> None:
        self.wrong: list[tuple[Way, str]] = []

    def read(self, key: str | int, parse: Parse, value: object) -> Any:  # noqa: ANN401 - of any type
        """Read the part under ``key``; None where it is wrong."""
        try:
            return parse(value)
        except Wrong as error:
            self.wrong += [((key, *way), what) for way, what in error.found]
        except ValueError as error:
            self.wrong.append(((key,), str(error)))
        return None

    def check(self) -> None:
        """Raise Wrong if a part was."""
        if self.wrong:
            raise Wrong(self.wrong)


def switch(value: object) -> bool:
    """Take true or false."""
    word = str(value).strip().lower()
    if isinstance(value, bool | int | str) and word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError(f"expected true or false, found {value!r}")


def near(word: str, known: Sequence[str]) -> str:
    """Say what an unknown word may have meant; "" where nothing is like it."""
    found = get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


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


def percent(value: object) -> float:
    """Take per cent, and return a share."""
    found: float = number()(value)
    return found / 100


def share(value: object) -> float:
    """Take per cent, with or without the sign, and return a share above 0 and below 1."""
    found = percent(str(value).strip().removesuffix("%").strip())
    if not 0 < found < 1:
        raise ValueError(f"expected more than 0 and less than 100 per cent, found {value!r}")
    return found


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
    return _list_of(whole(minimum), "whole number")


def _list_of(one: Parse, what: str) -> Parse:
    def parse(value: object) -> tuple[Any, ...]:
        if isinstance(value, str) and ":" in value:
            value = dict(zip(("start", "stop", "step"), value.split(":"), strict=False))
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if isinstance(value, Mapping):
            return _span(value, one)
        found = [one(item) for item in (value if isinstance(value, list | tuple) else [value])]
        if not found:
            raise ValueError(f"expected at least one {what}")
        return tuple(sorted(set(found)))

    return parse


def _span(value: Mapping[object, object], one: Parse) -> tuple[Any, ...]:
    if unknown := set(value) - {"start", "stop", "step"}:
        raise ValueError(
            f"expected start, stop and step, found {', '.join(sorted(map(str, unknown)))}"
        )
    if "start" not in value or "stop" not in value:
        raise ValueError("expected both start and stop")
    start, stop = one(value["start"]), one(value["stop"])
    step = one(value.get("step", 1))
    if stop < start:
        raise ValueError(f"expected stop to be at least start, found {start} to {stop}")
    if step <= 0:
        raise ValueError(f"expected a step above 0, found {step}")
    # A little over, so that a stop with a fraction is reached.
    return tuple(start + step * at for at in range(int((stop - start) / step + 1e-9) + 1))


def one_of(*words: str) -> Parse:
    """Take one of a closed set of words."""

    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}; found {value!r}")
        return str(value)

    return parse


def some_of(*words: str) -> Parse:
    """Take some of a closed set of words, in whatever case; the order is kept."""

    def parse(value: object) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(each.upper() for each in names(value)))
        wrong = [each for each in found if each not in words]
        if wrong or not found:
            raise ValueError(f"expected some of {', '.join(words)}; found {value!r}")
        return found

    return parse


def tolerances(value: object) -> Mapping[str, float]:
    """Take a share for all precisions ("": all), or shares by precision: ``BF16:0.05,INT8:0.1``."""
    share = number()
    if isinstance(value, Mapping):
        given = {str(name): each for name, each in value.items()}
    elif isinstance(value, str) and ":" in value:
        given = {name: each for name, _, each in (one.partition(":") for one in names(value))}
    else:
        return {"": share(value)}
    parts = Parts()
    named = one_of(*PRECISIONS)
    found = {
        parts.read(name, named, name.strip().upper()): parts.read(name, share, each)
        for name, each in given.items()
    }
    parts.check()
    return found


def tolerance_texts(found: Mapping[str, float]) -> Mapping[str, float] | float:
    """Spell tolerances as a file has them."""
    return found[""] if "" in found else dict(found)


def member(kind: type[Enum]) -> Parse:
    """Take the word of an enum's member."""
    words = one_of(*(str(item.value) for item in kind))
    return lambda value: kind(words(value))


def positive(value: object) -> float:
    """Take a number above 0."""
    found: float = number()(value)
    if not found:
        raise ValueError(f"expected more than 0, found {value!r}")
    return found


def within(least: float, most: float) -> Parse:
    """Take a number between two, both included."""
    parse = number(least)

    def both(value: object) -> float:
        found: float = parse(value)
        if found > most:
            raise ValueError(f"expected at most {most:g}, found {value!r}")
        return found

    return both


def rates(value: object) -> tuple[float, ...]:
    """Take numbers above 0 in the forms of a list, as an ascending tuple."""
    found: tuple[float, ...] = _list_of(positive, "number")(value)
    return found


def pairs(value: object) -> Mapping[str, str]:
    """Take names with a text each: variables of an environment, labels."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected names and values, found {value!r}")
    parts = Parts()
    found = {str(name): parts.read(str(name), _word, each) for name, each in value.items()}
    parts.check()
    return found


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else text(value)


def mapping(value: object) -> Mapping[str, Any]:
    """Take names and values of whatever kind."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected names and values, found {value!r}")
    return {str(name): each for name, each in value.items()}


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


def tag(name: object) -> str:
    """Take the name of a metric, Model Analyzer's older ones too, and return its tag."""
    if isinstance(name, str) and name in BY_TAG:
        return BY_TAG[name].tag
    if str(name).startswith(_LANGUAGE):
        raise ValueError(f"{name} is measured of language models, which are not profiled here yet")
    raise ValueError(f"no metric named {name!r}{near(str(name), list(BY_TAG)) or _metrics()}")


def _metrics() -> str:
    return f"; there are: {', '.join(BY_TAG)}"


def objectives(value: object) -> Mapping[str, float] | tuple[str, ...]:
    """Take a list of tags (equal weights), or tags with weights: ``tag``, ``tag:weight``."""
    parts = Parts()
    if isinstance(value, Mapping):
        weights = {name: parts.read(str(name), _weight, weight) for name, weight in value.items()}
        tags = {parts.read(str(name), tag, name): weight for name, weight in weights.items()}
        parts.check()
        return tags
    listed = names(value)
    read = [(each, *each.partition(":")) for each in listed]
    weighed = {
        parts.read(at, tag, name): parts.read(at, _weight, weight or 1)
        for at, (_, name, _, weight) in enumerate(read)
    }
    parts.check()
    return weighed if any(":" in each for each in listed) else tuple(weighed)


def _weight(value: object) -> float:
    found: float = number()(value)
    if not found:
        raise ValueError("expected a weight above 0, found 0")
    return found


def constraints(value: object) -> Mapping[str, Mapping[str, float]]:
    """Take ``{tag: {min|max: number}}``, or texts such as ``perf_latency_p99<=50``."""
    parts = Parts()
    found: dict[str, dict[str, float]] = {}
    if isinstance(value, Mapping):
        for name, bounds in value.items():
            key = parts.read(str(name), tag, name)
            found[key] = parts.read(str(name), _bounds, bounds)
    else:
        for at, item in enumerate(value if isinstance(value, list | tuple) else [value]):
            name, sign, bound = parts.read(at, _comparison, item) or ("perf_throughput", "", 0)
            end, key = ("max" if sign == "<=" else "min"), parts.read(at, tag, name)
            found.setdefault(key, {})[end] = parts.read(at, _ANY_NUMBER, bound)
    parts.check()
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


def shape_texts(found: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Spell shapes as a file has them."""
    return [f"{name}:{','.join(map(str, sizes))}" for name, sizes in found.items()]


def _comparison(value: object) -> tuple[str, str, str]:
    comparison = text(value)
    for sign in ("<=", ">="):
        name, found, bound = comparison.partition(sign)
        if found:
            return name.strip(), sign, bound.strip()
    raise ValueError(f"expected TAG<=NUMBER or TAG>=NUMBER, found {comparison!r}")


def _bounds(bounds: object) -> Mapping[str, float]:
    if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"min", "max"}:
        raise ValueError(f"expected min or max with a number, found {bounds!r}")
    parts = Parts()
    found = {str(end): parts.read(end, _ANY_NUMBER, bound) for end, bound in bounds.items()}
    parts.check()
    if found.get("min", 0) > found.get("max", float("inf")):
        raise ValueError(f"min {found['min']:g} is above max {found['max']:g}")
    return found


_ANY_NUMBER = number(float("-inf"))
