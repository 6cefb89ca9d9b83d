"""What people bear for a while, and what of it still fails."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from support.gated import blocks

from analyzer.errors import UsageError
from analyzer.gate.acknowledge import Acknowledgement, applied, read
from analyzer.gate.gates import parse
from analyzer.gate.sequential import decide
from analyzer.gate.values import Finding, Settings, Verdict

RULES = Settings()
TODAY = date(2026, 11, 26)
LINE = {"check": "c", "metric": "throughput", "reason": "new layer", "until": date(2026, 12, 24)}


def dropped(share: float, gate: str = "throughput:-5%") -> Finding:
    pairs = [(100.0 + n / 100, 100.0 * (1 - share)) for n in range(4)]
    (found,) = decide("c", [parse(gate)], blocks(pairs), RULES).findings
    return found


def borne(finding: Finding, **more: Any) -> Finding:
    every = read({"acknowledgements": [{**LINE, **more}]}, "perf-ack.yaml")
    (found,) = applied([finding], every, RULES, TODAY)
    return found


@pytest.mark.parametrize("more", [{}, {"expected": "-8%"}, {"expected": 92}, {"metric": None}])
def test_what_is_acknowledged_passes_with_its_reason(more: dict[str, Any]) -> None:
    found = borne(dropped(0.08), **more)
    assert found.verdict is Verdict.PASS
    assert found.acknowledged == "new layer (until 2026-12-24)"


@pytest.mark.parametrize("expected", ["-8%", 92])
def test_what_is_worse_than_expected_still_fails(expected: str | float) -> None:
    found = borne(dropped(0.2), expected=expected)
    assert found.verdict is Verdict.FAIL
    assert not found.acknowledged
    assert found.notes[-1].endswith("but it is worse than was expected")
    assert borne(dropped(0.1), expected=expected).verdict is Verdict.PASS


def test_an_absolute_bound_has_an_expected_level_too() -> None:
    failed = dropped(0.08, "throughput>=95")
    assert failed.verdict is Verdict.FAIL
    assert borne(failed, expected=91).verdict is Verdict.PASS
    assert borne(failed, expected=93).verdict is Verdict.FAIL


def test_what_has_expired_counts_no_more_and_is_told() -> None:
    found = borne(dropped(0.08), until=date(2026, 11, 25))
    assert found.verdict is Verdict.FAIL
    assert found.notes[-1] == "an acknowledgement of it expired on 2026-11-25"
    assert borne(dropped(0.08), until=TODAY).verdict is Verdict.PASS


def test_others_findings_and_passes_stay_as_they_are() -> None:
    failed, passed = dropped(0.08), dropped(0.0)
    assert borne(failed, check="another") == failed
    assert borne(failed, metric="p99") == failed
    assert borne(passed) == passed


def test_the_most_special_acknowledgement_counts() -> None:
    wide = Acknowledgement(check="c", metric="", reason="all", until=TODAY)
    narrow = Acknowledgement(
        check="c", metric="perf_throughput", reason="this", until=TODAY, change=-0.08
    )
    (found,) = applied([dropped(0.2)], [wide, narrow], RULES, TODAY)
    assert found.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ([], "expected a list under 'acknowledgements'"),
        ({"acknowledgements": [], "more": 1}, "nothing else"),
        ({"acknowledgements": {"check": "c"}}, "expected a list"),
        ({"acknowledgements": ["c"]}, r"acknowledgements\[0\]: expected check, metric"),
        ({"acknowledgements": [{**LINE, "untill": 1}]}, "unknown untill"),
        ({"acknowledgements": [{**LINE, "check": 3}]}, "check: expected a text, found 3"),
        ({"acknowledgements": [{**LINE, "reason": " "}]}, "reason: expected a text"),
        ({"acknowledgements": [{**LINE, "metric": 3}]}, "metric: expected a name"),
        ({"acknowledgements": [{**LINE, "metric": "perf_thruput"}]}, "did you mean"),
        ({"acknowledgements": [{**LINE, "until": "soon"}]}, "until: expected a day"),
        ({"acknowledgements": [{**LINE, "until": datetime(2026, 1, 1, tzinfo=UTC)}]}, "until"),
        ({"acknowledgements": [{**LINE, "expected": "8"}]}, "expected: a change such as -8%"),
        ({"acknowledgements": [{**LINE, "expected": "-100%"}]}, "expected: a change"),
        ({"acknowledgements": [{**LINE, "expected": "x%"}]}, "expected: a change"),
        ({"acknowledgements": [{**LINE, "metric": None, "expected": 3}]}, "name the metric"),
    ],
)
def test_files_with_mistakes_are_refused_with_their_places(plain: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read(plain, "perf-ack.yaml")
    assert caught.value.message.startswith("perf-ack.yaml: ")


def test_all_mistakes_are_told_at_once_and_an_empty_file_bears_nothing() -> None:
    assert read(None, "f") == read({"acknowledgements": None}, "f") == ()
    with pytest.raises(UsageError) as caught:
        read({"acknowledgements": [{**LINE, "check": 3}, LINE, {**LINE, "until": 1}]}, "f")
    assert caught.value.message.count("\n") == 1
    assert "acknowledgements[2]" in caught.value.message
