"""What may be wrong with how sequences are batched.

Owns: the rules for controls, implicit state and the two strategies, in the words of Triton's
``GetBooleanSequenceControlProperties`` and its kin. Does not own: whether the model file has these
tensors (``agree``).

1. A control is a tensor for one thing: no tensor serves two controls, no control has two tensors.
2. START, READY and END say false and true by exactly one pair of two; CORRID has a type instead.
3. A state's initial value has the state's type, and as many dimensions, none of which varies.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.modelconfig.check_tensors import leaves_the_folder
from engine.modelconfig.findings import Finding
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import (
    Control,
    ControlKind,
    Dims,
    InitialState,
    ModelConfig,
    SequenceBatching,
    SequenceDirect,
    SequenceOldest,
    State,
)
from engine.types import DType

_ANY = -1
_PAIR = 2  # a word for false and a word for true
_ROOT = "sequence_batching"
_STATE = "another state"
_IDS = (DType.UINT64, DType.INT64, DType.UINT32, DType.INT32, DType.BYTES)


def check_sequences(config: ModelConfig) -> Iterator[Finding]:
    """Say what is wrong with the sequence batcher's settings."""
    batching = config.sequence_batching
    if batching is None:
        return
    if batching.direct is not None and batching.oldest is not None:
        what = f"only one of direct and oldest may be given for {config.name}"
        yield Finding((_ROOT, "oldest"), what, "keep one of them")
    yield from _controls(batching, config.name)
    for index, state in enumerate(batching.state):
        yield from _state(state, (_ROOT, "state", index), config.name)
    yield from _taken(batching, config)
    if batching.direct is not None:
        yield from _direct(batching.direct, config.name)
    if batching.oldest is not None:
        yield from _oldest(batching.oldest, config)


def _controls(batching: SequenceBatching, name: str) -> Iterator[Finding]:
    tensors: set[str] = set()
    kinds: set[ControlKind] = set()
    for place, tensor in enumerate(batching.control_input):
        path: Path = (_ROOT, "control_input", place)
        if not tensor.name:
            yield Finding(path, f"sequence batching control tensor must have a name for {name}")
        if not tensor.control:
            what = f"sequence batching control tensor '{tensor.name}' controls nothing for {name}"
            yield Finding(path, what, "add control { kind: CONTROL_SEQUENCE_START ... }")
        if tensor.name in tensors or len(tensor.control) > 1:
            what = (
                f"sequence batching control tensor '{tensor.name}' is specified for multiple "
                f"control kinds for {name}"
            )
            yield Finding(path, what, "give each control a tensor of its own")
        tensors.add(tensor.name)
        for index, control in enumerate(tensor.control):
            inner: Path = (*path, "control", index)
            if control.kind in kinds:
                what = f"sequence batching specifies multiple {control.kind.value} tensors for"
                yield Finding(inner, f"{what} {name}", "keep one of them")
            kinds.add(control.kind)
            yield from _control(control, inner, name)


def _control(control: Control, path: Path, name: str) -> Iterator[Finding]:
    pairs = {
        "int32_false_true": len(control.int32_false_true),
        "fp32_false_true": len(control.fp32_false_true),
        "bool_false_true": len(control.bool_false_true),
    }
    given = [field for field, entries in pairs.items() if entries]
    either = "either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'"
    kind = control.kind.value
    if control.kind is ControlKind.CONTROL_SEQUENCE_CORRID:
        if given:
            what = f"sequence batching must not specify {either} for {kind} for {name}"
            yield Finding((*path, given[0]), what, "a correlation ID has a data_type instead")
        if control.data_type not in _IDS:
            allowed = "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING"
            what = f"unexpected data type for control {kind} for {name}. Allowed data types are"
            yield Finding((*path, "data_type"), f"{what} {allowed}")
        return
    if not given:
        what = f"sequence batching must specify {either} for {kind} for {name}"
        yield Finding(path, what, "as int32_false_true: [ 0, 1 ]")
        return
    if len(given) > 1:
        what = (
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' "
            f"and 'bool_false_true' for {kind} for {name}"
        )
        yield Finding((*path, given[1]), what, "keep one of them")
        return
    if pairs[given[0]] != _PAIR:
        what = f"sequence batching control '{given[0]}' must have exactly 2 entries for {kind}"
        yield Finding((*path, given[0]), f"{what} for {name}", "the value of false, then of true")


def _state(state: State, path: Path, name: str) -> Iterator[Finding]:
    for field, given in (("input_name", state.input_name), ("output_name", state.output_name)):
        if not given:
            what = f"sequence batching state must specify '{field}' for {name}"
            yield Finding((*path, field), what)
    which = f"sequence batching state '{state.input_name or state.output_name}'"
    if state.data_type is None:
        yield Finding(path, f"{which} must specify 'data_type' for {name}")
    if not state.dims:
        yield Finding(path, f"{which} must specify 'dims' for {name}", "a scalar has dims: [ 1 ]")
    yield from _dims(state.dims, path, which, name)
    if len(state.initial_state) > 1:
        what = (
            f"initial_state field for state input '{state.input_name}' must contain exactly one or "
            f"zero element. Found '{len(state.initial_state)}' elements."
        )
        yield Finding((*path, "initial_state", 1), what, "keep one of them")
    for index, initial in enumerate(state.initial_state):
        yield from _initial(initial, state, (*path, "initial_state", index), name)


