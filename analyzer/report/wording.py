"""How numbers, settings, goals and machines are said in words. Pure.

Owns the spelling that page, CSV and summary share, so that one value reads the same
everywhere. Does not own which values are shown (``verdict``, ``tables``, ``series``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analyzer.assembly import shown
from analyzer.metrics import BY_TAG, Direction
from analyzer.ranking.derived import bounds
from analyzer.ranking.goal import Constraint, Goal
from analyzer.ranking.goodput import Verified
from analyzer.record.row import LoadSpec, Row
from analyzer.space import (
    BATCH_SIZE,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    Candidate,
)
from analyzer.variant import NO_BATCHING, chosen_fields, run_by

#: said where a value is not known
NONE = "-"

_GB = 1e9
_SPELT = {"cpu": "CPU", "gpu": "GPU", "gpus": "GPUs", "ram": "RAM", "os": "OS", "uuid": "UUID"}
_VOID: tuple[object, ...] = (None, "", (), [], {})
_MINUTE, _HOUR = 60.0, 3600.0


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals a column of these values wants: two digits for its smallest."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return 0
    smallest, largest = min(sizes), max(sizes)
    wanted = next((places for limit, places in ((100, 0), (10, 1), (1, 2)) if smallest >= limit), 3)
    return min(wanted, 1) if largest >= 1000 else wanted  # noqa: PLR2004 - five digits are enough


def number(value: float | None, places: int | None = None) -> str:
    """Spell a number with thousands separated; ``places`` None: as many as it wants itself."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:,.{decimals([value]) if places is None else places}f}"


def measured(tag: str, value: float | None) -> str:
    """Spell a metric's value with its unit."""
    if value is None:
        return "not measured"
    unit = BY_TAG[tag].unit
    return f"{number(value)}{'' if unit == '%' else ' '}{unit}"


def percent(value: float, *, signed: bool = False) -> str:
    """Spell a percentage: whole from 10 up, else with one decimal."""
    places = 0 if round(abs(value), 1) >= 10 else 1  # noqa: PLR2004 - two digits say enough
    text = f"{value:+,.{places}f}" if signed else f"{value:,.{places}f}"
    return "0%" if not float(text.replace(",", "")) else f"{text}%"


def interval(low: float, high: float) -> str:
    """Spell a confidence interval in percent."""
    return f"{percent(low)[:-1]} to {percent(high)}"


def count(amount: int, thing: str, things: str | None = None) -> str:
    """Spell how many there are of a thing."""
    return f"{amount:,} {thing if amount == 1 else things or thing + 's'}"


def listed(parts: Sequence[str]) -> str:
    """Join parts as a sentence lists them."""
    if len(parts) <= 1:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def duration(seconds: float) -> str:
    """Spell a stretch of time."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


def title(tag: str) -> str:
    """Return a metric's title as it stands in a sentence: ``p99 latency``."""
    words = BY_TAG[tag].title.split()
    return " ".join(word if word.isupper() or "/" in word else word.lower() for word in words)


def heading(tag: str) -> str:
    """Return a metric's title as it heads a chart or a figure: ``RAM usage``, ``p99 latency``."""
    words = title(tag)
    return words if words[1:2].isdigit() else words[:1].upper() + words[1:]


def aim(goal: Goal) -> str:
    """Say what the objectives ask for: ``maximizing throughput``."""
    several = len(goal.objectives) > 1
    return listed([
        f"{'maximizing' if BY_TAG[tag].direction is Direction.MORE else 'minimizing'} {title(tag)}"
        + (f" (weight {weight:.2g})" if several else "")
        for tag, weight in goal.objectives
    ])  # fmt: skip


def limits(goal: Goal) -> tuple[str, ...]:
    """Say each constraint: ``p99 latency at most 100 ms``."""
    said = []
    for each in goal.constraints:
        unit = BY_TAG[each.tag].unit
        for word, bound in (("at least", each.minimum), ("at most", each.maximum)):
            if bound is not None:
                space = "" if unit == "%" else " "
                said.append(f"{title(each.tag)} {word} {bound:g}{space}{unit}")
    return tuple(said)


def short(variant: str, model: str) -> str:
    """Return a variant's name without its model's: ``config_3``, or ``default``."""
    name = variant.removeprefix(f"{model}_")
    return "default" if name == "config_default" else name


def batching(settings: Mapping[str, Any]) -> str:
    """Say a variant's dynamic batching: ``off``, ``on``, or its delay."""
    if not settings.get("dynamic_batching"):
        return "off"
    delay = settings.get("max_queue_delay_microseconds")
    return f"{int(delay):,} µs" if delay is not None else "on"


def instances(cell: str) -> str:
    """Say Model Analyzer's cell ``4:GPU + 1:CPU`` as ``4 GPU instances and 1 CPU instance``."""
    said = []
    for group in cell.split(" + "):
        amount, _, kind = group.partition(":")
        said.append(f"{amount} {kind} instance{'' if amount == '1' else 's'}".replace("  ", " "))
    return listed(said)


