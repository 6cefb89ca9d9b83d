"""What is wrong with sequences, batches and warm-up: each in Triton's words, at its place."""

from __future__ import annotations

import pytest

from engine.errors import Problem
from engine.modelconfig import convert
from engine.modelconfig.check import problems

_TENSORS = """
input [ { name: "x" data_type: TYPE_FP32 dims: 3 }, { name: "o" data_type: TYPE_FP32 dims: 1
  optional: true } ]
output { name: "y" data_type: TYPE_FP32 dims: 3 }
"""


def check(text: str) -> tuple[Problem, ...]:
    found = convert.read('name: "m" max_batch_size: 4' + _TENSORS + text, "c")
    assert found.problems == ()
    return problems(found.config, "c", found.places)


def _control(control: str, name: str = "START") -> str:
    return f'sequence_batching {{ control_input {{ name: "{name}" control {{ {control} }} }} }}'


def _state(state: str) -> str:
    return f"sequence_batching {{ state {{ {state} }} }}"


_STATE = 'input_name: "s" output_name: "t" data_type: TYPE_INT32 dims: [ 2, -1 ] '


def _initial(initial: str) -> str:
    return f'{_STATE} initial_state {{ name: "i" {initial} }}'


_START = "kind: CONTROL_SEQUENCE_START "
_COUNT = "batch_input { kind: BATCH_ELEMENT_COUNT "


