"""preserve_ordering: responses leave in the order in which requests came (spec 7.8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError, Internal
from engine.execution.ordering import Ordering
from engine.types import InferResponse


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_responses_leave_in_order_and_errors_at_once(finish: list[int], fail: set[int]) -> None:
    ordering = Ordering()
    left: list[int] = []
    errors: list[int] = []

    def done(number: int) -> object:
        def tell(answer: InferResponse | EngineError) -> None:
            (errors if isinstance(answer, EngineError) else left).append(number)

        return ordering.wrap(tell)[0]

    waiting = [done(number) for number in range(6)]
    for count, number in enumerate(finish, 1):
        failing = number in fail
        answer = Internal("x") if failing else InferResponse(model="m", version="1", outputs=())
        waiting[number](answer)  # type: ignore[operator]
        if failing:
            assert errors[-1] == number
        finished = set(finish[:count])
        ready = next(one for one in range(7) if one not in finished)
        assert left == [one for one in range(ready) if one not in fail]
    assert errors == [number for number in finish if number in fail]
