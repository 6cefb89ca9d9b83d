"""The course of a run, from its records: the warm-up, and what the stopping rule says. Pure.

Owns which requests are warm-up, when the rule hears of the others, and what is told meanwhile.
Does not own the rule (``window``, ``statistics.stopping``) nor the result (``outcome``).

Rules:

1. The warm-up is discarded: until max(8, twice the requests in flight, ``warmup_requests``)
   requests have been answered, so that every instance has been touched, and half a second has
   passed (half a window, where that is less). A load of a given number of requests, or a recorded
   trace, counts from its first request on, but for ``warmup_requests``.
2. Bounds are moments at which requests finished.
3. Where all of the warm-up failed, or for a second all of at least ten, the run ends with the
   server's text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.errors import LoadError
from analyzer.load.records import RECORD, Records
from analyzer.load.window import CAP, WindowSample, WindowsRule, sample_of
from analyzer.statistics.episodes import Episodes
from analyzer.statistics.stopping import StoppingRule, Verdict

WARM_REQUESTS = 8
WARM_SECONDS = 0.5
PROGRESS_SECONDS = 0.5
#: rule 3
HOPELESS, HOPELESS_NS = 10, 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """When the server is warm: ``requests`` were answered and ``seconds`` have passed.

    After ``cap_seconds`` fewer requests will do, if there was one.
    """

    requests: int
    seconds: float = 0.0
    cap_seconds: float = float("inf")

    @classmethod
    def of(cls, slots: int, wanted: int, window_seconds: float) -> WarmUp:
        """Return what rule 1 says of a load that goes on until it is stopped."""
        least = min(WARM_SECONDS, window_seconds / 2)
        return cls(
            requests=max(WARM_REQUESTS, 2 * slots, wanted),
            seconds=least,
            cap_seconds=max(least, CAP * window_seconds),
        )

    def over(self, last_ns: npt.NDArray[np.int64], start_ns: int) -> int | None:
        """Return how many of the requests, by the order of their ends, are warm-up; or not yet."""
        least = int(np.searchsorted(last_ns, start_ns + int(self.seconds * 1e9)))
        at_cap = len(last_ns)
        if np.isfinite(self.cap_seconds):
            at_cap = int(np.searchsorted(last_ns, start_ns + int(self.cap_seconds * 1e9)))
        end = min(max(least, self.requests - 1), at_cap)
        return end + 1 if end < len(last_ns) else None


class Course:
    """Hears of records in the order of their ends, and says when to stop."""

    def __init__(self, rule: StoppingRule, warm_up: WarmUp, start_ns: int) -> None:
        self._rule = rule
        self._warm_up = warm_up
        self._start_ns = start_ns
        self._parts: list[Records] = []
        self._waiting = Records.none()
        self._told_windows = 0
        self._told_ns = 0
        self._told_failed = 0
        self._failed = 0
        self._in_a_row = 0
        self._last_good_ns = start_ns
        self._first_error: str | None = None
        self._recent: list[npt.NDArray[np.int64]] = []
        self._warmed: tuple[int, int] | None = (0, start_ns) if not warm_up.requests else None
        self._verdict = Verdict.GO_ON

    def add(self, records: Records, now_ns: int) -> tuple[WindowSample, ...]:
        """Take in what ended since the last call; return what there is to tell of it.

        Raises:
            LoadError: requests fail, and none succeeds.
        """
        self._note_failures(records)
        if self._verdict is not Verdict.GO_ON:
            return ()
        self._parts.append(records)
        if self._warmed is None:
            self._waiting = Records.joined((self._waiting, records))
            warm = self._warm_up.over(self._waiting.array["last"], self._start_ns)
            if warm is None:
                return ()
            self._warmed = warm, int(self._waiting.array["last"][warm - 1])
            if self.episodes is not None:
                good = self._waiting.span(warm // 2, warm)
                self.episodes.warm(good.latency_ns[good.succeeded], self._warmed[1])
            if not self._waiting.succeeded[:warm].any():
                raise LoadError(self._hopeless())
            # The last one of the warm-up marks the beginning of what counts.
            records = self._waiting.span(warm - 1, len(self._waiting))
            self._waiting = Records.none()
            self._told_ns = self._warmed[1]
        return self._feed(records, now_ns)

    @property
    def episodes(self) -> Episodes | None:
        """The rule's episodes, where a closed loop is to be begun anew again and again."""
        found: Episodes | None = getattr(self._rule, "episodes", None)
        return found

    @property
    def verdict(self) -> Verdict:
        """What the rule says."""
        return self._verdict

    @property
    def rule(self) -> StoppingRule:
        """The rule."""
        return self._rule

    @property
    def samples(self) -> tuple[WindowSample, ...]:
        """The windows so far, where the rule has windows."""
        return self._rule.samples if isinstance(self._rule, WindowsRule) else ()

    @property
    def warmed(self) -> tuple[int, int] | None:
        """How many requests were warm-up, and when it was over; None before that."""
        return self._warmed

    @property
    def records(self) -> Records:
        """All up to the verdict, in the order of their ends."""
        return Records.joined(self._parts)

    @property
    def failed(self) -> int:
        """How many failed so far, warm-up and what came after the verdict included."""
        return self._failed

    @property
    def first_error(self) -> str | None:
        """Why the first of them did."""
        return self._first_error

    def _feed(self, records: Records, now_ns: int) -> tuple[WindowSample, ...]:
        good = records.succeeded
        latency = records.latency_ns[good]
        self._verdict = self._rule.add(records.array["last"][good], latency, now_ns)
        self._recent.append(latency)
        if isinstance(self._rule, WindowsRule):
            told = self._rule.samples[self._told_windows :]
            self._told_windows += len(told)
        else:
            told = self._progress(records, now_ns)
        if not told:
            return ()
        failed, self._told_failed = self._failed - self._told_failed, self._failed
        self._recent.clear()
        return (*told[:-1], replace(told[-1], failed=failed))

    def _progress(self, records: Records, now_ns: int) -> tuple[WindowSample, ...]:
        """Tell of the last half second or so."""
        end = int(records.array["last"][-1]) if len(records) else now_ns
        seconds = (end - self._told_ns) / 1e9
        if seconds < PROGRESS_SECONDS:
            return ()
        self._told_ns = end
        return (sample_of(np.concatenate(self._recent), seconds),)

    def _note_failures(self, records: Records) -> None:
        bad = np.flatnonzero(~records.succeeded)
        if len(bad) < len(records):
            self._in_a_row = 0
            self._last_good_ns = int(records.array["last"][records.succeeded][-1])
        if not len(bad):
            return
        self._failed += len(bad)
        if self._first_error is None:
            self._first_error = records.error_of(int(bad[0]))
        self._in_a_row += len(bad)
        hopeless = self._in_a_row >= HOPELESS and self._warmed is not None
        if hopeless and int(records.array["last"][-1]) - self._last_good_ns >= HOPELESS_NS:
            raise LoadError(self._hopeless())

    def _hopeless(self) -> str:
        return f"every request failed; the first: {self._first_error}"


