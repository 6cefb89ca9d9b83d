"""What is shown while a sweep runs: every line fits the terminal, and nothing is cut in words."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from support import rows as made

from analyzer import strategy
from analyzer.display import Display
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.rank import rank
from analyzer.record.row import Failure, Phase, Row, Trial, Why
from analyzer.space import Candidate, Space
from analyzer.stages import Campaign, Plan
from analyzer.statistics.estimate import Estimate
from analyzer.terminal import gain_words

SWEEP = made.resnet50()
CANDIDATE = Candidate.of(
    concurrency=16, instance_count=2, intra_op_thread_count=1, max_batch_size=128,
    max_queue_delay_microseconds=2000,
)  # fmt: skip


def campaign() -> Campaign:
    plan = Plan(default=(Candidate.of(concurrency=1),), search_seconds=60.0)
    return Campaign(strategy.find("brute")(strategy.Problem(space=Space(()))), Goal(), plan)


def shown(
    rows: tuple[Row, ...], width: int, *, terminal: bool = True, why: Why | None = None
) -> list[str]:
    """Return what is on the screen when these rows are there and another is measured."""
    console = Console(
        file=StringIO(), width=width, height=60, force_terminal=terminal, color_system=None
    )
    sweep = campaign()
    display = Display(console, sweep, "resnet50", 1)
    for row in rows:
        sweep.tell(row)
        display.finished(row)
    display.started(Trial(candidate=CANDIDATE, phase=Phase.SEARCH, why=why), "resnet50_config_12")
    if terminal:
        console.print(display.__rich__())
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def failed(row: Row, stage: str, message: str) -> Row:
    return replace(row, metrics={}, failure=Failure(stage=stage, message=message))


@pytest.mark.parametrize("width", [60, 80, 100, 150])
def test_each_row_is_one_line_that_fits(width: int) -> None:
    lines = shown(SWEEP[:8], width)
    assert all(len(line) <= width for line in lines)
    table = lines[lines.index(next(line for line in lines if "infer/sec  p99 ms" in line)) + 1 :]
    assert [line.split()[0] for line in table if line.strip()] == [
        str(row.number) for row in SWEEP[:8]
    ]


@pytest.mark.parametrize("width", [80, 150])
def test_the_time_left_and_every_name_and_number_are_there_in_full(width: int) -> None:
    text = "\n".join(shown(SWEEP[:8], width))
    assert " left" in text.splitlines()[0]
    assert "config_12, concurrency 16" in text
    assert "instances 2, max batch 128, batching delay 2000 us, threads 1" in text
    for row in SWEEP[:8]:
        assert row.variant.removeprefix("resnet50_") in text


def test_a_failure_is_told_by_the_line_that_says_why() -> None:
    launch = failed(SWEEP[0], "launch", "the server ended; its last lines (x.log):\nno memory")
    load = failed(SWEEP[1], "load", "the server ended by SIGKILL; its last lines:\nI served\nbye")
    text = "\n".join(shown((launch, load), 120))
    assert "no memory" in text
    assert "ended by SIGKILL" in text


def test_without_a_terminal_each_row_is_one_whole_line() -> None:
    reason = "cannot connect to 127.0.0.1:34719: [Errno 111] Connection refused; " * 3
    lines = shown((SWEEP[0], failed(SWEEP[1], "load", reason)), 80, terminal=False)
    assert len(lines) == 4
    assert reason.strip() in lines[2]


EXPLAINED = [
    replace(
        row,
        trial=replace(
            row.trial,
            why=Why(
                f"to learn what is not known yet: {'2.5% are expected to be gained, ' * repeats}",
                {"perf_throughput": 12.3, "perf_latency_p99": 456.7},
            ),
        ),
    )
    for repeats, row in enumerate(SWEEP[:6])
]


@pytest.mark.parametrize("width", [80, 120])
def test_what_was_foreseen_stands_beside_what_was_measured(width: int) -> None:
    lines = shown(tuple(EXPLAINED), width)
    assert all(len(each) <= width for each in lines)
    head = next(each for each in lines if "foreseen" in each)
    assert head.split()[:7] == ["#", "configuration", "load", "infer/sec", "foreseen", "p99", "ms"]
    for row in EXPLAINED:
        cells = next(each for each in lines if each.strip().startswith(f"{row.number} ")).split()
        assert cells[4] == "12.3"
        assert cells[6] == "457"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_reason_of_the_running_measurement_always_takes_two_lines(width: int) -> None:
    heights = set()
    for repeats in (0, 1, 9):
        reason = Why(
            "to learn what is not known yet: " + "2.5% are expected to be gained, " * repeats
        )
        lines = shown(SWEEP[:3], width, why=reason)
        assert all(len(each) <= width for each in lines)
        assert any("because" in each and "to learn what" in each for each in lines)
        heights.add(len(lines))
    assert len(heights) == 1


def test_how_sure_a_throughput_is_stands_in_a_column_and_settings_where_there_is_room() -> None:
    known = Estimate(value=100.0, low=88.0, high=112.0, n=50)
    rows = [
        replace(row, estimates={"perf_throughput": known}, stable=False,
                load=replace(row.load, rule="precision", throughput_precision=0.05))
        for row in EXPLAINED
    ]  # fmt: skip
    for width, settings in ((80, False), (140, True)):
        lines = shown(tuple(rows), width)
        head = next(each for each in lines if "foreseen" in each)
        assert head.split()[3:6] == ["infer/sec", "+-", "foreseen"]
        told = [each for each in lines if " 12% " in each]
        assert len(told) == len(rows)
        assert not any("wider than" in each for each in told)
        assert all(("instance" in each) is settings for each in told)


def test_without_a_terminal_a_line_says_why_and_what_is_left() -> None:
    measured, after = shown(tuple(EXPLAINED[:1]), 80, terminal=False)
    assert "infer/sec (12.3 foreseen), p99 " in measured
    assert " ms (457 foreseen)" in measured
    assert "because: to learn what is not known yet" in after
    assert "best so far: resnet50_config_default, " in after
    assert after.endswith(" left")


def test_a_default_that_was_not_proven_worse_is_not_called_unbeaten() -> None:
    """A rival that came out ahead without proof contradicts "not beaten"."""
    goal = parse_goal()
    default = next(each for each in rank(SWEEP, goal) if each.is_default)
    rival = next(each for each in rank(SWEEP, goal) if not each.is_default)
    rates = iter([100.0, 101.0, 100.0, 9000.0])
    pairs = [
        replace(
            standing.best,
            trial=replace(standing.best.trial, phase=Phase.VERIFY, repetition=repetition),
            metrics={**standing.best.metrics, "perf_throughput": next(rates)},
        )
        for repetition in (0, 1)
        for standing in (default, rival)
    ]
    searched = [row for row in SWEEP if row.trial.phase is not Phase.VERIFY]
    words = gain_words([*searched, *pairs], goal, default)
    assert "proven better" in words
    assert "over +1,000 %" in words
