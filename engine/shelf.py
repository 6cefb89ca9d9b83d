"""What the instances of a model version share: a compiled model, an engine.

The first instance that is loaded makes it, the others find it, and the last that is closed lets it
go. Whoever shares chooses the key: with the file, the configuration and the settings in it, a
reload makes it anew while the old version serves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


@dataclass(slots=True)
class _Kept(Generic[Thing]):
    users: int = 0
    thing: Thing | None = None
    making: threading.Lock = field(default_factory=threading.Lock)


class Shelf(Generic[Thing]):
    """Things that several have at a time, made by the first and gone with the last.

    Any thread may use it; two that want the same wait for one making, others do not wait.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept[Thing]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """Give what is kept under ``key``, or make it; what ``make`` raises is raised."""
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            kept.users += 1
        try:
            with kept.making:
                if kept.thing is None:
                    kept.thing = make()
                return kept.thing
        except BaseException:
            self.put_back(key)
            raise

    def put_back(self, key: Hashable) -> None:
        """Have it no more; once for each ``take``."""
        with self._lock:
            kept = self._kept[key]
            kept.users -= 1
            if kept.users == 0:
                del self._kept[key]
