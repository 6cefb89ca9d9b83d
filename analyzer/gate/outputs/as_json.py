"""The report as JSON, for programs: every figure, its interval, and what was asked. Pure.

``{schema, verdict, exit_code, taken_at, version, baseline, candidate, checks: [{name, model, load,
place, metric, unit, direction, baseline: {mean, ci, n, samples_ref}, candidate: {...}, change_pct,
ci_pct, confidence, gate, margin_pct, alpha, pairs, verdict, reason, notes, acknowledged}], tainted,
notes, environment: {a, b}, commit, reproduce}``. What is not known, or has no end, is null.
"""

from __future__ import annotations

import json
from typing import Any

from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import Told, finite
from analyzer.gate.values import SCHEMA, Finding
from analyzer.statistics.estimate import Estimate


def text(told: Told) -> str:
    """Return the file's text."""
    return json.dumps(plain(told), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(told: Told) -> dict[str, Any]:
    """Return the report in JSON's types."""
    report = told.report
    return {
        "schema": SCHEMA,
        "verdict": report.verdict.value,
        "exit_code": told.code,
        "taken_at": told.taken_at,
        "version": told.version,
        "baseline": told.baseline,
        "candidate": told.candidate,
        "checks": [_finding(told, each) for each in report.findings],
        "tainted": list(report.tainted),
        "notes": list(told.notes),
        "environment": {
            "a": dict(report.baseline_environment),
            "b": dict(report.candidate_environment),
        },
        "commit": report.commit,
        "reproduce": list(report.reproduce),
    }


def _finding(told: Told, each: Finding) -> dict[str, Any]:
    subject = told.subject(each)
    interval = each.interval
    place = f"{subject.file}:{subject.line}" if subject.line else subject.file
    return {
        "name": each.check,
        "model": subject.model,
        "load": subject.load,
        "place": place,
        "metric": each.metric,
        "unit": each.unit,
        "direction": each.direction.name.lower(),
        "baseline": _side(each.baseline, subject.samples),
        "candidate": _side(each.candidate, subject.samples),
        "change_pct": _hundred(each.change),
        "ci_pct": None if interval is None else [_hundred(end) for end in interval],
        "confidence": each.confidence,
        "gate": spelled(each.gate),
        "margin_pct": _hundred(each.margin),
        "alpha": finite(each.alpha),
        "pairs": each.pairs,
        "verdict": each.verdict.value,
        "reason": each.reason,
        "notes": list(each.notes),
        "acknowledged": each.acknowledged,
    }


def _side(one: Estimate | None, samples: str) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "mean": finite(one.value),
        "ci": [finite(one.low), finite(one.high)],
        "n": one.n,
        "samples_ref": samples or None,
    }


def _hundred(share: float | None) -> float | None:
    known = finite(share)
    return None if known is None else known * 100
