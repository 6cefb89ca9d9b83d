"""What a measurement holds for: which machine it was, and whether it was fit to measure on. Pure.

Reads ``measure.machine.describe``'s words, to which a check adds ``flags``, those of its servers.
Versions of software are not part of it: they may be what is compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analyzer.gate.values import Block

#: what makes two machines the same, for a time measured on one to mean something on the other
PARTS = ("cpu", "cores", "physical_cores", "cpu_governor", "gpus", "gpu_driver", "flags")
#: how environment checks call what is worth acting on
_WARNING = "warning"
#: of blocks that were disturbed, this share may be
_DISTURBED = 0.25


def parts(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of an environment; GPUs by name and memory, whichever of a kind it is."""
    found = {name: environment[name] for name in PARTS if environment.get(name)}
    if "gpus" in found:
        found["gpus"] = [[gpu.get("name"), gpu.get("total_bytes")] for gpu in found["gpus"]]
    return found


def fingerprint(environment: Mapping[str, Any]) -> str:
    """Return a short name that equal machines share."""
    text = json.dumps(parts(environment), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> tuple[str, ...]:
    """Say in which parts two environments differ, so that what they measured cannot be compared."""
    one, other = parts(baseline), parts(candidate)
    return tuple(
        f"{name}: the baseline was measured with {one.get(name, 'none')}, the candidate with "
        f"{other.get(name, 'none')}"
        for name in PARTS
        if one.get(name) != other.get(name)
    )


def unfit(environment: Mapping[str, Any], blocks: Sequence[Block] = ()) -> tuple[str, ...]:
    """Say why this machine is, or was meanwhile, no good for measuring."""
    return tuple(_unfit(environment, blocks))


def _unfit(environment: Mapping[str, Any], blocks: Sequence[Block]) -> Iterator[str]:
    for check in environment.get("environment", ()):
        if check.get("level") == _WARNING:
            yield str(check.get("text"))
    disturbed = [block for block in blocks if block.remarks]
    if len(disturbed) > _DISTURBED * len(blocks):
        often = [remark for block in disturbed for remark in block.remarks]
        most = max(often, key=often.count)
        yield f"{len(disturbed)} of {len(blocks)} blocks were disturbed; most often: {most}"
