"""The report as SARIF 2.1.0, so that code scanning shows it at the line of the check. Pure.

A rule for each metric; a result for each failure (error), doubt (warning) and acknowledged failure
(note). What passed is no result: what was one before is then closed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import Told, finite, percent
from analyzer.gate.values import Finding, Verdict
from analyzer.metrics import BY_TAG

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")


def text(told: Told) -> str:
    """Return the file's text."""
    shown = [each for each in told.report.findings if _level(told, each)]
    rules = list(dict.fromkeys(each.metric for each in shown))
    run = {
        "tool": {"driver": {
            "name": "servetune", "semanticVersion": told.version,
            "rules": [_rule(tag) for tag in rules],
        }},
        "columnKind": "unicodeCodePoints",
        "results": [_result(told, each, rules.index(each.metric)) for each in shown],
        "invocations": [{"executionSuccessful": True, "exitCode": told.code}],
    }  # fmt: skip
    whole = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _level(told: Told, each: Finding) -> str:
    if told.fails(each):
        return "error"
    if each.verdict is Verdict.INCONCLUSIVE:
        return "warning"
    return "note" if each.acknowledged else ""


def _rule(tag: str) -> dict[str, Any]:
    try:
        title = BY_TAG[tag].title
    except KeyError:
        title = tag.replace("_", " ")
    return {
        "id": tag,
        "shortDescription": {"text": f"{title} is worse than the gate allows"},
        "defaultConfiguration": {"level": "error"},
    }


def _result(told: Told, each: Finding, at: int) -> dict[str, Any]:
    subject = told.subject(each)
    said = f"{each.check}: {each.reason}"
    if each.acknowledged:
        said += f" Acknowledged: {each.acknowledged}"
    mark = hashlib.sha256(f"{each.check}/{spelled(each.gate)}".encode()).hexdigest()
    return {
        "ruleId": each.metric,
        "ruleIndex": at,
        "level": _level(told, each),
        "message": {"text": said},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": _uri(subject.file)},
            "region": {"startLine": subject.line or 1},
        }}],
        "partialFingerprints": {"check/v1": mark},
        "properties": {
            "change": percent(each.change), "changeRelative": finite(each.change),
            "gate": spelled(each.gate), "pairs": each.pairs, "load": subject.load,
        },
    }  # fmt: skip


def _uri(path: str) -> str:
    return "".join(chr(each) if each in _PLAIN else f"%{each:02X}" for each in path.encode())
