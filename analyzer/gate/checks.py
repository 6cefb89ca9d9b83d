"""What is checked: the ``checks:`` of a YAML file, or what a profile chose.

Owns what a check may say and where it stands (``FILE:line``). Everything else of the file, such as
``model_repository``, ``client_protocol``, ``shapes`` and ``triton_server_flags``, means what it
means to ``analyze profile``.

::

    checks:
      - name: resnet50-8              # the model's name and its load, if not given
        model: resnet50
        config: perf/resnet50.pbtxt   # or variant: resnet50_config_4; else as the repository has it
        concurrency: 8                # or request_rate: 400, or request_intervals: FILE
        batch_size: 1
        block_seconds: 2
        metrics: [perf_throughput]    # with the usual gate each
        gates: ["perf_latency_p99:+10%", "perf_latency_p99<=15ms@rate=400"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analyzer import layout, results
from analyzer.config import document, load, values
from analyzer.config.document import Document
from analyzer.config.load import Resolved
from analyzer.config.schema import ProfileOptions
from analyzer.config.values import Way, near
from analyzer.errors import UsageError
from analyzer.gate import gates, proxy
from analyzer.gate.quantities import COUNTERS, quantity
from analyzer.gate.values import Gate, Kind
from analyzer.metrics import Direction
from analyzer.ranking.rank import recommended
from analyzer.record import journal as journals
from analyzer.record.row import LoadSpec, Row, RunHead

KEY = "checks"
KEYS = (
    "name", "model", "config", "variant", "concurrency", "request_rate", "request_intervals",
    "request_distribution", "batch_size", "block_seconds", "metrics", "gates",
)  # fmt: skip
#: of these a check has one at most
_LOADS = ("concurrency", "request_rate", "request_intervals")
_CONFIGS = ("config", "variant")
#: how much worse what is named without a gate may get
USUAL: Mapping[str, float] = {"perf_throughput": 0.05, "perf_latency": 0.10}
_MEMORY, _OTHER = 0.03, 0.10
#: the seconds of one block; and a precision that none reaches, so that it takes all of them
BLOCK_SECONDS = 2.0
_NEVER = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a check stands: a file, and a line in it (0: it is not in a YAML file)."""

    file: Path
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One model under one load, and how bad it may get.

    ``configs`` are config.pbtxt texts by model to serve it under, where not its repository's own;
    ``config_file`` is the file that one of them comes from. ``intervals`` is a file with the
    distances of requests. ``chosen`` has the configurations of what a profile chose, and
    ``chosen_name`` what that is called; both are empty where the check stands in a file.
    """

    name: str
    options: ProfileOptions
    load: LoadSpec
    gates: tuple[Gate, ...]
    place: Place
    configs: Mapping[str, str] = field(default_factory=dict)
    config_file: Path | None = None
    intervals: Path | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    chosen_name: str = ""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.options.model

    @property
    def promises(self) -> tuple[Gate, ...]:
        """Its gates at a request rate of their own."""
        return tuple(gate for gate in self.gates if gate.kind is Kind.SLO)

    @property
    def compared(self) -> tuple[Gate, ...]:
        """Its other gates, which blocks decide."""
        return tuple(gate for gate in self.gates if gate.kind is not Kind.SLO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says of the checks; ``flags`` are options of a profile by key.

    ``gates`` take the place of a check's own of the same metric; ``names`` and ``models`` leave
    only those checks.
    """

    file: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    concurrency: int | None = None
    request_rate: float | None = None
    block_seconds: float | None = None


