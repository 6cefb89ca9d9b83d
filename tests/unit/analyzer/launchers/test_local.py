import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from kits.launcher_kit import LauncherKit
from support.conditions import within
from support.offspring import offspring
from support.tiny_engine import interpreter

from analyzer.errors import LaunchError
from analyzer.launcher import Launcher
from analyzer.launchers import local
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig


def repository_of(directory: Path) -> local.RepositoryOf:
    """Repositories that hold the model ``tiny``, and its configuration for the tiny server."""

    def write(configs: Mapping[str, ModelConfig | None], variant: str) -> Path:
        config = next(iter(configs.values()))
        folder = directory / variant / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").unlink(missing_ok=True)
        if config is not None:
            (folder / "config.json").write_text(json.dumps(convert.to_json(config)))
        return folder.parent

    return write


def misbehaving(directory: Path, **faults: Any) -> local.RepositoryOf:
    def write(configs: Mapping[str, ModelConfig | None], variant: str) -> Path:
        repository = repository_of(directory)(configs, variant)
        (repository / "faults.json").write_text(json.dumps(faults))
        return repository

    return write


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    made: list[Launcher] = []

    def make(timeout_s: float = 30.0, **faults: Any) -> Launcher:
        launcher = local.make(
            misbehaving(tmp_path, **faults),
            log_dir=tmp_path / "logs",
            python=interpreter(tmp_path),
            startup_timeout_s=timeout_s,
            stop_timeout_s=1.0,
        )
        made.append(launcher)
        return launcher

    yield make
    for launcher in made:
        launcher.close()


class TestLocalLauncher(LauncherKit):
    @pytest.fixture
    def launcher(self, make: Callable[..., Launcher]) -> Launcher:
        return make()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_server_that_dies_is_an_error_with_its_own_words(make: Callable[..., Launcher]) -> None:
    with pytest.raises(LaunchError, match=r"(?s)exit status 1.*no room for the model"):
        make(die="no room for the model").serve("tiny", None, variant="v")


def test_of_a_server_that_died_later_the_end_and_the_last_words_are_told(
    make: Callable[..., Launcher],
) -> None:
    launcher = make()
    pid = launcher.serve("tiny", None, variant="v").pid
    assert pid is not None
    assert launcher.why_ended() == ""
    os.kill(pid, signal.SIGKILL)
    assert within(lambda: "by SIGKILL" in launcher.why_ended())
    assert "tiny server" in launcher.why_ended()


def test_a_server_that_is_never_ready_is_given_up_and_stopped(
    make: Callable[..., Launcher],
) -> None:
    launcher = make(never_ready=True, timeout_s=1.5)
    with pytest.raises(LaunchError, match=r"(?s)not ready within 1.5 s.*tiny server"):
        launcher.serve("tiny", None, variant="v")
    assert not offspring("v2_server")


def test_each_variant_gets_a_fresh_server_and_the_old_one_is_gone(
    make: Callable[..., Launcher],
) -> None:
    launcher = make()
    first = launcher.serve("tiny", None, variant="a").pid
    second = launcher.serve("tiny", None, variant="b").pid
    assert first is not None
    assert second is not None
    assert gone(first)
    assert not gone(second)
    launcher.close()
    assert gone(second)


def test_a_server_that_is_deaf_to_sigterm_is_killed(make: Callable[..., Launcher]) -> None:
    launcher = make(deaf=True)
    pid = launcher.serve("tiny", None, variant="v").pid
    assert pid is not None
    launcher.close()
    assert gone(pid)


def test_nothing_survives_the_end_not_even_the_servers_children(
    make: Callable[..., Launcher], tmp_path: Path
) -> None:
    launcher = make(child=True)
    launcher.serve("tiny", None, variant="v")
    child = int((tmp_path / "v" / "child.pid").read_text())
    assert not gone(child)
    launcher.close()
    assert within(lambda: gone(child))


def test_the_log_holds_the_servers_words_and_the_tail_those_of_this_start(
    make: Callable[..., Launcher], tmp_path: Path
) -> None:
    launcher = make()
    assert launcher.log_tail() == ""
    launcher.serve("tiny", None, variant="v")
    launcher.serve("tiny", None, variant="v")
    assert launcher.log_tail().count("tiny server") == 1
    assert (tmp_path / "logs" / "server-v.log").read_text().count("tiny server") == 2


def test_flags_are_passed_on(tmp_path: Path) -> None:
    launcher = local.make(
        repository_of(tmp_path),
        log_dir=tmp_path / "logs",
        python=interpreter(tmp_path),
        server_flags=("--backend-config=onnxruntime,x=1",),
    )
    launcher.serve("tiny", None, variant="v")
    assert "--backend-config=onnxruntime,x=1" in launcher.log_tail()
    launcher.close()


def test_an_interpreter_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    launcher = local.make(repository_of(tmp_path), log_dir=tmp_path, python="/nowhere/python")
    with pytest.raises(LaunchError, match="cannot start /nowhere/python: No such file"):
        launcher.serve("tiny", None, variant="v")
    launcher.close()


OWNER = """
import sys, signal
from pathlib import Path
from analyzer.launchers import local
python, directory = sys.argv[1:]
launcher = local.make(
    lambda configs, variant: Path(directory), log_dir=Path(directory) / "logs", python=python
)
print(launcher.serve("tiny", None, variant="v").pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["killed", "returns"])
def test_the_server_ends_with_its_owner(tmp_path: Path, end: str) -> None:
    repository = repository_of(tmp_path)({"tiny": None}, "v")
    (repository / "faults.json").write_text(json.dumps({"child": True}))
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, interpreter(tmp_path), str(repository)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    server = int(owner.stdout.readline())
    child = int((repository / "child.pid").read_text())
    assert not gone(server)
    if end == "killed":
        owner.send_signal(signal.SIGKILL)
    owner.stdin.close()
    owner.wait(20)
    owner.stdout.close()
    assert within(lambda: gone(server) and gone(child))
