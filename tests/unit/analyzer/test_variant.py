from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    Axis,
    Candidate,
    Limits,
    Space,
)
from analyzer.variant import (
    Machine,
    canonical,
    digest,
    make,
    onto,
    reason_not_possible,
    settings,
    space,
)
from engine.modelconfig import convert
from engine.modelconfig.schema import (
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    QueuePolicy,
    SequenceBatching,
    VersionPolicy,
)
from engine.types import DType

CPU, GPU = InstanceKind.KIND_CPU, InstanceKind.KIND_GPU
MODEL = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=4,
    dynamic_batching=DynamicBatching(preferred_batch_size=(2, 4)),
    instance_group=(InstanceGroup(name="m_0", kind=CPU, count=2),),
    parameters={"inter_op_thread_count": "1"},
)


def values(made: Space) -> dict[str, tuple[object, ...]]:
    return {each.name: each.values for each in made.dimensions}


def test_on_a_cpu_instances_and_threads_are_tried_up_to_the_cores() -> None:
    made = values(space(MODEL, Machine(6), Limits()))
    assert made[INSTANCE_COUNT] == (1, 2, 3, 4, 5)
    assert made[INTRA_OP_THREADS] == (1, 2, 4, 6)
    assert made[MAX_BATCH_SIZE] == (1, 2, 4, 8, 16, 32, 64, 128)
    assert made[QUEUE_DELAY] == (-1, 0, 100, 500, 2000)
    assert made[CONCURRENCY] == tuple(2**k for k in range(11))
    assert values(space(MODEL, Machine(2), Limits()))[INSTANCE_COUNT] == (1, 2)


def test_only_the_load_axis_costs_no_reload_and_it_comes_last() -> None:
    made = space(MODEL, Machine(2), Limits())
    assert [each.name for each in made.dimensions if each.axis is Axis.LOAD] == [CONCURRENCY]
    assert made.dimensions[-1].name == CONCURRENCY


@pytest.mark.parametrize(
    ("limits", "rates"),
    [
        (Limits(open_loop=True), tuple(16.0 * 2**k for k in range(10))),
        (Limits(request_rates=(80.5, 20.0, 40.0)), (20.0, 40.0, 80.5)),
        (Limits(min_request_rate=100.0, max_request_rate=450.0), (100.0, 200.0, 400.0)),
        (Limits(max_request_rate=10.0), (10.0,)),
        (Limits(min_request_rate=9000.0), (9000.0,)),
    ],
)
def test_rates_take_the_place_of_concurrencies_where_any_is_asked_for(
    limits: Limits, rates: tuple[float, ...]
) -> None:
    load = space(MODEL, Machine(2), limits).dimensions[-1]
    assert (load.name, load.values, load.axis) == (REQUEST_RATE, rates, Axis.LOAD)


def test_a_least_rate_above_the_highest_is_refused() -> None:
    with pytest.raises(UsageError, match="request rate: expected 0 < minimum <= maximum"):
        space(MODEL, Machine(2), Limits(min_request_rate=20.0, max_request_rate=10.0))


def test_a_model_that_does_not_batch_has_no_batches_to_try() -> None:
    made = values(space(replace(MODEL, max_batch_size=0), Machine(2), Limits()))
    assert set(made) == {INSTANCE_COUNT, INTRA_OP_THREADS, CONCURRENCY}


def test_threads_are_tried_only_where_the_backend_reads_them() -> None:
    assert INTRA_OP_THREADS not in values(
        space(replace(MODEL, backend="python"), Machine(4), Limits())
    )
    by_platform = replace(MODEL, backend="", platform="onnxruntime_onnx")
    assert INTRA_OP_THREADS in values(space(by_platform, Machine(4), Limits()))


@pytest.mark.parametrize(
    ("groups", "gpus"),
    [((InstanceGroup(kind=GPU, count=1),), 1), ((InstanceGroup(),), 1), ((), 1)],
)
def test_on_gpus_five_instances_are_tried_and_no_threads(
    groups: tuple[InstanceGroup, ...], gpus: int
) -> None:
    made = values(space(replace(MODEL, instance_group=groups), Machine(2, gpus), Limits()))
    assert made[INSTANCE_COUNT] == (1, 2, 3, 4, 5)
    assert INTRA_OP_THREADS not in made


def test_a_cpu_group_stays_on_the_cpu_beside_a_gpu() -> None:
    assert INTRA_OP_THREADS in values(space(MODEL, Machine(2, 1), Limits()))


def test_other_batchers_keep_the_dynamic_one_out() -> None:
    sequences = replace(MODEL, dynamic_batching=None, sequence_batching=SequenceBatching())
    made = values(space(sequences, Machine(2), Limits()))
    assert QUEUE_DELAY not in made
    assert MAX_BATCH_SIZE in made
    ensemble = replace(MODEL, platform="ensemble")
    assert set(values(space(ensemble, Machine(2), Limits()))) == {CONCURRENCY}


