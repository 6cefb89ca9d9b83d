"""A strategy that asks for given candidates, whatever it is told."""

from __future__ import annotations

from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.space import Candidate


class Listed:
    """Asks for its candidates in their order; ``told`` has the score of each."""

    def __init__(self, *candidates: Candidate) -> None:
        self.candidates = candidates
        self.told: dict[Candidate, float | None] = {}

    def ask(self) -> Candidate | None:
        return next((each for each in self.candidates if each not in self.told), None)

    def tell(self, outcome: Outcome) -> None:
        # The default's measurements are told as well, whoever asked for them.
        if outcome.candidate in self.candidates:
            self.told[outcome.candidate] = outcome.score

    def why(self) -> Why | None:
        return Why("it is on the list")

    def ended(self) -> str:
        return "the list is at its end"
