"""Conducts one run: the senders begin at one moment, are listened to, and stopped in time.

Owns the order of things, and the reading of the server's counters meanwhile. Does not own the
senders' life (``crew``), what counts (``course``), nor what is made of it (``outcome``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analyzer import v2client
from analyzer.counters import Counters, server_times
from analyzer.errors import LoadError
from analyzer.load.arrivals import Fixed, Staircase
from analyzer.load.chunk import Chunk, Drained, Ended, Ready, Said
from analyzer.load.course import Course, Merger, WarmUp
from analyzer.load.outcome import STOPPED, Facts, Reading, driven_of
from analyzer.statistics.stopping import StoppingRule, Verdict

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.load.crew import Crew, DriverSettings
    from analyzer.load.driven import Driven
    from analyzer.load.share import Plan
    from analyzer.load.window import WindowSample
    from analyzer.load.workload import Workload
    from analyzer.metrics import ServerTimes
    from analyzer.record.row import LoadSpec

FEED_NS = 50_000_000
#: they begin so long after all are connected, and so long after all are drained
HEAD_START_NS = 5_000_000
AGAIN_NS = 2_000_000
STATISTICS_SECONDS = 5.0
#: so long before an episode ends the counters are read
LATE_NS = 80_000_000
#: a sender that is so busy needs another beside it
CROWDED = 0.8
CROWDED_NS = 250_000_000


class Crowded(Exception):
    """The senders are too busy: there ought to be more of them."""


class Conductor:
    """One run with a given crew. ``plan`` is its schedule, None: a closed loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        workload: Workload,
        load: LoadSpec,
        plan: Plan | None,
        rule: StoppingRule,
        settings: DriverSettings,
    ) -> None:
        self._now = settings.now
        self._workload = workload
        self._load = load
        self._open = plan is not None and not isinstance(plan, Staircase)
        finite = bool(load.request_count) or isinstance(plan, Fixed)
        in_flight = 0 if self._open else load.concurrency
        self._warm_up = (
            WarmUp(requests=load.warmup_requests)
            if finite
            else WarmUp.of(in_flight, load.warmup_requests, load.window_seconds)
        )
        self._rule = rule
        self._server = _Server(endpoint, workload, settings)
        self._others = settings.others
        self._measured = False
        self._course: Course | None = None
        self._start_ns = 0
        self._told_drops = 0
        self._told_pause: int | None = None
        self._ready = self._drained = 0

    def go(
        self,
        crew: Crew,
        stop: Callable[[], bool],
        on_progress: Callable[[WindowSample], None],
        *,
        last: bool,
    ) -> Driven:
        """Conduct it from the senders' start to their end.

        Raises:
            LoadError: nothing was measured.
            Crowded: there are too few senders, and this is not the ``last`` try.
        """
        self._merger = Merger(len(crew))
        self._readings: list[list[Reading]] = [[] for _ in range(len(crew))]
        try:
            complete = self._listen(crew, stop, on_progress, last=last)
            if self._course is None:
                raise LoadError(STOPPED)
            facts = Facts(
                protocol=self._load.protocol,
                open_loop=self._open,
                start_ns=self._start_ns,
                inferences=self._workload.inferences,
                readings=tuple(map(tuple, self._readings)),
                percentile=self._load.percentile,
                complete=complete,
            )
            driven = driven_of(self._course, facts)
            times = self._server.times(driven.spans_ns)
            return replace(driven, server=times)
        finally:
            self._is_measured()
            self._server.close()

    def _listen(
        self,
        crew: Crew,
        stop: Callable[[], bool],
        on_progress: Callable[[WindowSample], None],
        *,
        last: bool,
    ) -> bool:
        """Hear the senders out, and stop them in time; return whether they ended by themselves."""
        stopped, fed = False, self._now()
        for heard in crew.says():
            if not stopped and stop():
                stopped = True
                crew.stop()
            if heard is not None:
                index, said = heard
                self._note(index, said)
                if not stopped:
                    self._go_on(crew, said, on_progress, last=last)
            elif self._course is not None and self._now() - fed >= FEED_NS:
                fed = self._now()
                self._feed(on_progress, last=last)
                if self._course.verdict is Verdict.GO_ON:
                    if not stopped:
                        self._plan_pause(crew)
                    continue
                self._is_measured()
                if self._others.over and not stopped:
                    stopped = True
                    crew.stop()
        if self._course is not None:
            self._feed(on_progress, last=True)
        self._server.read()
        return not stopped

    def _go_on(
        self, crew: Crew, said: Said, on_progress: Callable[[WindowSample], None], *, last: bool
    ) -> None:
        """Begin when all senders are ready, and again when all are drained."""
        if isinstance(said, Ready):
            self._ready += 1
            if self._ready == len(crew):
                self._begin(crew)
        elif isinstance(said, Drained):
            self._drained += 1
            if self._drained == len(crew):
                self._begin_again(crew, on_progress, last=last)

    def _is_measured(self) -> None:
        """Say once that nothing more is to be measured, and read what the server counted by now."""
        if not self._measured:
            self._measured = True
            self._others.measured()
            self._server.read()

    def _begin(self, crew: Crew) -> None:
        self._others.begin()
        self._server.read()
        self._start_ns = self._now() + HEAD_START_NS
        self._course = Course(self._rule, self._warm_up, self._start_ns)
        self._readings = [
            [replace(readings[0], at_ns=self._start_ns)] for readings in self._readings
        ]
        crew.begin(self._start_ns)

    def _plan_pause(self, crew: Crew) -> None:
        """Tell the senders ahead of time when to pause; read the counters while all is steady."""
        episodes = self._course.episodes if self._course is not None else None
        if episodes is None or episodes.pause_ns is None:
            return
        if episodes.pause_ns != self._told_pause:
            self._told_pause, self._drained = episodes.pause_ns, 0
            crew.pause(episodes.pause_ns)
        self._server.read_within(*episodes.steady_ns)

    def _begin_again(
        self, crew: Crew, on_progress: Callable[[WindowSample], None], *, last: bool
    ) -> None:
        """Begin the next episode."""
        assert self._course is not None
        self._feed(on_progress, last=last)
        episodes = self._course.episodes
        if episodes is not None and self._course.verdict is Verdict.GO_ON:
            at = self._now() + AGAIN_NS
            episodes.begin(at)
            crew.begin(at, episodes.spread_ns)
            self._plan_pause(crew)

    def _note(self, index: int, said: Said) -> None:
        match said:
            case Ready(cpu_ns=cpu_ns):
                self._readings[index].append(Reading(cpu_ns=cpu_ns))
            case Chunk():
                self._merger.add(index, said.records, said.errors, said.upto_ns, said.responses)
                self._readings[index].append(
                    Reading(
                        at_ns=said.upto_ns,
                        in_flight=said.in_flight,
                        area=said.area,
                        cpu_ns=said.cpu_ns,
                        dropped=said.dropped,
                    )
                )
            case Ended():
                self._merger.ended(index)
            case _:
                pass

    def _feed(self, on_progress: Callable[[WindowSample], None], *, last: bool) -> None:
        """Tell the course what has ended by now."""
        assert self._course is not None
        cold = self._course.warmed is None
        if cold and not last and self._crowded():
            raise Crowded
        told = self._course.add(self._merger.take(), self._now())
        if cold and self._course.warmed is not None:
            self._server.read()
        for sample in told:
            latest = [readings[-1] for readings in self._readings]
            in_flight = sum(one.in_flight for one in latest)
            on_progress(replace(sample, in_flight=in_flight, dropped=self._fresh_drops()))
        if told and not self._told_pause:
            self._server.read()

    def _fresh_drops(self) -> int:
        """Return how many were dropped since the last time."""
        total = sum(readings[-1].dropped for readings in self._readings)
        fresh = total - self._told_drops
        self._told_drops = total
        return fresh

    def _crowded(self) -> bool:
        """Whether a sender is too busy, as far as one can tell yet."""
        for readings in self._readings:
            first, latest = readings[0], readings[-1]
            passed = latest.at_ns - first.at_ns
            if passed > CROWDED_NS and latest.cpu_ns - first.cpu_ns > CROWDED * passed:
                return True
        return False


