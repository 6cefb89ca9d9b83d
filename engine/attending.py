"""A model's code in the server's process, with its calls of other models.

Owns that the calls know what is executed, and end with the instance. In a child that is done by
``engine.child``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.backend import Executor, Overlapping, SelfChecking, Work
from engine.calling import Caller, Calls


class _Attended:
    """An Executor whose calls are attended to."""

    def __init__(self, executor: Executor, calls: Calls) -> None:
        self._executor = executor
        self._calls = calls
        #: whether batches are executed side by side
        self.overlaps = isinstance(executor, Overlapping) and executor.overlaps

    def execute(self, batch: Sequence[Work]) -> None:
        """Have the model execute a batch; raises what it raises."""
        lasting = bool(getattr(self._executor, "lasting", True))
        with self._calls.attending(batch, held=not self.overlaps, lasting=lasting):
            self._executor.execute(batch)

    def describe(self) -> Mapping[str, str]:
        """Say what runs."""
        return self._executor.describe()

    def close(self) -> None:
        """Let the model finalize; then there is nobody left to answer."""
        try:
            self._executor.close()
        finally:
            self._calls.close()


class _Checked(_Attended):
    """One whose model knows whether it can answer."""

    def is_ready(self) -> bool:
        """Ask the model."""
        assert isinstance(self._executor, SelfChecking)
        return self._executor.is_ready()


def attended(load: Callable[[Caller], Executor], calls: Calls) -> Executor:
    """Load an instance, and attend to its calls; raises what loading raises."""
    try:
        executor = load(calls)
    except BaseException:
        calls.close()
        raise
    make = _Checked if isinstance(executor, SelfChecking) else _Attended
    return make(executor, calls)