def read(asked: Asked) -> tuple[Check, ...]:
    """Return the checks of a file; without any, what profiles chose of the models asked for.

    Raises:
        UsageError: every problem found, a line each.
    """
    resolved = load.resolve(asked.file, asked.flags, profiles=False)
    source = Document("", {}) if asked.file is None else document.read(asked.file)
    given = tuple(gates.parse(text) for text in asked.gates)
    if source.values.get(KEY) is None:
        return _of_profiles(resolved, asked, given)
    if asked.concurrency is not None or asked.request_rate is not None:
        raise UsageError(
            f"{asked.file}: its checks say their own load; leave out --concurrency, --request-rate"
        )
    found = _Reading(source, resolved, asked).checks()
    kept = [
        each
        for each in found
        if (not asked.names or each.name in asked.names)
        and (not asked.models or each.model in asked.models)
    ]
    if not kept:
        raise UsageError(
            f"{asked.file}: none of its checks is one of those asked for; there are: "
            f"{', '.join(each.name for each in found)}"
        )
    return tuple(replace(each, gates=overridden(each.gates, given)) for each in kept)


def usual(tag: str) -> Gate:
    """Return the usual gate of a metric or counter: what is named without one has it.

    Raises:
        UsageError: there is no such metric.
    """
    of = quantity(tag)
    share = next((one for start, one in USUAL.items() if of.tag.startswith(start)), _OTHER)
    if of.exact:
        share = proxy.TOLERANCE if of.tag in COUNTERS else _MEMORY
    return Gate(quantity=of, change=share if of.direction is Direction.LESS else -share)


def usual_gates(spec: LoadSpec) -> tuple[Gate, ...]:
    """Return the gates of a check that names none: throughput of a closed loop, and p99."""
    tags = ("perf_latency_p99",) if spec.is_open else ("perf_throughput", "perf_latency_p99")
    return tuple(map(usual, tags))


def overridden(own: Sequence[Gate], given: Sequence[Gate]) -> tuple[Gate, ...]:
    """Return gates with those of the command line in place of the same metric's own."""
    named = {(gate.quantity.tag, gate.kind) for gate in given}
    return (*(gate for gate in own if (gate.quantity.tag, gate.kind) not in named), *given)


def block_load(spec: LoadSpec, seconds: float) -> LoadSpec:
    """Make a load that is measured for so many seconds, whatever its intervals are by then."""
    return replace(
        spec, rule="precision", percentile=0, throughput_precision=_NEVER,
        latency_precision=_NEVER, min_seconds=seconds, max_seconds=seconds, bar=0.0, limit_ms=0.0,
    )  # fmt: skip


