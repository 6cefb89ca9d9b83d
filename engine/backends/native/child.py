"""A native model in a process of its own: what its child makes (``engine.child.entry``).

Owns how a child is told what to load. Does not own the loading (``executor``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.backend import Placement
from engine.backends.native.carry import Form
from engine.backends.native.executor import NativeExecutor, Order, complete, load
from engine.child.asking import Asking
from engine.child.entry import Outside
from engine.child.saying import Saying
from engine.types import DType


def tell(order: Order) -> dict[str, Any]:
    """Write for a child what it is to load."""
    form = order.form
    return {
        "path": str(order.path),
        "directory": str(order.directory),
        "config": order.config,
        "model": form.model,
        "decoupled": form.decoupled,
        "outputs": [[name, dtype.value, dims] for name, (dtype, dims) in form.known.items()],
        "placement": asdict(order.placement),
        "settings": order.settings,
    }


def read(told: Mapping[str, Any]) -> Order:
    """Read it."""
    known = {name: (DType(word), tuple(dims)) for name, word, dims in told["outputs"]}
    return Order(
        Path(told["path"]),
        Path(told["directory"]),
        told["config"],
        Form(told["model"], told["decoupled"], known),
        Placement(**told["placement"]),
        told["settings"],
    )


def make(given: Mapping[str, Any], outside: Outside) -> NativeExecutor:
    """Make an instance."""
    return load(read(given), Asking(outside))


def make_completed(given: Mapping[str, Any], outside: Outside) -> Saying:
    """Have a library complete its configuration, and say it."""
    del outside
    return Saying(complete(read(given)))
