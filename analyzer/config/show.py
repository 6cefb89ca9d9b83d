"""The resolved configuration as text: YAML that can be read again, or JSON, with each source. Pure.

Owns what is shown: every option that is acted on, with its default where nothing was given, and
what was given without effect, with the reason. Each value has its source: ``default``,
``FILE:line``, or a flag.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from analyzer.config import conflicts, models, passed
from analyzer.config.keys import KEYS, Effect, Key
from analyzer.config.load import LOAD, OWN, Resolved
from analyzer.config.schema import ProfileOptions
from analyzer.config.settings import Setting, Settings

#: a setting's name, plain value and source
Shown = tuple[str, Any, str]
DEFAULT = "default"
_ALL_READ: Mapping[tuple[str, str], str] = {}
#: what is typed no more briefly than it was given
_AS_GIVEN = frozenset(
    {"model_config_parameters", "bls_composing_models", "ensemble_composing_models"}
)
_WIDEST = 48  # columns from the left at which sources stand, if the values let them


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a heading, or a setting with its source."""

    text: str
    source: str = ""
    heading: bool = False


def lines(resolved: Resolved) -> tuple[Line, ...]:
    """Lay the configuration out as YAML with comments."""
    made: list[Line] = []
    panel = ""
    unread = _unread(resolved.models)
    for key, setting in _every(resolved.common):
        if key.panel != panel:
            panel = key.panel
            made.append(Line(f"# {panel}", heading=True))
        made += _entry(key.name, _shown(key, setting), _source(key, setting, unread), "")
    if client := list(_load(resolved.common)):
        made += [Line("perf_analyzer_flags:")]
        for name, value, source in client:
            made += _entry(name, value, source, "  ")
    made += [Line("# Models", heading=True), Line("profile_models:")]
    for model, own in resolved.own.items():
        made.append(Line(f"  {_word(model)}:" + " {}" * (not own)))
        for group, settings in _own(own).items():
            made += [Line(f"    {group}:")] if group else []
            for name, value, source in settings:
                made += _entry(name, value, source, "      " if group else "    ")
    return tuple(made)


def text(shown: tuple[Line, ...]) -> str:
    """Spell lines as YAML: the sources are comments, in one column as far as that goes."""
    column = min(_WIDEST, max((len(each.text) for each in shown if each.source), default=0))
    return "\n".join(
        f"{each.text:<{column}}  # {each.source}" if each.source else each.text for each in shown
    )


def as_json(resolved: Resolved) -> str:
    """Spell the configuration as JSON: each option an object of value and source."""
    whole = {
        "options": {
            key.name: {"value": _shown(key, setting), "source": _where(setting)}
            for key, setting in _every(resolved.common)
        },
        "perf_analyzer_flags": _sourced(_load(resolved.common)),
        "models": {
            model: {
                name: each
                for group, settings in _own(own).items()
                for name, each in (
                    {group: _sourced(settings)} if group else _sourced(settings)
                ).items()
            }
            for model, own in resolved.own.items()
        },
        "warnings": list(resolved.warnings),
    }
    return json.dumps(whole, indent=2)


def _every(settings: Settings) -> Iterator[tuple[Key, Setting | None]]:
    """Yield the options to show: those acted on, and what was given without effect."""
    for key in (*KEYS, OWN["triton_server_flags"]):
        setting = settings.get(key.name)
        if setting is not None or (key.effect is Effect.ACTED and key not in OWN.values()):
            yield key, setting


def _load(settings: Settings) -> Iterator[Shown]:
    """Yield the load client's settings under perf_analyzer's names."""
    for name, setting in settings.items():
        if name.startswith(LOAD):
            yield passed.spelt(name.removeprefix(LOAD)), _plain(setting.given), setting.source


def _own(settings: Settings) -> Mapping[str, list[Shown]]:
    """Return what a model sets for itself, by the mapping that it stands in; "" for none."""
    known = {key.name: key for key in (*KEYS, *OWN.values())}
    grouped: dict[str, list[Shown]] = {}
    for name, setting in settings.items():
        key = known.get(name)
        if key is not None and name in (*models.KEYS, *models.PARAMETERS):
            group = "parameters" if name in models.PARAMETERS else ""
            shown = (name, _shown(key, setting), _source(key, setting))
            grouped.setdefault(group, []).append(shown)
        elif key is not None:
            shown = (passed.spelt(name), _plain(setting.given), setting.source)
            grouped.setdefault("perf_analyzer_flags", []).append(shown)
    if client := list(_load(settings)):
        grouped.setdefault("perf_analyzer_flags", []).extend(client)
    return grouped


def _sourced(settings: Iterable[Shown]) -> dict[str, Any]:
    return {name: {"value": value, "source": source} for name, value, source in settings}


def _shown(key: Key, setting: Setting | None) -> Any:  # noqa: ANN401 - of any type
    if setting is not None and (key.name in _AS_GIVEN or not key.field):
        return _plain(setting.given)
    if setting is not None and key.name == "triton_server_flags":
        return _plain(setting.given)
    value = _default(key) if setting is None else setting.value
    return value if value is None else _plain(key.show(value) if key.show else value)


def _default(key: Key) -> Any:  # noqa: ANN401 - of any type
    usual = ProfileOptions(model="")
    if key.name == "batch_sizes":
        return usual.limits.batch_size
    owner = next(each for each in (usual, usual.limits, usual.search) if hasattr(each, key.field))
    return getattr(owner, key.field)


def _where(setting: Setting | None) -> str:
    return DEFAULT if setting is None else setting.source


def _unread(models: Mapping[str, Settings]) -> Mapping[tuple[str, str], str]:
    """Return why the search mode does not read an option, by its name and source."""
    return {(name, source): why for source, name, why in conflicts.unused(models)}


def _source(
    key: Key, setting: Setting | None, unread: Mapping[tuple[str, str], str] = _ALL_READ
) -> str:
    where = _where(setting)
    if (note := unread.get((key.name, where))) is not None:
        return f"{where}; no effect: {note}"
    if setting is None and key.usual:
        return f"{where}: {key.usual}"
    if key.effect is Effect.IDLE and setting is not None and setting.value not in key.quiet:
        return f"{where}; no effect: {key.note}"
    return where


def _entry(name: str, value: Any, source: str, indent: str) -> Iterator[Line]:  # noqa: ANN401 - of any type
    """Yield the lines of one setting; the first has the source."""
    if isinstance(value, Mapping) and value:
        yield Line(f"{indent}{_word(name)}:", source)
        for each, inner in value.items():
            yield from _entry(str(each), inner, "", f"{indent}  ")
    else:
        yield Line(f"{indent}{_word(name)}: {_word(value)}", source)


def _word(value: object) -> str:
    """Spell a value in one line of YAML."""
    spelt: str = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False)
    return spelt.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any type
    """Make a value what YAML and JSON have words for."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
