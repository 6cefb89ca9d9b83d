import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.counters import TALLIES, BatchCounters, Counters, server_times, together
from analyzer.metrics import plain, server_times_of

_count = st.integers(0, 10**12)
_batch = st.builds(
    BatchCounters,
    executions=_count,
    compute_input_ns=_count,
    compute_infer_ns=_count,
    compute_output_ns=_count,
)
_flat = st.builds(
    Counters,
    **dict.fromkeys(TALLIES, _count),
    batches=st.dictionaries(st.integers(1, 64), _batch, max_size=3),
)
_counters = st.builds(replace, _flat, composing=st.dictionaries(st.sampled_from("ab"), _flat))


def test_times_are_differences_over_requests_and_none_without_any() -> None:
    before = Counters(requests=10, request_ns=1000, inferences=20, executions=5)
    after = replace(before, requests=14, request_ns=3000, inferences=36, executions=7)
    times = server_times(before, after)
    assert times is not None
    assert (times.requests, times.inferences, times.executions) == (4, 16, 2)
    assert times.request_ns == 500
    assert server_times(before, before) is None
    assert server_times(None, after) is None


def test_a_model_that_was_loaded_anew_in_between_tells_nothing() -> None:
    before = Counters(requests=10, request_ns=1000, queue_ns=900)
    assert server_times(before, Counters(requests=3, request_ns=30)) is None
    assert server_times(before, Counters(requests=30, request_ns=3000, queue_ns=10)) is None


def test_what_the_cache_answered_is_counted_and_its_time_is_part_of_a_requests() -> None:
    after = Counters(requests=10, cache_hits=4, cache_hit_ns=400, cache_misses=6, cache_miss_ns=60)
    times = server_times(Counters(), after)
    assert times is not None
    assert (times.cache_hits, times.cache_misses) == (4, 6)
    assert (times.cache_hit_ns, times.cache_miss_ns) == (40, 6)


def test_batch_sizes_that_ran_in_between_have_their_mean_times() -> None:
    old = BatchCounters(executions=5, compute_infer_ns=500)
    before = Counters(batches={1: old, 2: old})
    after = Counters(
        requests=1,
        batches={
            2: old.plus(BatchCounters(executions=2, compute_infer_ns=60), 1),
            1: old,
            8: BatchCounters(executions=1, compute_input_ns=3, compute_output_ns=4),
        },
    )
    times = server_times(before, after)
    assert times is not None
    assert [(one.batch_size, one.executions) for one in times.batches] == [(2, 2), (8, 1)]
    assert times.batches[0].compute_infer_ns == 30
    assert (times.batches[1].compute_input_ns, times.batches[1].compute_output_ns) == (3, 4)


def test_the_models_of_an_ensemble_have_times_of_their_own() -> None:
    before = Counters(composing={"a": Counters(requests=1, queue_ns=5), "idle": Counters()})
    after = Counters(
        requests=2, composing={"a": Counters(requests=4, queue_ns=35), "idle": Counters()}
    )
    times = server_times(before, after)
    assert times is not None
    assert set(times.composing) == {"a"}, "one that nobody asked has no mean"
    assert (times.composing["a"].requests, times.composing["a"].queue_ns) == (3, 10)


@given(_counters, _counters)
def test_what_is_added_can_be_subtracted(one: Counters, other: Counters) -> None:
    back = (one + other) - other
    assert all(getattr(back, name) == getattr(one, name) for name in TALLIES)
    assert {size: got for size, got in back.batches.items() if got != BatchCounters()} == {
        size: got for size, got in one.batches.items() if got != BatchCounters()
    }


@given(_counters, _counters)
def test_times_survive_becoming_plain(before: Counters, more: Counters) -> None:
    times = server_times(before, before + more)
    if times is not None:
        assert server_times_of(json.loads(json.dumps(plain(times)))) == times


def test_versions_add_up() -> None:
    assert together([Counters(requests=1), Counters(requests=2)]).requests == 3
    assert together([]) == Counters()


def test_what_are_no_times_is_an_error() -> None:
    with pytest.raises(TypeError):
        server_times_of({"requests": 1})
