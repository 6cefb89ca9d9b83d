"""What to measure and what to keep, as the command line says it: metrics and the response cache.

Owns the values and the forms of ``--metrics-config`` and ``--cache-config``, in Triton's words.
Does not own how anything is counted (``telemetry``), nor what a cache's settings mean
(``caches``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.errors import InvalidArgument

_TRUE, _FALSE = ("true", "on", "1"), ("false", "off", "0")
_SWITCHES = (
    "counter_latencies",
    "histogram_latencies",
    "summary_latencies",
    "queue_histogram",
    "batches",
    "instance_use",
)
_SETTINGS = (*_SWITCHES, "summary_quantiles")


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile between 0 and 1, and by how much its rank may be off.

    0.9 and 0.01: between 89 and 91 % of what was seen is not above the answer.
    """

    quantile: float
    error: float


#: Triton's.
QUANTILES: tuple[Quantile, ...] = (
    Quantile(0.5, 0.05),
    Quantile(0.9, 0.01),
    Quantile(0.95, 0.001),
    Quantile(0.99, 0.001),
    Quantile(0.999, 0.001),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """What the metrics page shows beside counts.

    ``counter_latencies`` are the sums of durations, ``histogram_latencies`` decoupled models'
    times to the first response, ``summary_latencies`` quantiles of the parts of a request's
    time. The others are this server's own additions: a histogram of the times in the queue, how
    many batches of which size ran and why they had no more in them, and how long instances were
    busy.
    """

    counter_latencies: bool = True
    histogram_latencies: bool = False
    summary_latencies: bool = False
    summary_quantiles: tuple[Quantile, ...] = QUANTILES
    queue_histogram: bool = False
    batches: bool = False
    instance_use: bool = False


def metrics_config(texts: Iterable[str]) -> Metering:
    """Read every ``--metrics-config SETTING=VALUE``; of one given twice the last holds.

    Raises:
        InvalidArgument: one of them has another form, or sets what there is not.
    """
    quantiles = QUANTILES
    switches: dict[str, bool] = {}
    for text in texts:
        setting, equals, value = text.partition("=")
        setting = setting.strip()
        if not equals or not setting or "," in setting:
            raise InvalidArgument(
                f"--metrics-config option format is '<setting>=<value>'. Got {text}"
            )
        if setting == "summary_quantiles":
            quantiles = _quantiles(value)
        elif setting in _SWITCHES:
            switches[setting] = _switch(setting, value)
        else:
            raise InvalidArgument(
                f"--metrics-config: unknown setting '{setting}'; there are {', '.join(_SETTINGS)}"
            )
    return Metering(summary_quantiles=quantiles, **switches)


def _switch(setting: str, value: str) -> bool:
    word = value.strip().strip('"').lower()
    if word not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"--metrics-config: {setting}: expected true or false, got {value!r}")
    return word in _TRUE


def _quantiles(text: str) -> tuple[Quantile, ...]:
    """Read ``0.5:0.05,0.9:0.01``."""
    found = []
    for pair in text.strip().strip('"').split(","):
        quantile, colon, error = pair.partition(":")
        try:
            one = Quantile(float(quantile), float(error))
        except ValueError:
            colon, one = "", Quantile(0, 0)
        if not colon:
            raise InvalidArgument(
                "--metrics-config: summary_quantiles: expected "
                f"'<quantile>:<error>,<quantile>:<error>', got '{pair}' in {text!r}"
            )
        if not (0 < one.quantile < 1 and 0 < one.error < 1):
            raise InvalidArgument(
                f"--metrics-config: summary_quantiles: '{pair}': a quantile and its error lie "
                "between 0 and 1"
            )
        found.append(one)
    if len({one.quantile for one in found}) < len(found):
        raise InvalidArgument(f"--metrics-config: summary_quantiles: {text!r} names one twice")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CacheChoice:
    """The response cache to use, by its name, and its settings."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)


def cache_config(texts: Iterable[str]) -> CacheChoice | None:
    """Read every ``--cache-config NAME,SETTING=VALUE``; settings of one cache add up.

    Raises:
        InvalidArgument: one of them has another form, or they name more than one cache.
    """
    choice: CacheChoice | None = None
    for text in texts:
        name, *pairs = (part.strip() for part in text.split(","))
        settings = dict(_setting(pair, text) for pair in pairs)
        if not name or "=" in name or not settings:
            raise _bad_cache(text)
        if choice is None:
            choice = CacheChoice(name)
        elif choice.name != name:
            raise InvalidArgument(
                f"--cache-config: {choice.name} and {name}: a server has one response cache; "
                "keep one"
            )
        choice = CacheChoice(name, {**choice.settings, **settings})
    return choice


def _setting(pair: str, text: str) -> tuple[str, str]:
    setting, equals, value = pair.partition("=")
    if not setting or not equals:
        raise _bad_cache(text)
    return setting, value


def _bad_cache(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"--cache-config option format is '<cache name>,<setting>=<value>'. Got {text}"
    )
