"""Model Analyzer's checkpoints, read as rows: what it measured can be reported on here. Pure.

Owns their form. They are JSON: for each model, or models side by side joined by commas, its
variants; of each the configurations that were served and, by perf_analyzer's command line, what
was measured. Does not own files or reports.

What it keeps and we do not take over is said in the row: the GPU's free memory, which is the total
where perf_analyzer read it. What is not there (intervals, windows, numbers of requests) stays out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from analyzer import assembly
from analyzer.assembly import Assembly
from analyzer.errors import UsageError
from analyzer.metrics import BY_TAG
from analyzer.record.row import LoadSpec, Row, Trial
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    REQUEST_RATE,
    Candidate,
    Value,
)
from engine.errors import ConfigError
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

REMARK = "measured by Model Analyzer with perf_analyzer: no intervals are known"
_RESULTS, _IDLE, _GPUS = (
    "ResultManager.results", "ResultManager.server_only_data", "MetricsManager.gpus"
)  # fmt: skip
#: the models behind one, as versions of Model Analyzer have called them
_COMPOSING = ("_composing_configs", "_ensemble_composing_configs", "_ensemble_subconfigs")
_VARIANT = re.compile(r"(.+)_config_(?:default|\d+)$")
_FREE = "gpu_free_memory"
_ABSENT = {_FREE: "Model Analyzer keeps the total under this name where perf_analyzer read it"}
#: how figures of several GPUs are put together; the rest is averaged
_SUMMED = frozenset({"gpu_used_memory", "perf_throughput"})

Way = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds: rows by model, the GPUs, and the tags that nobody knows here.

    Models side by side are one, their names joined by ``+``. ``machine`` is in the form of a
    journal's.
    """

    rows: Mapping[str, tuple[Row, ...]]
    machine: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


class _Amiss(Exception):
    """A part that is not what it has to be; the rest can be read."""

    def __init__(self, way: Way, what: str) -> None:
        super().__init__(what)
        self.way, self.what = way, what


