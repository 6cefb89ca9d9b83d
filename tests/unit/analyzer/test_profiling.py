"""The loop: every try is a row, faults are rows with reasons, the journal is the checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer import strategy, variant
from analyzer.assembly import Assembly
from analyzer.errors import LaunchError, LoadError, ServerLost
from analyzer.launcher import ALONE, Beside, Endpoint
from analyzer.metrics import Observed
from analyzer.profiling import Bench, Measured, Up, profile
from analyzer.ranking.goal import parse_goal
from analyzer.ranking.rank import is_default
from analyzer.record.accuracy import Accuracy
from analyzer.record.journal import Journal, options_digest
from analyzer.record.row import (
    LoadSpec,
    Phase,
    Promise,
    Row,
    RunHead,
    Trial,
    line_to_row,
    row_to_line,
)
from analyzer.space import Candidate, Limits
from analyzer.stages import Campaign, Plan
from engine.modelconfig import convert
from engine.modelconfig.schema import (
    DynamicBatching,
    EnsembleStep,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
)

BASE = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=8,
    dynamic_batching=DynamicBatching(preferred_batch_size=(8,)),
    instance_group=(InstanceGroup(name="m", kind=InstanceKind.KIND_CPU, count=1),),
)


@dataclass
class Server:
    """A launcher and a gauge in one: throughput follows from what is served and the load."""

    fails: Callable[[ModelConfig | None], bool] = lambda _: False
    served: list[tuple[str, ModelConfig | None]] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    loads: list[LoadSpec] = field(default_factory=list)
    fault: Exception | None = None
    ended: str = ""
    gone: bool = False
    goodput: dict[str, Any] = field(default_factory=dict)

    def serve(
        self, model: str, config: ModelConfig | None, *, variant: str, beside: Beside = ALONE
    ) -> Endpoint:
        self.beside.append(beside)
        self.served.append((variant, config))
        if self.gone:
            raise ServerLost("no answer")
        if self.fails(config):
            raise LaunchError(f"{model}: the server said: no memory")
        return Endpoint(http="127.0.0.1:1")

    def why_ended(self) -> str:
        return self.ended

    def log_tail(self) -> str:
        return ""

    def close(self) -> None:
        self.served.append(("closed", None))

    def gauge(self, _: Endpoint, load: LoadSpec) -> Measured:
        self.loads.append(load)
        if self.fault is not None:
            raise self.fault
        config = self.served[-1][1] or BASE
        rate = 100.0 * config.instance_group[0].count + load.concurrency
        count = 50
        return Measured(
            Observed(
                seconds=count * load.batch_size / rate,
                batch_size=load.batch_size,
                latency_ns=np.full(count, 1_000_000, np.int64),
                window_rates=(rate, rate, rate),
            ),
            stable=True,
            runtime={"runtime": "of the test"},
            goodput=self.goodput,
        )


class Silent:
    """A spectator that remembers."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, trial: Trial, variant_name: str) -> None:
        self.seen.append(f"{variant_name} {trial.candidate}")

    def finished(self, row: Row) -> None:
        self.seen.append(row.variant)


HEAD = RunHead(
    schema=1, run="r", model="m", started_at="", versions={}, machine={}, options={},
    options_digest=options_digest({}),
)  # fmt: skip


@dataclass
class Judge:
    """A guard that lets pass whatever is not in OpenVINO's hands."""

    wants_default: bool = True
    asked: list[str] = field(default_factory=list)
    found: dict[str, Accuracy] = field(default_factory=dict)

    def judges(self, configs: Mapping[str, ModelConfig]) -> bool:
        return configs["m"].backend != BASE.backend

    def known(self, configs: Mapping[str, ModelConfig]) -> Accuracy | None:
        return self.found.get(configs["m"].backend)

    def learn(self, _: Endpoint) -> None:
        self.wants_default = False
        self.asked.append("default")

    def check(self, _: Endpoint, configs: Mapping[str, ModelConfig]) -> Accuracy:
        backend = configs["m"].backend
        self.asked.append(backend)
        fault = "other answers" if backend == "openvino" else ""
        return self.found.setdefault(backend, Accuracy(key=backend, fault=fault))


def bench(server: Server, rows: Sequence[Row] = ()) -> Bench:
    return Bench(base=BASE, launcher=server, gauge=server.gauge, load=LoadSpec(), rows=rows)


def trial(phase: Phase = Phase.SEARCH, **values: int | str) -> Trial:
    return Trial(candidate=Candidate.of(**values), phase=phase)


