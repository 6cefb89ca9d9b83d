"""The report as JUnit XML, which every CI shows: a test case for each gate. Pure.

A regression is a ``<failure type="regression">``, what could not be decided is ``<skipped>`` (or a
failure, where doubt is to fail), and the figures are ``<properties>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import Told, headline, interval, percent, value
from analyzer.gate.values import Finding, Verdict

#: what XML 1.0 cannot hold, however it is escaped
_UNSPEAKABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(told: Told) -> str:
    """Return the file's text."""
    report = told.report
    failures = sum(map(told.fails, report.findings))
    skipped = sum(
        each.verdict is Verdict.INCONCLUSIVE and not told.fails(each) for each in report.findings
    )
    counts = {
        "tests": str(len(report.findings)), "failures": str(failures), "errors": "0",
        "skipped": str(skipped),
    }  # fmt: skip
    root = ET.Element("testsuites", {"name": "analyze check", **counts})
    suite = ET.SubElement(
        root, "testsuite", {"name": "analyze check", "timestamp": told.taken_at[:19], **counts}
    )
    _properties(suite, {
        "verdict": report.verdict.value, "baseline": told.baseline, "candidate": told.candidate,
        "commit": report.commit, "exit_code": str(told.code),
        **{f"tainted.{at}": why for at, why in enumerate(report.tainted)},
    })  # fmt: skip
    for each in report.findings:
        _case(suite, told, each)
    said = "\n".join((headline(told), *told.notes, *report.tainted, *report.reproduce))
    ET.SubElement(suite, "system-out").text = _clean(said)
    return _spelled(root)


def _case(suite: ET.Element, told: Told, each: Finding) -> None:
    subject = told.subject(each)
    case = ET.SubElement(suite, "testcase", {
        "classname": _clean(f"perf.{subject.model}"), "name": _clean(f"{each.check}/{each.metric}"),
        "file": _clean(subject.file), **({"line": str(subject.line)} if subject.line else {}),
    })  # fmt: skip
    _properties(case, {
        "baseline": value(each.baseline, each.unit), "candidate": value(each.candidate, each.unit),
        "change": percent(each.change), "interval": interval(each), "gate": spelled(each.gate),
        "margin": percent(each.margin), "alpha": f"{each.alpha:g}", "pairs": str(each.pairs),
        "load": subject.load,
    })  # fmt: skip
    words = "\n".join((
        each.reason, (f"baseline {value(each.baseline, each.unit)}, "
        f"candidate {value(each.candidate, each.unit)}, change {percent(each.change)} "
        f"{interval(each)}, gate {spelled(each.gate)}"), *each.notes,
    ))  # fmt: skip
    if told.fails(each):
        kind = "regression" if each.verdict is Verdict.FAIL else "inconclusive"
        failure = ET.SubElement(case, "failure", {"type": kind, "message": _clean(each.reason)})
        failure.text = _clean(words)
    elif each.verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(case, "skipped", {"message": _clean(each.reason)})
    else:
        acknowledged = (f"acknowledged: {each.acknowledged}",) if each.acknowledged else ()
        ET.SubElement(case, "system-out").text = _clean("\n".join((*acknowledged, words)))


def _properties(of: ET.Element, every: dict[str, str]) -> None:
    within = ET.SubElement(of, "properties")
    for name, said in every.items():
        if said:
            ET.SubElement(within, "property", {"name": name, "value": _clean(said)})


def _spelled(root: ET.Element) -> str:
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _clean(said: str) -> str:
    return _UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", said)


def broken(models: Mapping[str, str], why: str) -> str:
    """Return the text of a run that could not be measured; ``models`` are by the check's name."""
    counts = {"tests": str(len(models)), "failures": "0", "errors": str(len(models))}
    root = ET.Element("testsuites", {"name": "analyze check", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "analyze check", **counts})
    for name, model in models.items():
        case = ET.SubElement(
            suite, "testcase", {"classname": _clean(f"perf.{model}"), "name": _clean(name)}
        )
        first = _clean(why.partition("\n")[0])
        error = ET.SubElement(case, "error", {"type": "measurement", "message": first})
        error.text = _clean(why)
    return _spelled(root)
