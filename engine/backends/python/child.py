"""A Python model in a process of its own: what its child makes (``engine.child.entry``).

Owns how a child is told what to load. Does not own the loading (``loading``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.backend import Work
from engine.backends.python.executor import PythonExecutor
from engine.backends.python.loading import Wanted, complete, load
from engine.child.asking import Asking
from engine.child.entry import Outside


def tell(wanted: Wanted) -> dict[str, Any]:
    """Write for a child what it is to load."""
    return {
        "path": str(wanted.path),
        "name": wanted.name,
        "arguments": dict(wanted.arguments),
        "outputs": list(wanted.outputs),
        "decoupled": wanted.decoupled,
        "sequences": wanted.sequences,
    }


def make(given: Mapping[str, Any], outside: Outside) -> PythonExecutor:
    """Load a model."""
    return load(Wanted(**{**given, "path": Path(given["path"])}), Asking(outside))


def make_completed(given: Mapping[str, Any], outside: Outside) -> Completed:
    """Have a model complete its configuration."""
    del outside
    return Completed(complete(Path(given["path"]), given["config"]))


class Completed:
    """A configuration, which is all that such a child says."""

    overlaps = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def execute(self, batch: Sequence[Work]) -> None:
        """Answer nothing: nobody asks."""

    def describe(self) -> Mapping[str, str]:
        """Say the configuration, as JSON."""
        return {"completed": json.dumps(self._config)}

    def close(self) -> None:
        """Free nothing."""
