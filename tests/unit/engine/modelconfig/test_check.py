"""What a configuration that reads well may still have wrong, and where it stands."""

from __future__ import annotations

import pytest

from engine.errors import Problem
from engine.modelconfig import convert
from engine.modelconfig.agree import disagreements
from engine.modelconfig.check import problems
from engine.modelconfig.schema import DynamicBatching, ModelConfig, SequenceBatching
from engine.types import DType, TensorSpec

_IO = 'input {{ name: "x" data_type: TYPE_FP32 {0} }}'


def check(text: str, gpus: tuple[int, ...] | None = None) -> tuple[Problem, ...]:
    found = convert.read(text, "c")
    assert found.problems == ()
    return problems(found.config, "c", found.places, gpus)


@pytest.mark.parametrize(
    ("text", "what", "there"),
    [
        (
            'name: "m"\nmax_batch_size: -1',
            "'max_batch_size' must be non-negative value for m",
            "max_batch_size: -1",
        ),
        (
            'name: "m"\nplatform: "tensorrt_plan"\nbackend: "onnxruntime"',
            "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime",
            "platform",
        ),
        (
            'name: "m"\n' + _IO.format("dims: [ 3, 0 ]"),
            (
                "model input 'x' dimension must be integer >= 1, or -1 to indicate a variable-size "
                "dimension for m"
            ),
            "0 ]",
        ),
        (
            'name: "m"\n' + _IO.format(""),
            "model input 'x' must specify 'dims' for m",
            "input",
        ),
        (
            'name: "m"\noutput { data_type: TYPE_FP32 dims: 1 }',
            "model output must specify 'name' for m",
            "output",
        ),
        (
            'name: "m"\n' + _IO.format("dims: [ 2, 4 ] reshape { shape: [ 9 ] }"),
            "model input 'x' has different size for dims and reshape for m",
            "reshape",
        ),
        (
            'name: "m"\n' + _IO.format("dims: [ 2, -1 ] reshape { shape: [ -1, -1 ] }"),
            (
                "model input 'x' has different number of variable-size dimensions for dims and "
                "reshape for m"
            ),
            "reshape",
        ),
        (
            'name: "m"\n' + _IO.format("format: FORMAT_NHWC dims: [ 2, 4 ]"),
            "model input NHWC/NCHW require 3 dims for m",
            "format",
        ),
        (
            'name: "m"\nmax_batch_size: 4\ndynamic_batching { preferred_batch_size: [ 2, 8 ] }',
            "dynamic batching preferred size must be <= max batch size for m",
            "8 ]",
        ),
        (
            'name: "m"\nmax_batch_size: 4\ndynamic_batching { preferred_batch_size: [ 0 ] }',
            "dynamic batching preferred size must be positive for m",
            "0 ]",
        ),
        (
            'name: "m"\ndynamic_batching { priority_levels: 2 default_priority_level: 3 }',
            "default priority level must be in range [1, 2] for m",
            "default_priority_level: 3",
        ),
        (
            (
                'name: "m"\ndynamic_batching { preserve_ordering: true priority_levels: 2 '
                "default_priority_level: 1 }"
            ),
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
            "preserve_ordering",
        ),
        (
            'name: "m"\ninstance_group { kind: KIND_CPU gpus: [ 0 ] }',
            "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs",
            "gpus",
        ),
        (
            (
                'name: "m"\nresponse_cache { enable: true }\n'
                "model_transaction_policy { decoupled: true }"
            ),
            (
                "Response Cache does not currently support model m with 'decoupled' transaction "
                "policy. Please disable the response cache."
            ),
            "response_cache",
        ),
        (
            'name: "m"\nbackend: "onnxruntime" max_batch_size: 2\n'
            + _IO.format("dims: 1 optional: true"),
            (
                "unable to load model 'm', optional input 'x' is not supported for models that "
                "support batching"
            ),
            "optional: true",
        ),
    ],
)
def test_a_rule_is_stated_in_tritons_words_at_the_fields_place(
    text: str, what: str, there: str
) -> None:
    (problem,) = check(text)
    assert problem.what == what
    assert problem.line is not None
    assert problem.column is not None
    line = text.split("\n")[problem.line - 1]
    assert line[problem.column - 1 :].startswith(there)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [("[ 2, 4, -1, 6 ]", "[ 8, -1, 1, 6 ]"), ("[ 6 ]", "[ 2, 3 ]")],
)
def test_a_reshape_of_as_many_elements_is_fine(dims: str, shape: str) -> None:
    assert check(_IO.format(f"dims: {dims} reshape {{ shape: {shape} }}")) == ()


