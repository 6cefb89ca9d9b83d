"""The Markdown summary: a screen for a pull request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import rows as made

from analyzer.ranking.goal import parse_goal
from analyzer.report.commands import Commands
from analyzer.report.evidence import Evidence, gather
from analyzer.report.markdown import markdown

SWEEP = made.resnet50()
COMMANDS = Commands(
    serve="engine serve --chosen resnet50", apply="", rerank="", reproduce="analyze profile"
)


def evidence(budget: float | None = None) -> Evidence:
    return gather(made.head(), SWEEP, parse_goal(latency_budget=budget))


def test_verdict_gain_table_and_commands_are_there_in_this_order() -> None:
    seen = evidence()
    text = markdown(seen, COMMANDS, 2)
    assert seen.gain is not None
    assert seen.gain.low is not None
    lines = text.splitlines()
    assert lines[0].startswith("### resnet50: config_3 is ")
    places = [
        text.index(part)
        for part in (
            "**Gain over the default:** +", "| Configuration |", "| **config_3** (chosen) |",
            "\n- ", "/config.pbtxt: what changes", "engine serve --chosen resnet50  # serve it",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert f"interval {seen.gain.low:.0f} to {seen.gain.high:.0f}%" in text
    assert "run 20250301-101500-4f2a" in lines[-1]


@pytest.mark.parametrize("top", [1, 3])
def test_the_default_and_the_chosen_are_always_among_the_best(top: int) -> None:
    text = markdown(evidence(), COMMANDS, top)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    names = [line.split("|")[1].strip() for line in table[2:]]
    assert "**config_3** (chosen)" in names
    assert "default" in names
    assert len(names) in {top, top + 1}


def test_what_breaks_a_constraint_says_so() -> None:
    text = markdown(evidence(budget=0.1), COMMANDS, 3)
    assert "(breaks a constraint)" in text


def test_names_and_reasons_do_not_become_markup() -> None:
    rows = [replace(row, model="a|<b>", variant=row.variant.replace("resnet50", "a|<b>"))
            for row in SWEEP]  # fmt: skip
    text = markdown(gather(made.head("a|<b>"), rows, parse_goal()), COMMANDS, 3)
    assert text.startswith("### a\\|\\<b\\>: config_3")


def test_a_run_in_which_nothing_was_measured_still_has_a_verdict() -> None:
    failed = [row for row in SWEEP if row.failure is not None]
    text = markdown(gather(made.head(), failed, parse_goal()), replace(COMMANDS, serve=""), 3)
    assert text.startswith("### resnet50: ")
    assert "|" not in text
    assert "2 measurements failed" in text
    assert "config_5, concurrency 64 (launch): the server stopped with exit code 137" in text
    assert "serve it" not in text