def campaign() -> Campaign:
    room = variant.space(
        BASE,
        variant.Machine(cores=2),
        Limits(queue_delays_us=(0,), max_model_batch_size=2, concurrencies=(1, 4)),
    )
    plan = Plan(default=(Candidate.of(concurrency=1),), curve=(1, 4), verify_pairs=2)
    return Campaign(strategy.find("brute")(strategy.Problem(space=room)), parse_goal(), plan)


def test_equal_configurations_have_one_name_and_the_default_its_own() -> None:
    subject = bench(Server())
    assert subject.name(trial(concurrency=1)) == "m_config_default"
    assert subject.name(trial(instance_count=2, concurrency=1)) == "m_config_0"
    assert subject.name(trial(instance_count=3, concurrency=1)) == "m_config_1"
    assert subject.name(trial(instance_count=2, concurrency=8)) == "m_config_0"


def judged(server: Server, judge: Judge) -> Bench:
    return Bench(base=BASE, launcher=server, gauge=server.gauge, load=LoadSpec(), guard=judge)


def test_a_variant_with_other_answers_is_a_row_without_a_measurement_and_not_launched_again() -> (
    None
):
    server, judge = Server(), Judge()
    subject = judged(server, judge)
    assert subject.measure(trial(concurrency=1)).failure is None
    out = subject.measure(trial(backend="openvino", concurrency=1))
    assert out.failure is not None
    assert (out.failure.stage, out.failure.message) == ("accuracy", "other answers")
    assert out.accuracy == judge.found["openvino"]
    assert (judge.asked, len(server.loads)) == (["default", "openvino"], 1)
    launched = len(server.served)
    again = subject.measure(trial(backend="openvino", instance_count=2, concurrency=1))
    assert again.failure == out.failure
    assert (len(server.served), len(judge.asked)) == (launched, 2)


def test_a_variant_that_passes_is_measured_and_says_how_near_it_came() -> None:
    server, judge = Server(), Judge(wants_default=False)
    row = judged(server, judge).measure(trial(backend="tensorflow", concurrency=1))
    assert row.failure is None
    assert row.accuracy == Accuracy(key="tensorflow")
    assert judge.asked == ["tensorflow"]


def test_where_the_defaults_answers_are_gone_it_is_served_once_more_for_them() -> None:
    server, judge = Server(), Judge()
    judged(server, judge).measure(trial(backend="tensorflow", concurrency=1))
    assert [name for name, _ in server.served] == ["m_config_default", "m_config_0"]
    assert judge.asked == ["default", "tensorflow"]


def test_a_server_that_is_up_with_the_default_is_measured_as_it_is() -> None:
    server = Server()
    up = Up(Endpoint(http="127.0.0.1:1"), 3.0)
    server.served.append(("m_config_default", None))
    subject = Bench(base=BASE, launcher=server, gauge=server.gauge, load=LoadSpec(), up=up)
    first, second = (subject.measure(trial(concurrency=load)) for load in (1, 2))
    assert len(server.served) == 1
    assert (first.launch_seconds, second.launch_seconds) == (3.0, 0.0)
    assert first.seconds > 3.0 > second.seconds


def test_a_row_says_what_really_ran_the_model() -> None:
    row = bench(Server()).measure(trial(concurrency=1))
    assert row.runtime == {"runtime": "of the test"}


def test_a_running_variant_is_reused_but_never_for_verification() -> None:
    server = Server()
    subject = bench(server)
    subject.measure(trial(instance_count=2, concurrency=1))
    subject.measure(trial(instance_count=2, concurrency=2))
    assert len(server.served) == 1
    subject.measure(trial(Phase.VERIFY, instance_count=2, concurrency=2))
    assert len(server.served) == 2
    assert [load.concurrency for load in server.loads] == [1, 2, 2]


def test_a_repetition_takes_a_new_server_only_where_it_is_asked_for() -> None:
    """A recording's repetition, or a load curve's, goes through the loads on one server."""
    server = Server()
    subject = bench(server)
    first = Trial(candidate=Candidate.of(instance_count=2, concurrency=1), repetition=1)
    second = replace(first, candidate=Candidate.of(instance_count=2, concurrency=4))
    for each in (first, second, replace(first, phase=Phase.CURVE)):
        subject.measure(each)
    assert len(server.served) == 1
    subject.measure(replace(first, repetition=2, fresh=True))
    assert len(server.served) == 2


def test_a_request_rate_makes_an_open_loop_and_a_concurrency_a_closed_one() -> None:
    server = Server()
    subject = bench(server)
    rate = Candidate.of(request_rate=62.5, batch_size=2)
    subject.measure(Trial(candidate=rate))
    subject.measure(trial(concurrency=3))
    assert [(load.request_rate, load.batch_size) for load in server.loads] == [(62.5, 2), (0.0, 1)]
    assert server.loads[1].concurrency == 3
    # How many come is the load's own chance: only the latency says when to stop.
    assert [load.throughput_precision for load in server.loads] == [1.0, 0.02]


