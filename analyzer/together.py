"""One row out of the measurements of several models that were loaded at the same time. Pure.

Owns what becomes of the parts of a row. A metric of one model is named ``MODEL::tag`` beside those
of the whole, as its dimensions are. Rules, Model Analyzer's where it has one:

1. Throughputs add up; other metrics of requests are averaged over the models.
2. What is the machine's or the server's is the same whichever model is looked at, and stands once.
3. Energy for an inference is that of all inferences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analyzer import assembly
from analyzer.metrics import is_of_requests
from analyzer.record.row import LoadSpec, Row
from analyzer.space import joined, split

_THROUGHPUT, _ENERGY = "perf_throughput", "energy_per_inference"


def metrics(every: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Put the metrics of models together: the whole's, then each model's own."""
    whole: dict[str, float] = {}
    for tag in dict.fromkeys(tag for own in every.values() for tag in own):
        values = [own[tag] for own in every.values() if tag in own]
        if tag == _THROUGHPUT:
            whole[tag] = sum(values)
        elif tag.endswith(_ENERGY):
            # The power is one, so each model's energy is what it would be had it served alone.
            whole[tag] = 1.0 / sum(1.0 / value for value in values) if all(values) else 0.0
        elif is_of_requests(tag):
            whole[tag] = sum(values) / len(values)
        else:
            whole[tag] = values[0]
    own = {
        joined(model, tag): value
        for model, found in every.items()
        for tag, value in found.items()
        if is_of_requests(tag)
    }
    return {**whole, **own}


def fields(every: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put a row's fields together out of those that each model's measurement alone would have."""
    first = next(iter(every.values()))
    return {
        "stable": all(own["stable"] for own in every.values()),
        "metrics": metrics({model: own["metrics"] for model, own in every.items()}),
        "requests": sum(own["requests"] for own in every.values()),
        "gpus": first["gpus"],
        "runtime": {
            joined(model, name): value
            for model, own in every.items()
            for name, value in own["runtime"].items()
        },
        "absent": {tag: why for own in every.values() for tag, why in own["absent"].items()},
        "remarks": _remarks({model: own["remarks"] for model, own in every.items()}),
        "series": first["series"],
        "estimates": {
            joined(model, tag): estimate
            for model, own in every.items()
            for tag, estimate in own["estimates"].items()
        },
        "of_models": {
            model: {name: own[name] for name in ("load", "requests", "server", "histogram")}
            for model, own in every.items()
        },
    }


def level(load: LoadSpec) -> dict[str, float]:
    """Return what tells loads of one model apart."""
    return {name: getattr(load, name) for name in ("concurrency", "request_rate", "batch_size")}


def rows(row: Row) -> tuple[Row, ...]:
    """Return a row for each of the models that were loaded at the same time; () of others.

    Its metrics are the model's own and those of the machine, its load and settings the model's.
    """
    return tuple(_row(row, model, own) for model, own in row.of_models.items())


def _row(whole: Row, model: str, own: Mapping[str, Any]) -> Row:
    settings = assembly.shown(whole.settings).get(model, {})
    shared = {tag: value for tag, value in whole.metrics.items()
              if not split(tag)[0] and not is_of_requests(tag)}  # fmt: skip
    return replace(
        whole,
        model=model,
        variant=settings.get("variant", model),
        load=replace(whole.load, **own["load"]),
        settings=settings,
        metrics={**shared, **_own(whole.metrics, model)},
        estimates=_own(whole.estimates, model),
        requests=own["requests"],
        server=own["server"],
        histogram=own["histogram"],
        config=whole.composing.get(model, ""),
        composing={},
        of_models={},
    )


def _own(every: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return what stands under a model's name, under the plain one."""
    return {split(tag)[1]: value for tag, value in every.items() if split(tag)[0] == model}


def _remarks(every: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Say once what holds for all of them, and of whom the rest is."""
    shared = set.intersection(*(set(own) for own in every.values()))
    plain = dict.fromkeys(text for own in every.values() for text in own if text in shared)
    own = (f"{model}: {text}" for model, said in every.items() for text in said
           if text not in shared)  # fmt: skip
    return (*plain, *own)
