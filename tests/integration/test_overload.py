"""Three times more than a server can do: ``benchmarks.overload`` in short, with looser bounds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.overload import PROTOCOLS, Overload, Setting, overload, write_model
from benchmarks.server import Server, running

# Half the rate of the benchmark: a test shares the machine.
SHORT = Setting(batch=2, latency_us=40_000, queue=16, seconds=1.2, around_s=0.6, usual=4.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, SHORT)
    with running(folder) as up:
        yield up


@pytest.fixture(scope="module", params=PROTOCOLS)
def run(request: pytest.FixtureRequest, server: Server) -> Overload:
    return overload(server, SHORT, request.param)


def test_what_does_not_fit_into_the_queue_is_refused_at_once_with_the_documented_status(
    run: Overload,
) -> None:
    assert run.served + run.refused == run.offered
    assert not [text for text in run.others if not text.startswith("refused before")]
    assert run.refused > run.offered / 3
    assert run.refused_ms[0] < run.served_ms[0] / 3


def test_what_is_accepted_is_served_within_its_timeout_at_the_models_full_rate(
    run: Overload,
) -> None:
    late_ms = 200  # the client is at the other end of a busy machine
    assert run.served_ms[2] <= run.longest_ms + late_ms
    assert run.rate > 0.5 * SHORT.capacity


def test_all_is_as_usual_soon_after_and_memory_does_not_grow(run: Overload) -> None:
    assert run.recovered_s is not None
    early, late, _ = run.memory_mb
    assert late < 1.1 * early
