"""How the larger values of Model Analyzer's files are read: plots, pipelines, mounts. Pure.

As in ``values``: a plain value goes in, the typed one comes out, or ValueError with what was
expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from analyzer.config import parameters
from analyzer.config.models import KEYS as OF_A_MODEL
from analyzer.config.schema import Composing
from analyzer.config.values import (
    Parse,
    Parts,
    Way,
    mapping,
    member,
    names,
    near,
    one_of,
    switch,
    tag,
    text,
    whole,
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


def side_by_side(value: object) -> int:
    """Take ``off``, as 0, ``auto``, as -1, or how many GPUs at most."""
    # YAML has off as false.
    if value is False or value in {"off", "auto"}:
        return -1 if value == "auto" else 0
    try:
        return int(whole()(value))
    except ValueError as error:
        raise ValueError(f"expected off, auto, or a number of GPUs, found {value!r}") from error


def side_by_side_text(found: int) -> object:
    """Spell that as a file has it."""
    return {0: "off", -1: "auto"}.get(found, found)


def composing(value: object) -> tuple[Composing, ...]:
    """Take the models of a pipeline in any form of ``profile_models``."""
    parts = Parts()
    found: list[Composing] = []
    for way, name, own in _composing(value):
        if name in {each.name for each in found}:
            parts.wrong.append((way, f"{name!r} stands twice; keep one"))
            continue
        made = Parts()
        read = _own_of(name, own, made)
        parts.wrong += [((*way, *inner), what) for inner, what in made.wrong]
        if read is not None:
            found.append(read)
    parts.check()
    return tuple(found)


def composing_texts(found: tuple[Composing, ...]) -> list[str]:
    """Spell the models of a pipeline as a file has them that says no more of them."""
    return [each.name for each in found]


def _composing(value: object) -> Iterator[tuple[Way, str, object]]:
    """Yield each model's place, name and settings."""
    if isinstance(value, Mapping):
        yield from (((str(name),), str(name), own) for name, own in value.items())
    elif isinstance(value, list | tuple):
        for at, each in enumerate(value):
            if isinstance(each, Mapping):
                yield from (((at, str(name)), str(name), own) for name, own in each.items())
            else:
                yield (at,), text(each), None
    else:
        yield from (((), name, None) for name in names(value))


def _own_of(name: str, own: object, parts: Parts) -> Composing | None:
    if own is not None and not isinstance(own, Mapping):
        parts.wrong.append(((), f"expected options of that model, found {own!r}"))
        return None
    read: Mapping[str, Parse] = {
        "model_config_parameters": parameters.dimensions, "cpu_only": switch
    }  # fmt: skip
    given: dict[str, Any] = {}
    for key, each in (own or {}).items():
        if str(key) in read:
            given[str(key)] = parts.read(str(key), read[str(key)], each)
        elif each or str(key) not in OF_A_MODEL:
            known = " and ".join(read)
            hint = near(str(key), list(read)) or (
                "; the profiled model alone is loaded, so only that has loads and goals"
            )
            what = f"expected {known}, found {str(key)!r}{hint}"
            parts.wrong.append(((str(key),), what))
    return Composing(
        name=name,
        parameters=given.get("model_config_parameters") or (),
        cpu_only=bool(given.get("cpu_only")),
    )


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
    """Take formats of a report: Model Analyzer's pdf, csv, png, html, and ours."""
    parts = Parts()
    one = one_of("pdf", "csv", "png", "html", "json", "md", "parquet", "svg")
    found = tuple(parts.read(at, one, each) for at, each in enumerate(names(value)))
    parts.check()
    return found
