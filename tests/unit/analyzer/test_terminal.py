"""What is said on the terminal when a sweep is over."""

from io import StringIO

from rich.console import Console

from analyzer.space import Candidate
from analyzer.stages import Skipped
from analyzer.terminal import REASONS, say_skipped


def said(*skipped: Skipped) -> list[str]:
    console = Console(file=StringIO(), width=80)
    say_skipped(console, skipped)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_settings_that_were_not_tried_are_counted_without_their_loads_by_reason() -> None:
    crowded = [
        Skipped(Candidate.of(instance_count=count, concurrency=load), "too many [of them]")
        for count in (4, 5)
        for load in (1, 2)
    ]
    assert said(Skipped(Candidate.of(max_batch_size=1, concurrency=1), "alone"), *crowded) == [
        "Not tried: 3 settings.",
        "  too many [of them] (2 settings)",
        "  alone",
    ]
    assert said(crowded[0])[0] == "Not tried: 1 setting."


def test_where_all_was_tried_nothing_is_said() -> None:
    assert said() == []


def test_many_reasons_are_left_to_the_report() -> None:
    every = [
        Skipped(Candidate.of(instance_count=count), f"reason {count}")
        for count in range(REASONS + 2)
    ]
    lines = said(*every)
    assert len(lines) == REASONS + 2
    assert lines[-1] == "  and 2 more reasons; the report lists them all"
