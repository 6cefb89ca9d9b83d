"""From a YAML file and flags to options: every error at once, each with its place.

Owns the precedence (flag, then YAML, then default; what a model sets for itself before what all
have) and where each value came from. The keys are Model Analyzer's, so its users' files are read;
what one of them asks that this version does not do is an error that says so, and what cannot
matter here a warning that says why: nothing is silently dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from analyzer.config import conflicts, document, models, parameters, passed, values
from analyzer.config.document import Document
from analyzer.config.keys import BY_NAME, ELSEWHERE, OF_A_MODEL, OF_OTHERS, Effect, Key
from analyzer.config.schema import ProfileOptions, SearchOptions
from analyzer.config.settings import Setting, Settings
from analyzer.config.values import Way, Wrong, near
from analyzer.errors import UsageError
from analyzer.space import Limits

WINDOWS = frozenset({"window_seconds", "max_windows", "tolerance"})
#: what only a model may set
OWN = {
    key.name: key
    for key in (
        Key("cpu_only", values.switch, "cpu_only"),
        Key("model_config_parameters", parameters.dimensions, "parameters"),
        Key("weighting", values.positive, "weighting"),
        Key("triton_server_flags", passed.server, "server_flags"),
    )
}  # fmt: skip
_ALONE = "models are profiled one after another, so none is weighed against another"
_SHARE = "--allow-client-shm"
#: the prefix of settings that are fields of the load client
LOAD = "load."


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was asked, with where each value came from; what was left at its default is not here.

    ``common`` holds what is for all models, ``models`` everything that holds for each of them, and
    ``own`` the part of it that is the model's. ``warnings`` say what has no effect, and why.
    """

    common: Settings
    models: Mapping[str, Settings]
    own: Mapping[str, Settings]
    extras: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def load_options(
    file: Path | None, flags: Mapping[str, Any], strategies: Collection[str] = ()
) -> tuple[ProfileOptions, ...]:
    """Make the options of every model to be profiled: ``options_of(resolve(...))``."""
    return options_of(resolve(file, flags, strategies))


def options_of(resolved: Resolved) -> tuple[ProfileOptions, ...]:
    """Make the options of every model out of what was resolved."""
    return tuple(
        _build(model, settings, resolved.extras) for model, settings in resolved.models.items()
    )


def options_for(resolved: Resolved, model: str) -> ProfileOptions:
    """Make the options of one model, whether it was named or not."""
    return _build(model, resolved.models.get(model, resolved.common), resolved.extras)


def resolve(
    file: Path | None,
    flags: Mapping[str, Any],
    strategies: Collection[str] = (),
    *,
    profiles: bool = True,
) -> Resolved:
    """Read a file and what the command line set, by key.

    ``flags`` may also hold values of fields that have no key (``fresh``). ``strategies`` are the
    search modes there are; () judges none. ``profiles``: models are to be profiled, so there has to
    be one.

    Raises:
        UsageError: every problem found, a line each.
    """
    found = document.read(file) if file is not None else Document("", {})
    reading = _Reading(found)
    reading.read_file()
    reading.check_flags(flags)
    resolved = reading.resolved(flags)
    for setting in _unweighed(resolved):
        reading.idle(setting.source, "weighting", _ALONE)
    for place, what in conflicts.conflicts(resolved.models, strategies):
        reading.problem(place, what)
    for place, name, note in conflicts.unused(resolved.models):
        reading.idle(place, name, note)
    if profiles and not resolved.models and not reading.spoilt:
        reading.problem("", "no model to profile: pass --model NAME, such as --model resnet50")
    reading.finish()
    return replace(resolved, warnings=tuple(reading.warnings()))


