"""Asks the response cache before the model, and keeps what the model then answers.

Owns the way of a request through lookup, model and insertion, and its figures. Does not own what
a cache holds (``engine.cache``), nor how a model runs. Everything but ``identity`` is for the
event loop's thread. Rules:

1. the lookup comes before the queue: a hit waits for nobody, and uses no instance;
2. only what succeeded is kept, after its request has been answered;
3. requests of sequences are not looked up: their responses depend on those before them;
4. a request is looked up under what the model is, its files and configuration, so that a
   model loaded anew is not answered for by what it was before;
5. a cache that raises, which none should, is reported to the loop, and the model computes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cache import Cache, Kept, Keys, own
from engine.clock import Clock
from engine.errors import Cancelled, EngineError
from engine.scheduler import Refusal
from engine.telemetry.stats import FailureReason, Ledger
from engine.types import InferRequest, InferResponse
from engine.v2.binary import tag

if TYPE_CHECKING:
    from engine.execution.answering import Answering
    from engine.execution.ordering import Done
    from engine.execution.pump import PumpLoop
    from engine.inside import Charge
    from engine.modelconfig.schema import ModelConfig

logger = logging.getLogger(__name__)


class _Asked:
    """A request that came this way; ``ticket`` is the model's once the cache had nothing."""

    __slots__ = ("charge", "done", "found", "key", "lookup_ns", "request", "started_ns", "ticket")

    def __init__(self, request: InferRequest, done: Done, key: bytes, started_ns: int) -> None:
        self.request = request
        self.done = done
        self.charge: Charge | None = None
        self.key = key
        self.started_ns = started_ns
        self.lookup_ns = 0
        self.found = False
        self.ticket: int | None = None


class Caching:
    """The cache in front of one model version. Its ids of requests are negative."""

    def __init__(
        self,
        cache: Cache,
        keys: Keys,
        pump: Answering,
        ledger: Ledger,
        clock: Clock,
        loop: PumpLoop,
    ) -> None:
        self._cache = cache
        self._keys = keys
        self._pump = pump
        self._ledger = ledger
        self._now_ns = clock.now_ns
        self._loop = loop
        self._next_id = -1
        self._asked: dict[int, _Asked] = {}
        self._looking = 0
        self._quiet: list[Callable[[], None]] = []

    def submit(self, request: InferRequest, done: Done, charge: Charge | None = None) -> int:
        """Answer a request, from the cache or by the model; returns an id for ``cancel``."""
        if request.sequence_id:
            return self._pump.submit(request, done, None, charge)
        started_ns = self._now_ns()
        number = self._next_id
        self._next_id = number - 1
        asked = self._asked[number] = _Asked(request, done, self._keys.key(request), started_ns)
        asked.charge = charge
        self._looking += 1
        try:
            self._cache.lookup(asked.key, partial(self._found, number))
        except Exception as fault:  # noqa: BLE001 - rule 5
            self._report(fault)
            if not asked.found:
                self._found(number, None)
        return number

    def cancel(self, number: int) -> None:
        """Take a request back, wherever it is."""
        asked = self._asked.get(number)
        if number > 0:
            self._pump.cancel(number)
        elif asked is not None and asked.ticket is not None:
            self._pump.cancel(asked.ticket)
        elif asked is not None:
            del self._asked[number]
            self._ledger.failed(FailureReason.CANCELED, self._now_ns() - asked.started_ns)
            asked.done(Cancelled(tag(asked.request.id) + Refusal.CANCELLED.value))

    def when_quiet(self, quiet: Callable[[], None]) -> None:
        """Call back when no lookup is under way; no more requests come."""
        if self._looking:
            self._quiet.append(quiet)
        else:
            quiet()

    def _found(self, number: int, kept: Kept | None) -> None:
        self._looking -= 1
        asked = self._asked.get(number)
        if asked is not None:  # nobody took it back
            asked.found = True
            asked.lookup_ns = self._now_ns() - asked.started_ns
            if kept is None:
                asked.ticket = self._pump.submit(
                    asked.request, partial(self._answered, number), None, asked.charge
                )
            else:
                self._loop.call_soon(self._hit, number, kept)
        if not self._looking:
            quiet, self._quiet = self._quiet, []
            for call in quiet:
                call()

    def _hit(self, number: int, kept: Kept) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        total_ns = self._now_ns() - asked.started_ns
        ledger = self._ledger
        ledger.hit(asked.lookup_ns, total_ns)
        if ledger.spread is not None:
            ledger.spread.looked_up(asked.lookup_ns, self._now_ns(), hit=True)
        asked.done(
            InferResponse(
                model=ledger.model,
                version=ledger.version,
                id=asked.request.id,
                outputs=kept.outputs,
                parameters=kept.parameters,
            )
        )

    def _answered(self, number: int, answer: InferResponse | EngineError) -> None:
        asked = self._asked.pop(number)
        taken_ns, succeeded = asked.lookup_ns, isinstance(answer, InferResponse)
        try:
            asked.done(answer)
        finally:
            if isinstance(answer, InferResponse):
                taken_ns += self._keep(asked.key, answer)
            self._ledger.missed(taken_ns, succeeded=succeeded)
            if self._ledger.spread is not None:
                self._ledger.spread.looked_up(taken_ns, self._now_ns(), hit=False)

    def _keep(self, key: bytes, answer: InferResponse) -> int:
        """Insert a response; say how long that took, ns."""
        begun_ns = self._now_ns()
        try:
            self._cache.insert(key, Kept(own(answer.outputs), answer.parameters))
        except Exception as fault:  # noqa: BLE001 - rule 5
            self._report(fault)
        return self._now_ns() - begun_ns

    def _report(self, fault: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "the response cache failed", "exception": fault}
        )


def cached(config: ModelConfig, cache: Cache | None) -> bool:
    """Say whether a model's responses are kept; one that asks for it in vain is warned."""
    if not config.response_cache:
        return False
    if cache is None:
        why = "this server has none; start it with --cache-config"
    elif config.sequence_batching is not None:
        why = "responses of a sequence depend on the requests before them"
    elif config.decoupled:
        why = "a decoupled model may answer a request any number of times"
    else:
        return True
    logger.warning("model '%s' is served without the response cache: %s", config.name, why)
    return False


def identity(directory: Path, config: ModelConfig) -> str:
    """Digest what a model version is: its configuration and every file of its folder. Blocks."""
    digest = hashlib.sha256(repr(config).encode(), usedforsecurity=False)
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(directory)}\0".encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
