"""From options to the search: what there is to try on this machine, under which load, for how long.

Pure: the options, the model's complete configuration and the machine's description go in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analyzer import assembly, modes, variant
from analyzer.assembly import Assembly
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.ranking.goal import Goal
from analyzer.record.row import LoadSpec
from analyzer.space import BATCH_SIZE, CONCURRENCY, LEVELS, Candidate, Space, Value
from analyzer.stages import Plan
from analyzer.strategy import Problem
from engine.modelconfig.schema import ModelConfig

#: what load curves and verification may take, as shares of the search's time
CURVE_SHARE, VERIFY_SHARE = 0.4, 0.8
#: requests of an open loop that may wait at once: by then a server is plainly not keeping up, and
#: each holds a connection and its data
MOST_IN_FLIGHT = 1024
_TENSORRT = frozenset({"tensorrt-cu13", "tensorrt-cu12"})
_RTX = frozenset({"onnxruntime-ep-nv-tensorrt-rtx-cu13"})
#: the distributions that each backend is made of, any of them
BACKENDS: Mapping[str, frozenset[str]] = {
    "onnxruntime": frozenset({"onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"}),
    "openvino": frozenset({"openvino"}),
    "pytorch": frozenset({"torch"}),
    "tensorflow": frozenset({"tensorflow", "tensorflow-cpu"}),
    "tensorrt": _TENSORRT,
}
#: those that an execution accelerator for GPUs is made of, any of each set
ACCELERATORS: Mapping[str, tuple[frozenset[str], ...]] = {
    "tensorrt": (frozenset({"onnxruntime-gpu"}) | _RTX, _TENSORRT | _RTX),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A search laid out: what the strategy is given, and what the campaign is to do."""

    problem: Problem
    plan: Plan

    @property
    def space(self) -> Space:
        """What there is to try."""
        return self.problem.space


def lay_out(
    options: ProfileOptions,
    goal: Goal,
    base: ModelConfig | Assembly,
    machine: Mapping[str, Any],
    *,
    settings: bool = True,
    files: Mapping[str, frozenset[str]] | None = None,
) -> Layout:
    """Lay out the search of what is profiled; without ``settings`` only the load is varied.

    ``machine`` is what ``measure.machine.describe`` says, ``files`` are for each model the names of
    what lies in the folders of all its versions (not there: not known).

    Raises:
        UsageError: bounds exclude each other, or a value to try does not fit the model.
    """
    whole, own = Assembly.of(base), host(options, machine)
    means = {
        name: variant.Means(config, _host_of(name, own, whole), (files or {}).get(name))
        for name, config in whole.configs.items()
    }
    rooms = {name: _room(options, name, each, settings=settings) for name, each in means.items()}
    room = assembly.space(whole, rooms)
    problem = Problem(
        space=room, seed=options.seed, goal=goal, base=whole.top, cores=own.cores,
        max_trials=options.max_trials, options=modes.told(options),
    )  # fmt: skip
    by_key = {whole.key(name): each for name, each in means.items()}
    return Layout(problem, plan(options, room, own.cores, by_key))


def _host_of(name: str, machine: variant.Machine, whole: Assembly) -> variant.Machine:
    """Return what a model may use of the machine."""
    return replace(machine, gpus=0) if name in whole.altered else machine


def _room(options: ProfileOptions, name: str, means: variant.Means, *, settings: bool) -> Space:
    """Return what there is to try for one model: what the user says, or else the usual."""
    own = options.parameters if name == options.model else ()
    for each in options.composing:
        if each.name == name:
            own = each.parameters
    choices, limits = own or (() if options.search_disabled else None), options.limits
    if not settings:
        choices = ()
    if not settings or name != options.model:
        # Lists of backends are for the profiled model; of the others what can be is tried.
        limits = replace(limits, backends=None, accelerators=None, precisions=None)
    room = variant.space(means.base, means.machine, limits, choices, means.files)
    if choices is None and options.search_mode in modes.MODEL_ANALYZERS:
        return modes.narrowed(room, limits, means.base)
    return room


def host(options: ProfileOptions, machine: Mapping[str, Any]) -> variant.Machine:
    """Say what of the machine the model may use."""
    # Models are placed on whole GPUs: CUDA shows a process one MIG instance of each at most.
    whole = {gpu.get("whole") or gpu["uuid"] for gpu in machine.get("gpus", ())}
    gpus = 0 if options.cpu_only else len(options.gpus or whole)
    if options.launch_mode is LaunchMode.REMOTE or "versions" not in machine:
        return variant.Machine(cores=int(machine["cores"]), gpus=gpus)
    there = machine["versions"].keys()
    return variant.Machine(
        cores=int(machine["cores"]),
        gpus=gpus,
        precisions=frozenset(machine.get("cpu_precisions", ())),
        backends=frozenset(name for name, made_of in BACKENDS.items() if made_of & there),
        accelerators=frozenset(
            name for name, made_of in ACCELERATORS.items() if all(one & there for one in made_of)
        ),
    )


def plan(
    options: ProfileOptions, room: Space, cores: int, means: Mapping[str, variant.Means]
) -> Plan:
    """Say what a campaign over ``room`` is to do; ``means`` are what models can be run by."""
    name, levels = next((each.name, each.values) for each in room.dimensions if each.name in LEVELS)
    # Of rates the lowest, and one that most servers still keep: beyond, queues only grow.
    first = [levels[0], levels[(len(levels) - 1) // 2]]
    if name == CONCURRENCY:
        first = [level for level in (1, 2 * cores) if level in levels] or [levels[0]]
    return Plan(
        default=_default(room, name, tuple(dict.fromkeys(first)), means),
        curve=() if options.curves_disabled else tuple(map(float, levels)),
        verify_pairs=options.verify_pairs,
        search_seconds=options.search_seconds,
        curve_seconds=options.search_seconds * CURVE_SHARE,
        verify_seconds=options.search_seconds * VERIFY_SHARE,
        cores=cores,
        means=means,
    )


def _default(
    room: Space, name: str, levels: tuple[Value, ...], means: Mapping[str, variant.Means]
) -> tuple[Candidate, ...]:
    """Return the default configuration's loads: several, and the last with each batch size."""
    sizes = next((each.values for each in room.dimensions if each.name == BATCH_SIZE), None)
    largest = max(
        (each.base.max_batch_size for owner, each in means.items() if not owner), default=0
    )
    if sizes is None:
        return tuple(Candidate.of(**{name: level}) for level in levels)
    loads = [(level, sizes[0]) for level in levels] + [(levels[-1], size) for size in sizes[1:]
             if int(size) <= largest]  # fmt: skip
    return tuple(Candidate.of(**{name: level, BATCH_SIZE: size}) for level, size in loads)


def load(options: ProfileOptions) -> LoadSpec:
    """Say how the load client loads the server, but for what a candidate says of it."""
    usual = LoadSpec(
        protocol=options.protocol,
        batch_size=options.limits.batch_size,
        window_seconds=options.window_seconds,
        max_windows=options.max_windows,
        tolerance=options.tolerance,
        data=",".join(options.input_data),
        rule=options.rule,
        percentile=0,
        throughput_precision=options.precision[0],
        latency_precision=options.precision[1],
        min_seconds=options.min_seconds,
        max_seconds=options.max_seconds,
        senders=options.senders,
        distribution=options.request_distribution,
        max_inflight=MOST_IN_FLIGHT,
    )
    return replace(usual, **options.load)
