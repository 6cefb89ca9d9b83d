"""What cannot be measured where a profile is about to begin, known before anything is started.

A goal that names such a metric would have every row fail it; so it is refused with the reason.
Only an upper bound on what GPUs use holds by itself where there is none: files that were written
for GPUs go on working.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from analyzer.errors import UsageError
from analyzer.measure.rapl import Rapl
from analyzer.measure.scrape import OUT_OF_SIGHT
from analyzer.metrics import BY_TAG, Direction
from analyzer.ranking.goal import Constraint, Goal

_PROCESSORS = frozenset({"cpu_power_usage", "cpu_energy_per_inference"})
_ENERGY = "energy_per_inference"
_NO_GPU = "this machine has no GPU that can be read"


def refuse(
    tags: Iterable[str], machine: Mapping[str, Any], *, remote: bool, rapl: Rapl | None = None
) -> None:
    """Refuse a goal that names what this machine cannot measure of the server.

    ``machine`` is what ``measure.machine.describe`` says; ``rapl`` None: this machine's.

    Raises:
        UsageError: it does; each metric with its reason.
    """
    reasons = ((tag, why_not(tag, machine, remote=remote, rapl=rapl)) for tag in tags)
    problems = [
        f"{tag} cannot be measured here: {reason}; state a goal without it"
        for tag, reason in reasons
        if reason
    ]
    if problems:
        raise UsageError("\n".join(problems))


def settled(goal: Goal, machine: Mapping[str, Any], *, remote: bool) -> Goal:
    """Return a goal without the bounds that hold by themselves, as this machine has no GPU."""
    if remote or machine.get("gpus"):
        return goal
    return replace(
        goal, constraints=tuple(each for each in goal.constraints if not _holds_itself(each))
    )


def _holds_itself(constraint: Constraint) -> bool:
    gpu = constraint.tag.startswith("gpu_") and BY_TAG[constraint.tag].direction is Direction.LESS
    return gpu and constraint.minimum is None


def why_not(tag: str, machine: Mapping[str, Any], *, remote: bool, rapl: Rapl | None = None) -> str:
    """Say why a metric cannot be measured; "" where it can, or only the run will show."""
    if remote:
        return "the server runs elsewhere: its page does not tell it" * (tag in OUT_OF_SIGHT)
    no_gpu = "" if machine.get("gpus") else str(machine.get("no_gpu") or _NO_GPU)
    if tag.startswith("gpu_"):
        return no_gpu
    if tag in _PROCESSORS or (tag == _ENERGY and no_gpu):
        no_rapl = (rapl or Rapl()).reason
        return f"{no_rapl}; {no_gpu}" if tag == _ENERGY and no_rapl else no_rapl
    return ""