def _dims(dims: Dims, path: Path, which: str, name: str) -> Iterator[Finding]:
    for index, dim in enumerate(dims):
        if dim < 1 and dim != _ANY:
            yield Finding(
                (*path, "dims", index),
                f"{which} dimension must be integer >= 1, or -1 to indicate a variable-size "
                f"dimension for {name}",
            )


def _initial(initial: InitialState, state: State, path: Path, name: str) -> Iterator[Finding]:
    """Apply rule 3."""
    of = f"'{state.input_name}'"
    if not initial.name:
        what = f"Field 'name' must be set when using initial_state for state input {of}."
        yield Finding(path, what, "any name will do")
    if initial.data_type is not state.data_type:
        what = (
            f"The data type used for 'initial_state' field of state {of} does not match the state "
            "data type."
        )
        yield Finding((*path, "data_type"), what)
    yield from _initial_dims(initial.dims, state, path)
    if initial.zero_data is None and initial.data_file is None:
        what = f"initial_state setting expects state{of} to have state_data set"
        yield Finding(path, what, "add zero_data: true, or data_file")
    if initial.data_file is not None and leaves_the_folder(initial.data_file):
        what = f"the initial state of {of} is outside of the initial_state folder of {name}"
        yield Finding((*path, "data_file"), what, "name a file in that folder")


def _initial_dims(dims: Dims, state: State, path: Path) -> Iterator[Finding]:
    of = f"'{state.input_name}'"
    if len(dims) != len(state.dims):
        what = (
            "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions "
            f"for state input {of}. {len(dims)} != {len(state.dims)}"
        )
        yield Finding((*path, "dims"), what)
        return
    for index, (dim, fixed) in enumerate(zip(dims, state.dims, strict=True)):
        if dim < 0:
            what = f"'initial_state' field for state input name {of} contains variable dimensions."
            hint = "the first request needs a state of a known size"
            yield Finding((*path, "dims", index), what, hint)
        elif fixed not in {_ANY, dim}:
            what = (
                f"'initial_state' dim for input name {of} doesn't match 'state' dim description. "
                f"{dim} != {fixed}"
            )
            yield Finding((*path, "dims", index), what)


def _taken(batching: SequenceBatching, config: ModelConfig) -> Iterator[Finding]:
    """Say which tensors the batcher fills are also brought by requests, or filled twice."""
    taken = dict.fromkeys((tensor.name for tensor in config.input), "an input of the requests")
    for place, tensor in enumerate(batching.control_input):
        if tensor.name in taken:
            what = f"sequence batching control tensor '{tensor.name}' is also {taken[tensor.name]}"
            yield Finding((_ROOT, "control_input", place, "name"), f"{what} for {config.name}")
    taken |= dict.fromkeys((tensor.name for tensor in batching.control_input), "a control tensor")
    for place, state in enumerate(batching.state):
        if state.input_name in taken:
            path: Path = (_ROOT, "state", place, "input_name")
            if taken[state.input_name] == _STATE:
                yield Finding(
                    path, f"State input name '{state.input_name}' specified more than once."
                )
            else:
                what = f"sequence batching state '{state.input_name}' is also"
                yield Finding(path, f"{what} {taken[state.input_name]} for {config.name}")
        taken[state.input_name] = _STATE


def _direct(direct: SequenceDirect, name: str) -> Iterator[Finding]:
    if not 0.0 <= direct.minimum_slot_utilization <= 1.0:
        what = "sequence batching minimum slot utilization must be in range (0.0, 1.0] for"
        yield Finding((_ROOT, "direct", "minimum_slot_utilization"), f"{what} {name}")


def _oldest(oldest: SequenceOldest, config: ModelConfig) -> Iterator[Finding]:
    path: Path = (_ROOT, "oldest")
    if oldest.max_candidate_sequences < 0:
        what = f"sequence batching max candidate sequences must not be negative for {config.name}"
        hint = "how many sequences may be under way at once; 0 means max_batch_size"
        yield Finding((*path, "max_candidate_sequences"), what, hint)
    for index, size in enumerate(oldest.preferred_batch_size):
        place: Path = (*path, "preferred_batch_size", index)
        if size <= 0:
            what = f"sequence batching preferred batch size must be positive for {config.name}"
            yield Finding(place, what)
        elif size > config.max_batch_size:
            what = "sequence batching preferred batch size must be <= max batch size for"
            hint = f"{size} is above max_batch_size: {config.max_batch_size}"
            yield Finding(place, f"{what} {config.name}", hint)