@pytest.mark.parametrize(
    ("text", "what", "there"),
    [
        (
            _control(_START + "int32_false_true: [ 0, 1 ]", name=""),
            "sequence batching control tensor must have a name for m",
            "control_input",
        ),
        (
            'sequence_batching { control_input { name: "START" } }',
            "sequence batching control tensor 'START' controls nothing for m",
            "control_input",
        ),
        (
            _control(_START),
            (
                "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
                "'bool_false_true' for CONTROL_SEQUENCE_START for m"
            ),
            "control {",
        ),
        (
            _control(_START + "int32_false_true: [ 0, 1 ] bool_false_true: [ false, true ]"),
            (
                "sequence batching specifies more than one from 'int32_false_true', "
                "'fp32_false_true' and 'bool_false_true' for CONTROL_SEQUENCE_START for m"
            ),
            "bool_false_true",
        ),
        (
            _control(_START + "fp32_false_true: [ 0, 1, 2 ]"),
            (
                "sequence batching control 'fp32_false_true' must have exactly 2 entries for "
                "CONTROL_SEQUENCE_START for m"
            ),
            "fp32_false_true",
        ),
        (
            _control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32"),
            (
                "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data "
                "types are TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING"
            ),
            "data_type: TYPE_FP32",
        ),
        (
            _control(
                "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 int32_false_true: [ 0, 1 ]"
            ),
            (
                "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' "
                "or 'bool_false_true' for CONTROL_SEQUENCE_CORRID for m"
            ),
            "int32_false_true",
        ),
        (
            (
                'sequence_batching { control_input [ { name: "a" control { kind: '
                'CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } }, { name: "b" control { kind: '
                "CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } } ] }"
            ),
            "sequence batching specifies multiple CONTROL_SEQUENCE_END tensors for m",
            "control { kind: CONTROL_SEQUENCE_END fp32",
        ),
        (
            (
                'sequence_batching { control_input [ { name: "a" control { kind: '
                'CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } }, { name: "a" control { kind: '
                "CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } } ] }"
            ),
            ("sequence batching control tensor 'a' is specified for multiple control kinds for m"),
            '{ name: "a" control { kind: CONTROL_SEQUENCE_START',
        ),
        (
            _control(_START + "int32_false_true: [ 0, 1 ]", name="x"),
            "sequence batching control tensor 'x' is also an input of the requests for m",
            'name: "x"',
        ),
        (
            "sequence_batching { direct { minimum_slot_utilization: 1.5 } }",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m",
            "minimum_slot_utilization",
        ),
        (
            "sequence_batching { oldest { max_candidate_sequences: 4 preferred_batch_size: 0 } }",
            "sequence batching preferred batch size must be positive for m",
            "preferred_batch_size",
        ),
        (
            "sequence_batching { oldest { max_candidate_sequences: 4 preferred_batch_size: 8 } }",
            "sequence batching preferred batch size must be <= max batch size for m",
            "preferred_batch_size",
        ),
        (
            "sequence_batching { oldest { max_candidate_sequences: -1 } }",
            "sequence batching max candidate sequences must not be negative for m",
            "max_candidate_sequences",
        ),
        (
            "response_cache { enable: true } sequence_batching { }",
            (
                "Response Cache does not currently support model m with sequence batching "
                "scheduler. Please disable the response cache."
            ),
            "response_cache",
        ),
        (
            _state('output_name: "t" data_type: TYPE_INT32 dims: 1'),
            "sequence batching state must specify 'input_name' for m",
            "state",
        ),
        (
            _state('input_name: "s" output_name: "t" dims: 1'),
            "sequence batching state 's' must specify 'data_type' for m",
            "state",
        ),
        (
            _state('input_name: "s" output_name: "t" data_type: TYPE_INT32'),
            "sequence batching state 's' must specify 'dims' for m",
            "state",
        ),
        (
            _state('input_name: "s" output_name: "t" data_type: TYPE_INT32 dims: [ 1, 0 ]'),
            (
                "sequence batching state 's' dimension must be integer >= 1, or -1 to indicate a "
                "variable-size dimension for m"
            ),
            "0 ]",
        ),
        (
            _state('input_name: "x" output_name: "t" data_type: TYPE_INT32 dims: 1'),
            "sequence batching state 'x' is also an input of the requests for m",
            "input_name",
        ),
        (
            _state(
                _STATE + "initial_state { data_type: TYPE_INT32 dims: [ 2, 3 ] zero_data: true }"
            ),
            "Field 'name' must be set when using initial_state for state input 's'.",
            "initial_state",
        ),
        (
            _state(_initial("data_type: TYPE_FP32 dims: [ 2, 3 ] zero_data: true")),
            (
                "The data type used for 'initial_state' field of state 's' does not match the "
                "state data type."
            ),
            "data_type: TYPE_FP32",
        ),
        (
            _state(_initial("data_type: TYPE_INT32 dims: [ 2, -1 ] zero_data: true")),
            "'initial_state' field for state input name 's' contains variable dimensions.",
            "-1 ] zero",
        ),
        (
            _state(_initial("data_type: TYPE_INT32 dims: [ 3, 3 ] zero_data: true")),
            (
                "'initial_state' dim for input name 's' doesn't match 'state' dim description. "
                "3 != 2"
            ),
            "3, 3 ] zero",
        ),
        (
            _state(_initial("data_type: TYPE_INT32 dims: [ 2 ] zero_data: true")),
            (
                "Number of dimensions in 'initial_state' doesn't match the size of 'state' "
                "dimensions for state input 's'. 1 != 2"
            ),
            "dims: [ 2 ] zero",
        ),
        (
            _state(_initial("data_type: TYPE_INT32 dims: [ 2, 3 ]")),
            "initial_state setting expects state's' to have state_data set",
            "initial_state",
        ),
        (
            _state(_initial('data_type: TYPE_INT32 dims: [ 2, 3 ] data_file: "../../other"')),
            "the initial state of 's' is outside of the initial_state folder of m",
            "data_file",
        ),
        (
            f"sequence_batching {{ state {{ {_STATE} }} state {{ {_STATE} }} }}",
            "State input name 's' specified more than once.",
            'input_name: "s" output_name: "t" data_type: TYPE_INT32 dims: [ 2, -1 ]  } }',
        ),
        (
            _COUNT + 'target_name: "n" data_type: TYPE_FP32 }',
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0 for m",
            "batch_input",
        ),
        (
            _COUNT + 'target_name: "n" data_type: TYPE_FP32 source_input: [ "x", "o" ] }',
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 2 for m",
            "source_input",
        ),
        (
            _COUNT + 'target_name: "n" data_type: TYPE_INT64 source_input: "x" }',
            "batch input data type must be TYPE_INT32 or TYPE_FP32 for m",
            "data_type: TYPE_INT64",
        ),
        (
            _COUNT + 'target_name: "n" data_type: TYPE_INT32 source_input: "z" }',
            "unknown source input name 'z' for m",
            "source_input",
        ),
        (
            _COUNT + 'data_type: TYPE_INT32 source_input: "x" }',
            "batch input kind 'BATCH_ELEMENT_COUNT' must specify 'target_name' for m",
            "batch_input",
        ),
        (
            _COUNT + 'target_name: "x" data_type: TYPE_INT32 source_input: "x" }',
            "batch input kind 'BATCH_ELEMENT_COUNT': 'x' is an input that requests bring for m",
            "target_name",
        ),
        (
            'batch_output { target_name: "y" }',
            (
                "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0 "
                "for m"
            ),
            "batch_output",
        ),
        (
            'batch_output { target_name: "z" source_input: "x" }',
            "unknown target output name 'z' for m",
            "target_name",
        ),
        (
            'batch_output { target_name: [ "y", "y" ] source_input: "x" }',
            "target output name 'y' can only be specified once for m",
            '"y" ]',
        ),
        (
            (
                'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { dims: 3 '
                "zero_data: true } } }"
            ),
            "warm-up input 'x' must specify 'data_type' for m",
            "inputs",
        ),
        (
            (
                'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { dims: -1 '
                "data_type: TYPE_FP32 zero_data: true } } }"
            ),
            (
                "warmup setting expects all variable-size dimensions are specified for input 'x' "
                "for m"
            ),
            "inputs",
        ),
        (
            (
                'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { dims: 3 '
                "data_type: TYPE_FP32 } } }"
            ),
            "warmup setting expects input 'x' to have input_data_type set for m",
            "inputs",
        ),
        (
            (
                'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { dims: 3 '
                'data_type: TYPE_FP32 input_data_file: "/etc/passwd" } } }'
            ),
            "warm-up input 'x' names a file outside of the model's warmup folder for m",
            "inputs",
        ),
        (
            'model_warmup { name: "w" batch_size: 1 }',
            "warm-up sample 'w' lacks the inputs 'x' for m",
            "model_warmup",
        ),
        (
            (
                'model_warmup { name: "w" inputs { key: "z" value { dims: 3 data_type: TYPE_FP32 '
                "random_data: true } } }"
            ),
            "warm-up sample 'w': the model has no input 'z' for m",
            "inputs",
        ),
        (
            (
                'model_warmup { name: "w" batch_size: 5 inputs { key: "x" value { dims: 3 '
                "data_type: TYPE_FP32 random_data: true } } }"
            ),
            "warm-up sample 'w' has batch_size 5, which is above max_batch_size: 4 for m",
            "batch_size",
        ),
        (
            (
                'model_metrics { metric_control { metric_identifier { family: "f" } '
                "histogram_options { buckets: [ 1, 1 ] } } }"
            ),
            "histogram buckets must ascend for f for m",
            "buckets",
        ),
        (
            'model_metrics { metric_control { metric_identifier { family: "f" } } }',
            "metric control must specify 'histogram_options' for m",
            "metric_control",
        ),
        (
            (
                'model_metrics { metric_control { metric_identifier { family: "f" } '
                "histogram_options { } } }"
            ),
            "histogram options must specify non-empty 'buckets' for m",
            "histogram_options",
        ),
        (
            "model_metrics { metric_control { histogram_options { buckets: 1 } } }",
            "metric identifier must specify non-empty 'family' for m",
            "metric_control",
        ),
        (
            "dynamic_batching { priority_queue_policy { key: 1 value { } } }",
            "priority_queue_policy has no effect without priority_levels for m",
            "priority_queue_policy",
        ),
        (
            "dynamic_batching { default_queue_policy { allow_timeout_override: true } }",
            (
                "allow_timeout_override has no effect without default_timeout_microseconds, which "
                "a request's own timeout only shortens, for m"
            ),
            "allow_timeout_override",
        ),
        (
            "dynamic_batching { default_queue_policy { timeout_action: DELAY } }",
            "timeout_action has no effect without default_timeout_microseconds for m",
            "timeout_action",
        ),
    ],
)
def test_a_rule_is_stated_in_tritons_words_at_the_fields_place(
    text: str, what: str, there: str
) -> None:
    found = {problem.what: problem for problem in check(text)}
    assert list(found).count(what) == 1, list(found)
    problem = found[what]
    assert problem.line == 5
    assert problem.column is not None
    assert text[problem.column - 1 :].startswith(there), text[problem.column - 1 :]


