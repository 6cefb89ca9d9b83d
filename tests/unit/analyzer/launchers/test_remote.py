from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from kits.launcher_kit import LauncherKit
from support.v2_server import Faults, V2Server, running

from analyzer import v2client
from analyzer.errors import LaunchError, ServerLost
from analyzer.launcher import Endpoint, Launcher
from analyzer.launchers import remote


@pytest.fixture
def server() -> Iterator[V2Server]:
    with running(V2Server()) as server:
        server.add("tiny")
        yield server


def at(server: V2Server) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.fixture
def launcher(server: V2Server) -> Iterator[Launcher]:
    launcher = remote.make(at(server))
    yield launcher
    launcher.close()


class TestRemoteLauncher(LauncherKit):
    @pytest.fixture
    def launcher(self, server: V2Server) -> Iterator[Launcher]:
        launcher = remote.make(at(server))
        yield launcher
        launcher.close()


def variant_of(launcher: Launcher) -> Endpoint:
    base = v2client.model_config(launcher.serve("tiny", None, variant="d"), "tiny")
    return launcher.serve("tiny", replace(base, max_batch_size=3), variant="tiny_config_1")


def test_a_model_that_was_ready_is_restored_at_the_end(
    server: V2Server, launcher: Launcher
) -> None:
    before = server.models["tiny"].config
    variant_of(launcher)
    assert server.models["tiny"].config["max_batch_size"] == 3
    launcher.close()
    assert server.models["tiny"].config == before
    assert server.models["tiny"].ready


def test_a_model_that_was_not_loaded_is_unloaded_at_the_end(
    server: V2Server, launcher: Launcher
) -> None:
    server.models["tiny"].ready = False
    endpoint = launcher.serve("tiny", None, variant="d")
    assert v2client.model_ready(endpoint, "tiny")
    launcher.close()
    assert not server.models["tiny"].ready


def test_models_beside_another_are_changed_while_it_is_down_and_all_are_restored(
    server: V2Server, launcher: Launcher
) -> None:
    stage = server.add("stage")
    before = stage.config, server.models["tiny"].config
    base = v2client.model_config(launcher.serve("tiny", None, variant="d"), "stage")
    launcher.serve("tiny", None, variant="d", beside={"stage": None})
    assert not stage.loads
    assert not server.models["tiny"].loads
    launcher.serve("tiny", None, variant="v", beside={"stage": replace(base, max_batch_size=2)})
    assert stage.config["max_batch_size"] == 2
    assert server.models["tiny"].loads == [None]
    assert server.models["tiny"].ready
    launcher.close()
    assert (stage.config, server.models["tiny"].config) == before
    assert server.models["tiny"].ready


def test_a_server_whose_models_were_only_looked_at_is_not_touched(
    server: V2Server, launcher: Launcher
) -> None:
    launcher.serve("tiny", None, variant="d")
    launcher.close()
    assert server.models["tiny"].loads == []


def test_without_model_control_the_model_is_served_as_it_is(
    server: V2Server, launcher: Launcher
) -> None:
    server.faults = Faults(no_model_control=True)
    assert launcher.serve("tiny", None, variant="d") == Endpoint(at(server))
    with pytest.raises(LaunchError, match=r"tiny_config_1.*--model-control-mode=explicit"):
        variant_of(launcher)
    launcher.close()
    assert server.models["tiny"].loads == []


def test_a_variant_that_does_not_load_is_an_error_in_the_servers_words(
    server: V2Server, launcher: Launcher
) -> None:
    server.faults = Faults(load_error="out of memory")
    with pytest.raises(LaunchError, match="out of memory"):
        variant_of(launcher)


def test_that_nothing_listens_is_an_error_that_says_where() -> None:
    with pytest.raises(LaunchError, match=r"127\.0\.0\.1:1"):
        remote.make("127.0.0.1:1").serve("tiny", None, variant="d")


def test_a_server_that_is_gone_is_not_the_variants_fault() -> None:
    with running(V2Server()) as server:
        server.add("tiny")
        launcher = remote.make(at(server), return_seconds=0.1)
        variant_of(launcher)
    with pytest.raises(ServerLost, match=r"no answer.*is kept"):
        launcher.serve("tiny", None, variant="d")


def test_a_server_that_is_restarted_is_waited_for() -> None:
    with running(V2Server()) as server:
        server.add("tiny")
        launcher = remote.make(at(server))
        launcher.serve("tiny", None, variant="d")
        port = server.port
    again = V2Server(port=port)
    again.add("tiny")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(launcher.serve, "tiny", None, variant="d")
        with running(again):
            assert waiting.result(10).http == f"127.0.0.1:{port}"


def test_without_model_control_a_model_that_is_not_there_is_told_with_those_that_are(
    server: V2Server, launcher: Launcher
) -> None:
    server.faults = Faults(no_model_control=True)
    with pytest.raises(LaunchError, match=r"no model 'nobody'.*ready there: tiny"):
        launcher.serve("nobody", None, variant="d")


@pytest.mark.parametrize("address", ["https://host:1", "host:port", "", "host:1/prefix"])
def test_what_is_no_address_is_said_at_once(address: str) -> None:
    with pytest.raises(LaunchError, match="expected host:port"):
        remote.make(address)


def test_a_scheme_is_accepted(server: V2Server) -> None:
    endpoint = remote.make(f"http://{at(server)}/").serve("tiny", None, variant="d")
    assert endpoint == Endpoint(at(server))
