"""How the numbers came about, in words."""

from dataclasses import replace

from support import full_rows
from support import rows as made

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Phase, Row
from analyzer.report import course
from analyzer.report.evidence import gather
from analyzer.report.method import method

SWEEP = full_rows.resnet50(gpu=True)


def among_others(row: Row, **given: float) -> Row:
    trial = replace(row.trial, beside=2)
    return replace(row, trial=trial, gpu=f"GPU-{row.number % 2}", cores=8, **given)


def side_by_side(rows: tuple[Row, ...]) -> list[str]:
    every = method(gather(made.head(), rows, parse_goal()))
    return [text for text in every if "at a time" in text]


def test_it_says_what_ran_side_by_side_and_that_the_rest_did_not() -> None:
    assert side_by_side(SWEEP) == []
    search = [row for row in SWEEP if row.trial.phase is Phase.SEARCH]
    later = {row.number for row in search[4:]}
    rows = tuple(among_others(row) if row.number in later else row for row in SWEEP)
    (said,) = side_by_side(rows)
    assert said.startswith(
        f"{len(later)} of {len(search)} measurements of the search ran up to 2 at a time, on 2 GPUs"
    )
    assert said.endswith("All other measurements had the machine to themselves.")


def test_what_was_short_of_cores_is_counted_and_never_leads() -> None:
    measured = [row for row in SWEEP if row.failure is None and row.trial.phase.ranks]
    best = max(measured, key=lambda row: row.metrics["perf_throughput"])
    short = among_others(best, cores_used=7.9)
    rows = tuple(short if row is best else row for row in SWEEP)
    (said,) = side_by_side(rows)
    assert said.endswith("1 measurement short of cores beside others did not count and came again "
                         "alone.")  # fmt: skip
    evidence = gather(made.head(), rows, parse_goal())
    assert best.number not in {row.number for row in course.leaders(evidence) if row is not None}
    assert best.number not in {each.best.number for each in evidence.standings}
