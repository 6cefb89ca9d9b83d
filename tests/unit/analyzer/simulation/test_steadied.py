"""How much service times vary where requests wait: learned from the measurements' percentiles."""

from __future__ import annotations

import math
from dataclasses import replace

from support.predicted import configured

from analyzer.record.row import LoadSpec
from analyzer.simulation.observation import Observation
from analyzer.simulation.predict import ROUNDS, simulate
from analyzer.simulation.service import Curve, ServiceModel, log_normal
from analyzer.simulation.steadied import steadied, varied

MODEL = ServiceModel(
    curve=Curve(((1, 4e6), (8, 9e6))), cores=2, threads=2, serial=0.2, crowding=0.1,
    admit_ns=3e4, respond_ns=3e4, batch_ns=4e4, outside_ns=1.5e5, multipliers=log_normal(0.4),
)  # fmt: skip


def _spread(model: ServiceModel) -> float:
    logs = [math.log(each) for each in model.multipliers]
    middle = math.fsum(logs) / len(logs)
    return math.sqrt(math.fsum((each - middle) ** 2 for each in logs) / len(logs))


def _seen(model: ServiceModel, instances: int, clients: int) -> Observation:
    config, load = configured(instances, 8, 0), LoadSpec(concurrency=clients)
    found = simulate(config, model, load, seed=5, requests=1500)
    return Observation(config=config, load=load, metrics=found.metrics, server=found.server)


def _measured(truth: ServiceModel) -> list[Observation]:
    return [_seen(truth, instances, clients) for instances, clients in ((1, 8), (1, 32), (2, 16))]


def test_variation_that_the_crowd_does_not_show_is_taken_back() -> None:
    calm = replace(MODEL, multipliers=log_normal(0.05))
    assert _spread(steadied(MODEL, _measured(calm), ROUNDS)) < 0.4 * _spread(MODEL)


def test_variation_that_the_crowd_shows_as_well_stays() -> None:
    assert _spread(steadied(MODEL, _measured(MODEL), ROUNDS)) > 0.7 * _spread(MODEL)


def test_one_measurement_says_nothing_that_was_not_known() -> None:
    assert steadied(MODEL, [_seen(MODEL, 1, 1)], ROUNDS) is MODEL


def test_without_percentiles_nothing_changes() -> None:
    bare = [
        replace(each, metrics={"perf_throughput": each.throughput}) for each in _measured(MODEL)
    ]
    assert steadied(MODEL, bare, ROUNDS) is MODEL


def test_the_mean_stays_whatever_the_exponent() -> None:
    for exponent in (0.0, 0.5, 1.0, 1.25):
        multipliers = varied(MODEL, exponent).multipliers
        assert math.isclose(math.fsum(multipliers) / len(multipliers), 1.0, rel_tol=1e-9)
