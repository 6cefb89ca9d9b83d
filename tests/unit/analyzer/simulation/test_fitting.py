"""What is learned from measurements of a server whose truth is known: a simulated one."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
from support.predicted import configured
from support.rows import resnet50

from analyzer.metrics import plain
from analyzer.record.row import Failure, LoadSpec
from analyzer.simulation.fitting import fit
from analyzer.simulation.observation import Observation
from analyzer.simulation.predict import Prediction, simulate
from analyzer.simulation.service import Curve, ServiceModel, log_normal
from benchmarks.predict import PROBES as PROBE_CASES
from benchmarks.predict import Case, judge, markdown
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

TRUTH = ServiceModel(
    curve=Curve(((1, 3e6), (8, 6e6), (64, 5e7))),
    cores=2,
    threads=2,
    serial=0.25,
    crowding=0.12,
    admit_ns=3e4,
    respond_ns=3e4,
    batch_ns=5e4,
    outside_ns=1.5e5,
    multipliers=log_normal(0.08),
)
PROBES = ((1, 1), (1, 8), (1, 32), (2, 2), (2, 32))
OTHERS = (
    (configured(1), 4),
    (configured(1, 8, 0), 16),
    (configured(1, 32, 1000), 16),
    (configured(2), 16),
    (configured(2, 8, 0), 4),
    (configured(2, 8, 0), 64),
)


def measured(config: ModelConfig, clients: int) -> Observation:
    load = LoadSpec(concurrency=clients)
    found = simulate(config, TRUTH, load, seed=9, requests=800)
    return Observation(config=config, load=load, metrics=found.metrics, server=found.server)


@pytest.fixture(scope="module")
def probes() -> list[Observation]:
    return [measured(configured(instances, 64, 0), clients) for instances, clients in PROBES]


def errors(model: ServiceModel) -> tuple[list[float], list[float]]:
    """How far predictions of throughput and p99 are off, for what was not measured."""
    rates, tails = [], []
    for config, clients in OTHERS:
        truth, found = measured(config, clients), predicted(config, model, clients)
        rates.append(abs(found.throughput / truth.throughput - 1))
        tails.append(abs(found.percentile(99) / truth.metrics["perf_latency_p99"] - 1))
    return rates, tails


def predicted(config: ModelConfig, model: ServiceModel, clients: int) -> Prediction:
    return simulate(config, model, LoadSpec(concurrency=clients), requests=500)


def test_five_measurements_predict_the_others(probes: list[Observation]) -> None:
    model = fit(probes, cores=2)
    rates, tails = errors(model)
    assert median(rates) < 0.05
    assert max(rates) < 0.15
    assert median(tails) < 0.1
    for rows in (1, 16, 32):  # no batch of 8 was seen, where the truth has its knee
        assert model.curve.at(rows) == pytest.approx(TRUTH.curve.at(rows), rel=0.08)
    assert model.overhead_ns == pytest.approx(TRUTH.overhead_ns, rel=0.2)
    assert fit(probes[:1], cores=2) == fit(probes[:1], cores=2)


def test_a_server_without_statistics_can_be_learned_from(probes: list[Observation]) -> None:
    blind = [replace(one, server=None) for one in (probes[0], probes[2])]
    model = fit(blind, cores=2)
    for one in blind:
        found = predicted(one.config, model, one.load.concurrency)
        assert found.throughput == pytest.approx(one.throughput, rel=0.1)


def test_what_a_core_computes_in_no_time_is_computed_by_the_front_end() -> None:
    config, load = configured(1, 8, 0), LoadSpec(concurrency=1)
    tiny = ServiceModel(curve=Curve.affine(2e4, 1e3), cores=2, threads=2, outside_ns=8e4)
    found = simulate(config, tiny, load, requests=100)
    seen = Observation(config=config, load=load, metrics=found.metrics, server=found.server)
    assert fit([seen], cores=2).inline
    assert not fit([seen]).inline


def test_nothing_to_learn_from_is_said() -> None:
    ensemble = Observation(
        config=replace(configured(), decoupled=True),
        load=LoadSpec(),
        metrics={"perf_throughput": 9.0},
    )
    with pytest.raises(ValueError, match="no measurement"):
        fit([ensemble])


def test_an_observation_is_read_from_a_row(probes: list[Observation]) -> None:
    known = probes[4]
    assert known.server is not None
    written = replace(
        resnet50()[0],
        config=convert.dumps(known.config),
        load=known.load,
        metrics=known.metrics,
        server=plain(known.server),
    )
    read = Observation.of(written)
    assert read is not None
    assert (read.throughput, read.instances, read.threads) == (known.throughput, 2, None)
    assert read.server == known.server
    assert 1.8 < read.busy <= 2
    assert Observation.of(replace(written, failure=Failure(stage="load", message="no"))) is None
    assert Observation.of(replace(written, metrics={})) is None


def test_an_open_loop_of_little_load_shows_what_one_client_shows() -> None:
    config = configured(1, 8, 0)
    load = LoadSpec(request_rate=20.0, distribution="poisson")
    found = simulate(config, TRUTH, load, requests=300)
    seen = Observation(config=config, load=load, metrics=found.metrics, server=found.server)
    assert seen.in_flight < 0.1
    assert fit([seen], cores=2).overhead_ns == pytest.approx(TRUTH.overhead_ns, rel=0.25)


def test_the_page_of_the_benchmark_judges_what_was_not_learned_from(
    probes: list[Observation],
) -> None:
    config, clients = OTHERS[1]
    cases = [*PROBE_CASES, Case(max_batch=8, delay_us=0, concurrency=clients)]
    learned = judge("m", list(zip(cases, [*probes, measured(config, clients)], strict=True)), 2)
    assert [one.probe for one in learned.judged] == [True] * 5 + [False]
    page = markdown([learned], {"cores": "2"}, "2026-01-01T00:00:00Z")
    lines = page.splitlines()
    assert next(line for line in lines if line.startswith("| m | 1 | 8 | 0 | 16 |"))
    assert next(line for line in lines if line.startswith("| all | 1 |")).endswith("| yes |")
