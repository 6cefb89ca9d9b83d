"""Wherever a child dies, every request that it had has one answer, and the next child goes on."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support.serving import until
from support.works import Asked, work

from engine.child.executor import ChildExecutor
from engine.child.life import Setup
from engine.errors import EngineError

TESTS = Path(__file__).parents[3]


def batch(where: str = "") -> list[Asked]:
    parameters = {"die": where} if where else {}
    return [work({"X": np.full(3, n, np.float32)}, parameters=parameters) for n in range(2)]


def executed(executor: ChildExecutor, asked: list[Asked]) -> str:
    """Execute as an instance does; give what was raised."""
    try:
        executor.execute([one.work for one in asked])
    except EngineError as error:
        return str(error)
    return ""


def the_process(executor: ChildExecutor) -> int:
    until(executor.is_ready, "a child")
    assert executor.pid is not None
    return executor.pid


def answered(asked: list[Asked]) -> list[bool]:
    """Say which were answered with what they asked; every other one has one error."""
    found = []
    for number, one in enumerate(asked):
        (answer,) = one.answers
        assert one.kept.over.is_set()
        if isinstance(answer, EngineError):
            assert "was killed by signal 9 (SIGKILL)" in str(answer)
        else:
            assert answer is not None
            assert answer[0].array.tolist() == [number] * 3
        found.append(not isinstance(answer, EngineError))
    return found


def test_wherever_a_child_dies_each_request_has_one_answer(tmp_path: Path) -> None:
    executor = ChildExecutor(
        Setup(
            name="m_0",
            make="support.child_models:make_dying",
            given={"folder": str(tmp_path)},
            environment={
                "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))
            },
        )
    )
    ends: dict[str, list[bool]] = {
        "between its answers": [True, False],
        "before execute returns": [True, True],
    }
    for where, expected in ends.items():
        asked = batch(where)
        assert "m_0" in executed(executor, asked)
        assert answered(asked) == expected, where

    def while_it_reads_nothing(then: Callable[[int], None]) -> list[Asked]:
        """Have a batch lie in the socket of a child that is stopped."""
        process = the_process(executor)
        os.kill(process, signal.SIGSTOP)
        asked = batch()
        thread = threading.Thread(target=executed, args=(executor, asked))
        thread.start()
        until(lambda: executor.under_way == len(asked), "the requests to be sent")
        then(process)
        thread.join(30)
        assert not thread.is_alive()
        return asked

    assert answered(while_it_reads_nothing(lambda it: os.kill(it, signal.SIGCONT))) == [True, True]
    (tmp_path / "die").touch()  # and the next one dies while it starts
    killed = while_it_reads_nothing(lambda it: os.kill(it, signal.SIGKILL))
    assert answered(killed) == [False, False]
    asked = batch()  # waits for the one that follows
    assert executed(executor, asked) == ""
    assert answered(asked) == [True, True]
    assert executor.under_way == 0
    executor.close()
    assert "it is stopped" in executed(executor, batch())
