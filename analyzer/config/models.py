"""``profile_models``: which models, and what each sets for itself. Pure.

Takes Model Analyzer's four forms: names with commas, a list of names, a list that mixes names and
mappings, and a mapping. Owns which keys a model may have; the values are read by the reader it is
given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from analyzer.config import values
from analyzer.config.values import Way, near

#: keys of a model that are options for all models as well, and mean the same
SHARED = (
    "objectives",
    "constraints",
    "shapes",
    "perf_analyzer_flags",
    "genai_perf_flags",
    "triton_server_flags",
    "triton_server_environment",
    "triton_docker_args",
)
#: keys of ``parameters``
PARAMETERS = ("batch_sizes", "concurrency", "request_rate")
KEYS = (*SHARED, "parameters", "cpu_only", "weighting", "model_config_parameters")


class Reader(Protocol):
    """Takes one option's plain value, or a complaint."""

    def option(self, key: str, value: object, way: Way) -> None:
        """Read an option that stands at ``way``."""
        ...

    def wrong(self, way: Way, what: str) -> None:
        """Keep a problem."""
        ...


def listed(value: object, way: Way, reader: Reader) -> Iterator[tuple[str, object, Way]]:
    """Yield each model's name, its settings and where they stand; complain of what is neither."""
    seen: set[str] = set()
    for name, settings, place in _forms(value, way, reader):
        if not name:
            reader.wrong(place, "a model has no name")
        elif name in seen:
            reader.wrong(place, f"{name!r} stands twice; keep one")
        else:
            seen.add(name)
            yield name, settings, place


def _forms(value: object, way: Way, reader: Reader) -> Iterator[tuple[str, object, Way]]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        yield from ((name, None, way) for name in values.names(str(value)))
    elif isinstance(value, Mapping):
        yield from ((str(name), own, (*way, str(name))) for name, own in value.items())
    elif isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from ((str(name), own, (*way, at, str(name))) for name, own in item.items())
            elif isinstance(item, str | int) and not isinstance(item, bool):
                yield str(item).strip(), None, (*way, at)
            else:
                reader.wrong((*way, at), f"expected a model's name, found {item!r}")
    else:
        reader.wrong(way, f"expected names of models, found {value!r}")


def read(settings: object, way: Way, reader: Reader) -> None:
    """Read what one model sets for itself."""
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        reader.wrong(way, f"expected options of that model, found {settings!r}")
        return
    for key, value in settings.items():
        place = (*way, str(key))
        if key == "parameters":
            _parameters(value, place, reader)
        elif key in KEYS:
            if value is not None:
                reader.option(str(key), value, place)
        else:
            reader.wrong(place, f"no such option of a model{_hint(str(key))}")


def _parameters(value: object, way: Way, reader: Reader) -> None:
    if not isinstance(value, Mapping):
        reader.wrong(way, f"expected {', '.join(PARAMETERS)}; found {value!r}")
        return
    if "concurrency" in value and "request_rate" in value:
        reader.wrong(way, "concurrency and request_rate exclude each other; keep one")
    for key, given in value.items():
        if key not in PARAMETERS:
            place = (*way, str(key))
            reader.wrong(place, f"no such parameter{near(str(key), PARAMETERS) or _there()}")
        elif given is not None:
            reader.option(str(key), given, (*way, str(key)))


def _there() -> str:
    return f"; there are: {', '.join(PARAMETERS)}"


def _hint(key: str) -> str:
    if key in PARAMETERS:
        return f"; it stands under parameters: {key}"
    return near(key, KEYS) or "; it may stand at the top of the file, for all models"
