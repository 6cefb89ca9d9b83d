"""By what a model is run, as dimensions: what is tried, what it means, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.space import (
    ACCELERATOR,
    BACKEND,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    PRECISION,
    Candidate,
    Limits,
    Space,
)
from analyzer.variant import (
    Machine,
    Means,
    digest,
    make,
    onto,
    reason_not_possible,
    run_by,
    settings,
    space,
)
from engine.modelconfig import convert
from engine.modelconfig.schema import (
    Accelerator,
    ExecutionAccelerators,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    Optimization,
)

CPU, GPU = InstanceKind.KIND_CPU, InstanceKind.KIND_GPU
#: as the server completes it
ONNX = ModelConfig(
    name="m",
    backend="onnxruntime",
    platform="onnxruntime_onnx",
    max_batch_size=8,
    default_model_filename="model.onnx",
    instance_group=(InstanceGroup(name="m", kind=CPU, count=2),),
    optimization=Optimization(input_pinned_memory=True),
)
ON_GPU = replace(ONNX, instance_group=(InstanceGroup(kind=GPU, count=1, gpus=(0,)),))
BOTH = frozenset({"onnxruntime", "openvino"})
FILES = frozenset({"model.onnx"})
NOTHING: frozenset[str] = frozenset()
PLAIN = Machine(2, precisions=NOTHING, backends=BOTH)
WITH_BF16 = Machine(2, precisions=frozenset({"BF16", "FP16"}), backends=BOTH)
WITH_TENSORRT = Machine(16, 1, backends=BOTH | {"tensorrt"}, accelerators=frozenset({"tensorrt"}))


def run_bys(made: Space) -> dict[str, tuple[object, ...]]:
    named = {BACKEND, ACCELERATOR, PRECISION}
    return {each.name: each.values for each in made.dimensions if each.name in named}


def test_a_backend_that_reads_the_same_file_is_tried_where_it_is_installed() -> None:
    assert run_bys(space(ONNX, PLAIN, Limits(), None, FILES)) == {
        BACKEND: ("onnxruntime", "openvino")
    }
    alone = Machine(2, backends=frozenset({"onnxruntime"}))
    assert not run_bys(space(ONNX, alone, Limits(), None, FILES))
    assert not run_bys(space(ONNX, Machine(2), Limits()))


def test_a_precision_is_tried_where_the_processor_has_it_or_a_file_lies_there() -> None:
    assert run_bys(space(ONNX, WITH_BF16, Limits(), None, FILES))[PRECISION] == ("FP32", "BF16")
    quantised = FILES | {"model_int8.onnx"}
    assert run_bys(space(ONNX, PLAIN, Limits(), None, quantised))[PRECISION] == ("FP32", "INT8")
    # A backend alone that cannot be asked for BF16 has none to try.
    alone = replace(WITH_BF16, backends=frozenset({"onnxruntime"}))
    assert not run_bys(space(ONNX, alone, Limits(), None, FILES))


def test_on_a_gpu_tensorrt_is_tried_with_its_precisions() -> None:
    assert run_bys(space(ON_GPU, WITH_TENSORRT, Limits(), None, FILES)) == {
        ACCELERATOR: ("none", "tensorrt"),
        PRECISION: ("FP32", "FP16"),
    }
    with_plan = FILES | {"model.plan"}
    assert run_bys(space(ON_GPU, WITH_TENSORRT, Limits(), None, with_plan))[BACKEND] == (
        "onnxruntime",
        "tensorrt",
    )


def test_lists_of_the_user_are_taken_at_their_word_in_any_search() -> None:
    asked = Limits(backends=("openvino",), precisions=("BF16", "FP16"))
    wanted = {BACKEND: ("openvino",), PRECISION: ("BF16", "FP16")}
    assert run_bys(space(ONNX, PLAIN, asked, None, FILES)) == wanted
    assert run_bys(space(ONNX, PLAIN, asked, (), FILES)) == wanted


def test_the_whole_default_space_stays_small() -> None:
    made = space(ONNX, WITH_BF16, Limits(), None, FILES)
    settings_only = [each for each in made.dimensions if each.name != CONCURRENCY]
    assert len(Space(tuple(settings_only))) <= 640


def test_another_backend_gets_the_file_and_the_threads_and_none_of_the_others_words() -> None:
    told = replace(
        ONNX,
        parameters={
            "intra_op_thread_count": "3", "session.intra_op.allow_spinning": "0", "team": "a"
        },
    )  # fmt: skip
    made = make(Candidate.of(backend="openvino"), told)
    assert (made.backend, made.platform) == ("openvino", "")
    assert made.default_model_filename == "model.onnx"
    assert made.parameters == {"team": "a", "INFERENCE_NUM_THREADS": "6"}
    assert settings(made)[INTRA_OP_THREADS] == 3
    back = make(Candidate.of(backend="onnxruntime"), made)
    assert back.parameters == {"team": "a", "intra_op_thread_count": "3"}


def test_threads_are_those_of_an_instance_whatever_the_backend_counts() -> None:
    made = make(Candidate.of(backend="openvino", instance_count=3, intra_op_thread_count=4), ONNX)
    assert made.parameters == {"INFERENCE_NUM_THREADS": "12"}
    assert settings(make(Candidate.of(instance_count=1), made))[INTRA_OP_THREADS] == 4


@pytest.mark.parametrize(
    ("precision", "parameters"),
    [
        ("FP32", {}),
        ("BF16", {"INFERENCE_PRECISION_HINT": "bf16"}),
        ("FP16", {"INFERENCE_PRECISION_HINT": "f16"}),
    ],
)
def test_openvino_is_asked_for_a_precision_and_fp32_is_what_it_has(
    precision: str, parameters: dict[str, str]
) -> None:
    made = make(Candidate.of(backend="openvino", precision=precision), ONNX)
    assert made.parameters == parameters
    assert settings(made)[PRECISION] == precision
    told = replace(made, parameters={"HINT_BF16": "YES"})
    assert settings(told)[PRECISION] == "BF16"
    assert make(Candidate.of(precision=precision), told).parameters == (
        told.parameters if precision == "BF16" else parameters
    )


def test_integers_are_a_file_beside_the_models() -> None:
    for backend in ("onnxruntime", "openvino"):
        made = make(Candidate.of(backend=backend, precision="INT8"), ONNX)
        assert made.default_model_filename == "model_int8.onnx"
        assert (settings(made)[PRECISION], made.parameters) == ("INT8", {})
        again = make(Candidate.of(precision="FP32"), made)
        assert again.default_model_filename == "model.onnx"


def test_tensorrt_is_told_its_precision_and_keeps_what_the_user_told_it() -> None:
    own = Accelerator(name="tensorrt", parameters={"max_workspace_size_bytes": "1"})
    listed = ExecutionAccelerators(gpu_execution_accelerator=(own,))
    told = replace(ON_GPU, optimization=Optimization(execution_accelerators=listed))
    made = make(Candidate.of(accelerator="tensorrt", precision="FP16"), told)
    assert made.optimization is not None
    assert made.optimization.execution_accelerators == ExecutionAccelerators(
        gpu_execution_accelerator=(
            replace(own, parameters={**own.parameters, "precision_mode": "FP16"}),
        )
    )
    assert run_by(settings(made)) == "onnxruntime with tensorrt FP16"
    assert make(Candidate.of(accelerator="tensorrt", precision="FP32"), told) == told
    without = make(Candidate.of(accelerator="none"), told).optimization
    assert without == Optimization()


@pytest.mark.parametrize(
    ("candidate", "base", "machine", "reason"),
    [
        ({BACKEND: "openvino"}, ONNX, PLAIN, None),
        ({BACKEND: "openvino"}, ONNX, Machine(2, backends=NOTHING), "is not installed here"),
        ({BACKEND: "openvino"}, ON_GPU, WITH_TENSORRT, "does not run on NVIDIA GPUs"),
        ({BACKEND: "tensorrt"}, ONNX, WITH_TENSORRT, "TensorRT runs on NVIDIA GPUs only"),
        ({BACKEND: "tensorrt"}, ON_GPU, WITH_TENSORRT, "there is no model.plan beside it"),
        ({BACKEND: "tensorflow"}, ONNX, Machine(2), "tensorflow does not read model.onnx"),
        ({BACKEND: "openvin"}, ONNX, PLAIN, "no backend named openvin to try"),
        ({BACKEND: "openvino", PRECISION: "BF16"}, ONNX, WITH_BF16, None),
        ({BACKEND: "openvino", PRECISION: "BF16"}, ONNX, PLAIN, "no AVX-512 BF16 or AMX"),
        ({PRECISION: "BF16"}, ONNX, WITH_BF16, "BF16 needs model_bf16.onnx beside model.onnx"),
        ({PRECISION: "FP16"}, ONNX, PLAIN, "onnxruntime computes in what the model's file has"),
        ({PRECISION: "INT8"}, ONNX, PLAIN, "INT8 needs model_int8.onnx"),
        ({ACCELERATOR: "tensorrt"}, ON_GPU, WITH_TENSORRT, None),
        ({ACCELERATOR: "tensorrt"}, ONNX, WITH_TENSORRT, "is for instances on the GPU"),
        (
            {ACCELERATOR: "tensorrt"},
            ON_GPU,
            Machine(2, 1, accelerators=NOTHING),
            "tensorrt is not installed here",
        ),
        ({ACCELERATOR: "openvino"}, ONNX, PLAIN, None),
        ({ACCELERATOR: "openvino", BACKEND: "openvino"}, ONNX, PLAIN, "is ONNX Runtime's"),
        ({INSTANCE_COUNT: 2, INTRA_OP_THREADS: 2}, ONNX, PLAIN, None),
        (
            {BACKEND: "openvino", INSTANCE_COUNT: 2, INTRA_OP_THREADS: 2},
            ONNX,
            PLAIN,
            "no more threads than cores: 4 on 2",
        ),
    ],
)
def test_what_cannot_be_has_its_reason(
    candidate: dict[str, str | int], base: ModelConfig, machine: Machine, reason: str | None
) -> None:
    means = {"": Means(base, machine, FILES)}
    found = reason_not_possible(Candidate.of(**candidate), machine.cores, means)
    assert (found is None) == (reason is None)
    assert reason is None or (found is not None and reason in found)


_candidates = st.builds(
    lambda backend, precision, count, threads: Candidate.of(
        backend=backend, precision=precision, instance_count=count, intra_op_thread_count=threads
    ),
    st.sampled_from(("onnxruntime", "openvino")),
    st.sampled_from(("FP32", "BF16", "INT8")),
    st.integers(1, 2),
    st.integers(1, 2),
)


@given(_candidates)
def test_a_variant_survives_its_file_and_what_it_is_run_by_can_be_undone(
    candidate: Candidate,
) -> None:
    made = make(candidate, ONNX)
    assert convert.loads(convert.dumps(made), "variant") == made
    back = make(candidate.replaced(backend="onnxruntime", precision="FP32"), made)
    straight = make(candidate.replaced(backend="onnxruntime", precision="FP32"), ONNX)
    assert replace(back, platform=straight.platform) == straight


@given(_candidates)
def test_a_winner_put_onto_a_users_file_is_run_as_it_was_measured(candidate: Candidate) -> None:
    winner = make(candidate, ONNX)
    by_backend = ModelConfig(name="m", backend="onnxruntime", metric_tags={"team": "a"})
    by_platform = ModelConfig(name="m", platform="onnxruntime_onnx")
    for own in (by_backend, by_platform, ModelConfig(name="m")):
        merged = onto(own, winner)
        shown = dict(settings(merged))
        assert {**shown, BACKEND: ""} == {**settings(winner), BACKEND: ""}
        assert run_by(settings(winner)).split()[0] in {merged.backend, merged.platform[:11]}
        file = merged.default_model_filename or "model.onnx"
        assert file == winner.default_model_filename
        assert merged.metric_tags == own.metric_tags
        assert onto(merged, winner) == merged


def test_leaves_of_a_users_own_are_dimensions_beside_them() -> None:
    chosen = Candidate.of(
        backend="openvino",
        dynamic_batching='{"preferred_batch_size":[4,8],"priority_levels":2,'
        '"default_priority_level":1}',
        parameters='{"NUM_STREAMS":{"string_value":"AUTO"}}',
        instance_group='[{"kind":"KIND_CPU","host_policy":"left"}]',
        instance_count=2,
    )
    made = make(chosen, ONNX)
    assert made.dynamic_batching is not None
    assert made.dynamic_batching.preferred_batch_size == (4, 8)
    assert made.dynamic_batching.priority_levels == 2
    assert made.parameters == {"NUM_STREAMS": "AUTO"}
    assert [(each.count, each.host_policy) for each in made.instance_group] == [(2, "left")]


def test_the_digest_tells_what_a_model_is_run_by() -> None:
    every = {
        digest(make(Candidate.of(backend=backend, precision=precision), ONNX))
        for backend in ("onnxruntime", "openvino")
        for precision in ("FP32", "BF16", "INT8")
    }
    assert len(every) == 6
