"""The loop, several measurements at a time: each lane is a GPU, its cores, and a bench of its own.

Owns the threads, the pinning, and what becomes of a lane whose GPU is gone. Does not own what is
measured (``stages``), how (``profiling``), or which GPUs and cores there are (``placement``).

Rules:

1. A lane's thread pins itself, and Linux has what it starts (server, senders) inherit that. What
   runs by itself has all cores, on the first lane that is left; other lanes then have no server.
2. A row is in the journal before anything else happens, whichever ends first.
3. A GPU that is lost takes its lane with it, not its measurement: that is taken on another. Where
   none is left, the rows so far are in the journal.
4. Measurements of the check begin to load together, when all their servers are up.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from analyzer.errors import GpuLost
from analyzer.launcher import Endpoint
from analyzer.metrics import OF_MACHINE
from analyzer.placement import Place
from analyzer.profiling import Bench, Guard, Spectator
from analyzer.record.accuracy import Accuracy
from analyzer.record.journal import Journal
from analyzer.record.row import Phase, Row, Trial
from analyzer.space import SEPARATOR
from analyzer.stages import Campaign
from engine.modelconfig.schema import ModelConfig

#: a server that hangs must not hold up the others' part of the check
MEETING_SECONDS = 120.0
_OF_ALL = "it is told of the whole machine, on which others were measured at the same time"


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A place, and what measures there; ``lost`` says why a GPU is gone, or ""."""

    place: Place
    bench: Bench
    lost: Callable[[str], str]

    def measure(self, trial: Trial, number: int, whole: frozenset[int]) -> Row:
        """Measure, on this lane's cores where others run beside it, else on the ``whole``.

        Raises:
            GpuLost: the GPU is gone, so what failed says nothing of what was measured.
        """
        os.sched_setaffinity(0, self.place.cores if trial.beside > 1 else whole)
        row = self.bench.measure(trial, number)
        if row.failure is not None and (why := self.lost(self.place.gpu)):
            raise GpuLost(f"{self.place.gpu}: {why}")
        return row if trial.beside <= 1 else _its_own(row, len(self.place.cores))


def _its_own(row: Row, cores: int) -> Row:
    """Leave out what was seen of the machine: it is of all that were measured at the time."""
    gone = {tag for tag in row.metrics if tag.rpartition(SEPARATOR)[2] in OF_MACHINE}
    return replace(
        row,
        cores=cores,
        metrics={tag: value for tag, value in row.metrics.items() if tag not in gone},
        absent={**row.absent, **dict.fromkeys(sorted(gone), _OF_ALL)},
    )


class Meeting:
    """Where measurements that are to disturb each other wait before they load their servers."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(1)

    def expect(self, trials: Sequence[Trial]) -> None:
        """Say what is about to begin."""
        if count := sum(_is_check(trial) for trial in trials):
            self._barrier = threading.Barrier(count)

    def come(self, trial: Trial) -> None:
        """Wait for the others of a check, as long as all of them can still come."""
        if _is_check(trial):
            with contextlib.suppress(threading.BrokenBarrierError):
                self._barrier.wait(MEETING_SECONDS)

    def give_up(self, trial: Trial) -> None:
        """Let those go on who wait for this one: it will not come."""
        if _is_check(trial):
            self._barrier.abort()


def _is_check(trial: Trial) -> bool:
    return trial.phase is Phase.ABREAST and trial.beside > 1


class Shared:
    """A guard that several lanes ask, one after the other."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._lock = threading.Lock()

    @property
    def wants_default(self) -> bool:
        """Whether the default has still to be asked."""
        with self._lock:
            return self._guard.wants_default

    def judges(self, configs: Mapping[str, ModelConfig]) -> bool:
        """Whether a variant may answer otherwise than the default."""
        return self._guard.judges(configs)

    def known(self, configs: Mapping[str, ModelConfig]) -> Accuracy | None:
        """Return what is known of a variant's answers already."""
        with self._lock:
            return self._guard.known(configs)

    def learn(self, endpoint: Endpoint) -> None:
        """Ask the default, if that has still to be done."""
        with self._lock:
            self._guard.learn(endpoint)

    def check(self, endpoint: Endpoint, configs: Mapping[str, ModelConfig]) -> Accuracy:
        """Ask a variant.

        Raises:
            AnalyzerError: it does not answer.
        """
        with self._lock:
            return self._guard.check(endpoint, configs)


@dataclass(slots=True)
class _Running:
    """What is being measured, on which lane, under which number."""

    trial: Trial
    lane: Lane
    number: int