class _Reading:
    """Reads ``checks:``, and gathers what is wrong with it."""

    def __init__(self, source: Document, resolved: Resolved, asked: Asked) -> None:
        self._source = source
        self._resolved = resolved
        self._asked = asked
        self._problems: list[tuple[int, str]] = []

    def checks(self) -> tuple[Check, ...]:
        """Return them all.

        Raises:
            UsageError: every problem found, a line each.
        """
        given = self._source.values[KEY]
        if not isinstance(given, list) or not given:
            self._wrong((KEY,), f"expected a list of checks, found {given!r:.60}")
            given = []
        found: list[Check] = []
        for at, item in enumerate(given):
            try:
                one = self._check(item, (KEY, at))
            except UsageError as error:
                self._wrong((KEY, at), error.message)
                continue
            if one is not None and any(one.name == each.name for each in found):
                self._wrong((KEY, at), f"{one.name!r} stands twice; give each a name of its own")
            elif one is not None:
                found.append(one)
        if self._problems:
            raise UsageError("\n".join(text for _, text in sorted(self._problems)))
        return tuple(found)

    def _check(self, item: object, way: Way) -> Check | None:
        """Read one; None where it has mistakes.

        Raises:
            UsageError: what it asks for together cannot be.
        """
        if not isinstance(item, Mapping):
            self._wrong(
                way, f"expected what is checked, such as model: resnet50; found {item!r:.60}"
            )
            return None
        before = len(self._problems)
        for key in item:
            if key not in KEYS:
                hint = near(str(key), KEYS) or f"; there are: {', '.join(KEYS)}"
                self._wrong((*way, str(key)), f"no such part of a check{hint}")
        for group in (_LOADS, _CONFIGS):
            if len(both := [key for key in group if item.get(key) is not None]) > 1:
                self._wrong((*way, both[1]), f"{' and '.join(both)} exclude each other; keep one")
        if item.get("model") is None:
            self._wrong(way, "it names no model: model: NAME")
        options = load.options_for(self._resolved, str(item.get("model") or ""))
        parts = dict(self._parts(item, way))
        if len(self._problems) > before:
            return None
        return self._made(way, options, parts)

    def _parts(self, item: Mapping[str, Any], way: Way) -> Iterator[tuple[str, Any]]:
        """Yield the typed values of what is there."""
        for key, parse in _PARSES.items():
            if item.get(key) is None:
                continue
            try:
                yield key, parse(item[key])
            except UsageError as error:
                self._wrong((*way, key), f"{key}: {error.message}")
            except values.Wrong as error:
                for inner, what in error.found:
                    self._wrong((*way, key, *inner), f"{key}: {what}")
            except ValueError as error:
                self._wrong((*way, key), f"{key}: {error}")

    def _made(self, way: Way, options: ProfileOptions, parts: Mapping[str, Any]) -> Check | None:
        folder = Path(self._source.source).parent
        spec = layout.load(options)
        configs: Mapping[str, str] = {}
        config_file = None
        if "variant" in parts:
            row, _ = variant_row(options, parts["variant"])
            configs, spec = row.configs, row.load
        elif "config" in parts:
            config_file = folder / parts["config"]
            configs = {options.model: _config_text(config_file)}
        elif not any(key in parts for key in _LOADS):
            self._wrong(way, f"it says no load: one of {', '.join(_LOADS)}")
            return None
        spec = _loaded(spec, parts)
        intervals = parts.get("request_intervals")
        seconds = self._asked.block_seconds or parts.get("block_seconds", BLOCK_SECONDS)
        own = (*parts.get("gates", ()), *_of_metrics(parts))
        line = int(self._source.at(way).rpartition(":")[2])
        return Check(
            name=parts.get("name") or f"{options.model}@{words(spec, intervals)}",
            options=options,
            load=block_load(spec, seconds),
            gates=own or usual_gates(spec),
            place=Place(file=Path(self._source.source), line=line),
            configs=configs,
            config_file=config_file,
            intervals=None if intervals is None else folder / intervals,
        )

    def _wrong(self, way: Way, what: str) -> None:
        place = self._source.at(way)
        # A mistake of the file itself may name the place already.
        text = what if what.startswith(f"{self._source.source}:") else f"{place}: {what}"
        self._problems.append((int(place.rpartition(":")[2]), text))


def words(spec: LoadSpec, intervals: Path | None = None) -> str:
    """Say how much load a check has: ``8``, ``400/s``, or the file of a schedule."""
    if intervals is not None:
        return str(intervals)
    level = f"{spec.request_rate:g}/s" if spec.is_open else f"{spec.concurrency}"
    return f"{level}x{spec.batch_size}" if spec.batch_size > 1 else level


def variant_row(options: ProfileOptions, name: str) -> tuple[Row, RunHead]:
    """Return the row by which a variant of a profile's results stands; "" is what it chose.

    Raises:
        UsageError: there are no results, or the variant was not measured.
    """
    place = results.locate(options.export_path, options.model)
    contents = journals.read(place.journal)
    goal = results.read_goal(place)
    rows = [row for row in contents.rows if not name or row.variant == name]
    winner = recommended(contents.rows if not name else rows, goal)
    if winner is None:
        there = sorted({row.variant for row in contents.rows if row.failure is None})
        raise UsageError(
            f"{place.journal} has no measurement of {name or 'any configuration'} that succeeded; "
            f"there: {', '.join(there) or 'none'}"
        )
    if winner.best.of_models:
        raise UsageError(
            f"{options.model}: these models were profiled side by side; a check is of one model"
        )
    return winner.best, contents.head


