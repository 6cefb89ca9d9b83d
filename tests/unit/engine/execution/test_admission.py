"""What a scheduler learns of a request (spec 7.2, 7.6, 2.7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.fake_backend import config

from engine.execution.admission import Admission
from engine.modelconfig.schema import DynamicBatching, ModelConfig, ModelInput, QueuePolicy
from engine.scheduler import Ticket
from engine.types import DType, InferRequest, Tensor


def request(timeout_us: int = 0, **shapes: tuple[int, ...]) -> InferRequest:
    return InferRequest(
        inputs=tuple(
            Tensor(name, DType.FP32, np.zeros(shape, np.float32)) for name, shape in shapes.items()
        ),
        timeout_us=timeout_us,
        priority=2,
    )


def _inputs(*inputs: ModelInput) -> ModelConfig:
    return replace(config(batching=DynamicBatching()), input=inputs)


def _input(name: str, *dims: int, optional: bool = False) -> ModelInput:
    return ModelInput(name=name, data_type=DType.FP32, dims=dims, optional=optional)


def test_rows_are_the_first_dimension_and_at_least_one() -> None:
    admission = Admission(config())
    assert admission.ticket(request(X=(5, 2)), 7, 99) == Ticket(7, 5, 99, priority=2)
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


def test_the_order_of_inputs_makes_no_difference() -> None:
    admission = Admission(_inputs(_input("A", -1), _input("B", -1)))
    one = admission.ticket(request(A=(1, 2), B=(1, 3)), 1, 0)
    other = admission.ticket(request(B=(1, 3), A=(1, 2)), 2, 0)
    swapped = admission.ticket(request(A=(1, 3), B=(1, 2)), 3, 0)
    assert one.shape == other.shape != swapped.shape


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