def read(text: str, source: str, taken_at: str) -> Checkpoint:
    """Read a checkpoint; ``taken_at`` is when it was written, as it does not say.

    Raises:
        UsageError: it is none; every problem on a line, with its place.
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{source}:{error.lineno}: not JSON: {error.msg}") from error
    reading = _Reading(taken_at)
    try:
        found = reading.whole(whole)
    except _Amiss as amiss:
        reading.problems.append((amiss.way, amiss.what))
    if reading.problems:
        said = (f"{source}: {_spelt(way)}: {what}" for way, what in reading.problems)
        raise UsageError("\n".join(said))
    if not any(found.rows.values()):
        raise UsageError(f"{source}: holds no measurement of a model")
    return found


class _Reading:
    """Reads one checkpoint, and keeps what is wrong with it."""

    def __init__(self, taken_at: str) -> None:
        self.problems: list[tuple[Way, str]] = []
        self._taken_at = taken_at
        self._unknown: dict[str, None] = {}

    def whole(self, plain: object) -> Checkpoint:
        if not isinstance(plain, Mapping) or _RESULTS not in plain:
            raise _Amiss((), f"not a checkpoint of Model Analyzer's: expected {_RESULTS!r} in it")
        results = _mapping(_mapping(plain[_RESULTS], (_RESULTS,)).get("_results"),
                           (_RESULTS, "_results"))  # fmt: skip
        rows = {}
        for model, variants in results.items():
            name = assembly.BESIDE.join(model.split(","))
            rows[name] = tuple(self._rows(name, variants, (_RESULTS, "_results", model)))
        return Checkpoint(rows, self._machine(plain), tuple(self._unknown))

    def _rows(self, model: str, variants: object, way: Way) -> Iterator[Row]:
        number = 0
        for at, (name, value) in enumerate(_mapping(variants, way).items()):
            place = (*way, name)
            try:
                served, measured = _pair(value, place)
                variant = self._variant(model, served, (*place, 0))
                for line, measurement in _mapping(measured, (*place, 1)).items():
                    yield self._row(
                        number,
                        _called(model, name, at),
                        variant,
                        line,
                        measurement,
                        (*place, 1, line),
                    )
                    number += 1
            except _Amiss as amiss:
                self.problems.append((amiss.way, amiss.what))

    def _variant(self, model: str, served: object, way: Way) -> _Variant:
        runs = _listed(
            _mapping(served, way).get("_model_run_configs"), (*way, "_model_run_configs")
        )
        configs: dict[str, ModelConfig] = {}
        tops, names = [], {}
        for at, run in enumerate(runs):
            place = (*way, "_model_run_configs", at)
            own = _mapping(run, place)
            name = str(own.get("_model_name"))
            tops.append(name)
            behind: list[Any] = next((own[key] for key in _COMPOSING if own.get(key)), [])
            plain = [own.get("_model_config"), *_listed(behind, place)]
            for each in plain:
                config = _config(each, place)
                plain_name = name if each is plain[0] else _model_of(config.name)
                names[plain_name] = config.name
                configs[plain_name] = _named(each, plain_name, place)
        if not tops:
            raise _Amiss(way, "expected at least one model that was served")
        top = configs[tops[0]] if len(tops) == 1 else None
        others = {name: each for name, each in configs.items() if each is not top}
        return _Variant(Assembly(model, top, others), configs, names)

    def _row(
        self, number: int, name: str, variant: _Variant, line: str, plain: object, way: Way
    ) -> Row:
        own = _mapping(plain, way)
        place = (*way, "_model_config_measurements")
        parts = _listed(own.get("_model_config_measurements"), place)
        if not parts:
            raise _Amiss(place, "expected the figures of at least one model")
        gpus = {
            uuid: self._figures(each, (*way, "_gpu_data", uuid))
            for uuid, each in _mapping(own.get("_gpu_data") or {}, (*way, "_gpu_data")).items()
        }
        figures = [
            self._figures(_mapping(each, place).get("_non_gpu_data"), (*place, at, "_non_gpu_data"))
            for at, each in enumerate(parts)
        ]
        load = _load(_mapping(parts[0], place).get("_model_specific_pa_params"), line, place)
        model = variant.assembly.name
        default = name == f"{model}_config_default"
        return Row(
            number=number,
            taken_at=self._taken_at,
            seconds=0.0,
            model=model,
            variant=name,
            digest=assembly.digest(variant.configs),
            trial=Trial(candidate=variant.candidate(load, default=default)),
            load=load,
            stable=True,
            metrics={**_together(figures), **_together(list(gpus.values()))},
            gpus=gpus,
            settings=assembly.settings(variant.assembly, variant.configs, variant.names),
            config=variant.text(model),
            composing={name: convert.dumps(each) for name, each in variant.configs.items()
                       if name != model},
            absent=_ABSENT if gpus else {},
            remarks=(REMARK,),
        )  # fmt: skip

    def _figures(self, plain: object, way: Way) -> dict[str, float]:
        """Read ``[[tag, {"_value": number}], ...]``."""
        found: dict[str, float] = {}
        for at, each in enumerate(_listed(plain, way)):
            tag, record = _pair(each, (*way, at))
            value = _mapping(record, (*way, at, 1)).get("_value")
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise _Amiss((*way, at, 1, "_value"), f"expected a number, found {value!r}")
            if tag not in BY_TAG:
                self._unknown[str(tag)] = None
            elif tag != _FREE:
                found[BY_TAG[tag].tag] = float(value)
        return found

    def _machine(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        gpus = _mapping(plain.get(_GPUS) or {}, (_GPUS,))
        idle = _mapping(plain.get(_IDLE) or {}, (_IDLE,))
        machine = {
            "gpus": [
                {
                    "uuid": uuid,
                    "name": str(_mapping(each, (_GPUS, uuid)).get("name", "GPU")),
                    "total_bytes": each.get("total_memory"),
                }
                for uuid, each in gpus.items()
            ],
            "server_only": {
                uuid: self._figures(each, (_IDLE, uuid)) for uuid, each in idle.items()
            },
        }
        return {name: value for name, value in machine.items() if value}


@dataclass(frozen=True, slots=True)
class _Variant:
    """What was served: the models, their configurations, and the names of the variants of each."""

    assembly: Assembly
    configs: Mapping[str, ModelConfig]
    names: Mapping[str, str]

    def text(self, model: str) -> str:
        """Spell the configuration of a model, "" of one that is no model but several."""
        return convert.dumps(self.configs[model]) if model in self.configs else ""

    def candidate(self, load: LoadSpec, *, default: bool) -> Candidate:
        """Return what may have been tried: the load, and what of the settings is known by name."""
        asked: dict[str, Value] = {BATCH_SIZE: load.batch_size} if load.batch_size > 1 else {}
        level = (
            (REQUEST_RATE, load.request_rate) if load.is_open else (CONCURRENCY, load.concurrency)
        )
        asked[level[0]] = level[1]
        shown = {} if default or len(self.configs) > 1 else assembly.settings(
            self.assembly, self.configs, self.names
        )  # fmt: skip
        known = {name: shown.get(name) for name in (INSTANCE_COUNT, MAX_BATCH_SIZE)}
        return Candidate.of(**{name: one for name, one in known.items() if one}, **asked)


def _load(plain: object, line: str, way: Way) -> LoadSpec:
    """Read the load of a measurement, of which the command line says the protocol."""
    params = _mapping(plain, (*way, 0, "_model_specific_pa_params"))
    protocol = re.search(r"-i (grpc|http)\b", line)
    distribution = re.search(r"--request-distribution=(\w+)", line)
    try:
        rate = float(params.get("request-rate-range") or 0.0)
        concurrency = int(params.get("concurrency-range") or 1)
        batch_size = int(params.get("batch-size") or 1)
    except (TypeError, ValueError) as error:
        raise _Amiss((*way, 0, "_model_specific_pa_params"), f"not a load: {error}") from error
    return LoadSpec(
        protocol=protocol[1] if protocol else "http",
        concurrency=concurrency,
        batch_size=batch_size,
        request_rate=rate,
        distribution=distribution[1] if distribution else "constant",
    )


def _together(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Put figures of several GPUs, or models, together as Model Analyzer does."""
    tags = dict.fromkeys(tag for each in parts for tag in each)
    found = {}
    for tag in tags:
        known = [each[tag] for each in parts if tag in each]
        found[tag] = sum(known) if tag in _SUMMED else fmean(known)
    return found


