"""Whether a configuration runs on one GPU, so that several can be measured at a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.space import Candidate
from analyzer.variant.making import make
from analyzer.variant.means import Means, on_gpu


def why_alone(candidate: Candidate, means: Mapping[str, Means]) -> str:
    """Say why a candidate cannot be measured on a GPU of its own beside others; "" where it can.

    ``means`` has by what each model can be run, by the name that stands before its dimensions. One
    model on the GPU is enough: whether those on the CPU have cores enough is for a measurement.
    """
    parts, found = candidate.by_model(), False
    for model, each in means.items():
        config = make(parts.get(model, Candidate(())), each.base)
        if config.ensemble_scheduling is not None:
            continue
        groups = [group for group in config.instance_group if not group.passive]
        if bound := sorted({gpu for group in groups for gpu in group.gpus} - {0}):
            named = ", ".join(map(str, bound))
            return f"instances of {config.name} are bound to more than the first GPU ({named})"
        found = found or on_gpu(config, each.machine)
    return "" if found else "no instance is on a GPU"
