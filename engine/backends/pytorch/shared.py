"""What PyTorch models of one process share: thread counts, and weights where they ask for it.

Owns: that the first model to name a thread count decides it for all of them, as in Triton, since
PyTorch has one pool; and which loaded model another instance may use as well. Does not own
PyTorch itself: it is told what to do through the functions that it is given.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Claims:
    """Settings that a process has once: whoever sets one first decides it."""

    _first: dict[str, tuple[int, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, key: str, value: int, model: str, carry_out: Callable[[int], None]) -> int:
        """Have ``value`` carried out if nobody was first; give the value that holds."""
        with self._lock:
            if key in self._first:
                held, owner = self._first[key]
                if held != value:
                    logger.warning(
                        "model '%s': %s=%d has no effect: model '%s' set it to %d first, and"
                        " PyTorch has one for the whole process",
                        *(model, key, value, owner, held),
                    )
                return held
            carry_out(value)
            self._first[key] = (value, model)
        logger.info(
            "model '%s' sets %s=%d for all PyTorch models of this server", model, key, value
        )
        return value

    def held(self, key: str) -> int | None:
        """Give the value that holds, None if nobody has set one."""
        first = self._first.get(key)
        return None if first is None else first[0]


@dataclass(slots=True)
class Shelf:
    """Loaded models that instances of one version and device share, as long as one uses them."""

    _loaded: WeakValueDictionary[Hashable, Any] = field(default_factory=WeakValueDictionary)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Hashable, load: Callable[[], Any]) -> Any:  # noqa: ANN401 - untyped library
        """Give what is on the shelf under ``key``, or load it."""
        with self._lock:
            found = self._loaded.get(key)
            if found is None:
                found = self._loaded[key] = load()
            return found
