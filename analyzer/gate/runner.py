"""Measures blocks: serves a side, loads it, observes it.

One server runs at a time, and a launch of both sides is the baseline's process with all its blocks,
then the candidate's, or the other way round by turns. Does not own how many launches there are
(``sequential``), nor where a side's models come from (``sides``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Self

from analyzer import gauge, metrics, workspace
from analyzer.config import meaning
from analyzer.errors import AnalyzerError, LoadError, UsageError
from analyzer.gate.checks import Check
from analyzer.gate.comparing import Compared
from analyzer.gate.plan import Turn, turns
from analyzer.gate.sides import Served
from analyzer.gate.slo import Promise
from analyzer.gate.values import REQUESTS, Block, Finding, Gate, Settings, Side
from analyzer.launcher import Endpoint, Launcher
from analyzer.launchers import local
from analyzer.load.driver import DriverSettings, workload_for
from analyzer.load.share import Plan
from analyzer.load.slo import RateRule, at_rate
from analyzer.measure.observe import Watch
from analyzer.measure.tree import Tree
from analyzer.metrics import Observed, ServerTimes
from analyzer.perf.runs import intervals_of
from analyzer.profiling import Measured
from analyzer.record.row import LoadSpec
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.slo import Outcome
from engine.modelconfig import convert

_PER = 1000
#: seconds that a promise about a rate is measured for at most, and the share that counts of them
#: where many requests are needed to decide it
PROMISE_SECONDS = 60.0


class Runner:
    """Serves two sides by turns and measures blocks of them; entered for as long as servers run.

    Logs and variants go below ``folder``.
    """

    def __init__(self, check: Check, sides: Mapping[Side, Served], folder: Path) -> None:
        self._check = check
        self._sides = sides
        self._folder = folder
        self._launchers: dict[Side, Launcher] = {}
        self._stack = ExitStack()
        self._settings = DriverSettings(
            shapes=check.options.shapes,
            composing=tuple(each.name for each in check.options.bls_composing),
        )
        self._schedule = _schedule(check)

    def __enter__(self) -> Self:
        for side, served in self._sides.items():
            self._launchers[side] = self._stack.enter_context(closing(self._launcher(served)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def warm(self) -> float:
        """Start each side once, so that neither is the first to read its files; return the longest.

        Raises:
            AnalyzerError: a side does not come up; the text says which.
        """
        took = []
        for side in self._sides:
            begun = time.perf_counter()
            self._serve(side)
            took.append(time.perf_counter() - begun)
        self._stop()
        return max(took)

    def launch(
        self, number: int, pairs: int, spec: LoadSpec, missing: Callable[[Turn], bool]
    ) -> Iterator[Block]:
        """Measure one launch of so many pairs, of those of its turns that are ``missing``.

        Raises:
            AnalyzerError: a side does not come up, or could not be loaded; the text says which.
        """
        for side in order(number, tuple(self._sides)):
            mine = [turn for turn in of_launch(number, pairs) if turn.side is side]
            begun = time.perf_counter()
            endpoint: Endpoint | None = None
            counts: Mapping[str, float] = {}
            for turn in filter(missing, mine):
                if endpoint is None:
                    endpoint = self._serve(side)
                    counts = started(endpoint)
                with self._told(side):
                    block = self._block(turn, endpoint, spec, counts)
                ended = time.perf_counter()
                yield replace(block, seconds=ended - begun)
                begun = time.perf_counter()
        self._stop()

    def keeps(
        self, side: Side, gate: Gate, settings: Settings, seconds: float = PROMISE_SECONDS
    ) -> Finding:
        """Measure whether a side keeps a promise about a request rate, and say what came of it.

        Raises:
            AnalyzerError: it does not come up, or could not be loaded.
        """
        promise = Promise(self._check.name, gate, settings)
        endpoint = self._serve(side)
        model = self._check.model
        spec = self._check.load
        rule = RateRule(promise.progress, promise.limit_ns, seconds)
        with self._told(side):
            requests = workload_for(endpoint, model, spec, self._settings)
            send = at_rate(endpoint, requests, spec, settings=self._settings)
            driven = send(promise.rate, spec.seed, rule.anew)
        self._stop()
        percent = gate.quantity.percentile
        assert percent is not None
        outcome: Outcome = rule.outcome
        lost = driven.failed + driven.dropped
        if lost and not rule.bears(lost, percent):
            outcome = "fail"
        notes = (f"{lost} requests were refused, or not sent in time",) if lost else ()
        # Latency counts from when a request was due, so a late client makes nothing look better.
        if driven.invalid and outcome != "pass":
            outcome, notes = "inconclusive", (*notes, driven.invalid)
        seen = rule.summary().percentiles.get(percent)
        found = promise.finding(outcome, None if seen is None else _in_ms(seen))
        return replace(found, notes=(*found.notes, *notes))

    def _serve(self, side: Side) -> Endpoint:
        """Serve one side in a new process; the other's is stopped first."""
        self._stop()
        served = self._sides[side]
        model = self._check.model
        configs = {
            name: convert.loads(text, f"{served.label}: {name}")
            for name, text in served.configs.items()
        }
        beside = {name: configs.get(name) for name in served.folders if name != model}
        with self._told(side):
            return self._launchers[side].serve(
                model, configs.get(model), variant=side.value, beside=beside
            )

    def _stop(self) -> None:
        for each in self._launchers.values():
            each.close()

    def _launcher(self, served: Served) -> Launcher:
        options = self._check.options
        return local.make(
            lambda configs, name: workspace.write_variant(
                self._folder / "served" / name, served.folders, configs
            ),
            log_dir=self._folder / "logs",
            python=served.python,
            server_flags=options.server_flags,
            environment=meaning.environment(options),
            startup_timeout_s=options.startup_timeout_s,
        )

    def _block(
        self, turn: Turn, endpoint: Endpoint, spec: LoadSpec, counts: Mapping[str, float]
    ) -> Block:
        measure = gauge.make(
            self._check.model, lambda at: Watch(at.pid), self._settings, lambda _: None,
            self._schedule if spec == self._check.load else None,
        )  # fmt: skip
        measured = measure(endpoint, spec)
        return Block(
            side=turn.side,
            pair=turn.pair,
            launch=turn.launch,
            values=_finite(metrics.evaluate(measured.observed)),
            counts=_finite({**counts, **counted(measured.observed)}),
            histogram=measured.histogram,
            remarks=_remarks(measured),
        )

    @contextmanager
    def _told(self, side: Side) -> Iterator[None]:
        """Say of an error which side it is of."""
        try:
            yield
        except UsageError:
            raise
        except AnalyzerError as error:
            of = f"the {side.value} ({self._sides[side].label})"
            # The load client speaks of the flag of a profile.
            said = error.message.replace("--max-seconds", "--block-seconds")
            raise AnalyzerError(f"{of}: {said}") from error