def _of_profiles(resolved: Resolved, asked: Asked, given: Sequence[Gate]) -> tuple[Check, ...]:
    """Make a check of each model that is asked for."""
    models = asked.models or tuple(resolved.models)
    if not models:
        where = f"{asked.file} has no checks:" if asked.file else "nothing says what to check"
        raise UsageError(f"{where}: pass --model NAME of a profiled model, or a file with checks:")
    found = (_of_profile(load.options_for(resolved, each), asked, given) for each in models)
    kept = tuple(each for each in found if not asked.names or each.name in asked.names)
    if not kept:
        raise UsageError(f"no check is named {', '.join(asked.names)}")
    return kept


def _of_profile(options: ProfileOptions, asked: Asked, given: Sequence[Gate]) -> Check:
    """Check a model under a load that is given, or what its profile chose under the load it had."""
    seconds = asked.block_seconds or BLOCK_SECONDS
    stated = {"concurrency": asked.concurrency, "request_rate": asked.request_rate}
    parts = {name: value for name, value in stated.items() if value is not None}
    chosen: Mapping[str, str] = {}
    chosen_name = ""
    try:
        row, head = variant_row(options, "")
    except UsageError:
        if not parts:
            raise
        spec = layout.load(options)
    else:
        spec, chosen, chosen_name = row.load, row.configs, row.variant
        if not options.shapes and head.options.get("shapes"):
            options = replace(options, shapes=values.shapes(head.options["shapes"]))
        if not options.server_flags:
            options = replace(options, server_flags=tuple(head.options.get("server_flags", ())))
    spec = _loaded(spec, parts)
    repository = options.model_repository or (options.export_path / options.model / "chosen",)
    return Check(
        name=f"{options.model}@{words(spec)}",
        options=options,
        load=block_load(spec, seconds),
        gates=overridden(() if given else usual_gates(spec), given),
        place=Place(file=repository[0] / options.model / "config.pbtxt"),
        chosen=chosen,
        chosen_name=chosen_name,
    )


def _loaded(spec: LoadSpec, parts: Mapping[str, Any]) -> LoadSpec:
    """Put the load that is stated in place of the usual one."""
    if "concurrency" in parts:
        spec = replace(spec, concurrency=parts["concurrency"], request_rate=0.0)
    if "request_rate" in parts:
        spec = replace(spec, request_rate=parts["request_rate"])
    if "batch_size" in parts:
        spec = replace(spec, batch_size=parts["batch_size"])
    return replace(spec, distribution=parts.get("request_distribution", spec.distribution))


def _of_metrics(parts: Mapping[str, Any]) -> Iterator[Gate]:
    """Yield the usual gates of the metrics that have none of their own."""
    own = {gate.quantity.tag for gate in parts.get("gates", ())}
    yield from (gate for gate in parts.get("metrics", ()) if gate.quantity.tag not in own)


def _config_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error


def _gates(value: object) -> tuple[Gate, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise ValueError(f"expected gates such as perf_throughput:-5%, found {value!r:.60}")
    return _each(listed, gates.parse)


def _metrics(value: object) -> tuple[Gate, ...]:
    return _each(list(values.names(value)), usual)


def _each(listed: Sequence[object], parse: Any) -> tuple[Gate, ...]:  # noqa: ANN401 - a function of texts
    """Read every item, so that all that is wrong is said at once."""
    wrong: list[tuple[Way, str]] = []
    found: list[Gate] = []
    for at, item in enumerate(listed):
        try:
            found.append(parse(str(item)))
        except UsageError as error:
            wrong.append(((at,), error.message))
    if wrong:
        raise values.Wrong(wrong)
    return tuple(found)


_PARSES: Mapping[str, values.Parse] = {
    "name": values.text,
    "config": values.path,
    "variant": values.text,
    "concurrency": values.whole(),
    "request_rate": values.positive,
    "request_intervals": values.path,
    "request_distribution": values.one_of("constant", "poisson"),
    "batch_size": values.whole(),
    "block_seconds": values.number(0.2),
    "metrics": _metrics,
    "gates": _gates,
}
