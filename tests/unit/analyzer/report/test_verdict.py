"""What may be claimed: never more than the rows show."""

from collections.abc import Sequence
from dataclasses import replace

from support import rows as made

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Phase, Row
from analyzer.report.evidence import Omissions, gather
from analyzer.report.verdict import Finding, Verdict, better, change, judge


def verdict(rows: Sequence[Row], goal: Goal | None = None, torn: int = 0) -> Verdict:
    return judge(gather(made.head(), rows, goal or parse_goal(), Omissions(torn=torn)))


def named(rows: Sequence[Row], *names: str) -> tuple[Row, ...]:
    return tuple(row for row in rows if row.variant.removeprefix("resnet50_config_") in names)


def scaled(row: Row, factor: float) -> Row:
    rate = row.metrics["perf_throughput"] * factor
    return replace(row, metrics={**row.metrics, "perf_throughput": rate})


SWEEP = made.resnet50()


def test_a_verified_gain_is_said_in_model_analyzers_manner() -> None:
    said = verdict(SWEEP)
    evidence = gather(made.head(), SWEEP, parse_goal())
    assert evidence.gain is not None
    assert evidence.gain.pairs == 4
    assert said.finding is Finding.BETTER
    gain, low, high = (
        f"{value:.0f}" for value in (evidence.gain.percent, evidence.gain.low, evidence.gain.high)
    )
    assert said.headline == f"config_3 is {gain}% better than the default"
    assert said.sentence == (
        f"In 29 measurements across 8 configurations, resnet50_config_3 is {gain}% better than the "
        f"default configuration (95% CI {low} to {high}%) at maximizing throughput, on 2 cores of "
        "AMD EPYC 9554 64-Core Processor."
    )
    assert said.subject == "resnet50_config_3"


def test_constraints_are_mentioned_where_there_are_some() -> None:
    said = verdict(SWEEP, parse_goal(latency_budget=60))
    assert "under the given constraints" in said.sentence
    assert "Constraints: p99 latency at most 60 ms." in said.bullets


def test_constraints_kept_in_the_search_and_broken_in_the_verification_are_a_doubt() -> None:
    evidence = gather(made.head(), SWEEP, parse_goal())
    assert evidence.chosen is not None
    assert evidence.default is not None
    both = (evidence.chosen, evidence.default)
    budget = 1.1 * max(each.best.metrics["perf_latency_p99"] for each in both)
    slower = [
        replace(row, metrics={**row.metrics, "perf_latency_p99": 7e3})
        if row.trial.phase is Phase.VERIFY
        else row
        for row in SWEEP
    ]
    doubt = "kept the constraints in the search, but not in the verification: p99 latency 7"
    goal = parse_goal(latency_budget=budget)
    assert any(doubt in bullet for bullet in verdict(slower, goal).bullets)
    assert not any("not in the verification" in bullet for bullet in verdict(SWEEP, goal).bullets)


def test_a_gain_without_verification_says_so() -> None:
    said = verdict([row for row in SWEEP if row.trial.phase is not Phase.VERIFY])
    assert said.finding is Finding.BETTER
    assert "not verified)" in said.sentence


def test_one_measurement_each_proves_nothing() -> None:
    rows = [replace(row, window_rates=()) for row in named(SWEEP, "default", "3")]
    said = verdict([row for row in rows if row.trial.phase is not Phase.VERIFY])
    assert said.finding is Finding.UNPROVEN
    assert "without a confidence interval" in said.sentence


def test_an_interval_around_zero_proves_nothing() -> None:
    pairs = {0: 1.5, 1: 0.66, 2: 1.45, 3: 0.7}
    rows = [
        scaled(row, pairs[row.trial.repetition] * 0.67)
        if row.trial.phase is Phase.VERIFY and row.variant.endswith("_3")
        else row
        for row in SWEEP
    ]
    said = verdict(rows)
    assert said.finding is Finding.UNPROVEN
    assert said.headline == "No configuration is proven better than the default"
    assert "which includes 0" in said.sentence


