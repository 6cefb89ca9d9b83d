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