def test_a_sequence_model_in_order_has_no_problems() -> None:
    assert (
        check(
            """
sequence_batching {
  control_input [
    { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } },
    { name: "READY" control { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } },
    { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }
  ]
  state { input_name: "s" output_name: "t" data_type: TYPE_INT32 dims: [ 2, -1 ]
    initial_state { name: "i" data_type: TYPE_INT32 dims: [ 2, 3 ] data_file: "zero" } }
  oldest { max_candidate_sequences: 4 preferred_batch_size: [ 2, 4 ] }
}
model_warmup { name: "w" batch_size: 4
  inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 random_data: true } }
  inputs { key: "START" value { data_type: TYPE_FP32 dims: 1 zero_data: true } } }
batch_input { kind: BATCH_ITEM_SHAPE target_name: "n" data_type: TYPE_INT32 source_input: "x" }
batch_output { target_name: "y" source_input: "x" }
model_metrics { metric_control { metric_identifier {
  family: "nv_inference_first_response_histogram_ms" } histogram_options { buckets: [ 1, 9 ] } } }
"""
        )
        == ()
    )


def test_a_strategy_may_leave_everything_open() -> None:
    assert check("sequence_batching { oldest { } }") == ()
    assert check("sequence_batching { direct { } }") == ()
    assert check("sequence_batching { }") == ()


def test_an_ensemble_has_no_warm_up() -> None:
    text = 'name: "e" platform: "ensemble"\nmodel_warmup { name: "w" }'
    found = convert.read(text, "c")
    (warmup,) = [one for one in problems(found.config, "c", found.places) if "warmup" in one.what]
    assert warmup.what == "model_warmup can not be specified for ensemble 'e'"
    assert (warmup.line, warmup.column) == (2, 1)