def of(compared: Compared, folder: Path) -> Runner:
    """Make what measures a check; logs and what is served go below ``folder``."""
    served = {Side.CANDIDATE: compared.candidate}
    if compared.baseline is not None:
        served = {Side.BASELINE: compared.baseline, **served}
    return Runner(compared.check, served, folder)


def order(launch: int, sides: tuple[Side, ...]) -> tuple[Side, ...]:
    """Say which side of a launch is measured first: by turns, so that what drifts favours none."""
    return sides if launch % 2 == 0 else sides[::-1]


def of_launch(number: int, pairs: int) -> tuple[Turn, ...]:
    """Return the turns of one launch of so many pairs."""
    every = takewhile(lambda turn: turn.launch <= number, turns(pairs))
    return tuple(turn for turn in every if turn.launch == number)


def started(endpoint: Endpoint) -> dict[str, float]:
    """Read the counters of a server that has just come up."""
    if endpoint.pid is None:
        return {}
    tree = Tree(endpoint.pid)
    tree.refresh()
    found: dict[str, float] = {}
    # Pages in full: how shared ones are split depends on what else runs on the machine.
    if (use := tree.use()) is not None:
        found["startup_memory"] = use.rss_bytes / 1e6
    if (count := tree.bytes_read()) is not None:
        found["model_load_bytes"] = float(count)
    return found


def counted(seen: Observed) -> dict[str, float]:
    """Read the counters of a block: requests, failures, and how they batched."""
    found = {REQUESTS: float(len(seen.latency_ns)), "failed_requests": float(seen.failed)}
    if seen.server is not None and seen.server.requests:
        found["batches_per_1000_requests"] = _executions(seen.server) * _PER / seen.server.requests
    return found


def _executions(server: ServerTimes) -> int:
    """Count batches: an ensemble runs none itself, but its models do."""
    inner = sum(_executions(each) for each in server.composing.values())
    return inner or server.executions


def _remarks(measured: Measured) -> tuple[str, ...]:
    """Return what disturbed a measurement; what the figures themselves show is no disturbance."""
    client = (measured.invalid,) if measured.invalid else ()
    return (*measured.observed.remarks, *client)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON cannot hold, and nobody can compare."""
    return {tag: value for tag, value in values.items() if math.isfinite(value)}


def _in_ms(one: Estimate) -> Estimate:
    return replace(one, value=one.value / 1e6, low=one.low / 1e6, high=one.high / 1e6)


def _schedule(check: Check) -> Plan | None:
    """Read the distances of requests, where the check has a file of them.

    Raises:
        UsageError: there is none, or it holds something else.
    """
    if check.intervals is None:
        return None
    try:
        return intervals_of(check.intervals.read_text(encoding="utf-8"), str(check.intervals))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{check.intervals}: cannot be read: {error}") from error
    except LoadError as error:
        raise UsageError(error.message) from error