def test_given_bounds_and_lists_are_taken_at_their_word() -> None:
    made = values(
        space(
            MODEL,
            Machine(2),
            Limits(
                min_instance_count=2,
                max_instance_count=4,
                min_model_batch_size=4,
                max_model_batch_size=20,
                queue_delays_us=(300, -1),
                intra_op_threads=(2,),
                concurrencies=(7, 3),
            ),
        )
    )
    assert made == {
        INSTANCE_COUNT: (2, 3, 4),
        INTRA_OP_THREADS: (2,),
        QUEUE_DELAY: (-1, 300),
        MAX_BATCH_SIZE: (4, 8, 16),
        CONCURRENCY: (3, 7),
    }


def test_one_bound_alone_moves_the_other_out_of_its_way() -> None:
    assert values(space(MODEL, Machine(2), Limits(min_instance_count=4)))[INSTANCE_COUNT] == (4,)
    assert values(space(MODEL, Machine(2), Limits(max_concurrency=4)))[CONCURRENCY] == (1, 2, 4)


def test_requests_that_are_batches_need_room_in_the_batch() -> None:
    made = values(space(MODEL, Machine(2), Limits(batch_size=16, max_model_batch_size=64)))
    assert made[MAX_BATCH_SIZE] == (16, 32, 64)


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(UsageError, match="instance count: expected 1 <= minimum <= maximum"):
        space(MODEL, Machine(2), Limits(min_instance_count=3, max_instance_count=2))
    with pytest.raises(UsageError, match="concurrency"):
        space(MODEL, Machine(2), Limits(min_concurrency=0))


def test_a_candidate_without_settings_is_the_default_itself() -> None:
    assert make(Candidate.of(concurrency=8), MODEL) == MODEL


def test_settings_land_in_their_fields_and_nothing_else_changes() -> None:
    candidate = Candidate.of(
        instance_count=3,
        intra_op_thread_count=2,
        max_batch_size=16,
        max_queue_delay_microseconds=500,
        concurrency=64,
    )
    assert make(candidate, MODEL) == replace(
        MODEL,
        max_batch_size=16,
        dynamic_batching=DynamicBatching(
            preferred_batch_size=(2, 4), max_queue_delay_microseconds=500
        ),
        instance_group=(InstanceGroup(name="m_0", kind=CPU, count=3),),
        parameters={"inter_op_thread_count": "1", "intra_op_thread_count": "2"},
    )


def test_preferred_sizes_beyond_the_largest_batch_are_dropped() -> None:
    made = make(Candidate.of(max_batch_size=2), MODEL).dynamic_batching
    assert made is not None
    assert made.preferred_batch_size == (2,)


def test_a_delay_brings_a_batcher_and_minus_one_takes_it_away() -> None:
    plain = replace(MODEL, dynamic_batching=None)
    brought = make(Candidate.of(max_queue_delay_microseconds=0), plain).dynamic_batching
    assert brought == DynamicBatching()
    assert make(Candidate.of(max_batch_size=8), plain).dynamic_batching is None
    assert make(Candidate.of(max_queue_delay_microseconds=-1), MODEL).dynamic_batching is None


def test_queue_rules_outlive_the_batching() -> None:
    ruled = DynamicBatching(
        preferred_batch_size=(4,),
        max_queue_delay_microseconds=100,
        default_queue_policy=QueuePolicy(max_queue_size=9),
    )
    made = make(
        Candidate.of(max_queue_delay_microseconds=-1), replace(MODEL, dynamic_batching=ruled)
    )
    assert made.dynamic_batching == replace(
        ruled, preferred_batch_size=(), max_queue_delay_microseconds=0
    )


def test_groups_become_one_and_passive_ones_stay() -> None:
    passive = InstanceGroup(kind=GPU, count=1, passive=True)
    groups = (
        InstanceGroup(kind=GPU, count=1, gpus=(0, 1)),
        InstanceGroup(kind=CPU, count=1),
        passive,
    )
    made = make(Candidate.of(instance_count=3), replace(MODEL, instance_group=groups))
    assert made.instance_group == (InstanceGroup(kind=GPU, count=3, gpus=(0, 1)), passive)
    assert make(Candidate.of(instance_count=2), replace(MODEL, instance_group=())) == replace(
        MODEL, instance_group=(InstanceGroup(count=2),)
    )


_candidates = st.builds(
    lambda count, threads, delay, size: Candidate.of(
        instance_count=count,
        intra_op_thread_count=threads,
        max_queue_delay_microseconds=delay,
        max_batch_size=size,
    ),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from((-1, 0, 100)),
    st.sampled_from((1, 2, 8)),
)


