"""The report as one small HTML page without scripts: for an artifact of a CI job. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import Told, described, headline, interval, percent, value
from analyzer.gate.values import Finding, Kind

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --ground: #fff; --line: #d0d7de;
  --pass: #1a7f37; --fail: #cf222e; --inconclusive: #9a6700; --band: #ddf4e4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --ground: #0d1117;
  --line: #3d444d; --pass: #3fb950; --fail: #f85149; --inconclusive: #d29922; --band: #12361f; } }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; background: var(--ground);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.pass { color: var(--pass); } .fail { color: var(--fail); }
.inconclusive { color: var(--inconclusive); } .soft { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; } .number { text-align: right; white-space: nowrap; }
code, pre { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
td.pass, td.fail, td.inconclusive { white-space: nowrap; }
.whole code { white-space: nowrap; } .dot { display: inline-block; width: .6rem; height: .6rem;
  border-radius: 50%; background: currentColor; margin-right: .4rem; }
svg { width: 12rem; height: 1.6rem; display: block; }
@media print { body { margin: 0; max-width: none; } }
"""
#: the drawing of an interval: width and height, and what is shown around the gate
_WIDTH, _HEIGHT, _ROOM = 240.0, 32.0, 1.25


def text(told: Told) -> str:
    """Return the page."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Told) -> Iterator[str]:
    report = told.report
    said = headline(told)
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(said)}</title><style>{_STYLE}</style></head><body>"
    yield f'<h1 class="{report.verdict.value}">{escape(said)}</h1>'
    yield f"<p><code>{escape(told.candidate)}</code> against <code>{escape(told.baseline)}</code>"
    commit = f", commit {escape(report.commit)}" if report.commit else ""
    yield f'<br><span class="soft">{escape(told.taken_at)}{commit}</span></p>'
    yield '<div class="wide"><table><thead><tr><th></th><th>Check</th><th>Metric</th>'
    yield '<th class="number">Baseline</th><th class="number">Candidate</th>'
    yield '<th class="number">Change</th><th>Interval, gate</th></tr></thead>'
    yield "<tbody>"
    for each in report.findings:
        yield from _row(told, each)
    yield "</tbody></table></div>"
    yield from _listed("Disturbed", report.tainted)
    yield from _listed("Notes", told.notes)
    yield "<h2>Machine</h2>"
    yield from _machine(told)
    if report.reproduce:
        yield f"<h2>Reproduce</h2><pre>{escape(chr(10).join(report.reproduce))}</pre>"
    yield "</body></html>"


def _row(told: Told, each: Finding) -> Iterator[str]:
    subject = told.subject(each)
    borne = f"<br>Acknowledged: {escape(each.acknowledged)}" if each.acknowledged else ""
    notes = "".join(f"<br>{escape(note)}" for note in each.notes)
    word = each.verdict.value
    yield f'<tr><td class="{word}"><span class="dot"></span>{word}</td>'
    yield f'<td>{escape(each.check)}<br><span class="soft">{escape(subject.model)}, '
    yield f"{escape(subject.load)}</span></td>"
    yield f'<td class="whole"><code>{escape(each.metric)}</code><br>'
    yield f'<code class="soft">{escape(spelled(each.gate))}</code></td>'
    yield f'<td class="number">{escape(value(each.baseline, each.unit))}</td>'
    yield f'<td class="number">{escape(value(each.candidate, each.unit))}</td>'
    yield f'<td class="number">{percent(each.change)}<br>'
    yield f'<span class="soft">{interval(each)}</span></td>'
    yield f"<td>{_drawn(each)}</td></tr>"
    yield f'<tr><td></td><td colspan="6">{escape(each.reason)}{borne}'
    yield f'<span class="soft">{notes}</span></td></tr>'


def _drawn(each: Finding) -> str:
    """Draw the interval of a relative change beside no change and the gate; "" of another gate."""
    if each.gate.kind is not Kind.RELATIVE or each.interval is None or each.gate.change is None:
        return ""
    low, high = (max(-1.0, min(1.0, end)) for end in each.interval)
    gate = each.gate.change
    reach = _ROOM * max(abs(low), abs(high), abs(gate), 1e-3)

    def at(share: float) -> str:
        return f"{(share / reach + 1) / 2 * _WIDTH:.1f}"

    middle = low if each.change is None or not math.isfinite(each.change) else each.change
    middle = max(-1.0, min(1.0, middle))
    left, right = sorted((0.0, gate))
    band = (right - left) / reach / 2 * _WIDTH
    words = escape(f"{percent(each.change)} {interval(each)}, gate {percent(gate)}", quote=True)
    line = f'stroke="currentColor" class="{each.verdict.value}"'
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{words}">'
        f'<rect x="{at(left)}" y="4" width="{band:.1f}" height="24" fill="var(--band)"/>'
        f'<path d="M{at(0)} 2V30" stroke="var(--soft)" stroke-dasharray="2 2"/>'
        f'<path d="M{at(gate)} 2V30" stroke="var(--fail)"/>'
        f'<g {line}><path d="M{at(low)} 16H{at(high)}" stroke-width="3"/>'
        f'<circle cx="{at(middle)}" cy="16" r="4" fill="currentColor"/></g></svg>'
    )


def _listed(title: str, items: tuple[str, ...]) -> Iterator[str]:
    if items:
        yield f"<h2>{title}</h2><ul>"
        yield from (f"<li>{escape(each)}</li>" for each in items)
        yield "</ul>"


def _machine(told: Told) -> Iterator[str]:
    before, after = told.report.baseline_environment, told.report.candidate_environment
    yield '<div class="wide"><table><thead><tr><th></th><th>Baseline</th><th>Candidate</th></tr>'
    yield "</thead><tbody>"
    for name in sorted({*before, *after} - {"environment", "warnings", "hostname"}):
        cells = "".join(
            f"<td><code>{escape(described(each, name))}</code></td>" for each in (before, after)
        )
        yield f"<tr><td>{escape(name)}</td>{cells}</tr>"
    yield "</tbody></table></div>"
