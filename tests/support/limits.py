"""Several models under one rate limiter, on virtual time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.ratelimit import Needs, Place, RateLimiter, Seat
from engine.scheduler import Limitable, Scheduler, Step, Ticket
from engine.schedulers.limited import Limited


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its scheduler for so many instances, what they need, how long a batch takes."""

    make: Callable[[int], Limitable]
    instances: tuple[Needs, ...]
    service_ns: int = 10
    text: str = ""

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Come:
    """After ``gap`` ns, ``count`` requests come to a model (by its number); some are taken back."""

    gap: int
    model: int
    count: int
    cancel: tuple[int, ...] = ()


@dataclass(slots=True)
class Shared:
    """What a run showed: grants in order, who waits at the end, what was not as it should be."""

    runs: list[tuple[int, int, int]] = field(default_factory=list)
    ended: Counter[int] = field(default_factory=Counter)
    came: int = 0
    faults: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    #: (time, "run" or "wait" or "rest", model): what each model did, or was left doing
    story: list[tuple[int, str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is tried: a limiter, and schedulers under it. A fault may be planted in either."""

    limiter: Callable[[], RateLimiter] = RateLimiter
    limited: Callable[[Limitable, Seat], Scheduler] = Limited


REAL = Parts()


def most_needed(models: Sequence[Model]) -> dict[Place, int]:
    """Say how much of everything there is: what the most demanding instance needs."""
    pools: dict[Place, int] = {}
    for model in models:
        for instance in model.instances:
            for place, count in instance.resources.items():
                pools[place] = max(count, pools.get(place, 0))
    return pools


class Town:
    """Models that share resources. ``pools`` are what there really is, whoever is asked."""

    def __init__(
        self,
        models: Sequence[Model],
        pools: dict[Place, int] | None = None,
        parts: Parts = REAL,
    ) -> None:
        self.models = models
        self.pools = most_needed(models) if pools is None else pools
        self.history = Shared()
        self._events: list[tuple[int, int, Callable[[int], tuple[int, Step]]]] = []
        self._count = 0
        self._used: Counter[Place] = Counter()
        self._queued: Counter[int] = Counter()
        self._busy: set[tuple[int, int]] = set()
        self._wakes: dict[int, int] = {}
        self._called: list[int] = []
        self._schedulers: list[Scheduler] = []
        limiter = parts.limiter()
        for number, model in enumerate(models):
            seat = limiter.join(model.instances)
            seat.listen(lambda number=number: self._called.append(number))  # type: ignore[misc]
            self._schedulers.append(parts.limited(model.make(len(model.instances)), seat))

    def run(self, traffic: Sequence[Come], until_ns: int | None = None) -> Shared:
        """Go on until nothing is due any more, or the time is up."""
        now = 0
        for come in traffic:
            now += come.gap
            self._at(now, lambda at, come=come: self._come(come, at))  # type: ignore[misc]
        while self._events or self._wakes:
            waker = min(self._wakes, key=lambda one: self._wakes[one], default=None)
            if waker is not None and (not self._events or self._wakes[waker] < self._events[0][0]):
                now = self._wakes.pop(waker)
                self._carry_out(waker, self._schedulers[waker].tick(now), now)
            else:
                now, _, event = heapq.heappop(self._events)
                self._carry_out(*event(now), now)
            while self._called:
                called = self._called.pop(0)
                self._carry_out(called, self._schedulers[called].tick(now), now)
            if until_ns is not None and now >= until_ns:
                break
            self._look(now)
        return self.history

    def _at(self, when: int, event: Callable[[int], tuple[int, Step]]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def _come(self, come: Come, now: int) -> tuple[int, Step]:
        scheduler, history = self._schedulers[come.model], self.history
        for number in come.cancel:
            self._carry_out(come.model, scheduler.cancel(number, now), now)
        tickets = [Ticket(history.came + one, 1, now) for one in range(come.count)]
        history.came += come.count
        self._queued[come.model] += come.count
        return come.model, scheduler.offer(tickets, now)

    def _carry_out(self, model: int, step: Step, now: int) -> None:
        history = self.history
        history.steps.append(step)
        for reject in step.rejects:
            history.ended[reject.ticket.id] += 1
            self._queued[model] -= 1
        for dispatch in step.dispatches:
            instance = dispatch.instance
            if (model, instance) in self._busy:
                history.faults.append(f"{now}: instance {instance} of {model} is busy")
            self._busy.add((model, instance))
            self._used.update(self.models[model].instances[instance].resources)
            for place, used in self._used.items():
                if used > self.pools.get(place, 0):
                    history.faults.append(f"{now}: {used} of {place} are used")
            history.runs.append((now, model, instance))
            history.story.append((now, "run", model))
            self._queued[model] -= len(dispatch.tickets)
            history.ended.update(ticket.id for ticket in dispatch.tickets)
            self._at(
                now + self.models[model].service_ns,
                lambda at, instance=instance: self._end(model, instance, at),  # type: ignore[misc]
            )
        busy = sum(of == model for of, _ in self._busy)
        waits = self._queued[model] > 0 and busy < len(self.models[model].instances)
        history.story.append((now, "wait" if waits else "rest", model))
        if step.wake_ns is not None:
            if step.wake_ns <= now:
                history.faults.append(f"{now}: asked to wake at {step.wake_ns}: a busy loop")
            self._wakes[model] = min(step.wake_ns, self._wakes.get(model, step.wake_ns))

    def _end(self, model: int, instance: int, now: int) -> tuple[int, Step]:
        self._busy.discard((model, instance))
        self._used.subtract(self.models[model].instances[instance].resources)
        return model, self._schedulers[model].free(instance, now)

    def _look(self, now: int) -> None:
        """Note what must not be: somebody waits, nothing runs, and nothing is to happen."""
        if self.history.ended.total() < self.history.came and not (
            self._busy or self._wakes or self._events
        ):
            self.history.faults.append(f"{now}: requests wait, and nothing will wake them")
