"""What a scheduler learns of a request (spec 7.2, 7.6, 2.7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.fake_backend import config

from engine.execution.admission import Admission
from engine.modelconfig.schema import DynamicBatching, ModelConfig, ModelInput, QueuePolicy
from engine.scheduler import Ticket
from engine.types import DType, InferRequest, Tensor


def request(timeout_us: int = 0, priority: int = 2, **shapes: tuple[int, ...]) -> InferRequest:
    return InferRequest(
        inputs=tuple(
            Tensor(name, DType.FP32, np.zeros(shape, np.float32)) for name, shape in shapes.items()
        ),
        timeout_us=timeout_us,
        priority=priority,
    )


def _inputs(*inputs: ModelInput) -> ModelConfig:
    return replace(config(batching=DynamicBatching()), input=inputs)


def _input(
    name: str, *dims: int, optional: bool = False, allow_ragged_batch: bool = False
) -> ModelInput:
    return ModelInput(
        name=name,
        data_type=DType.FP32,
        dims=dims,
        optional=optional,
        allow_ragged_batch=allow_ragged_batch,
    )


def test_rows_are_the_first_dimension_and_at_least_one() -> None:
    admission = Admission(config())
    assert admission.ticket(request(X=(5, 2)), 7, 99) == Ticket(7, 5, 99)
    assert admission.ticket(request(X=(0, 2)), 7, 99).rows == 1
    assert admission.ticket(request(), 7, 99).rows == 1


def test_a_model_that_does_not_batch_takes_requests_one_by_one() -> None:
    assert Admission(config(max_batch_size=0)).ticket(request(X=(5, 2)), 1, 0).rows == 1


def test_fixed_shapes_need_no_comparing() -> None:
    admission = Admission(_inputs(_input("X", 2)))
    assert admission.ticket(request(X=(1, 2)), 1, 0).shape is None


def test_only_varying_inputs_are_compared_and_never_their_batch_axis() -> None:
    admission = Admission(_inputs(_input("X", 3), _input("V", -1, 4)))

    def key(*shape: int) -> object:
        return admission.ticket(request(X=(shape[0], 3), V=shape), 1, 0).shape

    assert key(1, 5, 4) == key(2, 5, 4)
    assert key(1, 5, 4) != key(1, 6, 4)


def test_ragged_inputs_are_not_compared() -> None:
    admission = Admission(_inputs(_input("R", -1, allow_ragged_batch=True)))
    assert admission.ticket(request(R=(1, 5)), 1, 0).shape is None
    mixed = Admission(_inputs(_input("R", -1, allow_ragged_batch=True), _input("V", -1)))
    keys = {mixed.ticket(request(R=(1, size), V=(1, 3)), 1, 0).shape for size in (5, 6)}
    assert len(keys) == 1


def test_the_order_of_inputs_makes_no_difference() -> None:
    admission = Admission(_inputs(_input("A", -1), _input("B", -1)))
    one = admission.ticket(request(A=(1, 2), B=(1, 3)), 1, 0)
    other = admission.ticket(request(B=(1, 3), A=(1, 2)), 2, 0)
    swapped = admission.ticket(request(A=(1, 3), B=(1, 2)), 3, 0)
    assert one.shape == other.shape != swapped.shape


@pytest.mark.triton("2.7")
def test_with_optional_inputs_only_the_same_inputs_share_a_batch() -> None:
    admission = Admission(_inputs(_input("X", 2), _input("O", 2, optional=True)))
    without = admission.ticket(request(X=(1, 2)), 1, 0)
    with_it = admission.ticket(request(X=(1, 2), O=(1, 2)), 2, 0)
    again = admission.ticket(request(O=(3, 2), X=(3, 2)), 3, 0)
    assert without.shape != with_it.shape == again.shape


def test_a_deadline_needs_a_queue_policy() -> None:
    policy = QueuePolicy(default_timeout_microseconds=100, allow_timeout_override=True)
    batching = DynamicBatching(default_queue_policy=policy)
    admission = Admission(config(batching=batching))
    assert admission.ticket(request(X=(1, 2)), 1, 5).deadline_ns == 100_005
    assert admission.ticket(request(30, X=(1, 2)), 1, 5).deadline_ns == 30_005
    assert Admission(config()).ticket(request(30, X=(1, 2)), 1, 5).deadline_ns is None


def test_a_level_that_is_none_is_the_default_level() -> None:
    admission = Admission(
        config(batching=DynamicBatching(priority_levels=3, default_priority_level=2))
    )
    asked = [admission.ticket(request(0, level, X=(1, 2)), 1, 5).priority for level in range(6)]
    assert asked == [2, 1, 2, 3, 2, 2]


def test_without_levels_a_priority_means_nothing_nor_does_a_policy_by_level() -> None:
    policy = QueuePolicy(default_timeout_microseconds=100)
    batching = DynamicBatching(default_priority_level=1, priority_queue_policy={1: policy})
    ticket = Admission(config(batching=batching)).ticket(request(0, 1, X=(1, 2)), 1, 5)
    assert (ticket.priority, ticket.deadline_ns) == (0, None)


def test_a_level_has_its_own_policy_or_else_the_default_one() -> None:
    batching = DynamicBatching(
        priority_levels=3,
        default_priority_level=3,
        default_queue_policy=QueuePolicy(default_timeout_microseconds=100),
        priority_queue_policy={
            1: QueuePolicy(),
            2: QueuePolicy(default_timeout_microseconds=50, allow_timeout_override=True),
        },
    )
    admission = Admission(config(batching=batching))
    deadlines = [
        admission.ticket(request(30, level, X=(1, 2)), 1, 0).deadline_ns for level in (1, 2, 3, 0)
    ]
    assert deadlines == [None, 30_000, 100_000, 100_000]
