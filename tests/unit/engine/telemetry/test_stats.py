"""The ledger's figures mean what Triton's mean (spec 12.2, traps 60 to 63)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.telemetry.stats import (
    BatchTally,
    FailureReason,
    Ledger,
    ModelStatistics,
    ResponseKind,
    ResponseTally,
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


def test_responses_are_counted_by_their_place_and_what_became_of_them() -> None:
    ledger = Ledger("m", 1)
    ledger.responded(1, ResponseKind.FAIL, 7, 2)
    ledger.responded(0, ResponseKind.SUCCESS, 10, 3)
    ledger.responded(0, ResponseKind.SUCCESS, 20, 4)
    ledger.responded(2, ResponseKind.EMPTY, 5)
    ledger.responded(2, ResponseKind.CANCEL, 6)
    assert ledger.picture().response_stats == (
        ResponseTally(
            index=0, compute_infer=Tally(2, 30), compute_output=Tally(2, 7), success=Tally(2, 37)
        ),
        ResponseTally(
            index=1, compute_infer=Tally(1, 7), compute_output=Tally(1, 2), fail=Tally(1, 9)
        ),
        ResponseTally(
            index=2, compute_infer=Tally(1, 5), empty_response=Tally(1, 5), cancel=Tally(1, 6)
        ),
    )


def test_a_cache_hit_is_a_success_that_neither_waited_nor_computed() -> None:
    ledger = Ledger("m", 1)
    ledger.hit(lookup_ns=5, total_ns=9)
    ledger.missed(7, succeeded=False)
    seen = ledger.picture()
    assert (seen.success, seen.queue) == (Tally(1, 9), Tally(1, 0))
    assert (seen.cache_hit, seen.cache_miss) == (Tally(1, 5), Tally(1, 7))
    assert (seen.inference_count, seen.execution_count, seen.compute_infer) == (0, 0, Tally())


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(0, 3), st.lists(st.integers(0, 900), min_size=1, max_size=4)
    ),
    max_size=20,
)


@given(EVENTS)
def test_the_devices_add_up_to_the_model_and_the_sums_agree(
    batches: list[tuple[int, int, list[int]]],
) -> None:
    ledger = Ledger("m", 1, (None, 0, 1, 0))
    for rows_each, instance, arrived in batches:
        timings = Timings(1000, 10, 20 * rows_each, 30)
        rows = rows_each * len(arrived)
        ledger.executed(rows, timings, 1, instance)
        ledger.succeeded(len(arrived), rows, sum(arrived), timings, 2000, instance)
    seen = ledger.picture()
    assert {one.device for one in seen.devices} == {None, 0, 1}
    for name in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        total: Tally = getattr(seen, name)
        assert total.count == sum(getattr(one, name).count for one in seen.devices)
        assert total.ns == sum(getattr(one, name).ns for one in seen.devices)
        assert total.count == seen.success.count
    computed = seen.compute_input.ns + seen.compute_infer.ns + seen.compute_output.ns
    assert seen.success.ns >= seen.queue.ns + computed
    assert seen.execution_count == sum(one.compute_infer.count for one in seen.batch_stats)
    assert seen.inference_count == sum(
        one.batch_size * one.compute_infer.count for one in seen.batch_stats
    )


def test_instances_that_move_keep_what_was_counted() -> None:
    ledger = Ledger("m", 1, (0,))
    timings = Timings(1000, 1, 2, 3)
    ledger.executed(1, timings, 1)
    ledger.place({0: 1, 1: None})
    ledger.executed(1, timings, 1)
    assert {one.device: one.execution_count for one in ledger.picture().devices} == {
        0: 1,
        1: 1,
        None: 0,
    }