class _Options:
    """Takes the options of one owner: the file for all models, one model, or the command line.

    ``passed`` is what perf_analyzer's flags said, which comes before the owner's other keys, and
    which a model's own replace wholesale.
    """

    def __init__(self, reading: _Reading, source: Document | None) -> None:
        self._reading = reading
        self._document = source
        self.settings: dict[str, Setting] = {}
        self.passed: dict[str, Setting] | None = None

    def option(self, key: str, value: object, way: Way) -> None:
        """Read one option's value."""
        if key == "perf_analyzer_flags":
            self._flags(value, way)
            return
        known = OWN.get(key) or BY_NAME[key]
        self._read(known, value, way, self.settings)

    def wrong(self, way: Way, what: str) -> None:
        """Keep a problem."""
        # A flag's place is its name already.
        name = _dotted(way if self._document is not None else way[1:])
        self._reading.problem(self.at(way), f"{name}: {what}" if name else what)

    def at(self, way: Way) -> str:
        """Name a place: ``FILE:line``, or the flag."""
        if self._document is not None:
            return self._document.at(way)
        return f"--{str(way[0]).replace('_', '-')}"

    def _read(self, key: Key, value: object, way: Way, into: dict[str, Setting]) -> None:
        try:
            typed = key.parse(value)
        except Wrong as error:
            for inner, what in error.found:
                self.wrong((*way, *inner), what)
            return
        except ValueError as error:
            self.wrong(way, str(error))
            return
        quiet = typed in key.quiet
        if key.effect is Effect.REFUSED:
            if not quiet:
                self.wrong(way, f"not available here: {key.note}")
            return
        if key.effect is Effect.IDLE and not quiet:
            self._reading.idle(self.at(way), key.name, key.note)
        into[key.name] = Setting(typed, self.at(way), given=value)

    def _flags(self, value: object, way: Way) -> None:
        made = passed.perf_analyzer(value)
        self.passed = {}
        for inner, what in made.wrong:
            self.wrong((*way, *inner), what)
        for name, (inner, note) in made.idle.items():
            self._reading.idle(self.at((*way, *inner)), f"perf_analyzer_flags.{name}", note)
        for key, (inner, given) in made.options.items():
            self._read(BY_NAME[key], given, (*way, *inner), self.passed)
        for target, (inner, read, given) in made.load.items():
            self.passed[LOAD + target] = Setting(read, self.at((*way, *inner)), given)


class _Reading:
    """Gathers what a file and a command line say, and what is wrong with it."""

    def __init__(self, source: Document) -> None:
        self._document = source
        self._problems: list[tuple[str, str]] = [("", each) for each in source.problems]
        self._idle: dict[str, list[tuple[str, str]]] = {}
        self._common = _Options(self, source)
        self._flags = _Options(self, None)
        self._models: dict[str, _Options] = {}
        self._listed = False

    @property
    def spoilt(self) -> bool:
        """Whether models were given, though wrongly."""
        return self._listed

    def problem(self, place: str, what: str) -> None:
        """Keep a problem."""
        self._problems.append((place, what))

    def idle(self, place: str, name: str, note: str) -> None:
        """Keep what has no effect."""
        self._idle.setdefault(note, []).append((place, name))

    def read_file(self) -> None:
        """Read every key of the file."""
        for key, value in self._document.values.items():
            name, way = str(key), (str(key),)
            if value is None or name in OF_OTHERS:
                continue
            if name == "profile_models":
                self._listed = True
                for model, settings, place in models.listed(value, way, self._common):
                    self._models[model] = _Options(self, self._document)
                    models.read(settings, place, self._models[model])
            elif name in BY_NAME or name in ELSEWHERE:
                self._common.option(name, value, way)
            else:
                self.problem(self._document.at(way), f"{name}: {_unknown(name)}")

    def check_flags(self, flags: Mapping[str, Any]) -> None:
        """Read what the command line set, or a program, which may say what no flag does."""
        for key, value in flags.items():
            if key == "profile_models":
                if self._models:
                    what = "given both on the command line and in the file; keep one"
                    self.problem("", f"profile_models: {what}")
                self._listed = True
                self._models = {name: _Options(self, None) for name in values.names(value)}
            elif key in BY_NAME or key in ELSEWHERE or key in OWN:
                self._flags.option(key, value, (key,))

    def resolved(self, flags: Mapping[str, Any]) -> Resolved:
        """Put what was read together, by precedence."""
        given = {**(self._flags.passed or {}), **self._flags.settings}
        common = {**self._common.settings, **(self._common.passed or {}), **given}
        whole, own = {}, {}
        for name, options in self._models.items():
            passed_on = self._common.passed if options.passed is None else {}
            own[name] = {**options.settings, **(options.passed or {})}
            common_here = {**self._common.settings, **(passed_on or {})}
            for other in conflicts.other_loop(own[name]):
                # Who has a load of his own does not want the other kind, which all the rest have.
                common_here.pop(other, None)
            whole[name] = {**common_here, **own[name], **given}
        extras = {
            key: value for key, value in flags.items()
            if not (key in BY_NAME or key in ELSEWHERE or key in OWN)
        }  # fmt: skip
        if self._document.source:
            extras["config_file"] = Path(self._document.source)
            extras["listed"] = "profile_models" not in flags
        return Resolved(common, whole, own, extras)

    def warnings(self) -> Iterator[str]:
        """Say what has no effect: a line for each reason."""
        for note, found in self._idle.items():
            names = dict.fromkeys(name for _, name in found)
            verb = "have" if len(names) > 1 else "has"
            places = ", ".join(dict.fromkeys(place for place, _ in found if place[:2] != "--"))
            yield f"{places + ': ' if places else ''}{_and(names)} {verb} no effect here: {note}"

    def finish(self) -> None:
        """Raise UsageError if anything was wrong; the file's problems in the order of its lines."""
        if not self._problems:
            return
        said = [f"{place}: {what}" if place else what for place, what in self._problems]
        raise UsageError("\n".join(sorted(dict.fromkeys(said), key=self._order)))

    def _order(self, text: str) -> tuple[bool, int]:
        rest = text.removeprefix(f"{self._document.source}:")
        number = rest.partition(":")[0]
        here = bool(self._document.source) and rest != text and number.isdecimal()
        return not here, int(number) if here else 0


