"""preserve_ordering: responses leave in the order in which requests came (spec 7.8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Cancelled, EngineError, Internal, Unavailable
from engine.execution.ordering import Done, Ordering
from engine.types import InferResponse

RESPONSE = InferResponse(model="m", version="1", outputs=())
REFUSALS = (Unavailable("refused"), Cancelled("taken back"))


@given(
    st.permutations(range(6)),
    st.lists(
        st.sampled_from((RESPONSE, RESPONSE, Internal("x"), *REFUSALS)), min_size=6, max_size=6
    ),
)
def test_answers_leave_in_order_and_refusals_at_once(
    finish: list[int], answers: list[InferResponse | EngineError]
) -> None:
    ordering = Ordering()
    left: list[int] = []
    refused: list[int] = []

    def waiting(number: int) -> Done:
        def tell(answer: InferResponse | EngineError) -> None:
            assert answer is answers[number]
            (refused if answer in REFUSALS else left).append(number)

        return ordering.wrap(tell)[0]

    dones = [waiting(number) for number in range(6)]
    for count, number in enumerate(finish, 1):
        dones[number](answers[number])
        finished = set(finish[:count])
        ready = next(one for one in range(7) if one not in finished)
        assert left == [one for one in range(ready) if answers[one] not in REFUSALS]
        assert refused == [one for one in finish[:count] if answers[one] in REFUSALS]


@given(st.lists(st.integers(0, 2), max_size=12))
def test_many_answers_of_a_request_stay_together_in_their_order(emitting: list[int]) -> None:
    """Whatever the order in which three requests answer, each is told all before the next is."""
    ordering = Ordering()
    told: list[tuple[int, object]] = []

    def told_by(number: int) -> Done:
        return lambda answer: told.append((number, answer))

    wrapped = [ordering.wrap(told_by(number), told_by(number)) for number in range(3)]
    given: list[tuple[int, object]] = []
    for count, number in enumerate(emitting):
        answer = InferResponse(model="m", version="1", outputs=(), id=str(count))
        emit = wrapped[number][1]
        assert emit is not None
        emit(answer)
        given.append((number, answer))
        assert [one for one in told if one[0] == 0] == [one for one in given if one[0] == 0]
        assert {one[0] for one in told} <= {0}
    for number in (2, 0, 1):
        failed = Cancelled("while it ran")
        wrapped[number][0](failed)
        given.append((number, failed))
    by_request = sorted(given, key=lambda one: one[0])
    quiet = [number for number in range(3) if number not in emitting]
    assert [one for one in told if one[0] not in quiet] == [
        one for one in by_request if one[0] not in quiet
    ]
    assert len(told) == len(given)
