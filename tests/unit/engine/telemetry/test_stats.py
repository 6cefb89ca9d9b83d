"""The ledger's figures mean what Triton's mean (spec 12.2, traps 60 to 63)."""

from __future__ import annotations

from engine.telemetry.stats import (
    BatchTally,
    FailureReason,
    Ledger,
    ModelStatistics,
    Tally,
    Timings,
)


def test_a_new_ledger_has_every_figure_at_zero() -> None:
    seen = Ledger("m", 3).picture()
    assert seen == ModelStatistics(name="m", version="3")
    assert seen.failures == dict.fromkeys(FailureReason, 0)


def test_each_request_of_a_batch_is_charged_the_whole_batch() -> None:
    ledger = Ledger("m", 1)
    timings = Timings(started_ns=1000, input_ns=10, infer_ns=200, output_ns=30)
    ledger.executed(6, timings, wall_ms=77)
    ledger.succeeded(3, 6, arrived_sum_ns=900 + 950 + 980, timings=timings, done_ns=1250)
    seen = ledger.picture(pending=2)
    assert seen.success == Tally(3, 350 + 300 + 270)
    assert seen.queue == Tally(3, 100 + 50 + 20)
    assert seen.compute_input == Tally(3, 30)
    assert seen.compute_infer == Tally(3, 600)
    assert seen.compute_output == Tally(3, 90)
    assert (seen.inference_count, seen.execution_count, seen.last_inference) == (6, 1, 77)
    assert seen.batch_stats == (BatchTally(6, Tally(1, 10), Tally(1, 200), Tally(1, 30)),)
    assert seen.pending == 2


def test_batch_sizes_are_kept_apart_and_in_order() -> None:
    ledger = Ledger("m", 1)
    for rows, infer_ns in ((4, 40), (1, 10), (4, 44)):
        ledger.executed(rows, Timings(0, 1, infer_ns, 2), wall_ms=1)
    assert [(one.batch_size, one.compute_infer) for one in ledger.picture().batch_stats] == [
        (1, Tally(1, 10)),
        (4, Tally(2, 84)),
    ]


def test_failures_have_a_reason_and_add_up() -> None:
    ledger = Ledger("m", 1)
    ledger.failed(FailureReason.REJECTED, 5)
    ledger.failed(FailureReason.BACKEND, 7)
    ledger.failed(FailureReason.BACKEND, 8)
    seen = ledger.picture()
    assert seen.fail == Tally(3, 20)
    assert seen.failures[FailureReason.BACKEND] == 2
    assert sum(seen.failures.values()) == seen.fail.count
    assert seen.success == Tally()


def test_a_picture_does_not_change_with_the_ledger() -> None:
    ledger = Ledger("m", 1)
    seen = ledger.picture()
    ledger.failed(FailureReason.OTHER, 5)
    assert seen.fail == Tally()
    assert seen.failures[FailureReason.OTHER] == 0
