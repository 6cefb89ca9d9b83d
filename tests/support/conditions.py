"""Waiting for something to become true, with a deadline: the only waiting that tests do."""

import threading
import time
from collections.abc import Callable


def within(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether the condition becomes true in time; it is asked a hundred times a second."""
    deadline = time.monotonic() + seconds
    never = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        never.wait(0.01)
    return True
