"""What a child makes that says one thing and ends: a configuration that a model's code completed.

Owns the child's end of it; the server's is ``executor.said``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.backend import Work


class Saying:
    """An Executor that has said all when it is asked to describe itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def execute(self, batch: Sequence[Work]) -> None:
        """Answer nothing: nobody asks."""

    def describe(self) -> Mapping[str, str]:
        """Say it."""
        return {"said": self._text}

    def close(self) -> None:
        """Free nothing."""
