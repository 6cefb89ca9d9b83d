"""How a variant is told apart and shown, and how a winner becomes the user's configuration. Pure.

Owns what reports show of a configuration, and what of a winner is carried over into a file that a
user wrote: what a search varies, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analyzer.space import (
    ACCELERATOR,
    BACKEND,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    PRECISION,
    QUEUE_DELAY,
)
from analyzer.variant import accelerators, runtime
from analyzer.variant.making import without_default_sizes
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig


def digest(config: ModelConfig) -> str:
    """Return what tells a variant apart: equal digests are the same configuration."""
    return digest_of(convert.dumps(config))


def digest_of(text: str) -> str:
    """Return the digest of a configuration that is spelled out already."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings(config: ModelConfig) -> Mapping[str, Any]:
    """Return what reports show of a configuration; all of it goes into JSON.

    ``instance_group`` is Model Analyzer's cell (``4:GPU``, ``4:GPU + 1:CPU``), and
    ``instance_count`` its sum, None where the configuration leaves it open.
    ``max_queue_delay_microseconds`` is None without dynamic batching,
    ``intra_op_thread_count`` where the backend chooses, and ``precision`` where the model's file
    decides.
    """
    counts: dict[str, int] = {}
    for group in config.instance_group:
        if not group.passive:
            kind = group.kind.value.removeprefix("KIND_")
            counts[kind] = counts.get(kind, 0) + max(group.count, 1) * max(len(group.gpus), 1)
    batching = config.dynamic_batching
    return {
        "instance_group": " + ".join(f"{count}:{kind}" for kind, count in counts.items()),
        INSTANCE_COUNT: sum(counts.values()) or None,
        MAX_BATCH_SIZE: config.max_batch_size,
        "dynamic_batching": batching is not None,
        QUEUE_DELAY: None if batching is None else batching.max_queue_delay_microseconds,
        "preferred_batch_size": [] if batching is None else list(batching.preferred_batch_size),
        INTRA_OP_THREADS: runtime.threads_of(config),
        BACKEND: config.backend or config.platform,
        PRECISION: runtime.precision_of(config),
        ACCELERATOR: accelerators.accelerator_of(config),
    }


def run_by(settings: Mapping[str, Any]) -> str:
    """Say by what a model is run, from its settings or a candidate's: ``openvino BF16``.

    "" where nothing is said of it.
    """
    accelerator = settings.get(ACCELERATOR)
    backend = str(settings.get(BACKEND) or "")
    if accelerator and (accelerator != accelerators.NONE or not backend):
        word = "no accelerator" if accelerator == accelerators.NONE else str(accelerator)
        backend = f"{backend} with {word}" if backend else word
    return " ".join(filter(None, (backend, str(settings.get(PRECISION) or ""))))


def onto(own: ModelConfig, winner: ModelConfig) -> ModelConfig:
    """Return a user's configuration with what a search varies taken from ``winner``.

    The rest stays as the user wrote it, defaults unwritten. Only inputs and outputs that were
    left to auto-completion are filled in: completing them again would also turn dynamic
    batching on again where the winner has none.
    """
    winner = without_default_sizes(winner)
    if own.dynamic_batching is not None:
        own = without_default_sizes(own)
    same = settings(own)["instance_group"] == settings(winner)["instance_group"]
    return replace(
        accelerators.listed_like(_run_by(own, winner), winner),
        max_batch_size=winner.max_batch_size,
        input=own.input or winner.input,
        output=own.output or winner.output,
        instance_group=own.instance_group if same else winner.instance_group,
        dynamic_batching=winner.dynamic_batching,
        parameters=winner.parameters,
    )


def _run_by(own: ModelConfig, winner: ModelConfig) -> ModelConfig:
    """Take over the winner's backend and file where they are others than the user's."""
    backend, file = runtime.backend_of(winner), runtime.file_of(winner)
    before = runtime.backend_of(own) or backend
    if before != backend:
        return replace(
            own, backend=winner.backend, platform=winner.platform, default_model_filename=file
        )
    named = own.backend or ("" if own.platform else winner.backend)
    own = replace(own, backend=named)
    return own if runtime.file_of(own) == file else replace(own, default_model_filename=file)
