"""Where batches run: inline if they are short and do not wait, and not to and fro."""

from __future__ import annotations

import itertools

from engine.execution.residence import AT_ONCE_NS, ENTER_NS, LEAVE_NS, PROBATION, Residence


def _feed(residence: Residence, count: int, wall_ns: int, cpu_ns: int | None = None) -> None:
    for _ in range(count):
        if residence.inline:
            residence.ran_inline(wall_ns)
        else:
            residence.ran_on_thread(wall_ns, wall_ns if cpu_ns is None else cpu_ns)


def test_it_starts_on_the_thread_and_a_short_model_moves_inline_after_probation() -> None:
    residence = Residence()
    _feed(residence, PROBATION - 1, 50_000)
    assert not residence.inline
    _feed(residence, 1, 50_000)
    assert residence.inline


def test_a_long_model_stays_on_the_thread() -> None:
    residence = Residence()
    _feed(residence, 1000, ENTER_NS + 10_000)
    assert not residence.inline


def test_a_model_that_waits_stays_on_the_thread_however_little_it_computes() -> None:
    residence = Residence()
    _feed(residence, 1000, wall_ns=150_000, cpu_ns=5_000)
    assert not residence.inline


def test_waiting_for_the_lock_now_and_then_does_not_hide_a_short_model() -> None:
    residence = Residence()
    for wall_ns in itertools.islice(itertools.cycle((30_000, 600_000, 600_000)), PROBATION):
        residence.ran_on_thread(wall_ns, 25_000)
    assert residence.inline


def test_between_the_two_limits_it_stays_where_it_is() -> None:
    between = (ENTER_NS + LEAVE_NS) // 2
    on_thread, inline = Residence(), Residence()
    _feed(inline, PROBATION, 50_000)
    for residence in (on_thread, inline):
        _feed(residence, 500, between)
    assert not on_thread.inline
    assert inline.inline


def test_a_model_that_grows_long_moves_back() -> None:
    residence = Residence()
    _feed(residence, PROBATION, 50_000)
    _feed(residence, 30, 2 * LEAVE_NS)
    assert not residence.inline


def test_one_preempted_batch_does_not_move_it_but_a_very_long_one_does_at_once() -> None:
    residence = Residence()
    _feed(residence, 2 * PROBATION, 50_000)
    residence.ran_inline(AT_ONCE_NS // 2)
    assert residence.inline
    residence.ran_inline(AT_ONCE_NS + 1)
    assert not residence.inline


def test_each_return_to_the_thread_doubles_the_probation() -> None:
    residence = Residence()
    stays = []
    for _ in range(5):
        for count in itertools.count(1):
            residence.ran_on_thread(50_000, 50_000)
            if residence.inline:
                stays.append(count)
                break
        residence.ran_inline(AT_ONCE_NS + 1)
    assert stays == [PROBATION * factor for factor in (1, 2, 4, 8, 16)]
