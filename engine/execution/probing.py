"""Asks a model's instances whether they can answer (Triton's ``is_ready`` of Python models).

Owns when they are asked, and what an answer that does not come means. Does not own what the model
looks at. For the event loop's thread. Rules:

1. an instance is asked in a thread of its own, beside what it runs: a model that computes is not
   therefore unwell, and one that hangs in its answer holds up nobody;
2. it is asked once at a time: who asks meanwhile gets the same answer;
3. an instance that raises, or has not answered after ``PATIENCE_S``, is not ready.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

from engine.backend import SelfChecking

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0


class Probe:
    """Asks one instance."""

    def __init__(self, name: str, instance: SelfChecking, patience_s: float = PATIENCE_S) -> None:
        self._name = name
        self._instance = instance
        self._patience_s = patience_s
        self._asked: asyncio.Future[bool] | None = None

    async def ask(self) -> bool:
        """Say whether the instance can answer."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            thread = threading.Thread(
                target=self._look, args=(self._asked,), name=f"{self._name} is_ready", daemon=True
            )
            thread.start()
        done, _ = await asyncio.wait([self._asked], timeout=self._patience_s)
        if not done:
            logger.warning(
                "model instance '%s' has not said within %g s whether it is ready",
                self._name,
                self._patience_s,
            )
        return bool(done) and self._asked.result()

    def _look(self, asked: asyncio.Future[bool]) -> None:
        ready = False
        try:
            ready = self._instance.is_ready()
        except Exception:
            logger.exception("model instance '%s' cannot say whether it is ready", self._name)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            asked.get_loop().call_soon_threadsafe(asked.set_result, ready)


async def all_ready(probes: Sequence[Probe]) -> bool:
    """Say whether every instance can answer."""
    return all(await asyncio.gather(*(probe.ask() for probe in probes)))
