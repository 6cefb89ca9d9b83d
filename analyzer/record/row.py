"""A row: one candidate, measured once. Written once, never changed.

Owns the row's form and its one-line JSON spelling, both ways. ``RunHead`` is the journal's
first line: what is true of every row below it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from analyzer.errors import JournalError
from analyzer.record import accuracy, estimates
from analyzer.record.accuracy import Accuracy
from analyzer.record.estimates import Estimates
from analyzer.space import Candidate

SCHEMA = 1
#: the share of its cores from which on a measurement among others is shaped by them
_SHORT = 0.8


class Phase(Enum):
    """What a measurement was taken for; ABREAST: to see whether several at a time disturb it."""

    SEARCH = "search"
    ABREAST = "abreast"
    CURVE = "curve"
    VERIFY = "verify"
    GOODPUT = "goodput"

    @property
    def ranks(self) -> bool:
        """Whether its measurements say which variant is best, and do not only prove it."""
        return self in {Phase.SEARCH, Phase.CURVE}

    @property
    def describes(self) -> bool:
        """Whether its measurements show what a variant is like, at a load that was chosen."""
        return self in {Phase.SEARCH, Phase.CURVE, Phase.VERIFY}


@dataclass(frozen=True, slots=True)
class Why:
    """Why a measurement is taken, in words, and what it is expected to show, by metric's tag."""

    text: str
    predicted: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A limit to search the highest request rate for: of a percentile of latency, in ms.

    ``seconds`` is about what the search may take.
    """

    percentile: int
    limit_ms: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to measure: a candidate, what for, and which repetition it is (from 0).

    ``why`` is the searcher's own word, and ``bar`` the load's (``LoadSpec``); with ``haste`` it is
    measured so many times shorter and less precisely; a ``fresh`` one takes a new server, even
    where one of its variant is up. Trials are equal whatever these say. With a
    ``promise`` it is the search for the highest rate that keeps it, beginning at the candidate's.
    ``beside`` is how many may be measured at the same time, itself among them, and ``pending`` how
    many of those asked for before it were not answered when it was.
    """

    candidate: Candidate
    phase: Phase = Phase.SEARCH
    repetition: int = 0
    beside: int = 1
    why: Why | None = field(default=None, compare=False)
    promise: Promise | None = field(default=None, compare=False)
    bar: float = field(default=0.0, compare=False)
    haste: float = field(default=1.0, compare=False)
    fresh: bool = field(default=False, compare=False)
    pending: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """How the load client loaded the server.

    With a ``request_rate`` (1/s) the loop is open: requests are sent when they are due, whoever
    has been answered, as ``distribution`` says ("constant", "poisson", or "gamma" with
    ``distribution_cv``), up to ``max_inflight`` at once (0: as many as files may be open); what is
    due beyond that is dropped and counted. Without one it is closed: ``concurrency`` requests are
    in flight at all times.

    ``rule`` says when to stop: "precision" (the intervals of throughput and of the latency's
    ``percentile``, 0 for the mean, are as narrow as ``throughput_precision`` and
    ``latency_precision``, shares of the value, or ``max_seconds`` are over), "windows"
    (perf_analyzer's: three windows that agree within ``tolerance``, at most ``max_windows``) or
    "count" (``request_count`` requests). ``senders`` 0: as many processes as it takes.

    ``bar`` is a throughput that it takes to be of interest, inferences a second (0: none): by the
    rule "precision", a measurement that is surely below it ends, with a remark.

    ``limit_ms`` above 0: this is no one load, but the search for the highest request rate at which
    that ``percentile`` of latency stays within it, for about ``max_seconds`` in all. The
    ``request_rate`` is that at which it begins; of a row, the one it found.
    """

    protocol: str = "http"
    concurrency: int = 1
    batch_size: int = 1
    window_seconds: float = 1.0
    max_windows: int = 10
    tolerance: float = 0.1
    warmup_requests: int = 0
    data: str = "random"
    request_rate: float = 0.0
    distribution: str = "constant"
    distribution_cv: float = 1.0
    max_inflight: int = 0
    request_count: int = 0
    rule: str = "windows"
    percentile: int = 99
    throughput_precision: float = 0.02
    latency_precision: float = 0.1
    min_seconds: float = 0.0
    max_seconds: float = 0.0
    bar: float = 0.0
    senders: int = 0
    seed: int = 0
    streaming: bool = False
    shared_memory: str = "none"
    output_shared_memory_size: int = 102400
    num_of_sequences: int = 4
    sequence_length: int = 20
    sequence_length_variation: float = 20.0
    sequence_id_range: str = ""
    serial_sequences: bool = False
    compression: str = "none"
    input_tensor_format: str = "binary"
    headers: tuple[tuple[str, str], ...] = ()
    limit_ms: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests come by themselves, at a rate, whoever has been answered."""
        return self.request_rate > 0

    @property
    def level(self) -> float:
        """How much load this is: requests a second of an open loop, in flight of a closed one."""
        return self.request_rate if self.is_open else float(self.concurrency)

    @property
    def same(self) -> tuple[int, bool, float]:
        """What equal loads have in common; it sorts by batch size, then by level."""
        return self.batch_size, self.is_open, self.level


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there are no metrics: where it happened (launch, accuracy, load), and the text."""

    stage: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trial and what came of it.

    ``metrics`` maps a tag to its value; one that was not measured is absent, never 0.
    ``window_rates`` are the throughputs of the windows behind ``perf_throughput``, in order.
    ``gpus`` maps a GPU's UUID to its own metrics. ``config`` is the complete config.pbtxt
    that was served, and ``settings`` what the report shows of it. ``composing`` are those of the
    models behind it, or of those profiled side by side, by name; ``of_models`` has what was
    measured of each of the latter besides its metrics, which are named ``MODEL::tag``. Of the
    ``seconds`` that all took, ``launch_seconds`` went by until the variant was up (0 where it was
    up already).

    ``absent`` says by tag why a metric is not there, ``remarks`` what besides the server shaped the
    numbers. ``server`` are the server's own counters (``metrics.ServerTimes``: cache, batch sizes,
    an ensemble's models), and ``series`` is what was seen over time (``measure.series`` has the
    form); both may be empty.

    ``accuracy`` is what came of comparing answers with the default's, where they may differ.

    ``estimates`` are of throughput and latencies, by tag and in its unit, with their intervals;
    ``histogram`` holds all latencies, ns (``statistics.histogram`` reads it).

    ``goodput`` is what a search for the highest rate came to (``load.goodput.Found.plain`` has the
    form); the metrics are then those of the run at that rate.

    ``gpu`` is the UUID of the only GPU that the server saw; "" where it saw all that it may use.
    ``cores`` are how many were kept for it beside others (0: it had the machine to itself), and
    ``cores_used`` how many server and load client kept busy (0.0: not known).
    """

    number: int
    taken_at: str
    seconds: float
    model: str
    variant: str
    digest: str
    trial: Trial
    load: LoadSpec
    stable: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    window_rates: tuple[float, ...] = ()
    requests: int = 0
    gpus: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    runtime: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    server: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=dict)
    histogram: str = ""
    goodput: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    launch_seconds: float = 0.0
    accuracy: Accuracy | None = None
    composing: Mapping[str, str] = field(default_factory=dict)
    of_models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gpu: str = ""
    cores: int = 0
    cores_used: float = 0.0

    @property
    def short_of_cores(self) -> bool:
        """Whether it may have been slower than by itself, for want of cores."""
        return self.cores_used > _SHORT * self.cores > 0

    @property
    def describes(self) -> bool:
        """Whether it shows what a variant is like, at a load that was chosen."""
        return self.trial.phase.describes and not self.short_of_cores

    @property
    def configs(self) -> Mapping[str, str]:
        """The config.pbtxt of every model that was served, by name; the profiled one's first."""
        own = {self.model: self.config} if self.config else {}
        return {**own, **self.composing}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What is true of every row of a journal.

    ``options`` are those that change what a measurement means; ``options_digest`` tells
    whether a journal may be resumed under the options given now. ``command`` holds the others
    that the run was begun with: where the model lies, what was searched, and how.
    """

    schema: int
    run: str
    model: str
    started_at: str
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    options_digest: str
    command: Mapping[str, Any] = field(default_factory=dict)


def head_to_line(head: RunHead) -> str:
    """Spell a journal's first line."""
    return json.dumps({"kind": "head", **{name: getattr(head, name) for name in _HEAD}})


