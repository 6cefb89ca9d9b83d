"""The GPUs that models may use, as the metrics page and placement see them: whole ones.

Which there are and what each says is ``engine.nvml``'s; the metrics' labels are UUIDs of GPUs, as
Triton's are, so MIG instances are seen as the GPUs that they are parts of.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from engine import nvml
from engine.nvml import GpuLook, Gpus

__all__ = ["GpuLook", "Gpus", "find"]

logger = logging.getLogger(__name__)


def find(environment: Mapping[str, str]) -> Gpus:
    """Find the GPUs of this machine."""
    found = nvml.find(environment)
    if found.reason:
        logger.debug("no metrics of GPUs: %s", found.reason)
    return found
