"""The GPUs that the analyzer looks at, and that there are none.

Which there are and what each says is ``engine.nvml``'s. GPUs hidden by CUDA_VISIBLE_DEVICES, which
the server cannot use either, are left out; one that is divided into MIG instances is seen as these,
because a server runs on them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from engine import nvml
from engine.nvml import Gpu, GpuLook


class Gpus(Protocol):
    """The GPUs that can be looked at."""

    @property
    def known(self) -> tuple[Gpu, ...]:
        """What does not change of each."""
        ...

    @property
    def reason(self) -> str:
        """Why there are none, if so."""
        ...

    @property
    def driver(self) -> str:
        """The driver's version, if there is one."""
        ...

    @property
    def unanswered(self) -> Mapping[str, Mapping[str, str]]:
        """Why a GPU did not tell something: by UUID, then by the name it has in ``GpuLook``."""
        ...

    def look(self, *, closely: bool = False, energy: bool = True) -> tuple[GpuLook, ...]:
        """Look at each of them now; ``energy``, its counter, is dear."""
        ...


class NoGpus:
    """There are none here, for the given reason."""

    known: tuple[Gpu, ...] = ()
    driver = ""
    unanswered: Mapping[str, Mapping[str, str]] = {}

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def look(
        self,
        *,
        closely: bool = False,  # noqa: ARG002 - see Gpus
        energy: bool = True,  # noqa: ARG002 - likewise
    ) -> tuple[GpuLook, ...]:
        """Nothing to see."""
        return ()


def find(environment: Mapping[str, str] = os.environ) -> Gpus:
    """Find the GPUs of this machine."""
    return nvml.find(environment, instances=True)