@given(_candidates, _candidates)
def test_digests_are_equal_exactly_for_equal_settings(one: Candidate, other: Candidate) -> None:
    same = canonical(one) == canonical(other)
    assert (digest(make(one, MODEL)) == digest(make(other, MODEL))) == same
    assert canonical(canonical(one)) == canonical(one)


@given(_candidates)
def test_a_variant_survives_its_file(candidate: Candidate) -> None:
    made = make(candidate, MODEL)
    assert convert.loads(convert.dumps(made), "variant") == made
    assert digest(convert.loads(convert.dumps(made), "variant")) == digest(made)


def test_digests_do_not_depend_on_the_order_of_parameters() -> None:
    one = replace(MODEL, parameters={"a": "1", "b": "2"})
    assert digest(one) == digest(replace(MODEL, parameters={"b": "2", "a": "1"}))


@pytest.mark.parametrize(
    ("candidate", "cores", "reason"),
    [
        (Candidate.of(max_batch_size=1, max_queue_delay_microseconds=100), 2, "nobody to wait for"),
        (Candidate.of(instance_count=5, intra_op_thread_count=2), 4, "too many for 4 cores"),
        (Candidate.of(max_batch_size=4, batch_size=8), None, "batch size 8 with max_batch_size 4"),
        (Candidate.of(instance_count=5, intra_op_thread_count=2), None, None),
        (Candidate.of(instance_count=4, intra_op_thread_count=2), 4, None),
        (Candidate.of(instance_count=5, intra_op_thread_count=1), 2, None),
        (Candidate.of(max_batch_size=1, max_queue_delay_microseconds=0), 2, None),
        (Candidate.of(concurrency=1024), 2, None),
    ],
)
def test_what_makes_no_sense_has_its_reason(
    candidate: Candidate, cores: int | None, reason: str | None
) -> None:
    found = reason_not_possible(candidate, cores)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found


def test_reports_are_shown_what_was_set() -> None:
    assert settings(MODEL) == {
        "instance_group": "2:CPU",
        "instance_count": 2,
        "max_batch_size": 4,
        "dynamic_batching": True,
        "max_queue_delay_microseconds": 0,
        "preferred_batch_size": [2, 4],
        "intra_op_thread_count": None,
        "backend": "onnxruntime",
        "precision": None,
        "accelerator": "none",
    }
    shown = settings(make(Candidate.of(max_queue_delay_microseconds=-1), MODEL))
    assert (shown["dynamic_batching"], shown["max_queue_delay_microseconds"]) == (False, None)
    assert settings(make(Candidate.of(intra_op_thread_count=2), MODEL))[INTRA_OP_THREADS] == 2


def test_the_instance_cell_counts_each_kind_over_its_gpus() -> None:
    groups = (
        InstanceGroup(kind=GPU, count=2, gpus=(0, 1)),
        InstanceGroup(kind=CPU, count=1),
        InstanceGroup(kind=GPU, count=9, passive=True),
    )
    shown = settings(replace(MODEL, instance_group=groups))
    assert (shown["instance_group"], shown["instance_count"]) == ("4:GPU + 1:CPU", 5)
    open_ended = settings(replace(MODEL, instance_group=()))
    assert (open_ended["instance_group"], open_ended["instance_count"]) == ("", None)


def test_client_batches_are_a_load_not_a_setting() -> None:
    assert make(Candidate.of(**{BATCH_SIZE: 4, CONCURRENCY: 2}), MODEL) == MODEL


def test_a_winner_put_onto_a_users_configuration_changes_what_was_searched_and_no_more() -> None:
    own = ModelConfig(name="m", backend="onnxruntime", metric_tags={"team": "a"}, max_batch_size=8)
    completed = replace(
        own,
        input=(ModelInput(name="x", data_type=DType.FP32, dims=(3,)),),
        output=(ModelOutput(name="y", data_type=DType.FP32, dims=(3,)),),
        version_policy=VersionPolicy(latest=1),
        default_model_filename="model.onnx",
        dynamic_batching=DynamicBatching(preferred_batch_size=(8,)),
    )
    winner = make(
        Candidate.of(instance_count=2, max_batch_size=4, max_queue_delay_microseconds=-1),
        completed,
    )
    merged = onto(own, winner)
    assert merged.metric_tags == {"team": "a"}
    assert (merged.version_policy, merged.default_model_filename) == (None, "")
    assert merged.max_batch_size == 4
    assert merged.instance_group == winner.instance_group
    assert merged.dynamic_batching is None
    assert merged.input == completed.input, "left open, it would be completed, batching included"
    assert onto(merged, winner) == merged