def test_an_empty_reshape_is_for_batches_of_scalars() -> None:
    scalar = _IO.format("dims: [ 1 ] reshape { shape: [ ] }")
    assert check("max_batch_size: 2 " + scalar) == ()
    (found,) = check('name: "m" ' + scalar)
    assert found.what == (
        "model input 'x' cannot have empty reshape for non-batching model as scalar tensors are "
        "not supported for m"
    )


def test_devices_are_judged_only_if_they_are_known() -> None:
    text = 'name: "m" instance_group { kind: KIND_GPU gpus: [ 3 ] }'
    assert check(text) == ()
    assert "no GPUs are available" in str(check(text, ())[0])
    assert "unsupported gpu id 3" in str(check(text, (0, 1))[0])


def test_a_name_given_twice_is_found_once() -> None:
    twice = _IO.format("dims: 1") + "\n" + _IO.format("dims: 1")
    (problem,) = check(twice)
    assert "more than once" in problem.what


def test_two_schedulers_are_a_problem_also_without_a_text() -> None:
    config = ModelConfig(dynamic_batching=DynamicBatching(), sequence_batching=SequenceBatching())
    (problem,) = problems(config, "variant")
    assert "only one of dynamic_batching and sequence_batching may be given" in str(problem)


_ENSEMBLE = """
name: "e" platform: "ensemble"
input {{ name: "in" data_type: TYPE_FP32 dims: 1 }}
output {{ name: "out" data_type: TYPE_FP32 dims: 1 }}
ensemble_scheduling {{
  step {{ model_name: "a" input_map {{ key: "i" value: "{a_in}" }}
    output_map {{ key: "o" value: "mid" }} }}
  step {{ model_name: "b" input_map {{ key: "i" value: "mid" }}
    output_map {{ key: "o" value: "{b_out}" }} }}
}}
"""


def test_an_ensemble_that_is_wired_has_no_problems() -> None:
    assert check(_ENSEMBLE.format(a_in="in", b_out="out")) == ()


@pytest.mark.parametrize(
    ("a_in", "b_out", "expected"),
    [
        ("inn", "out", "step 0 (a) of ensemble 'e' can never run"),
        ("in", "outt", "ensemble output 'out' for ensemble e' is not used"),
        ("out", "out", "output 'out' for ensemble 'e' is not written"),
        ("in", "outt", "ensemble tensor 'outt' is unused in ensemble 'e'"),
        ("mid", "out", "step 1 (b) of ensemble 'e' can never run"),
        (
            "in",
            "mid",
            "ensemble tensor 'mid' can appear in an output map only once for ensemble 'e' step 1",
        ),
        ("mid", "out", "ensemble input 'in' for ensemble e' is not used"),
    ],
)
def test_an_ensembles_loose_ends_are_found(a_in: str, b_out: str, expected: str) -> None:
    found = check(_ENSEMBLE.format(a_in=a_in, b_out=b_out))
    assert expected in [problem.what for problem in found]
    assert all(problem.line is not None for problem in found)


def _agree(text: str, *specs: TensorSpec) -> list[str]:
    config = convert.loads('name: "m"\n' + text, "c")
    return [f"{found.what}; {found.hint}" for found in disagreements(config, specs, specs)]


def test_every_mismatch_with_the_model_file_is_named() -> None:
    text = (
        'max_batch_size: 8 input [ { name: "x" data_type: TYPE_INT32 dims: [ 3, 4 ] },'
        ' { name: "z" data_type: TYPE_FP32 dims: 1 } ]'
    )
    found = _agree(text, TensorSpec("x", DType.FP32, (-1, 3)), TensorSpec("y", DType.FP32, (-1, 5)))
    assert found == [
        (
            "unable to load model 'm', configuration expects datatype TYPE_INT32 for input 'x', "
            "model provides TYPE_FP32; write data_type: TYPE_FP32"
        ),
        (
            "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,3]) but the model "
            "configuration specifies 3 dimensions (an initial batch dimension because "
            "max_batch_size > 0 followed by the explicit tensor shape, making complete shape "
            "[-1,3,4]); write dims: [3]"
        ),
        "model 'm': unexpected inference input 'z', allowed inputs are: x, y; ",
        (
            "unable to load model 'm': the model file needs input 'y'; add it: "
            '{ name: "y" data_type: TYPE_FP32 dims: [5] }'
        ),
    ]


def test_a_fixed_first_dimension_does_not_batch() -> None:
    text = 'max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: 3 }'
    (found,) = _agree(text, TensorSpec("x", DType.FP32, (1, 3)))
    assert (
        "for the model to support batching the shape should have at least 1 dimension and the "
        "first dimension must be -1; but shape expected by the model is [1,3]"
    ) in found
    assert "set max_batch_size: 0 and dims: [1,3]" in found