def row_to_line(row: Row) -> str:
    """Spell a row as one line of JSON, without its line end."""
    plain = {name: getattr(row, name) for name in _ROW}
    plain["trial"] = {
        "candidate": dict(row.trial.candidate.items),
        "phase": row.trial.phase.value,
        "repetition": row.trial.repetition,
    }
    if row.trial.beside > 1:
        plain["trial"] |= {"beside": row.trial.beside, "pending": row.trial.pending}
    if (why := row.trial.why) is not None:
        plain["trial"]["why"] = {"text": why.text, "predicted": dict(why.predicted)}
    plain["load"] = {name: getattr(row.load, name) for name in LoadSpec.__slots__}
    plain["estimates"] = estimates.plain(row.estimates)
    if row.accuracy is not None:
        plain["accuracy"] = accuracy.plain(row.accuracy)
    if row.failure is not None:
        plain["failure"] = {"stage": row.failure.stage, "message": row.failure.message}
    return json.dumps({"kind": "row", **plain})


def line_to_head(line: str) -> RunHead:
    """Read a journal's first line.

    Raises:
        JournalError: it is not one, or it is of a schema this version does not know.
    """
    plain = _load(line, "head")
    if plain.get("schema") != SCHEMA:
        message = f"the journal has schema {plain.get('schema')!r}; this version reads {SCHEMA}"
        raise JournalError(message)
    try:
        _require(plain, _HEAD_KINDS)
        return RunHead(**plain)
    except TypeError as error:
        message = f"not a journal's first line: {error}"
        raise JournalError(message) from error


