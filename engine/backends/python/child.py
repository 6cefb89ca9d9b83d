"""A Python model in a process of its own: what its child makes (``engine.child.entry``).

Owns how a child is told what to load. Does not own the loading (``loading``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.backends.python.executor import PythonExecutor
from engine.backends.python.loading import Wanted, complete, load
from engine.child.asking import Asking
from engine.child.entry import Outside
from engine.child.saying import Saying


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


def make_completed(given: Mapping[str, Any], outside: Outside) -> Saying:
    """Have a model complete its configuration, and say it as JSON."""
    del outside
    return Saying(json.dumps(complete(Path(given["path"]), given["config"])))