@dataclass(frozen=True, slots=True)
class _Read:
    """The server's counters, and when they were read: midway between question and answer."""

    at_ns: int
    counters: Counters | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A reading of the counters, and when it was asked for: on a busy machine it comes later."""

    at_ns: int
    read: Future[_Read]


class _Server:
    """Reads the server's counters, in a thread: the load is not kept waiting."""

    def __init__(self, endpoint: Endpoint, workload: Workload, settings: DriverSettings) -> None:
        self._now = settings.now
        models = sorted({item.model for item in workload.items})
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="server-statistics")
        self._readers = [
            v2client.CounterReader(
                endpoint, model, called=settings.composing, timeout_s=STATISTICS_SECONDS
            )
            for model in models
        ]
        self._asked: list[_Asked] = []

    def read(self) -> None:
        """Begin to read them."""
        self._asked.append(_Asked(self._now(), self._pool.submit(self._sum)))

    def read_within(self, start_ns: int, end_ns: int) -> None:
        """Read them once when ``start_ns`` has passed, and once just before ``end_ns``."""
        now = self._now()
        if not start_ns <= now < end_ns:
            return
        latest = self._asked[-1].at_ns if self._asked else 0
        if latest < start_ns or latest < end_ns - LATE_NS <= now:
            self.read()

    def times(self, spans_ns: Sequence[tuple[int, int]]) -> ServerTimes | None:
        """Return what the server says of the time that counts, or nearly that.

        Of several spans it is what lies between two readings in one.
        """
        counted = [one.read.result() for one in self._asked]
        pairs = []
        for begin, end in spans_ns if len(spans_ns) > 1 else ():
            inside = [one for one in counted if begin <= one.at_ns <= end]
            pairs += [(inside[0], inside[-1])] if len(inside) > 1 else []
        if not pairs:
            first, last = (
                min(counted, key=lambda one: abs(one.at_ns - moment))
                for moment in (spans_ns[0][0], spans_ns[-1][1])
            )
            pairs = [(first, last)]
        begun, ended = (_total(each.counters for each in side) for side in zip(*pairs, strict=True))
        return server_times(begun, ended)

    def close(self) -> None:
        """Let go of the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _sum(self) -> _Read:
        asked = self._now()
        counters = _total(read() for read in self._readers)
        return _Read((asked + self._now()) // 2, counters)


def _total(counters: Iterable[Counters | None]) -> Counters | None:
    """Add counters up; None if one could not be read."""
    found = list(counters)
    known = [one for one in found if one is not None]
    return sum(known, Counters()) if len(known) == len(found) else None