def _config(plain: object, way: Way) -> ModelConfig:
    own = _mapping(plain, (*way, "_model_config"))
    return _named(own, str(own.get("name", "")), way)


def _named(plain: object, name: str, way: Way) -> ModelConfig:
    """Read a configuration, which was served under the model's own name."""
    values = {**_mapping(plain, way), "name": name}
    values.pop("cpu_only", None)
    try:
        return convert.from_json(values, name)
    except ConfigError as error:
        what = "; ".join(each.what for each in error.problems)
        raise _Amiss((*way, "_model_config"), what) from error


def _called(model: str, variant: str, at: int) -> str:
    """Name a variant as we do: Model Analyzer joins the names of several models' by commas."""
    if variant.startswith(f"{model}_config_"):
        return variant
    default = all(each.endswith("_config_default") for each in variant.split(","))
    return f"{model}_config_{'default' if default else at}"


def _model_of(variant: str) -> str:
    match = _VARIANT.match(variant)
    return match[1] if match else variant


def _mapping(value: object, way: Way) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Amiss(way, f"expected names and values, found {_short(value)}")
    return value


def _listed(value: object, way: Way) -> list[Any]:
    if not isinstance(value, list):
        raise _Amiss(way, f"expected a list, found {_short(value)}")
    return value


def _pair(value: object, way: Way) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - that is a pair
        raise _Amiss(way, f"expected two parts, found {_short(value)}")
    return value[0], value[1]


def _short(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.40}"


def _spelt(way: Way) -> str:
    return (
        ".".join(f"{part:.60}" if isinstance(part, str) else str(part) for part in way)
        or "all of it"
    )
