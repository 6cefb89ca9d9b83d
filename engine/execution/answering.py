"""What stands behind a served model and answers its requests: a pump, or an ensemble's conductor.

Owns the interface.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.execution.ordering import Done, Emit
from engine.inside import Charge
from engine.types import InferRequest


class Answering(Protocol):
    """Answers requests, on the event loop's thread."""

    @property
    def pending(self) -> int:
        """How many requests wait to be computed."""
        ...

    def submit(
        self,
        request: InferRequest,
        done: Done,
        emit: Emit | None = None,
        charge: Charge | None = None,
    ) -> int:
        """Take a checked request; ``done`` is called once, later. Returns an id."""
        ...

    def cancel(self, ticket_id: int) -> None:
        """Take a request back."""
        ...

    def stop(self, drained: Callable[[], None]) -> None:
        """Refuse newcomers, answer the others, free what is held; then call back."""
        ...