def _unweighed(resolved: Resolved) -> Iterator[Setting]:
    """Yield weights of models that are not profiled at the same time as any other."""
    for settings in resolved.models.values():
        weight = settings.get("weighting")
        at_once = settings.get("run_config_profile_models_concurrently_enable")
        if weight is not None and weight.value != 1.0 and not (at_once and at_once.value):
            yield weight


def _build(model: str, settings: Settings, extras: Mapping[str, Any]) -> ProfileOptions:
    rest: dict[str, Any] = {**extras, **dict(_acted(settings))}
    load = {name.removeprefix(LOAD): setting.value for name, setting in settings.items()
            if name.startswith(LOAD)}  # fmt: skip
    if load:
        rest["load"] = load
    if load.get("shared_memory", "none") != "none":
        rest["server_flags"] = _sharing(rest.get("server_flags", ()))
    limits = _limits(_taken(rest, Limits))
    rest["search"] = SearchOptions(**_taken(rest, SearchOptions))
    if rest.get("search_disabled") and limits.concurrencies is None and not limits.varies_rates:
        limits = replace(limits, concurrencies=(1,))
    usual = ProfileOptions(model=model, limits=limits)
    if WINDOWS & rest.keys():
        # Who says how long windows are wants windows.
        rest.setdefault("rule", "windows")
    if "max_seconds" in rest:
        rest.setdefault("min_seconds", min(usual.min_seconds, rest["max_seconds"]))
    elif "min_seconds" in rest:
        rest["max_seconds"] = max(usual.max_seconds, rest["min_seconds"])
    if "precision" in rest:
        throughput, latency = rest["precision"]
        rest["precision"] = (throughput, usual.precision[1] if latency is None else latency)
    return replace(usual, **rest)


def _acted(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the fields that options set."""
    for name, setting in settings.items():
        key = None if name.startswith(LOAD) else OWN.get(name) or BY_NAME[name]
        if key is not None and key.effect is Effect.ACTED:
            yield key.field, setting.value


def _sharing(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Let a server that is started here take clients' memory, unless its flags say something."""
    said = any(flag.startswith(_SHARE) for flag in flags)
    return flags if said else (*flags, f"{_SHARE}=true")


def _limits(given: dict[str, Any]) -> Limits:
    """Make the limits of a search; one batch size is a figure of the load, several are tried."""
    sizes = given.pop("batch_sizes", None)
    if sizes is not None:
        given["batch_size"] = sizes[0]
        given["batch_sizes"] = sizes if len(sizes) > 1 else None
    return Limits(**given)


def _taken(values_: dict[str, Any], kind: type[Limits | SearchOptions]) -> dict[str, Any]:
    """Take the fields of a part of the options out of what was given."""
    return {each.name: values_.pop(each.name) for each in fields(kind) if each.name in values_}


def _dotted(way: Iterable[str | int]) -> str:
    """Spell the way to a value: ``profile_models.a.objectives``."""
    text = ""
    for part in way:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _and(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _unknown(key: str) -> str:
    if key in OF_A_MODEL:
        return f"it does not stand at the top of a file, but in {OF_A_MODEL[key]}"
    return "no such option" + near(key, [*BY_NAME, *ELSEWHERE, *OF_OTHERS])