@dataclass(slots=True)
class _Loop:
    """The state of the loop: lanes that are left and free, what runs, and what comes next."""

    lanes: list[Lane]
    number: int
    whole: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))
    running: dict[Future[Row], _Running] = field(default_factory=dict)
    #: numbers of what was begun on a lane that is gone
    kept: dict[Trial, int] = field(default_factory=dict)

    def dealt(self, trials: Sequence[Trial]) -> Mapping[Trial, Lane]:
        """Deal free lanes out: first to those whose setting is up there, then in their order.

        What runs by itself has to wait until all lanes are free, and then has the first.
        """
        taken = {id(each.lane) for each in self.running.values()}
        free = [lane for lane in self.lanes if id(lane) not in taken]
        if alone := [trial for trial in trials if trial.beside <= 1]:
            return {} if taken else dict(zip(alone[:1], free, strict=False))
        found: dict[Trial, Lane] = {}
        for trial in trials:
            if (lane := next((one for one in free if one.bench.serves(trial)), None)) is not None:
                found[trial] = lane
                free.remove(lane)
        others = (trial for trial in trials if trial not in found)
        return found | dict(zip(others, free, strict=False))

    def numbered(self, trial: Trial) -> int:
        """Number a trial in the order in which it was asked for."""
        if trial in self.kept:
            return self.kept.pop(trial)
        self.number += 1
        return self.number - 1


@dataclass(frozen=True, slots=True)
class Heard:
    """Who hears of the loop: the ``spectator`` of measurements, ``say`` of GPUs that are gone.

    ``meeting`` is where measurements wait for each other.
    """

    spectator: Spectator
    meeting: Meeting
    say: Callable[[str], None]


def several(
    places: Sequence[Place],
    first: Bench,
    beside: Callable[[str], Bench],
    lost: Callable[[str], str],
) -> list[Lane]:
    """Make the lanes: ``first`` measures on the first place, ``beside`` makes who does on a GPU."""
    others = [Lane(place, beside(place.gpu), lost) for place in places[1:]]
    return [Lane(places[0], first, lost), *others]


def profile(
    campaign: Campaign,
    lanes: Sequence[Lane],
    journal: Journal,
    stop: Callable[[], bool],
    heard: Heard,
) -> None:
    """Measure what ``campaign`` asks for, as many at a time as it and the ``lanes`` allow.

    After ``stop()`` nothing more is begun, and what runs is waited for and kept.

    Raises:
        GpuLost: all of them are; the rows so far are in the journal.
        JournalError: a row could not be written.
    """
    number = max((row.number + 1 for row in journal.rows), default=0)
    loop = _Loop(list(lanes), number)
    with _threads(lanes) as threads:
        while True:
            if not stop():
                begun = _begin(loop, campaign, heard.spectator)
                heard.meeting.expect([each.trial for each in begun])
                for each in begun:
                    run = threads[id(each.lane)].submit
                    future = run(each.lane.measure, each.trial, each.number, loop.whole)
                    loop.running[future] = each
            if not loop.running:
                return
            done, _ = wait(loop.running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda each: loop.running[each].number):
                ended = loop.running.pop(future)
                try:
                    row = future.result()
                except GpuLost as error:
                    _retire(loop, ended, heard, error)
                    continue
                if row.failure is not None:
                    heard.meeting.give_up(row.trial)
                journal.append(row)
                campaign.tell(row)
                heard.spectator.finished(row)


def _begin(loop: _Loop, campaign: Campaign, spectator: Spectator) -> list[_Running]:
    """Choose what may begin now, and where.

    Raises:
        GpuLost: there is no lane for it any more.
    """
    running = [each.trial for each in loop.running.values()]
    waiting = [trial for trial in campaign.due() if trial not in running]
    if waiting and not loop.lanes:
        raise GpuLost(
            "no GPU is left to measure on; the measurements so far are in the journal, and the "
            "same command goes on from them once the GPUs are back"
        )
    dealt = loop.dealt(waiting)
    begun: list[_Running] = []
    for trial in waiting:
        if (lane := dealt.get(trial)) is None:
            continue
        if trial.beside <= 1:
            for other in loop.lanes:
                if other is not lane:
                    other.bench.rest()
        begun.append(_Running(trial, lane, loop.numbered(trial)))
        spectator.started(trial, lane.bench.name(trial))
    return begun


def _retire(loop: _Loop, ended: _Running, heard: Heard, error: GpuLost) -> None:
    """Go on without a lane; its measurement is taken on another."""
    heard.meeting.give_up(ended.trial)
    loop.lanes.remove(ended.lane)
    loop.kept[ended.trial] = ended.number
    ended.lane.bench.rest()
    if loop.lanes:
        left = f"{len(loop.lanes)} GPU{'s' * (len(loop.lanes) != 1)}"
        heard.say(f"{error.message}; what ran there is measured again, and {left} left")


@contextmanager
def _threads(lanes: Sequence[Lane]) -> Iterator[Mapping[int, ThreadPoolExecutor]]:
    """Give each lane a thread, which stays pinned; end them whatever happens."""
    every = {id(lane): ThreadPoolExecutor(1, f"lane {lane.place.gpu}") for lane in lanes}
    try:
        yield every
    except BaseException:
        # Without their servers those that run still end soon.
        for lane in lanes:
            lane.bench.rest()
        raise
    finally:
        for each in every.values():
            each.shutdown(cancel_futures=True)