def line_to_row(line: str) -> Row:
    """Read a row.

    Raises:
        JournalError: the line is not a whole row.
    """
    plain = _load(line, "row")
    try:
        _require(plain, _ROW_KINDS)
        trial, load, failure = plain.pop("trial"), plain.pop("load"), plain.pop("failure")
        for name in ("window_rates", "remarks"):
            plain[name] = tuple(plain.get(name, ()))
        plain["estimates"] = estimates.read(plain.get("estimates", {}))
        if plain.get("accuracy") is not None:
            plain["accuracy"] = accuracy.read(plain["accuracy"])
        return Row(
            **plain,
            trial=Trial(
                candidate=Candidate.of(**trial["candidate"]),
                phase=Phase(trial["phase"]),
                repetition=trial["repetition"],
                beside=trial.get("beside", 1),
                pending=trial.get("pending", 0),
                why=Why(**trial["why"]) if "why" in trial else None,
            ),
            load=load_of(load),
            failure=None if failure is None else Failure(**failure),
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"not a whole row: {error!r}"
        raise JournalError(message) from error


_HEAD = tuple(RunHead.__slots__)
_ROW = tuple(name for name in Row.__slots__ if name not in {"trial", "load"})


_NUMBER = (int, float)
#: what JSON must hold for each field; of a mapping or a list in turn, what each element must be
_ROW_KINDS: Mapping[str, tuple[Any, ...]] = {
    "number": (int,), "taken_at": (str,), "seconds": (_NUMBER,), "model": (str,),
    "variant": (str,), "digest": (str,), "trial": (dict,), "load": (dict,), "stable": (bool,),
    "metrics": (dict, _NUMBER), "window_rates": (list, _NUMBER), "requests": (int,),
    "gpus": (dict, dict), "settings": (dict,), "config": (str,), "absent": (dict, str),
    "remarks": (list, str), "server": (dict,), "series": (dict,), "estimates": (dict, dict),
    "histogram": (str,), "goodput": (dict,), "launch_seconds": (_NUMBER,), "composing": (dict, str),
    "of_models": (dict, dict), "gpu": (str,),
    "cores": (int,), "cores_used": (_NUMBER,),
}  # fmt: skip
_HEAD_KINDS: Mapping[str, tuple[Any, ...]] = {
    "run": (str,), "model": (str,), "started_at": (str,), "versions": (dict, str),
    "machine": (dict,), "options": (dict,), "options_digest": (str,), "command": (dict,),
}  # fmt: skip


def _require(plain: Mapping[str, Any], kinds: Mapping[str, tuple[Any, ...]]) -> None:
    """Check the kinds of the fields that are there.

    Raises:
        TypeError: one has another.
    """
    for name in plain.keys() & kinds.keys():
        value, (kind, *inner) = plain[name], kinds[name]
        elements = value.values() if isinstance(value, dict) else value
        if not isinstance(value, kind) or (
            inner and not all(isinstance(each, inner[0]) for each in elements)
        ):
            message = f"{name} is {value!r:.60}"
            raise TypeError(message)


def load_of(plain: dict[str, Any]) -> LoadSpec:
    """Read a load as JSON has it."""
    headers = plain.pop("headers", ())
    return LoadSpec(**plain, headers=tuple((name, value) for name, value in headers))


def _parsed(line: str) -> object:
    """Read JSON, fast where it is only that; Python's reader knows infinity, and says where."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _load(line: str, kind: str) -> dict[str, Any]:
    try:
        plain = _parsed(line)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error}"
        raise JournalError(message) from error
    if not isinstance(plain, dict) or plain.pop("kind", None) != kind:
        message = f"not a {kind} line"
        raise JournalError(message)
    return plain
