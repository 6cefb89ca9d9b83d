"""The summary as Markdown, for a pull request or a step summary: a screen, not a page. Pure.

Owns what is left of a report on one screen, in the order in which it is read: the verdict, how sure
the gain is, the best configurations, what changes in config.pbtxt, and the commands. Does not own
the words of the verdict (``verdict``) or how values are spelt (``wording``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from analyzer.metrics import BY_TAG, COST
from analyzer.ranking.rank import Gain, Standing
from analyzer.report import wording
from analyzer.report.commands import Commands
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, advantage
from analyzer.report.verdict import judge

_FENCE = "```"
_MOST_FAILURES = 10


def markdown(evidence: Evidence, commands: Commands, top: int) -> str:
    """Return the summary with the ``top`` best configurations, the chosen one and the default."""
    verdict = judge(evidence)
    parts = [
        f"### {_text(evidence.model)}: {_text(verdict.headline)}",
        _text(verdict.sentence),
        _gain(evidence.gain),
        _table(evidence, _shown(evidence, top)),
        "\n".join(f"- {_text(bullet)}" for bullet in verdict.bullets),
        _failures(evidence),
        _changed(evidence),
        _commands(commands),
        _origin(evidence),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(evidence: Evidence, top: int) -> tuple[Standing, ...]:
    """Return the best configurations, with the chosen one and the default among them."""
    return tuple(
        each
        for place, each in enumerate(evidence.standings)
        if place < top or each.is_default or _is(evidence.chosen, each)
    )


def _is(one: Standing | None, other: Standing) -> bool:
    return one is not None and one.variant == other.variant


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return ""
    said = f"**Gain over the default:** {wording.percent(gain.percent, signed=True)}"
    if gain.low is not None and gain.high is not None:
        said += f", 95 % interval {wording.interval(gain.low, gain.high)}"
    return f"{said} ({gain.method})"


def _table(evidence: Evidence, shown: Sequence[Standing]) -> str:
    if not shown:
        return ""
    tags = [tag for tag in _wanted(evidence) if any(tag in each.best.metrics for each in shown)]
    heads = [
        "Configuration",
        *(f"{wording.heading(tag)} ({BY_TAG[tag].unit})" for tag in tags),
        "vs default",
        "At",
        "Settings",
    ]
    columns = [[_name(evidence, each) for each in shown]]
    for tag in tags:
        values = [each.best.metrics.get(tag) for each in shown]
        places = wording.decimals(value for value in values if value is not None)
        columns.append([wording.number(value, places) for value in values])
    columns += [
        [_percent(evidence, each) for each in shown],
        [_text(wording.load(each.best)) for each in shown],
        [_text(wording.setup(each.best.settings)) for each in shown],
    ]
    aligned = ["---", *("---:" for _ in tags), "---:", "---", "---"]
    lines = [[_text(head) for head in heads], aligned, *map(list, zip(*columns, strict=True))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _wanted(evidence: Evidence) -> tuple[str, ...]:
    """Throughput and p99, then whatever else the goal names."""
    goal = evidence.goal
    price = [COST] if goal.cost_per_hour is not None else []
    return tuple(dict.fromkeys([THROUGHPUT, P99, *goal.wanted, *price]))


def _name(evidence: Evidence, standing: Standing) -> str:
    name = _text(wording.short(standing.variant, evidence.model))
    if _is(evidence.chosen, standing):
        name = f"**{name}** (chosen)"
    return name if standing.satisfies else f"{name} (breaks a constraint)"


def _percent(evidence: Evidence, standing: Standing) -> str:
    default = evidence.default
    if default is None or standing is default:
        return wording.NONE if default is None else "baseline"
    value = advantage(evidence.goal, standing.best, default.best)
    return wording.NONE if value is None else wording.percent(value, signed=True)


def _failures(evidence: Evidence) -> str:
    """Return what could not be measured, folded away, the first of many; "" where all was."""
    failed = evidence.failed
    if not failed:
        return ""
    lines = [
        f"- {_text(wording.short(row.variant, evidence.model))}, {_text(wording.load(row))} "
        f"({row.failure.stage}): {_text(row.failure.message)}"
        for row in failed[:_MOST_FAILURES]
        if row.failure is not None
    ]
    if len(failed) > _MOST_FAILURES:
        lines.append(f"- and {len(failed) - _MOST_FAILURES} more")
    said = wording.count(len(failed), "measurement")
    head = f"<details><summary>{said} failed</summary>"
    return "\n\n".join([head, "\n".join(lines), "</details>"])


def _changed(evidence: Evidence) -> str:
    """Return what changes in each config.pbtxt, folded away; "" where nothing does."""
    chosen, default = evidence.chosen, evidence.default
    if chosen is None or default is None or chosen.is_default:
        return ""
    parts = []
    for name, text in chosen.best.configs.items():
        old = default.best.configs.get(name, "").splitlines()
        diff = list(difflib.unified_diff(old, text.splitlines(), "default", chosen.variant,
                                         lineterm=""))  # fmt: skip
        if diff:
            parts += [
                f"<details><summary>{_text(name)}/config.pbtxt: what changes</summary>",
                _block("diff", diff),
                "</details>",
            ]
    return "\n\n".join(parts)


def _commands(commands: Commands) -> str:
    lines = [
        f"{command}  # {what}"
        for what, command in (
            ("serve it", commands.serve),
            ("write it into a model repository", commands.apply),
            ("measure again", commands.reproduce),
        )
        if command
    ]
    return _block("sh", lines) if lines else ""


def _block(language: str, lines: Sequence[str]) -> str:
    """Return a fenced block, whose fence is longer than any run of ticks in it."""
    longest = max((len(run) for run in re.findall("`+", "\n".join(lines))), default=0)
    fence = "`" * max(len(_FENCE), longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def _origin(evidence: Evidence) -> str:
    return f"<sub>{'; '.join(_text(each) for each in _facts(evidence))}</sub>"


def _facts(evidence: Evidence) -> Iterator[str]:
    head = evidence.head
    if on := wording.hardware(head.machine):
        yield on
    if head.versions:
        yield ", ".join(f"{name} {version}" for name, version in head.versions.items())
    yield f"run {head.run}"


def _text(text: str) -> str:
    """Keep what a name or a reason holds from becoming markup."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*|<>\[\]]|(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9]))", r"\\\1", plain)
