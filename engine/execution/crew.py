"""A model's instances while it serves: some come, some go, the others are left alone.

Owns which of the instances that serve are also among those that a changed configuration asks
for, and the change itself. Does not own how an instance is loaded (``model``), nor what a request
goes through (``pump``). ``recruit`` blocks and belongs on a worker thread; everything else is for
the event loop's thread.

1. An instance stays if the new configuration has one on the same device, with the same cores and
   threads and as passive: whatever it is called. A backend that is not ``Threaded`` does not
   care for threads.
2. Whoever comes is loaded and warmed up before anybody goes.
3. Models of sequences, decoupled models, and models under the rate limiter are loaded anew: what
   they keep belongs to one instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from engine.backend import Backend, Threaded
from engine.execution.plan import Planned
from engine.execution.pump import Pump, Worker
from engine.modelconfig.schema import ModelConfig
from engine.scheduler import Limitable

#: loads instances and warms them up; blocks
Enlist = Callable[[Sequence[Planned], ModelConfig], Sequence[Worker]]


@dataclass(frozen=True, slots=True)
class Recruits:
    """Instances that are loaded, and wait to join; ``planned`` is all that there will be."""

    config: ModelConfig
    planned: tuple[Planned, ...]
    workers: tuple[tuple[Planned, Worker], ...]

    def dismiss(self) -> None:
        """Free them: they do not join."""
        for _, worker in self.workers:
            worker.close(lambda: None)


class Crew:
    """The instances of one served model, by their numbers in its pump."""

    def __init__(
        self,
        planned: Sequence[Planned],
        pump: Pump,
        scheduler: Limitable,
        backend: Backend,
        enlist: Enlist,
    ) -> None:
        self._there = dict(enumerate(planned))
        self._pump = pump
        self._scheduler = scheduler
        self._threaded = isinstance(backend, Threaded) and backend.threaded
        self._enlist = enlist

    def recruit(self, config: ModelConfig, planned: tuple[Planned, ...]) -> Recruits:
        """Load those of ``planned`` that are not there; blocks.

        Raises:
            EngineError: why one could not be loaded; none is then.
        """
        there = Counter(self._kind(one) for one in self._there.values())
        coming = []
        for one in planned:
            if there[self._kind(one)]:
                there[self._kind(one)] -= 1
            else:
                coming.append(one)
        workers = self._enlist(coming, config) if coming else ()
        return Recruits(config, planned, tuple(zip(coming, workers, strict=True)))

    def change(self, recruits: Recruits) -> Mapping[int, int | None]:
        """Let recruits join and those go that are not wanted any more.

        Returns:
            the devices of the instances that get requests, by their numbers.
        """
        wanted = Counter(self._kind(one) for one in recruits.planned)
        wanted.subtract(self._kind(one) for one, _ in recruits.workers)
        staying = {}
        for number, one in self._there.items():
            if wanted[self._kind(one)] > 0:
                wanted[self._kind(one)] -= 1
                staying[number] = one
        going = {number: one for number, one in self._there.items() if number not in staying}
        for one, worker in recruits.workers:
            staying[self._pump.join(worker, passive=one.passive)] = one
        for number, one in going.items():
            self._pump.leave(number, None if one.passive else self._scheduler)
        self._there = staying
        return {number: one.placement.device for number, one in staying.items() if not one.passive}

    def _kind(self, one: Planned) -> Hashable:
        threads = one.placement.threads if self._threaded else 0
        placement = one.placement
        return placement.device, threads, placement.profiles, one.passive, one.cores
