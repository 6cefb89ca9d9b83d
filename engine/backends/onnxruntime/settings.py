"""How a session is set up: pure, from the configuration's ``parameters`` and ``optimization``.

The keys are those of Triton's ONNX Runtime backend. Rules:

1. an instance computes with its fair share of the cores, unless ``intra_op_thread_count`` says
   otherwise (0 there means ONNX Runtime's own choice: all cores);
2. threads of a session spin while they wait for work only if they have the cores to
   themselves: one instance, no more threads than cores. Spinning beside others costs them most
   of their speed (measured: 24 inferences a second fell to 7);
3. any parameter beginning with ``session.`` is handed to ONNX Runtime as it is, and has the
   last word;
4. with ``enable-global-threadpool`` all sessions share one pool of threads, and what a model says
   of threads of its own has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from engine.backend import Placement
from engine.errors import InvalidArgument
from engine.modelconfig.schema import InstanceKind, ModelConfig

_SPINNING = "session.intra_op.allow_spinning"
_SHRINKAGE = "memory.enable_memory_arena_shrinkage"


class GraphLevel(Enum):
    """How much the graph is optimised; the value is Triton's ``optimization.graph.level``."""

    ALL = 0
    BASIC = -1
    EXTENDED = 1
    NONE = 2


@dataclass(frozen=True, slots=True)
class Pool:
    """Threads that all sessions share; a count of 0 is ONNX Runtime's own choice."""

    intra_op_threads: int = 0
    inter_op_threads: int = 0


def read_pool(settings: Mapping[str, str]) -> Pool | None:
    """Read the settings of ``--backend-config``: the shared pool, None where there is none.

    Raises:
        InvalidArgument: one is not what it should be.
    """

    def number(key: str, most: int | None = None) -> int:
        return _whole(settings.get(key), 0, f"--backend-config=onnxruntime,{key}", most)

    if number("enable-global-threadpool", most=1) == 0:
        return None
    return Pool(number("intra_op_thread_count"), number("inter_op_thread_count"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a session is made with. A thread count of 0 is ONNX Runtime's own choice."""

    intra_op_threads: int
    inter_op_threads: int = 0
    parallel: bool = False
    graph_level: GraphLevel = GraphLevel.ALL
    arena: bool = True
    memory_pattern: bool = True
    pool: Pool | None = None
    entries: Mapping[str, str] = field(default_factory=dict)
    run_entries: Mapping[str, str] = field(default_factory=dict)

    @property
    def spins(self) -> bool:
        """Whether the session's threads spin while they wait."""
        return self.entries[_SPINNING] == "1"


def read(config: ModelConfig, placement: Placement, pool: Pool | None = None) -> Settings:
    """Read the settings of one instance, whose threads are ``pool``'s if there is one.

    Raises:
        InvalidArgument: a parameter that is not what it should be.
    """
    threads = _number(config, "intra_op_thread_count", placement.threads)
    alone = cpu_instances(config) <= 1 and 0 < threads <= placement.threads
    entries = {_SPINNING: "1" if alone else "0"}
    entries |= {
        key: value for key, value in config.parameters.items() if key.startswith("session.")
    }
    shrinkage = config.parameters.get(_SHRINKAGE)
    return Settings(
        intra_op_threads=threads,
        inter_op_threads=_number(config, "inter_op_thread_count", 0),
        parallel=_number(config, "execution_mode", 0, most=1) == 1,
        graph_level=_level(config),
        arena=_number(config, "enable_mem_arena", 1, most=1) == 1,
        memory_pattern=_number(config, "enable_mem_pattern", 1, most=1) == 1,
        pool=pool,
        entries=entries,
        run_entries={} if shrinkage is None else {_SHRINKAGE: shrinkage},
    )


def _level(config: ModelConfig) -> GraphLevel:
    level = config.optimization.graph_level if config.optimization else None
    try:
        return GraphLevel(level or 0)
    except ValueError as fault:
        raise InvalidArgument(
            f"model '{config.name}': optimization.graph.level: expected 0 (all), 1 (extended),"
            f" -1 (basic) or 2 (none), found {level}"
        ) from fault


def _number(config: ModelConfig, key: str, default: int, most: int | None = None) -> int:
    where = f"model '{config.name}': parameters['{key}']"
    return _whole(config.parameters.get(key), default, where, most)


def _whole(text: str | None, default: int, where: str, most: int | None = None) -> int:
    if text is None:
        return default
    value = int(text) if text.isascii() and text.isdigit() else -1
    if value < 0 or (most is not None and value > most):
        wanted = "a whole number" if most is None else f"a whole number from 0 to {most}"
        raise InvalidArgument(f"{where}: expected {wanted}, found '{text}'")
    return value


def cpu_instances(config: ModelConfig) -> int:
    """Count the instances that compute on the CPU."""
    return sum(
        max(1, group.count)
        for group in config.instance_group
        if not group.passive and group.kind is not InstanceKind.KIND_GPU and not group.gpus
    )
