"""How the larger values of Model Analyzer's files are read: plots, pipelines, mounts. Pure.

As in ``values``: a plain value goes in, the typed one comes out, or ValueError with what was
expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from analyzer.config.values import (
    Parse,
    Parts,
    mapping,
    member,
    names,
    near,
    one_of,
    switch,
    tag,
    text,
)


def launch_mode(kind: type[Enum]) -> Parse:
    """Take local or remote; Model Analyzer's other modes with what to write instead."""
    known = member(kind)

    def parse(value: object) -> Any:  # noqa: ANN401 - an enum's member
        if value in {"docker", "c_api"}:
            raise ValueError(
                f"{value} is not available here: local starts `engine serve` without a container, "
                "and remote profiles a server that you have started"
            )
        return known(value)

    return parse


def mounts(value: object) -> tuple[str, ...]:
    """Take Docker mounts: HOST:CONTAINER:MODE."""
    parts = Parts()
    found = tuple(parts.read(at, _mount, each) for at, each in enumerate(names(value)))
    parts.check()
    return found


def _mount(value: object) -> str:
    if str(value).count(":") != 2:  # noqa: PLR2004 - between three parts
        raise ValueError(f"expected HOST_PATH:CONTAINER_PATH:MODE, found {value!r}")
    return str(value)


def gpus(value: object) -> tuple[str, ...]:
    """Take ``all``, as (), or UUIDs or numbers of GPUs."""
    found = names([value] if isinstance(value, int) else value)
    if not found:
        raise ValueError("expected all, or UUIDs of GPUs; cpu_only keeps a model off them")
    return () if found == ("all",) else found


def gpu_texts(found: tuple[str, ...]) -> object:
    """Spell GPUs as a file has them."""
    return list(found) or "all"


def composing(value: object) -> tuple[str, ...]:
    """Take the models of a pipeline in any form of ``profile_models``; return their names."""
    if isinstance(value, Mapping):
        return tuple(str(name) for name in value)
    if isinstance(value, list | tuple):
        return tuple(str(name) for each in value for name in _name_of(each))
    return names(value)


def _name_of(value: object) -> Sequence[object]:
    return tuple(value) if isinstance(value, Mapping) else (text(value),)


#: what a plot's axes may be besides a metric
_LOADS = ("batch_size", "concurrency", "concurrency_range", "request_rate", "request_rate_range")
_PLOT = ("title", "x_axis", "y_axis", "monotonic")


def plots(value: object) -> Mapping[str, Any]:
    """Take plots by name, each with title, x_axis, y_axis and monotonic."""
    parts = Parts()
    found = {name: parts.read(name, _plot, each) for name, each in mapping(value).items()}
    parts.check()
    return found


def _plot(value: object) -> Mapping[str, Any]:
    read: Mapping[str, Parse] = {
        "title": text, "x_axis": _axis, "y_axis": _axis, "monotonic": switch
    }  # fmt: skip
    parts = Parts()
    found = {
        name: parts.read(name, read.get(name, _no_part_of_a_plot(name)), each)
        for name, each in mapping(value).items()
    }
    parts.check()
    if absent := [name for name in _PLOT[:3] if name not in found]:
        raise ValueError(f"expected {', '.join(_PLOT[:3])}; {', '.join(absent)} is not there")
    return found


def _no_part_of_a_plot(name: str) -> Parse:
    def parse(_: object) -> None:
        raise ValueError(f"no such part of a plot{near(name, _PLOT)}")

    return parse


def _axis(value: object) -> str:
    return str(value) if value in _LOADS else tag(value)


def report_configs(value: object) -> tuple[str, ...]:
    """Take names of configurations, or names with the plots of each."""
    if not isinstance(value, Mapping):
        return names(value)
    parts = Parts()
    for name, own in value.items():
        parts.read(str(name), _own_plots, own or {})
    parts.check()
    return tuple(map(str, value))


def _own_plots(value: object) -> None:
    parts = Parts()
    for name, each in mapping(value).items():
        parts.read(name, plots if name == "plots" else _no_part_of_a_report(name), each)
    parts.check()


def _no_part_of_a_report(name: str) -> Parse:
    def parse(_: object) -> None:
        raise ValueError(f"expected plots, found {name!r}")

    return parse


def formats(value: object) -> tuple[str, ...]:
    """Take formats of a report: pdf, csv, png, html."""
    parts, one = Parts(), one_of("pdf", "csv", "png", "html")
    found = tuple(parts.read(at, one, each) for at, each in enumerate(names(value)))
    parts.check()
    return found
