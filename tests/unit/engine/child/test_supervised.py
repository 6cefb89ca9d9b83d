"""A child that is started anew, and those who wait for it."""

import os
from pathlib import Path

import pytest
from support.serving import until

from engine.child.channel import Message
from engine.child.life import Child, Setup
from engine.child.supervised import Supervised
from engine.errors import Unavailable

TESTS = Path(__file__).parents[3]


class Listener:
    """Remembers how children ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def heard(self, child: Child, message: Message) -> None:
        raise AssertionError((child, message))

    def lost(self, child: Child, how: str) -> None:
        del child
        self.ended.append(how)


def test_whoever_waits_too_long_for_a_restart_is_told_and_the_next_one_gets_the_child(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "gate")
    setup = Setup(
        name="m_0",
        make="support.child_models:make_at_once_only_once",
        given={"folder": str(tmp_path)},
        environment={"PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))},
    )
    listener = Listener()
    supervised = Supervised(setup, listener, wait_s=0.05)
    assert supervised.start()["described"] == {"runtime": "silent"}
    first = supervised.current()
    first.kill()
    until(lambda: bool(listener.ended), "the end of the first child")
    assert "SIGKILL" in listener.ended[0]
    with pytest.raises(Unavailable, match="'m_0' is not available: it has been starting again for"):
        supervised.current()
    assert not supervised.alive
    (tmp_path / "gate").write_bytes(b"open")
    until(lambda: supervised.alive, "the second child")
    assert supervised.current().pid != first.pid
    assert supervised.restarts == 1
    supervised.stop()
    with pytest.raises(Unavailable, match="it is stopped"):
        supervised.current()
