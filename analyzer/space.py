"""What can be tried: dimensions and candidates. Pure.

A *setting* dimension changes the model's configuration (a new variant, so a reload); a *load*
dimension changes only what the client does. Values are ordered: neighbours in the list are
neighbours in the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product

Value = int | float | str | bool


class Axis(Enum):
    """What a dimension changes."""

    SETTING = "setting"
    LOAD = "load"


#: the names that dimensions may have; ``variant`` gives each its meaning
INSTANCE_COUNT = "instance_count"
MAX_BATCH_SIZE = "max_batch_size"
#: -1: no dynamic batching; 0 and up: dynamic batching with that queue delay, in microseconds
QUEUE_DELAY = "max_queue_delay_microseconds"
INTRA_OP_THREADS = "intra_op_thread_count"
CONCURRENCY = "concurrency"
#: requests a second, as many as come by themselves: the loop is open
REQUEST_RATE = "request_rate"
BATCH_SIZE = "batch_size"
#: of these a candidate has one at most: it says how much load there is
LEVELS = (REQUEST_RATE, CONCURRENCY)
#: all that says how a server is loaded, and not what it is
LOADS = frozenset({*LEVELS, BATCH_SIZE})
#: a dimension of another model than the profiled one is named ``MODEL::name``
SEPARATOR = "::"
#: by what the model is run: a backend's name, an execution accelerator's or "none", and FP32 ...
BACKEND = "backend"
ACCELERATOR = "accelerator"
PRECISION = "precision"
#: its values, from the most exact on
PRECISIONS = ("FP32", "BF16", "FP16", "INT8")


def split(name: str) -> tuple[str, str]:
    """Return whose a dimension is ("": the profiled model's), and its own name."""
    model, _, own = name.rpartition(SEPARATOR)
    return model, own


def joined(model: str, name: str) -> str:
    """Name a dimension of a model; "" is the profiled one."""
    return f"{model}{SEPARATOR}{name}" if model else name


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of a space: sorted pairs of a dimension's name and its value.

    The default configuration is the candidate that has load dimensions only.
    """

    items: tuple[tuple[str, Value], ...]

    @staticmethod
    def of(**values: Value) -> Candidate:
        """Make a candidate from names and values, in whatever order."""
        return Candidate(tuple(sorted(values.items())))

    def get(self, name: str) -> Value | None:
        """Return the value of a dimension, or None where the candidate leaves it alone."""
        return next((value for key, value in self.items if key == name), None)

    @property
    def level(self) -> tuple[str, float] | None:
        """How much load there is: the dimension that says so, and its value; None: none does."""
        for name in LEVELS:
            if (value := self.get(name)) is not None:
                return name, float(value)
        return None

    def replaced(self, **values: Value) -> Candidate:
        """Return this candidate with some values changed or added."""
        return Candidate.of(**{**dict(self.items), **values})

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.items) or "default"

    def by_model(self) -> Mapping[str, Candidate]:
        """Return what each model is given, by the model's name; "" is the profiled one."""
        found: dict[str, dict[str, Value]] = {}
        for name, value in self.items:
            model, own = split(name)
            found.setdefault(model, {})[own] = value
        return {model: Candidate.of(**values) for model, values in found.items()}

    @staticmethod
    def of_models(parts: Mapping[str, Candidate]) -> Candidate:
        """Put together what ``by_model`` took apart."""
        return Candidate.of(
            **{
                joined(model, name): value
                for model, part in parts.items()
                for name, value in part.items
            }
        )


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that can be varied, and the ordered values it may take (at least one)."""

    name: str
    values: tuple[Value, ...]
    axis: Axis = Axis.SETTING

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            message = f"dimension {self.name}: expected distinct values, at least one"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Space:
    """The product of its dimensions."""

    dimensions: tuple[Dimension, ...]

    def __iter__(self) -> Iterator[Candidate]:
        """Yield every candidate; the last dimension varies fastest."""
        names = [dimension.name for dimension in self.dimensions]
        for values in product(*(dimension.values for dimension in self.dimensions)):
            yield Candidate.of(**dict(zip(names, values, strict=True)))

    def __len__(self) -> int:
        size = 1
        for dimension in self.dimensions:
            size *= len(dimension.values)
        return size

    def __contains__(self, candidate: Candidate) -> bool:
        given = dict(candidate.items)
        return len(given) == len(self.dimensions) and all(
            dimension.name in given and given[dimension.name] in dimension.values
            for dimension in self.dimensions
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a search; None leaves a bound to the machine and the model.

    Explicit lists take the place of bounds. Delays are in microseconds, -1 for no dynamic
    batching. ``batch_size`` is the client's: no smaller ``max_batch_size`` can serve it.
    ``open_loop`` varies the request rate, in requests a second, in place of the concurrency; so
    does a list or a bound of rates. ``batch_sizes`` are several of the client's to try, of which
    ``batch_size`` is the least.
    """

    min_instance_count: int | None = None
    max_instance_count: int | None = None
    min_model_batch_size: int | None = None
    max_model_batch_size: int | None = None
    min_concurrency: int | None = None
    max_concurrency: int | None = None
    queue_delays_us: tuple[int, ...] | None = None
    intra_op_threads: tuple[int, ...] | None = None
    concurrencies: tuple[int, ...] | None = None
    request_rates: tuple[float, ...] | None = None
    min_request_rate: float | None = None
    max_request_rate: float | None = None
    open_loop: bool = False
    backends: tuple[str, ...] | None = None
    accelerators: tuple[str, ...] | None = None
    precisions: tuple[str, ...] | None = None
    batch_size: int = 1
    batch_sizes: tuple[int, ...] | None = None

    @property
    def varies_rates(self) -> bool:
        """Whether the load to vary is the request rate: something says so, or names one."""
        named = (self.request_rates, self.min_request_rate, self.max_request_rate)
        return self.open_loop or any(each is not None for each in named)
