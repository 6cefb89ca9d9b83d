"""Launchers and the load client with the real engine: what the tiny servers stand in for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from kits.launcher_kit import LauncherKit, smaller
from support import synthetic_repository

from analyzer import v2client, workspace
from analyzer.errors import LaunchError
from analyzer.launcher import Endpoint, Launcher
from analyzer.launchers import local, remote
from analyzer.load.driver import drive
from analyzer.measure.aggregate import observed
from analyzer.measure.observe import Watch
from analyzer.measure.scrape import PageWatch
from analyzer.metrics import evaluate
from analyzer.record.row import LoadSpec
from engine.modelconfig.schema import ModelConfig

MODEL = "identity"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace.build_example(MODEL, tmp_path_factory.mktemp("repository"))


def launcher_of(source: Path, directory: Path, *flags: str, model: str = MODEL) -> Launcher:
    def repository_of(configs: Mapping[str, ModelConfig | None], variant: str) -> Path:
        return workspace.write_variant(directory / variant, {model: source}, configs)

    return local.make(repository_of, log_dir=directory / "logs", server_flags=flags)


@pytest.fixture(scope="module")
def explicit(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server under model control, somebody else's."""
    flags = ("--model-control-mode=explicit", f"--load-model={MODEL}")
    launcher = launcher_of(source, tmp_path_factory.mktemp("explicit"), *flags)
    yield launcher.serve(MODEL, None, variant="explicit")
    launcher.close()


class TestLocalLauncher(LauncherKit):
    model = MODEL

    @pytest.fixture
    def launcher(self, source: Path, tmp_path: Path) -> Iterator[Launcher]:
        launcher = launcher_of(source, tmp_path)
        yield launcher
        launcher.close()


class TestRemoteLauncher(LauncherKit):
    model = MODEL

    @pytest.fixture
    def launcher(self, explicit: Endpoint) -> Iterator[Launcher]:
        launcher = remote.make(explicit.http, explicit.grpc)
        yield launcher
        launcher.close()


def test_a_remote_model_is_put_back_as_it_was(explicit: Endpoint) -> None:
    before = v2client.model_config(explicit, MODEL)
    launcher = remote.make(explicit.http)
    launcher.serve(MODEL, None, variant="default")
    launcher.serve(MODEL, smaller(before, 3), variant="smaller")
    assert v2client.model_config(explicit, MODEL) != before
    launcher.close()
    assert v2client.model_config(explicit, MODEL) == before


def test_a_server_that_cannot_load_its_model_is_quoted(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / MODEL
    broken.mkdir()
    (broken / "config.pbtxt").write_text("max_batch_size: eight\n")
    (broken / "1").symlink_to(source / "1")
    launcher = launcher_of(broken, tmp_path / "served")
    with pytest.raises(LaunchError, match=r"(?s)exit status 1.*config\.pbtxt:1:17"):
        launcher.serve(MODEL, None, variant="broken")
    launcher.close()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_model_is_measured_from_end_to_end(tmp_path: Path, protocol: str) -> None:
    # It waits for 5 ms: whatever else the machine does, two looks at it see about the same.
    model = "echo"
    source = synthetic_repository.write(tmp_path / "models", latency_us=5000, name=model) / model
    launcher = launcher_of(source, tmp_path, model=model)
    endpoint = launcher.serve(model, None, variant="default")
    load = LoadSpec(protocol=protocol, concurrency=4, window_seconds=0.4, max_windows=3)
    page = PageWatch(endpoint.metrics or "", model, period_s=0.1)
    with Watch(endpoint.pid) as watch, page:
        driven = drive(endpoint, model, load, stop=lambda: False, on_window=lambda _: None)
    outside = observed(replace(driven, server=None), page.seen(), load)
    metrics = evaluate(observed(driven, watch.seen(), load))
    launcher.close()
    assert driven.failed == 0
    assert driven.server is not None
    # The server counts what finishes in its own time, the client what it hears of.
    assert driven.server.requests == pytest.approx(driven.requests, rel=0.2)
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    inside = sum(metrics[f"perf_server_{part}"] for part in parts)
    assert 0 < inside < metrics["perf_latency_avg"]
    assert metrics["cpu_utilization"] > 1
    assert metrics["cpu_used_ram"] > 10
    # Who cannot ask for statistics reads as much off the metrics page.
    assert outside.server is not None
    assert outside.server.requests == pytest.approx(driven.server.requests, rel=0.3)
    assert driven.server.compute_infer_ns >= 5e6
    assert outside.server.compute_infer_ns == pytest.approx(driven.server.compute_infer_ns, rel=0.3)
    # The page has none of the first seconds of a server.
    assert 0 <= evaluate(outside)["cpu_machine_utilization"] <= 100
    assert "shows no GPU" in outside.absent["gpu"]
