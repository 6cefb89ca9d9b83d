"""What is sent: requests for one model, or for several, in given proportions. Pure.

Rules:

1. Which item a request is of is drawn by weight, from a seed.
2. An item's requests are sent in rotation, in their order.
3. An item of sequences has ``sequences`` instead: the requests of one sequence each, in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.types import InferRequest, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Requests for one model. ``version`` "" leaves it to the server.

    ``inferences`` is how many one request counts for (its batch size). ``expected`` is, of each
    request in its order (sequences one after another), what is to be answered, or () where that
    is not known; ``places`` says where each was written. An answer that differs is a failure.
    """

    model: str
    version: str = ""
    weight: float = 1.0
    requests: tuple[InferRequest, ...] = ()
    inferences: int = 1
    sequences: tuple[tuple[InferRequest, ...], ...] = ()
    expected: tuple[tuple[Tensor, ...], ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """All that is sent in one run.

    Raises:
        ValueError: there is nothing to send, or a weight is no weight.
    """

    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("a workload needs at least one item")
        for item in self.items:
            if not item.requests and not any(item.sequences):
                raise ValueError(f"{item.model}: there is no request to send")
            if not item.weight > 0:
                raise ValueError(f"{item.model}: expected a weight above 0, found {item.weight:g}")

    @property
    def inferences(self) -> tuple[int, ...]:
        """How many inferences a request of each item counts for."""
        return tuple(item.inferences for item in self.items)