def test_a_hurried_trial_is_measured_for_less_time_and_less_precisely() -> None:
    server = Server()
    subject = bench(server)
    subject.measure(trial(concurrency=2))
    subject.measure(replace(trial(concurrency=2), haste=2.0))
    usual, hurried = server.loads
    assert hurried.max_seconds == usual.max_seconds / 2
    assert hurried.throughput_precision == 2 * usual.throughput_precision
    assert hurried.latency_precision == 2 * usual.latency_precision


def test_a_promise_is_searched_for_on_a_new_server_and_the_row_has_what_was_found() -> None:
    server = Server(goodput={"rate": 170.5, "low": 170.5, "high": 180.0, "confirmed": True})
    subject = bench(server)
    subject.measure(trial(concurrency=1))
    promise = Promise(percentile=95, limit_ms=7.5, seconds=40.0)
    rate = Candidate.of(request_rate=80.0)
    row = subject.measure(Trial(candidate=rate, phase=Phase.GOODPUT, promise=promise))
    asked = server.loads[-1]
    assert (asked.request_rate, asked.limit_ms, asked.percentile) == (80.0, 7.5, 95)
    assert asked.max_seconds == 40.0
    assert len(server.served) == 2
    assert (row.load.request_rate, row.goodput) == (170.5, server.goodput)
    assert line_to_row(row_to_line(row)) == row


def test_a_server_that_was_sent_more_than_it_answers_is_not_measured_again() -> None:
    server = Server()
    subject = bench(server)
    for rate in (40.0, 80.0, 4000.0, 8000.0):
        subject.measure(Trial(candidate=Candidate.of(request_rate=rate)))
    # The queue that the third left behind would be the fourth's.
    assert len(server.served) == 2


def pipeline() -> Assembly:
    steps = tuple(EnsembleStep(model_name=name) for name in ("a", "b"))
    top = ModelConfig(name="m", platform="ensemble", max_batch_size=8, ensemble_scheduling=steps)
    return Assembly("m", top, {name: replace(BASE, name=name) for name in "ab"})


def test_a_pipelines_models_are_served_together_and_named_each_in_its_own_series() -> None:
    server = Server()

    def fresh(rows: Sequence[Row] = ()) -> Bench:
        return Bench(
            base=pipeline(), launcher=server, gauge=server.gauge, load=LoadSpec(), rows=rows
        )  # fmt: skip

    subject = fresh()
    rows = [
        subject.measure(trial(concurrency=1)),
        subject.measure(trial(**{"b::instance_count": 2, "concurrency": 1})),
        subject.measure(trial(**{"a::instance_count": 3, "b::instance_count": 2})),
    ]
    assert server.beside[0] == {"a": None, "b": None}
    assert server.served[0] == ("m_config_default", None)
    assert server.beside[1]["a"] is None, "what does not change is served as it is"
    assert (changed := server.beside[1]["b"]) is not None
    assert changed.instance_group[0].count == 2
    names = [(row.variant, *(row.settings["models"][each]["variant"] for each in "ab"))
             for row in rows]  # fmt: skip
    assert names == [
        ("m_config_default", "a_config_default", "b_config_default"),
        ("m_config_0", "a_config_default", "b_config_0"),
        ("m_config_1", "a_config_0", "b_config_0"),
    ]
    assert rows[0].digest != rows[1].digest
    assert set(rows[1].composing) == {"a", "b"}
    assert convert.loads(rows[2].composing["a"], "row").instance_group[0].count == 3
    again = fresh(rows).measure(trial(**{"a::instance_count": 4, "b::instance_count": 2}))
    assert (again.variant, again.settings["models"]["a"]["variant"]) == ("m_config_2", "a_config_1")
    assert again.settings["models"]["b"]["variant"] == "b_config_0"