_SEQUENCE = """
max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: 3 }
output { name: "x" data_type: TYPE_FP32 dims: 3 }
sequence_batching {
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START %s: [ 0, 1 ] } }
  state { input_name: "s" output_name: "t" data_type: TYPE_INT64 dims: [ %s ] }
}
"""


def _sequence_file(*outputs: TensorSpec) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    x, state = TensorSpec("x", DType.FP32, (-1, 3)), TensorSpec("s", DType.INT64, (-1, 4))
    return (x, TensorSpec("START", DType.INT32, (-1, 1)), state), (x, *outputs)


def test_what_a_sequence_batcher_fills_and_keeps_is_the_files_too() -> None:
    good = convert.loads(_SEQUENCE % ("int32_false_true", "4"), "c")
    assert disagreements(good, *_sequence_file(TensorSpec("t", DType.INT64, (-1, 4)))) == ()
    bad = convert.loads(_SEQUENCE % ("fp32_false_true", "5"), "c")
    told = [finding.what for finding in disagreements(bad, *_sequence_file())]
    assert len(told) == 3
    assert "expects datatype TYPE_FP32 for input 'START', model provides TYPE_INT32" in told[0]
    assert "tensor 's': the model expects 2 dimensions (shape [-1,4])" in told[1]
    assert "unexpected inference output 't', allowed outputs are: x" in told[2]


def test_a_scalar_of_the_file_is_one_element_of_the_configuration() -> None:
    scalar = TensorSpec("x", DType.FP32, ())
    assert _agree('input { name: "x" data_type: TYPE_FP32 dims: [ 1, 1 ] }', scalar) == []
    (found,) = _agree('input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }', scalar)
    assert found == (
        "unable to load model 'm', scalar tensor 'x', should only provide 1 in the model "
        "configuration when the model doesn't support batching. Model configuration provided: [2].;"
        " write dims: [1]"
    )


def test_a_ragged_input_is_one_row_of_all_requests_and_a_batch_input_any_shape() -> None:
    text = """
max_batch_size: 8 input { name: "r" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }
batch_input { kind: BATCH_ELEMENT_COUNT target_name: "n" data_type: TYPE_INT32 source_input: "r" }
"""
    config = convert.loads(text, "c")
    count = TensorSpec("n", DType.INT32, (-1,))
    assert disagreements(config, (TensorSpec("r", DType.FP32, (-1,)), count), ()) == ()
    (found,) = disagreements(config, (TensorSpec("r", DType.FP32, (-1, -1)), count), ())
    assert (
        "configuration expects model provides input with shape [-1]  for ragged input 'r', model "
        "provides [-1,-1]"
    ) in found.what
    (found,) = disagreements(config, (TensorSpec("r", DType.FP32, (-1,)),), ())
    assert "unexpected inference input 'n', allowed inputs are: r" in found.what


def test_a_reshape_is_what_the_model_file_must_fit() -> None:
    text = 'input { name: "x" data_type: TYPE_FP32 dims: 6 reshape { shape: [ 2, 3 ] } }'
    assert _agree(text, TensorSpec("x", DType.FP32, (2, -1))) == []


def test_an_ensemble_runs_nothing_itself() -> None:
    text = _ENSEMBLE.format(a_in="in", b_out="out").replace('platform: "ensemble"', 'platform: "p"')
    found = [one.what for one in check(text + "optimization { } instance_group { }")]
    assert found == [
        "ensemble scheduling cannot be set for model 'e' whose platform is not ensemble",
        "optimization should not be specified for ensemble 'e'",
        "instance group should not be specified for ensemble 'e'",
    ]
    step = 'ensemble_scheduling { step { model_name: "a" input_map { key: "i" value: "x" } } }'
    told = [one.what for one in check(f'name: "e" platform: "ensemble" {step}')]
    assert "must specify 'output_map' in step 0 of ensemble 'e'" in told


def test_a_platform_that_means_nothing_to_a_backend_is_a_warning() -> None:
    (found,) = check('name: "m" platform: "onnxruntime_onnx" backend: "python"')
    assert found.warning
    assert "platform 'onnxruntime_onnx' is not that of backend 'python'" in found.what
    assert check('name: "m" platform: "mine" backend: "python"') == ()


def test_order_is_kept_with_one_level_and_with_delays_that_never_come() -> None:
    text = """
dynamic_batching { preserve_ordering: true priority_levels: 1 default_priority_level: 1
  default_queue_policy { timeout_action: DELAY } }
"""
    assert all(found.warning for found in check(text))
    (found,) = check(text.replace("DELAY", "DELAY default_timeout_microseconds: 1"))
    assert "Queue policy can not have DELAY as timeout action" in found.what


def test_a_dimension_that_varies_fits_a_fixed_one_where_nothing_batches() -> None:
    text = 'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }'
    assert _agree(text, TensorSpec("x", DType.FP32, (2, 3))) == []
