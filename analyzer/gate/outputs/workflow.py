"""What fails as GitHub's workflow commands, which mark the line of a check. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.gate.outputs.told import Told, percent
from analyzer.gate.values import Verdict


def lines(told: Told) -> Iterator[str]:
    """Yield an error for each failure, a warning for each doubt, a notice for what is borne."""
    for each in told.report.findings:
        if told.fails(each):
            level = "error"
        elif each.verdict is Verdict.INCONCLUSIVE:
            level = "warning"
        elif each.acknowledged:
            level = "notice"
        else:
            continue
        subject = told.subject(each)
        places = {"file": subject.file, "line": str(subject.line or 1)} if subject.file else {}
        properties = {**places, "title": f"{each.check}: {each.metric} {percent(each.change)}"}
        spelled = ",".join(f"{name}={_property(said)}" for name, said in properties.items())
        extra = f" Acknowledged: {each.acknowledged}" if each.acknowledged else ""
        yield f"::{level} {spelled}::{_message(each.reason + extra)}"
    for why in told.report.tainted:
        yield f"::warning title=disturbed::{_message(why)}"


def _message(said: str) -> str:
    return said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(said: str) -> str:
    return _message(said).replace(":", "%3A").replace(",", "%2C")