def test_models_side_by_side_are_loaded_at_once_and_make_one_row() -> None:
    server = Server()
    asked: list[Mapping[str, LoadSpec]] = []

    def gauge(endpoint: Endpoint, loads: Mapping[str, LoadSpec]) -> Mapping[str, Measured]:
        asked.append(loads)
        return {model: server.gauge(endpoint, load) for model, load in loads.items()}

    both = Assembly.beside({name: replace(BASE, name=name) for name in "ab"})
    usual = {"a": LoadSpec(), "b": LoadSpec(protocol="grpc")}
    subject = Bench(base=both, launcher=server, gauge=gauge, load=usual)
    row = subject.measure(trial(**{"a::concurrency": 2, "b::concurrency": 4}))
    assert row.failure is None
    assert server.beside == [{"b": None}]
    assert [(each.concurrency, each.protocol) for each in asked[0].values()] == [
        (2, "http"), (4, "grpc")
    ]  # fmt: skip
    assert (row.model, row.variant, row.config) == ("a+b", "a+b_config_default", "")
    assert row.load.concurrency == 6
    assert row.metrics["a::perf_throughput"] == pytest.approx(102.0)
    assert row.metrics["b::perf_throughput"] == pytest.approx(104.0)
    assert row.metrics["perf_throughput"] == pytest.approx(206.0)
    assert row.of_models["b"]["load"]["concurrency"] == 4
    assert is_default(row)
    assert line_to_row(row_to_line(row)) == row


def test_the_default_is_served_as_its_repository_has_it() -> None:
    server = Server()
    bench(server).measure(trial(concurrency=1))
    assert server.served == [("m_config_default", None)]


@pytest.mark.parametrize(
    ("fault", "stage", "words"),
    [
        (LoadError("client died"), "load", "client died"),
        (ZeroDivisionError("surprise"), "load", "ZeroDivisionError: surprise"),
    ],
)
def test_a_fault_is_a_row_with_its_reason(fault: Exception, stage: str, words: str) -> None:
    server = Server(fault=fault)
    subject = bench(server)
    row = subject.measure(trial(concurrency=1))
    assert row.failure is not None
    assert (row.failure.stage, row.failure.message) == (stage, words)
    assert not row.metrics
    server.fault = None
    assert subject.measure(trial(concurrency=1)).failure is None
    assert len(server.served) == 2, "what served a failed trial is not trusted with the next"


def test_a_server_that_died_under_the_load_is_quoted_in_the_row() -> None:
    server = Server(fault=LoadError("connection refused"), ended="it ended by SIGKILL:\nbad_alloc")
    row = bench(server).measure(trial(concurrency=1))
    assert row.failure is not None
    words = ("it ended by SIGKILL", "bad_alloc", "connection refused")
    assert all(word in row.failure.message for word in words)


def test_a_lost_server_is_no_candidates_fault_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "j", HEAD) as journal:
        stops = iter([False, False, True])
        profile(campaign(), bench(Server()), journal, stops.__next__, Silent())
        again = campaign()
        for row in journal.rows:
            again.tell(row)
        wanted = again.ask()
        lost = bench(Server(gone=True), journal.rows)
        with pytest.raises(ServerLost):
            profile(again, lost, journal, lambda: False, Silent())
        assert len(journal.rows) == 2
        assert again.ask() == wanted


def test_a_variant_that_does_not_load_is_a_row_and_the_sweep_goes_on(tmp_path: Path) -> None:
    server = Server(fails=lambda config: bool(config and config.instance_group[0].count == 2))
    with Journal.create(tmp_path / "j", HEAD) as journal:
        profile(campaign(), bench(server), journal, lambda: False, Silent())
        rows = journal.rows
    failed = [row for row in rows if row.failure is not None]
    assert failed
    assert all("no memory" in row.failure.message for row in failed if row.failure)
    assert {row.settings["instance_count"] for row in failed} == {2}
    assert len(rows) > len(failed)


def test_stopped_anywhere_and_run_again_nothing_is_measured_twice(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "whole", HEAD) as journal:
        profile(campaign(), bench(Server()), journal, lambda: False, Silent())
        whole = [(row.variant, row.trial) for row in journal.rows]
    assert len(whole) > 5
    for cut in range(len(whole)):
        path = tmp_path / f"cut{cut}"
        with Journal.create(path, HEAD) as journal:
            stops = iter([False] * cut + [True])
            profile(campaign(), bench(Server()), journal, stops.__next__, Silent())
            assert len(journal.rows) == cut
        with Journal.resume(path, HEAD) as journal:
            again = campaign()
            for row in journal.rows:
                again.tell(row)
            profile(again, bench(Server(), journal.rows), journal, lambda: False, Silent())
            assert [(row.variant, row.trial) for row in journal.rows] == whole
            assert [row.number for row in journal.rows] == list(range(len(whole)))


def test_who_watches_hears_of_each_trial_and_each_row(tmp_path: Path) -> None:
    watcher = Silent()
    with Journal.create(tmp_path / "j", HEAD) as journal:
        profile(campaign(), bench(Server()), journal, lambda: False, watcher)
        assert len(watcher.seen) == 2 * len(journal.rows)