def test_a_leader_that_verification_disproves_is_not_served() -> None:
    rows = [
        scaled(row, 0.5) if row.trial.phase is Phase.VERIFY and row.variant.endswith("_3") else row
        for row in SWEEP
    ]
    said = verdict(rows)
    assert said.finding is Finding.DEFAULT
    assert said.subject == "resnet50_config_default"
    assert "worse (95% CI" in said.sentence


def test_the_default_is_said_to_be_unbeaten() -> None:
    said = verdict(SWEEP, parse_goal(["perf_latency_p99"]))
    assert said.finding is Finding.DEFAULT
    assert said.headline == "No configuration beats the default"


def test_constraints_that_nothing_keeps_are_no_success() -> None:
    said = verdict(SWEEP, parse_goal(latency_budget=1))
    assert said.finding is Finding.INFEASIBLE
    assert "no configuration keeps p99 latency at most 1 ms" in said.sentence
    assert "comes closest, with p99 latency 15" in said.sentence


def test_a_best_that_alone_keeps_the_constraints_is_not_measured_against_one_that_does_not() -> (
    None
):
    said = verdict(SWEEP, parse_goal(min_throughput=100))
    assert said.finding is Finding.BETTER
    assert said.headline == "config_3 keeps the constraints, the default does not"
    assert "%" not in said.headline


def test_without_a_default_no_gain_is_claimed() -> None:
    said = verdict(named(SWEEP, "1", "2", "3"))
    assert said.finding is Finding.ALONE
    assert "the default configuration was not measured" in said.sentence


def test_only_failures_are_said_to_be_that() -> None:
    said = verdict([row for row in SWEEP if row.failure is not None])
    assert said.finding is Finding.NOTHING
    assert said.sentence.startswith("In 2 attempts across 2 configurations")


def test_one_row_is_enough_for_a_verdict() -> None:
    said = verdict(SWEEP[:1])
    assert said.headline == "Only the default could be measured"
    assert said.sentence.startswith("In 1 measurement across 1 configuration, ")


def test_a_goal_that_nothing_measures_ranks_nothing() -> None:
    said = verdict(SWEEP, parse_goal(["gpu_used_memory"]))
    assert said.finding is Finding.NOTHING
    assert "none has a value for GPU memory usage" in said.sentence


def test_doubts_stand_in_the_bullets() -> None:
    bullets = verdict(SWEEP, torn=2).bullets
    assert "2 measurements of 2 configurations failed; the reasons are below." in bullets
    assert "1 measurement did not settle within the tolerance, marked unstable." in bullets
    assert "2 lines of the journal could not be read and are left out." in bullets


def test_disturbances_are_counted_and_the_chosen_ones_said() -> None:
    chosen = gather(made.head(), SWEEP, parse_goal()).chosen
    assert chosen is not None
    marked = {SWEEP[0].number, chosen.best.number}
    rows = [
        replace(row, remarks=(f"others ran in {row.number}",)) if row.number in marked else row
        for row in SWEEP
    ]
    said = " ".join(verdict(rows).bullets)
    assert "2 measurements of " in said
    number = chosen.best.number
    assert f"so number {number}: others ran in {number}." in said
    assert "to themselves" not in " ".join(verdict(SWEEP).bullets)


def test_gpus_are_named_only_if_they_may_have_been_used() -> None:
    on_gpu = judge(gather(made.head(machine=made.GPU_MACHINE), made.resnet50(gpu=True), Goal()))
    on_cpu = judge(gather(made.head(machine=made.GPU_MACHINE), SWEEP, Goal()))
    assert on_gpu.sentence.endswith("on 1 x NVIDIA H200.")
    assert on_cpu.sentence.endswith("on 16 cores of AMD EPYC 9554 64-Core Processor.")


def test_changes_are_said_by_their_size_and_judged_by_the_metrics_direction() -> None:
    assert change("perf_throughput", 121, 100) == "+21%"
    assert change("perf_latency_p99", 320, 30) == "10.7 times"
    assert change("perf_latency_p99", 100.1, 100) == "same"
    assert change("cpu_utilization", 180, 192.4) == "-12 points"
    assert better("perf_throughput", 121, 100) is True
    assert better("perf_latency_p99", 121, 100) is False
    assert better("perf_latency_p99", 100.1, 100) is None
