"""``summary.json``: everything the report says, for programs. Pure.

The form, schema 1, which ``summary.schema.json`` says for programs. Metrics are by Model Analyzer's
tags in their own units (``metrics.METRICS``: ms, MB, inferences a second, per cent); what was not
measured is absent or null, never 0. Keys may be added within a schema; none goes or changes.

::

    schema        1
    model, run, started_at
    goal          text; objectives [{tag, weight, direction: more|less}];
                  constraints [{tag, min, max}], a missing bound being null; cost_per_hour
    verdict       finding: better|unproven|default|alone|infeasible|nothing;
                  headline, sentence, bullets
    chosen        the variant to serve: {variant, is_default, satisfies, settings, config,
                  measurement}, or null where nothing was measured
    default       the same of the default configuration, or null
    gain          {tag, percent, low, high, level, pairs, method, proven} of the first in
                  standings over the default, positive being better; or null
    standings     every variant, the best first: {variant, digest, is_default, satisfies, certain
                  (no limit lies within an interval), score, percent (better than the default, or
                  null), settings, best (a number of its measurements), measurements [...]}
    verification  measurements taken in turn at the end, repetition by repetition
    pareto        what nothing beats with confidence in all of its values, the quickest first:
                  [{variant, number, concurrency, request_rate, batch_size, satisfies, times,
                  values {tag: {value, low, high}}}], means of so many times
    goodput       [{variant, percentile, limit_ms, rate, low, high, confirmed, note, probes
                  [{rate, outcome, purpose, requests, violations}], measurement}]: the highest
                  request rate that keeps the limit (null: none did), where goodput is wanted
    knee          the one of them where more throughput begins to cost more latency, or null
    failures      [{number, variant, settings, concurrency, request_rate, batch_size, stage,
                  message}]
    skipped       [{settings, reason}] that the search passed over without a measurement
    unstable      how many measurements did not settle
    torn          how many lines of the journal could not be read
    machine, versions, options        as the journal's first line has them
    commands      {serve, apply, rerank, reproduce, detail}, "" where there is nothing to serve

A measurement is {number, variant, phase: search|abreast|curve|verify, repetition, gpu (the only
one that its server saw, or ""), beside (how many were measured at a time), why (it was taken; ""
where nobody said), predicted {tag: value that the search expected}, taken_at, seconds,
concurrency, request_rate, batch_size, protocol, stable, requests, metrics, estimates {tag: {value,
low, high (null: it has no upper end), confidence, n, effective_n, certified}}, window_rates, gpus,
server (its counters: ``metrics.ServerTimes``), absent {tag: why it was not measured}, remarks}. Of
concurrency and request_rate (a second, in an open loop) one is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analyzer.metrics import BY_TAG
from analyzer.ranking.frontier import Option
from analyzer.ranking.interval import LEVEL
from analyzer.ranking.rank import Standing
from analyzer.record import accuracy, estimates
from analyzer.record.row import Phase, Row
from analyzer.report.commands import Commands
from analyzer.report.evidence import Evidence, advantage
from analyzer.report.verdict import judge

SCHEMA = 1


def summary_json(evidence: Evidence, commands: Commands) -> str:
    """Spell the summary as strict JSON (no NaN), with a line end."""
    return json.dumps(_finite(summary(evidence, commands)), indent=2, allow_nan=False) + "\n"


def summary(evidence: Evidence, commands: Commands) -> dict[str, Any]:
    """Return the summary in plain form."""
    head, verdict = evidence.head, judge(evidence)
    checks = [row for row in evidence.measured if row.trial.phase is Phase.VERIFY]
    return {
        "schema": SCHEMA,
        "model": head.model,
        "run": head.run,
        "started_at": head.started_at,
        "goal": _goal(evidence),
        "verdict": {
            "finding": verdict.finding.value,
            "headline": verdict.headline,
            "sentence": verdict.sentence,
            "bullets": list(verdict.bullets),
        },
        "chosen": _side(evidence.chosen),
        "default": _side(evidence.default),
        "gain": _gain(evidence),
        "standings": [_standing(evidence, standing) for standing in evidence.standings],
        "verification": [_measurement(row) for row in checks],
        "pareto": [_option(evidence, each) for each in evidence.frontier.options],
        "goodput": [
            {
                "variant": each.row.variant,
                **each.row.goodput,
                "measurement": _measurement(each.row),
            }
            for each in evidence.goodput
        ],
        "knee": _option(evidence, evidence.frontier.knee) if evidence.frontier.knee else None,
        "failures": [_failure(row) for row in evidence.failed],
        "skipped": [
            {"settings": dict(each.candidate.items), "reason": each.reason}
            for each in evidence.untried
        ],
        "unstable": sum(not row.stable for row in evidence.measured),
        "torn": evidence.omitted.torn,
        "machine": head.machine,
        "versions": head.versions,
        "options": head.options,
        "commands": asdict(commands),
    }


def _goal(evidence: Evidence) -> dict[str, Any]:
    goal = evidence.goal
    return {
        "text": goal.describe(),
        "objectives": [
            {"tag": tag, "weight": weight, "direction": BY_TAG[tag].direction.name.lower()}
            for tag, weight in goal.objectives
        ],
        "constraints": [
            {"tag": each.tag, "min": each.minimum, "max": each.maximum} for each in goal.constraints
        ],
        "cost_per_hour": goal.cost_per_hour,
    }


def _gain(evidence: Evidence) -> dict[str, Any] | None:
    if evidence.gain is None:
        return None
    return {**asdict(evidence.gain), "level": LEVEL, "proven": evidence.gain.proven}


def _side(standing: Standing | None) -> dict[str, Any] | None:
    if standing is None:
        return None
    return {
        "variant": standing.variant,
        "is_default": standing.is_default,
        "satisfies": standing.satisfies,
        "settings": standing.best.settings,
        "config": standing.best.config,
        "composing": standing.best.composing,
        "measurement": _measurement(standing.best),
    }


def _standing(evidence: Evidence, standing: Standing) -> dict[str, Any]:
    default = evidence.default
    percent = None if default is None else advantage(evidence.goal, standing.best, default.best)
    return {
        "variant": standing.variant,
        "digest": standing.digest,
        "is_default": standing.is_default,
        "satisfies": standing.satisfies,
        "certain": not evidence.goal.unsure(standing.best),
        "score": standing.score,
        "percent": percent,
        "settings": standing.best.settings,
        "best": standing.best.number,
        "measurements": [_measurement(row) for row in standing.rows],
    }


def _measurement(row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "variant": row.variant,
        "phase": row.trial.phase.value,
        "repetition": row.trial.repetition,
        "gpu": row.gpu,
        "beside": row.trial.beside,
        "why": "" if row.trial.why is None else row.trial.why.text,
        "predicted": {} if row.trial.why is None else row.trial.why.predicted,
        "taken_at": row.taken_at,
        "seconds": row.seconds,
        **_level(row),
        "batch_size": row.load.batch_size,
        "protocol": row.load.protocol,
        "stable": row.stable,
        "requests": row.requests,
        "metrics": row.metrics,
        "estimates": estimates.plain(row.estimates),
        "window_rates": row.window_rates,
        "gpus": row.gpus,
        "server": row.server,
        "absent": row.absent,
        "remarks": row.remarks,
        "accuracy": None if row.accuracy is None else accuracy.plain(row.accuracy),
    }


def _level(row: Row) -> dict[str, float | None]:
    load = row.load
    return {
        "concurrency": None if load.is_open else load.concurrency,
        "request_rate": load.request_rate if load.is_open else None,
    }


def _option(evidence: Evidence, option: Option) -> dict[str, Any]:
    row = option.row
    return {
        "variant": row.variant,
        "number": row.number,
        **_level(row),
        "batch_size": row.load.batch_size,
        "satisfies": option.satisfies,
        "times": option.times,
        "values": {
            tag: {"value": each.middle, "low": each.low, "high": each.high}
            for tag, each in zip(evidence.frontier.tags, option.values, strict=True)
        },
    }


def _failure(row: Row) -> dict[str, Any]:
    reason = row.failure
    return {
        "number": row.number,
        "variant": row.variant,
        "settings": row.settings,
        **_level(row),
        "batch_size": row.load.batch_size,
        "stage": "" if reason is None else reason.stage,
        "message": "" if reason is None else reason.message,
        "accuracy": None if row.accuracy is None else accuracy.plain(row.accuracy),
    }


def _finite(value: object) -> object:
    """Replace what JSON has no word for (NaN, infinity) by null, however deep."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
