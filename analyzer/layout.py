"""From options to the search: what there is to try on this machine, under which load, for how long.

Pure: the options, the model's complete configuration and the machine's description go in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from analyzer import assembly, modes, variant
from analyzer.assembly import Assembly
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.metrics import GOODPUT
from analyzer.ranking.goal import Goal
from analyzer.record.row import LoadSpec
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    LEVELS,
    Candidate,
    Dimension,
    Space,
    Value,
    split,
)
from analyzer.stages import Plan
from analyzer.stages.pace import affordable
from analyzer.strategy import Problem
from engine.modelconfig.schema import ModelConfig

#: seconds for everything, where nothing says how much time there is
WHOLE_SECONDS = 120.0
#: what search and load curves may take of the whole; verification has the rest
SEARCH_OF_WHOLE, CURVES_OF_WHOLE = 0.58, 0.1
#: what load curves and verification may take, as shares of a search's time that was given
CURVE_SHARE, VERIFY_SHARE = 0.4, 0.8
#: what goes by outside the measurements: until the first (describing the machine, the first
#: server) and after the last (the report); and beside each, where a search thinks
OVERHEAD_SECONDS, OVERHEAD_EACH = 5.0, 0.2
#: what each search for the highest rate may take, and both of them at most of a time that was given
GOODPUT_SECONDS, GOODPUT_OF_WHOLE = 40.0, 0.4
#: how many times shorter, and less precise, a measurement of the search is: it looks for large
#: differences among many, and what may be best is measured again
HASTE = 2.0
#: rounds of the verification at most where a precision is asked for
MOST_ROUNDS = 25
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
    by_key = {whole.key(name): each for name, each in means.items()}
    asked = plan(options, room, own.cores, by_key)
    if GOODPUT in dict(goal.objectives):
        asked = _with_rates(asked, options)
    problem = Problem(
        space=room, seed=options.seed, goal=goal, base=whole.top, cores=own.cores,
        max_trials=options.max_trials, affordable=partial(affordable, asked),
        options=modes.told(options),
    )  # fmt: skip
    return Layout(problem, asked)


def _host_of(name: str, machine: variant.Machine, whole: Assembly) -> variant.Machine:
    """Return what a model may use of the machine."""
    return replace(machine, gpus=0) if name in whole.altered else machine


def _room(options: ProfileOptions, name: str, means: variant.Means, *, settings: bool) -> Space:
    """Return what there is to try for one model: what the user says, or else the usual."""
    options = next((each for each in options.together if each.model == name), options)
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
    loads = [each for each in room.dimensions if split(each.name)[1] in LEVELS]
    asked = Plan(
        default=_default(room, cores, means),
        curve=() if options.curves_disabled else tuple(float(each) for each in loads[0].values),
        edge_steps=modes.edge_steps(options),
        verify_pairs=options.verify_pairs,
        precision=options.target_precision,
        max_trials=options.max_trials,
        haste=haste(options),
        cores=cores,
        means=means,
    )
    if asked.verify_pairs and asked.precision is not None:
        asked = replace(asked, verify_pairs=max(asked.verify_pairs, MOST_ROUNDS))
    return _in_time(asked, options)


def haste(options: ProfileOptions) -> float:
    """Say by how much measurements of the search are shorter; Model Analyzer's have one length."""
    hasty = options.rule == "precision" and options.search_mode not in modes.MODEL_ANALYZERS
    return HASTE if hasty else 1.0


def _in_time(plan: Plan, options: ProfileOptions) -> Plan:
    """Divide the time there is; a time or a number that was given takes the place of the usual.

    Model Analyzer's searches end by their own rules, so they have no usual time.
    """
    search, whole = options.search_seconds, options.max_time
    bounded = search is not None or options.max_trials is not None
    if whole is None and (bounded or options.search_mode in modes.MODEL_ANALYZERS):
        return replace(
            plan,
            search_seconds=search,
            curve_seconds=None if search is None else search * CURVE_SHARE,
            verify_seconds=None if search is None else search * VERIFY_SHARE,
        )
    whole = WHOLE_SECONDS if whole is None else whole
    room = max(0.0, whole - OVERHEAD_SECONDS)
    return replace(
        plan,
        whole_seconds=whole,
        overhead_seconds=OVERHEAD_SECONDS,
        overhead_each=OVERHEAD_EACH,
        search_seconds=room * SEARCH_OF_WHOLE if search is None else search,
        curve_seconds=room * CURVES_OF_WHOLE,
    )


def _with_rates(plan: Plan, options: ProfileOptions) -> Plan:
    """Add the searches for the highest rate, the best's and the default's: beyond the usual time.

    Of a time that was given they take their share.
    """
    if options.max_time is None or plan.whole_seconds is None:
        return replace(plan, goodput_seconds=GOODPUT_SECONDS)
    seconds = min(GOODPUT_SECONDS, options.max_time * GOODPUT_OF_WHOLE / 2)
    rest = replace(options, max_time=options.max_time - 2 * seconds)
    return replace(_in_time(plan, rest), goodput_seconds=seconds)


def _default(room: Space, cores: int, means: Mapping[str, variant.Means]) -> tuple[Candidate, ...]:
    """Return the default configuration's loads: several, and the last with each batch size."""
    starts = {
        each.name: _starts(each, cores) for each in room.dimensions if split(each.name)[1] in LEVELS
    }
    sizes = {each.name: each.values for each in room.dimensions
             if split(each.name)[1] == BATCH_SIZE}  # fmt: skip
    smallest = {name: values[0] for name, values in sizes.items()}
    made = [
        Candidate.of(
            **smallest, **{name: each[min(at, len(each) - 1)] for name, each in starts.items()}
        )
        for at in range(max(map(len, starts.values())))
    ]
    for name, values in sizes.items():
        owner = means.get(split(name)[0])
        largest = 0 if owner is None else owner.base.max_batch_size
        made += [made[-1].replaced(**{**smallest, name: size}) for size in values[1:]
                 if int(size) <= largest]  # fmt: skip
    return tuple(dict.fromkeys(made))


def _starts(load: Dimension, cores: int) -> tuple[Value, ...]:
    """Return the loads under which the default is measured before the search."""
    if split(load.name)[1] == CONCURRENCY:
        return tuple(each for each in (1, 2 * cores) if each in load.values) or load.values[:1]
    # Of rates the lowest, and one that most servers still keep: beyond, queues only grow.
    middle = load.values[(len(load.values) - 1) // 2]
    return tuple(dict.fromkeys((load.values[0], middle)))


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
