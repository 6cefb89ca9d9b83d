"""What Model Analyzer's search modes search, and which options they are told. Pure.

Owns the difference between those modes and our own: ``brute``, ``quick`` and ``optuna`` vary what
Model Analyzer varies (instances, batch sizes with dynamic batching on, the load), and beyond that
what the user lists; other modes vary all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from analyzer.config.schema import ProfileOptions
from analyzer.space import (
    ACCELERATOR,
    BACKEND,
    INTRA_OP_THREADS,
    PRECISION,
    QUEUE_DELAY,
    Dimension,
    Limits,
    Space,
)
from engine.modelconfig.schema import ModelConfig

MODEL_ANALYZERS = frozenset({"brute", "quick", "optuna"})


def narrowed(room: Space, limits: Limits, base: ModelConfig) -> Space:
    """Leave of a model's usual space what Model Analyzer varies, and what the user lists.

    The queue delay is that of the model's own configuration, 0 where it has no dynamic batching.
    """
    listed = {
        QUEUE_DELAY: limits.queue_delays_us,
        INTRA_OP_THREADS: limits.intra_op_threads,
        BACKEND: limits.backends,
        ACCELERATOR: limits.accelerators,
        PRECISION: limits.precisions,
    }
    batching = base.dynamic_batching
    delay = 0 if batching is None else batching.max_queue_delay_microseconds
    left: list[Dimension] = []
    for each in room.dimensions:
        if each.name not in listed or listed[each.name] is not None:
            left.append(each)
        elif each.name == QUEUE_DELAY:
            left.append(replace(each, values=(delay,)))
    return Space(tuple(left))


def told(options: ProfileOptions) -> Mapping[str, Any]:
    """Return what a strategy is told besides the space, by Model Analyzer's names.

    Lists of the user's own (``concurrency``, ``request_rate``, ``model_config_parameters``) are
    there where they were given: brute measures those whole.
    """
    limits = options.limits
    given: dict[str, Any] = {
        **asdict(options.search),
        "concurrency": limits.concurrencies,
        "request_rate": limits.request_rates,
        "model_config_parameters": tuple(each.name for each in options.parameters) or None,
        "concurrency_sweep_disable": options.curves_disabled or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def edge_steps(options: ProfileOptions) -> int:
    """Return how many loads may be tried between a curve's; none where all are listed."""
    listed = options.limits.concurrencies or options.limits.request_rates
    return 0 if listed else options.search.run_config_search_max_binary_search_steps
