"""Several measurements at a time, in threads: each on its GPU and cores, and nothing is lost."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from support.lanes import about

from analyzer import lanes, strategy, variant
from analyzer.errors import GpuLost, LaunchError
from analyzer.launcher import ALONE, Beside, Endpoint
from analyzer.metrics import Observed
from analyzer.placement import Place
from analyzer.profiling import Bench, Measured
from analyzer.ranking.goal import Goal
from analyzer.record.journal import Journal, options_digest
from analyzer.record.row import LoadSpec, Phase, Row, RunHead, Trial
from analyzer.space import CONCURRENCY, INSTANCE_COUNT, Axis, Candidate, Dimension, Space
from analyzer.stages import Campaign, Plan
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

BASE = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=8,
    instance_group=(InstanceGroup(name="m", kind=InstanceKind.KIND_GPU, count=1),),
)
SPACE = Space((Dimension(INSTANCE_COUNT, (2, 3, 4, 5)), Dimension(CONCURRENCY, (1, 4), Axis.LOAD)))
PLAN = Plan(
    default=(Candidate.of(concurrency=4),), curve=(1, 4), verify_pairs=2,
    means={"": variant.Means(BASE, variant.Machine(cores=16, gpus=1))}, abreast=2,
)  # fmt: skip
HEAD = RunHead(
    schema=1, run="r", model="m", started_at="", versions={}, machine={}, options={},
    options_digest=options_digest({}),
)  # fmt: skip
WHOLE = frozenset(os.sched_getaffinity(0))


@dataclass
class Machine:
    """What happens on a machine's GPUs.

    ``breaks`` says which launches fail, by GPU and configuration, and ``gone`` which GPUs do not
    answer any more. ``hungry`` is a number of instances that takes all the cores there are.
    ``up`` are the variants that are served, and ``pinned`` has each measurement:
    where, with how many servers up, on which cores.
    """

    breaks: Callable[[str, ModelConfig | None], bool] = lambda _, __: False
    gone: set[str] = field(default_factory=set)
    hungry: int = 0
    up: dict[str, str] = field(default_factory=dict)
    pinned: list[tuple[str, int, frozenset[int]]] = field(default_factory=list)


@dataclass
class Server:
    """A launcher and a gauge on one GPU."""

    gpu: str
    machine: Machine
    config: ModelConfig | None = None

    def serve(
        self, model: str, config: ModelConfig | None, *, variant: str, beside: Beside = ALONE
    ) -> Endpoint:
        del beside
        if self.gpu in self.machine.gone or self.machine.breaks(self.gpu, config):
            raise LaunchError(f"{model}: no CUDA device")
        self.config = config
        self.machine.up[self.gpu] = variant
        return Endpoint(http="127.0.0.1:1")

    def why_ended(self) -> str:
        return ""

    def log_tail(self) -> str:
        return ""

    def close(self) -> None:
        self.machine.up.pop(self.gpu, None)

    def gauge(self, _: Endpoint, load: LoadSpec) -> Measured:
        cores = frozenset(os.sched_getaffinity(0))
        self.machine.pinned.append((self.gpu, len(self.machine.up), cores))
        hungry = (self.config or BASE).instance_group[0].count == self.machine.hungry
        rate = 100.0 * (self.config or BASE).instance_group[0].count + load.concurrency
        return Measured(
            Observed(
                seconds=50 / rate, batch_size=1, latency_ns=np.full(50, 1_000_000, np.int64),
                window_rates=(rate, rate, rate), machine_cpu=0.5,
                server_cpu=len(cores) if hungry else 0.25, client_cpu=0.125,
            ),
            stable=True,
            estimates={"perf_throughput": about(rate), "perf_latency_avg": about(1.0)},
        )  # fmt: skip


@dataclass
class Watcher:
    """A spectator: what runs, and how much of it at a time."""

    running: list[Trial] = field(default_factory=list)
    most: Counter[Phase] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def started(self, trial: Trial, variant_name: str) -> None:
        assert variant_name.startswith("m_config_")
        self.running.append(trial)
        self.most[trial.phase] = max(self.most[trial.phase], len(self.running))

    def finished(self, row: Row) -> None:
        self.running.remove(row.trial)
        self.rows.append(row)


def campaign(plan: Plan = PLAN) -> Campaign:
    def made(width: int) -> strategy.Strategy:
        return strategy.find("brute")(strategy.Problem(space=SPACE, abreast=width))

    return Campaign(made(1), Goal(), plan, made)


def run(
    journal: Journal,
    machine: Machine,
    watcher: Watcher | None = None,
    *,
    plan: Plan = PLAN,
    stop: Callable[[], bool] = lambda: False,
) -> Campaign:
    meeting = lanes.Meeting()
    shares = sorted(WHOLE)
    places = [
        Place(f"GPU-{number}", frozenset(shares[number % len(shares) :][:1]))
        for number in range(plan.abreast)
    ]
    watcher = watcher or Watcher()

    def bench(gpu: str) -> tuple[Server, Bench]:
        server = Server(gpu, machine)
        first = Bench(
            base=BASE, launcher=server, gauge=server.gauge, load=LoadSpec(), rows=journal.rows,
            gpu=gpu, ready=meeting.come,
        )  # fmt: skip
        return server, first

    _, first = bench("GPU-0")

    def beside(gpu: str) -> Bench:
        server = Server(gpu, machine)
        return first.beside(server, server.gauge, gpu)

    def lost(gpu: str) -> str:
        return "GPU is lost" if gpu in machine.gone else ""

    asked = campaign(plan)
    for row in journal.rows:
        asked.tell(row)
    every = lanes.several(places, first, beside, lost)
    heard = lanes.Heard(watcher, meeting, watcher.said.append)
    lanes.profile(asked, every, journal, stop, heard)
    return asked


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.create(tmp_path / "journal.jsonl", HEAD)


def searched(rows: tuple[Row, ...]) -> list[Row]:
    return [row for row in rows if row.trial.phase is Phase.SEARCH and row.trial.beside > 1]


def test_the_search_runs_on_all_gpus_and_the_rest_on_the_first(journal: Journal) -> None:
    machine, watcher = Machine(), Watcher()
    done = run(journal, machine, watcher)
    assert done.said_of_gpus().startswith("2 measurements at a time")
    assert (watcher.most[Phase.SEARCH], watcher.most[Phase.ABREAST]) == (2, 2)
    assert (watcher.most[Phase.CURVE], watcher.most[Phase.VERIFY]) == (1, 1)
    rows = journal.rows
    assert {row.gpu for row in searched(rows)} == {"GPU-0", "GPU-1"}
    assert {row.gpu for row in rows if row.trial.beside == 1} == {"GPU-0"}
    assert len(searched(rows)) == 8
    assert not [row for row in rows if row.failure is not None]
    assert sorted(row.number for row in rows) == list(range(len(rows)))
    # A setting has one name and, as its loads follow one another, one server.
    names = {row.digest: row.variant for row in rows}
    assert len(set(names.values())) == len(names) == 5
    assert Counter(row.variant for row in searched(rows) if row.launch_seconds) == Counter(
        {name: 1 for name in names.values() if name != "m_config_default"}
    )


def test_each_lane_keeps_to_its_cores_and_what_runs_alone_has_all(journal: Journal) -> None:
    machine = Machine()
    run(journal, machine)
    own = {gpu: {cores for at, _, cores in machine.pinned if at == gpu}
           for gpu in ("GPU-0", "GPU-1")}  # fmt: skip
    shares = sorted(WHOLE)
    assert own["GPU-1"] == {frozenset(shares[1 % len(shares) :][:1])}
    assert own["GPU-0"] == {WHOLE, frozenset(shares[:1])}
    # Whatever has all cores has no idle server beside it.
    assert {up for _, up, cores in machine.pinned if cores == WHOLE} == {1} or len(WHOLE) == 1
    assert frozenset(os.sched_getaffinity(0)) == WHOLE


def test_what_is_told_of_the_machine_is_not_told_of_one_among_several(journal: Journal) -> None:
    run(journal, Machine())
    for row in journal.rows:
        among = row.trial.beside > 1
        assert ("cpu_machine_utilization" in row.absent) is among
        assert ("cpu_machine_utilization" in row.metrics) is not among
        assert row.metrics["cpu_utilization"] == 25.0
        assert (row.cores, row.cores_used) == (1 if among else 0, 0.375)


def test_what_takes_all_its_cores_is_measured_again_with_all_there_are(journal: Journal) -> None:
    run(journal, Machine(hungry=3))
    short = [row for row in journal.rows if row.short_of_cores]
    assert {row.trial.candidate.get(INSTANCE_COUNT) for row in short} == {3}
    tried = [row for row in journal.rows if row.trial.candidate.get(INSTANCE_COUNT) == 3]
    again = [row for row in tried if row.trial.phase is Phase.SEARCH and row.trial.beside == 1]
    assert {row.trial.candidate for row in again} == {row.trial.candidate for row in short}
    assert {(row.gpu, row.cores) for row in again} == {("GPU-0", 0)}
    assert sorted(row.number for row in journal.rows) == list(range(len(journal.rows)))


def test_a_lane_that_fails_is_a_row_like_any_other(journal: Journal) -> None:
    def breaks(_: str, config: ModelConfig | None) -> bool:
        return config is not None and config.instance_group[0].count == 3

    run(journal, Machine(breaks=breaks))
    failed = [row for row in journal.rows if row.failure is not None]
    assert len(failed) == 1
    assert failed[0].failure is not None
    assert failed[0].failure.message == "m: no CUDA device"
    # Another load of a variant that does not come up is not tried.
    assert len(searched(journal.rows)) == 7


def test_where_the_check_fails_on_one_gpu_nobody_waits_for_it(journal: Journal) -> None:
    done = run(journal, Machine(breaks=lambda gpu, _: gpu == "GPU-1"))
    assert done.said_of_gpus() == (
        "measured one at a time: side by side the default failed on GPU-1: m: no CUDA device"
    )
    assert searched(journal.rows) == []
    assert {row.gpu for row in journal.rows if row.failure is None} == {"GPU-0"}


class Falling(Watcher):
    """A watcher in whose sight a GPU falls away, after so many measurements of the search."""

    def __init__(self, machine: Machine, gpus: dict[int, str]) -> None:
        super().__init__()
        self.machine, self.gpus = machine, gpus

    def finished(self, row: Row) -> None:
        super().finished(row)
        if (gpu := self.gpus.get(len(searched(tuple(self.rows))))) is not None:
            self.machine.gone.add(gpu)

    def started(self, trial: Trial, variant_name: str) -> None:
        # What ran on a GPU that is gone begins again.
        self.running = [each for each in self.running if each != trial]
        super().started(trial, variant_name)


def test_a_gpu_that_falls_away_takes_no_measurement_with_it(journal: Journal) -> None:
    machine = Machine()
    watcher = Falling(machine, {3: "GPU-1"})
    run(journal, machine, watcher)
    assert [row for row in journal.rows if row.failure is not None] == []
    assert len(searched(journal.rows)) == 8
    assert watcher.said == ["GPU-1: GPU is lost; what ran there is measured again, and 1 GPU left"]
    assert sorted(row.number for row in journal.rows) == list(range(len(journal.rows)))


def test_when_all_are_gone_what_was_measured_is_kept_and_it_says_so(journal: Journal) -> None:
    machine = Machine()
    watcher = Falling(machine, {2: "GPU-1", 4: "GPU-0"})
    with pytest.raises(GpuLost, match="no GPU is left to measure on; the measurements so far"):
        run(journal, machine, watcher)
    assert 4 <= len(searched(journal.rows)) <= 6
    assert [row for row in journal.rows if row.failure is not None] == []
    # Once they are back the same command goes on.
    before = len(journal.rows)
    run(journal, Machine())
    assert len(searched(journal.rows)) == 8
    assert len(journal.rows) > before


@pytest.mark.parametrize("then", [1, 2, 3])
def test_a_stop_loses_nothing_and_any_number_of_gpus_goes_on(journal: Journal, then: int) -> None:
    def stop() -> bool:
        return len(journal.rows) >= 7

    run(journal, Machine(), stop=stop)
    # What ran when it was stopped is there as well.
    assert 7 <= len(journal.rows) <= 8
    run(journal, Machine(), plan=replace(PLAN, abreast=then))
    points = [row.trial.candidate for row in journal.rows if row.trial.phase is Phase.SEARCH]
    assert len(points) == len(set(points)) == 9
    assert Phase.VERIFY in {row.trial.phase for row in journal.rows}


def test_an_interruption_ends_what_runs_and_keeps_what_was_measured(journal: Journal) -> None:
    class Hasty(Watcher):
        def finished(self, row: Row) -> None:
            super().finished(row)
            if len(self.rows) == 6:
                raise KeyboardInterrupt

    machine = Machine()
    with pytest.raises(KeyboardInterrupt):
        run(journal, machine, Hasty())
    assert len(journal.rows) == 6
    assert machine.up == {}


def test_what_is_to_be_measured_at_once_is_waited_for_unless_it_cannot_come() -> None:
    check = Trial(candidate=PLAN.default[0], phase=Phase.ABREAST, repetition=1, beside=2)
    other = replace(check, repetition=2)
    meeting, said = lanes.Meeting(), list[str]()

    def come() -> None:
        meeting.come(check)
        said.append("it loads")

    meeting.expect([check, other])
    first = threading.Thread(target=come)
    first.start()
    said.append("the other is up")
    meeting.come(other)
    first.join(10)
    assert said == ["the other is up", "it loads"]

    meeting.expect([check, other])
    again = threading.Thread(target=come)
    again.start()
    meeting.give_up(other)
    again.join(10)
    assert said[2:] == ["it loads"]
    # Nobody waits for what is no check.
    meeting.come(replace(check, phase=Phase.SEARCH))
    meeting.expect([])
    meeting.come(check)