def setup(settings: Mapping[str, Any]) -> str:
    """Say a variant's settings in one line."""
    if every := shown(settings):
        return "; ".join(f"{name}: {setup(own)}" for name, own in every.items())
    parts = [run_by(settings)] if run_by(settings) else []
    if groups := settings.get("instance_group"):
        parts.append(instances(str(groups)))
    if (batch := settings.get("max_batch_size")) is not None:
        parts.append(f"max batch size {batch}" if batch else "no batching")
    said = batching(settings)
    parts.append("no dynamic batching" if said == "off" else f"dynamic batching, delay {said}")
    if (threads := settings.get("intra_op_thread_count")) is not None:
        parts.append(count(int(threads), "intra-op thread"))
    return ", ".join(parts)


def setting(candidate: Candidate) -> str:
    """Say in one line what a candidate changes of the default configuration."""
    own = {model: _setting(part) for model, part in candidate.by_model().items()}
    said = [f"{model}: {text}" if model else text for model, text in own.items() if text]
    return "; ".join(said) or "the default configuration"


def _setting(candidate: Candidate) -> str:
    by = run_by(dict(candidate.items))
    parts = [by] if by else []
    if (amount := candidate.get(INSTANCE_COUNT)) is not None:
        parts.append(count(int(amount), "instance"))
    if (batch := candidate.get(MAX_BATCH_SIZE)) is not None:
        parts.append(f"max batch size {batch}")
    if (delay := candidate.get(QUEUE_DELAY)) is not None:
        off = delay == NO_BATCHING
        parts.append("no dynamic batching" if off else f"dynamic batching, delay {int(delay):,} µs")
    if (threads := candidate.get(INTRA_OP_THREADS)) is not None:
        parts.append(count(int(threads), "intra-op thread"))
    parts += [f"{name} {value}" for name, value in chosen_fields(candidate).items()]
    return ", ".join(parts)


def load(row: Row) -> str:
    """Say under which load a row was measured."""
    said = level(row.load)
    return said if row.load.batch_size == 1 else f"{said}, {row.load.batch_size} rows a request"


def level(load: LoadSpec) -> str:
    """Say how much load there was: ``concurrency 8``, or ``62.5 requests/s``."""
    return f"{number(load.level)} requests/s" if load.is_open else f"concurrency {load.concurrency}"


def asked(candidate: Candidate) -> str:
    """Say the load that a candidate asks for; "" where it asks for none."""
    every = {model: asked(part) for model, part in candidate.by_model().items() if model}
    said = [f"{model} at {own}" for model, own in every.items() if own]
    if candidate.level is not None:
        name, value = candidate.level
        rate = name == REQUEST_RATE
        said.append(f"{number(value)} requests/s" if rate else f"concurrency {value:,g}")
    if (rows := candidate.get(BATCH_SIZE)) is not None:
        said.append(f"{rows} row{'s' * (rows != 1)} a request")
    return ", ".join(said)


def goodput(found: Verified, name: str) -> str:
    """Say what a search for the highest rate came to, of the variant of that name."""
    limit = f"p{found.row.load.percentile} latency within {found.row.load.limit_ms:g} ms"
    if found.rate is None:
        return f"{name} keeps {limit} at no rate that was tried"
    upto = "" if found.high is None else f", and not {number(found.high)}"
    sure = "a run of its own confirmed it" if found.confirmed else found.note or "not confirmed"
    return f"{name} keeps {limit} at {number(found.rate)} requests/s{upto} ({sure})"


def uncertain(constraint: Constraint, row: Row) -> str:
    """Say that a limit lies within the interval of what was measured."""
    low, high = bounds(row, constraint.tag) or (math.nan, math.nan)
    upto = "more" if math.isinf(high) else measured(constraint.tag, high)
    return (
        f"{title(constraint.tag)} is {measured(constraint.tag, row.metrics.get(constraint.tag))}, "
        f"and the limit lies within its 95% interval of {measured(constraint.tag, low)} "
        f"{'and' if math.isinf(high) else 'to'} {upto}"
    )


def hardware(machine: Mapping[str, Any]) -> str:
    """Say on what was measured: its GPUs if there are any, else its processor; "" if unknown."""
    names = [_gpu_name(gpu) for gpu in machine.get("gpus") or ()]
    if names:
        return listed([f"{names.count(name)} x {name}" for name in dict.fromkeys(names)])
    cores, cpu = machine.get("cores"), machine.get("cpu")
    if not cores:
        return str(cpu or "")
    return f"{count(int(cores), 'core')} of {cpu}" if cpu else count(int(cores), "CPU core")


def facts(machine: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Spell every fact known of a machine: its name and its value."""
    return tuple(
        (_spaced(name), _fact(name, value)) for name, value in machine.items() if value not in _VOID
    )


def _spaced(name: str) -> str:
    words = name.removesuffix("_bytes").split("_")
    return " ".join(_SPELT.get(word, word) for word in words)


def _fact(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int | float):
        return f"{value / _GB:,.1f} GB"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{_spaced(str(key))}: {_fact(str(key), each)}" for key, each in value.items()
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(_fact("", each) for each in value)
    return str(value)


def _gpu_name(gpu: object) -> str:
    return str(gpu.get("name", "GPU")) if isinstance(gpu, Mapping) else str(gpu)
