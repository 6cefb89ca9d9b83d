"""What about runs differs besides their numbers: machine, software, model, measurement. Pure.

Owns which facts are of which kind. Runs on unlike hardware may be compared, but the difference is
then the hardware's as much as anything else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.record.row import RunHead
from analyzer.report import wording

HARDWARE, SYSTEM, SOFTWARE, MODEL, MEASURING = (
    "hardware",
    "system",
    "software",
    "model",
    "measurement",
)
_HARDWARE = ("cpu", "cpu_precisions", "cores", "logical_cores", "physical_cores", "ram", "gpus")
_SYSTEM = ("hostname", "os", "kernel", "cpu_governor", "gpu_driver")
_MODEL = ("model", "model_digest", "composing_digests", "input_digest")
#: what options say that other facts say as well
_ELSEWHERE = frozenset({"machine"})
_GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same in all runs, as each has it (``wording.NONE``: unknown)."""

    kind: str
    fact: str
    values: tuple[str, ...]


def differences(heads: Sequence[RunHead]) -> tuple[Difference, ...]:
    """Return what differs, hardware first."""
    return tuple(_differences(heads))


def same_hardware(heads: Sequence[RunHead]) -> bool:
    """Whether all runs were measured on hardware that nothing known tells apart."""
    return not any(each.kind == HARDWARE for each in _differences(heads))


def _differences(heads: Sequence[RunHead]) -> Iterator[Difference]:
    machines = [_machine(head) for head in heads]
    yield from _of(HARDWARE, _HARDWARE, machines)
    yield from _of(SYSTEM, _SYSTEM, machines)
    versions = [head.versions for head in heads]
    yield from _of(SOFTWARE, _names(versions), versions)
    options: list[Mapping[str, Any]] = [{**head.options, "model": head.model} for head in heads]
    yield from _of(MODEL, _MODEL, options)
    others = [name for name in _names(options) if name not in _ELSEWHERE.union(_MODEL)]
    yield from _of(MEASURING, others, options)


def _machine(head: RunHead) -> dict[str, Any]:
    """Return a machine's facts, those that wander by a little without a meaning made coarse."""
    plain = dict(head.machine)
    # The kernel keeps some of it, more or less of it from version to version.
    if isinstance(size := plain.get("ram_bytes"), int | float):
        plain["ram"] = f"{round(size / _GIB)} GiB"
    gpus = [gpu for gpu in plain.get("gpus") or () if isinstance(gpu, Mapping)]
    names = [str(gpu.get("name", "GPU")) for gpu in gpus]
    plain["gpus"] = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return plain


def _names(every: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for each in every for name in each))


def _of(
    kind: str, names: Sequence[str], every: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    for name in names:
        spelt = [dict([*wording.facts({name: each.get(name)})]) for each in every]
        said = tuple(next(iter(each.values()), wording.NONE) for each in spelt)
        if len(set(said)) > 1:
            title = next((fact for each in spelt for fact in each), name)
            yield Difference(kind, title, said)