class Merger:
    """Puts the records of several senders into one order.

    What one has sent is passed on when the others have told of as late a moment.
    """

    def __init__(self, senders: int) -> None:
        self._waiting = [Records.none() for _ in range(senders)]
        self._upto = [0] * senders
        self._texts: list[tuple[str, ...]] = [()] * senders

    def add(
        self,
        sender: int,
        raw: bytes,
        errors: tuple[str, ...],
        upto_ns: int,
        responses: bytes = b"",
    ) -> None:
        """Take in what a sender tells: raw records, texts that are new, and responses' times."""
        self._texts[sender] += errors
        array = np.frombuffer(raw, dtype=RECORD)
        fresh = Records(array, self._texts[sender])
        offsets = np.concatenate(([0], np.cumsum(array["responses"], dtype=np.int64)))
        times = np.frombuffer(responses, dtype=np.int64)
        if len(array) and offsets[-1] == len(times):
            fresh = replace(fresh, response_ns=times, offsets=offsets)
        self._waiting[sender] = Records.joined((self._waiting[sender], fresh))
        self._upto[sender] = upto_ns

    def ended(self, sender: int) -> None:
        """Take note that nothing more comes from it."""
        self._upto[sender] = 1 << 62

    def take(self) -> Records:
        """Return what has its place in the order by now."""
        upto = min(self._upto)
        ready = [waiting.between(-1, upto) for waiting in self._waiting]
        self._waiting = [
            waiting.span(len(taken), len(waiting))
            for waiting, taken in zip(self._waiting, ready, strict=True)
        ]
        return Records.joined(ready)
