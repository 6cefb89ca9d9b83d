"""Promises about a request rate, the machine's fitness, baselines' mistakes, exit codes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.gated import blocks

from analyzer.errors import UsageError
from analyzer.gate.baseline import Baseline, parse, spelled
from analyzer.gate.exit import Exit, again, code
from analyzer.gate.fingerprint import differences, fingerprint, unfit
from analyzer.gate.gates import parse as gate_of
from analyzer.gate.proxy import gates
from analyzer.gate.slo import Promise
from analyzer.gate.values import OnInconclusive, Report, Settings, Verdict

RULES = Settings()
PROMISE = gate_of("p99<=15ms@rate=400")


@pytest.mark.parametrize(
    ("counts", "outcome", "verdict"),
    [
        ([(458, 0), (530, 0)], "pass", Verdict.PASS),
        ([(100, 12)], "fail", Verdict.FAIL),
        ([(400, 4), (900, 9)], "go on", Verdict.INCONCLUSIVE),
        ([], "go on", Verdict.INCONCLUSIVE),
    ],
)
def test_a_promise_is_decided_as_soon_as_it_is_sure(
    counts: list[tuple[int, int]], outcome: str, verdict: Verdict
) -> None:
    promise = Promise("c", PROMISE, RULES)
    said = "go on"
    for n, late in counts:
        assert said == "go on"
        said = promise.progress(n, late, [])
    assert said == outcome
    found = promise.finding("inconclusive" if said == "go on" else said)  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert "1% of them may" in found.reason
    assert (promise.limit_ns, promise.rate) == (15_000_000, 400)


def test_a_promise_that_its_requests_do_not_decide_is_inconclusive() -> None:
    promise = Promise("c", PROMISE, RULES, most_requests=1000)
    assert promise.progress(1000, 10, []) == "fail"
    assert promise.finding("fail").verdict is Verdict.INCONCLUSIVE


def test_only_promises_are_watched() -> None:
    with pytest.raises(ValueError, match=r"perf_throughput:-5% is no promise"):
        Promise("c", gate_of("throughput:-5%"), RULES)


MACHINE = {
    "hostname": "a", "cpu": "EPYC", "cores": 2, "gpus": [{"uuid": "1", "name": "H100"}],
    "versions": {"numpy": "2"},
    "environment": [
        {"check": "smt", "found": "on", "level": "note", "text": "two threads share a core"},
    ],
}  # fmt: skip


def test_machines_are_alike_by_what_counts_and_not_by_their_names() -> None:
    twin = {**MACHINE, "hostname": "b", "gpus": [{"uuid": "2", "name": "H100"}], "versions": {}}
    assert fingerprint(twin) == fingerprint(MACHINE)
    assert differences(MACHINE, twin) == ()
    other = {**MACHINE, "cores": 4, "gpu_driver": "590"}
    assert fingerprint(other) != fingerprint(MACHINE)
    assert differences(MACHINE, other) == (
        "cores: the baseline was measured with 2, the candidate with 4",
        "gpu_driver: the baseline was measured with none, the candidate with 590",
    )


def test_a_machine_is_unfit_where_it_warns_or_most_blocks_were_disturbed() -> None:
    assert unfit(MACHINE) == ()
    warned = {**MACHINE, "environment": [{"level": "warning", "text": "governor is powersave"}]}
    assert unfit(warned) == ("governor is powersave",)
    quiet = blocks([(1.0, 1.0)] * 4)
    some = [replace(quiet[0], remarks=("others at work",)), *quiet[1:]]
    assert unfit(MACHINE, some) == ()
    many = [replace(block, remarks=("others at work", "steal")) for block in quiet[:3]] + quiet[3:]
    (why,) = unfit(MACHINE, many)
    assert why.startswith("3 of 8 blocks were disturbed; most often: ")


def test_counters_that_were_measured_have_gates() -> None:
    found = gates(["requests", "failed_requests", "startup_memory"])
    assert [gate.quantity.tag for gate in found] == ["failed_requests", "startup_memory"]
    assert {gate.change for gate in found} == {0.01}


BASELINE = Baseline(
    taken_at="2026-11-26T00:00:00+00:00", commit="abc", engine_version="1",
    environment={"cpu": "EPYC"}, checks={"c": tuple(blocks([(100.0, 100.0)]))},
)  # fmt: skip


def test_a_baseline_is_named_by_its_content() -> None:
    assert BASELINE.address == replace(BASELINE).address
    assert BASELINE.address != replace(BASELINE, commit="abd").address
    assert BASELINE.address.startswith("sha256:")
    assert BASELINE.run("c").values["perf_throughput"] == pytest.approx(100)
    with pytest.raises(ValueError, match="JSON"):
        spelled(replace(BASELINE, environment={"x": float("nan")}))


def test_files_that_are_no_baselines_say_why() -> None:
    text = spelled(BASELINE)
    whole = json.loads(text)
    for wrong, says in (
        ("{", r"b\.json:1:2: not JSON"),
        ("[]", "not a baseline"),
        (json.dumps({**whole, "content": {**whole["content"], "schema": 99}}), "schema 99"),
        (text.replace('"abc"', '"abd"'), "was changed since"),
    ):
        with pytest.raises(UsageError, match=says):
            parse(wrong, "b.json")


@pytest.mark.parametrize(
    ("verdict", "tainted", "on", "exit_code", "once_more"),
    [
        (Verdict.PASS, (), "warn", Exit.PASSED, False),
        (Verdict.PASS, ("load",), "retry", Exit.PASSED, False),
        (Verdict.FAIL, (), "retry", Exit.REGRESSION, False),
        (Verdict.FAIL, ("load",), "warn", Exit.UNFIT, True),
        (Verdict.INCONCLUSIVE, (), "warn", Exit.INCONCLUSIVE, False),
        (Verdict.INCONCLUSIVE, (), "fail", Exit.REGRESSION, False),
        (Verdict.INCONCLUSIVE, (), "retry", Exit.INCONCLUSIVE, True),
    ],
)
def test_verdicts_become_exit_codes(
    verdict: Verdict, tainted: tuple[str, ...], on: str, exit_code: int, *, once_more: bool
) -> None:
    report = Report(verdict=verdict, findings=(), tainted=tainted)
    rules = Settings(on_inconclusive=OnInconclusive(on))
    assert code(report, rules) == exit_code
    assert again(report, rules) is once_more
