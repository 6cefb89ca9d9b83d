"""The metrics page, put together: every model that is ready, the machine, models' own metrics.

Owns what is on it. Numbers are taken on the event loop's thread, which is quick; quantiles and the
text are made of them elsewhere, so that nobody's request waits for the page. Does not own the
families (``families``, ``devices``, ``custom``), their form (``exposition``), or the port they are
read from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from engine.telemetry.custom import CustomMetrics
from engine.telemetry.exposition import render
from engine.telemetry.families import Described, families
from engine.telemetry.pictures import SpreadPicture

if TYPE_CHECKING:
    from engine.clock import Clock
    from engine.metering import Metering
    from engine.telemetry.devices import Devices
    from engine.telemetry.stats import ModelStatistics, Spread


class Tagged(Protocol):
    """What is read of a model's configuration."""

    @property
    def metric_tags(self) -> Mapping[str, str]:
        """Labels that its series have besides."""
        ...


class Measured(Protocol):
    """A model version that is ready (``engine.execution.model.ServedModel``)."""

    @property
    def config(self) -> Tagged:
        """Its configuration."""
        ...

    @property
    def load_ns(self) -> int:
        """How long it took to load."""
        ...

    @property
    def spread(self) -> Spread | None:
        """What is known of single requests' times."""
        ...

    def statistics(self) -> ModelStatistics:
        """Say what was done so far."""
        ...


class MetricsPage:
    """The page; ``models`` are those that are ready when it is written."""

    def __init__(
        self,
        models: Callable[[], Sequence[Measured]],
        devices: Devices,
        metering: Metering,
        clock: Clock,
        custom: CustomMetrics | None = None,
    ) -> None:
        self._models = models
        self._devices = devices
        self._metering = metering
        self._now_ns = clock.now_ns
        self._custom = custom or CustomMetrics()

    def freeze(self) -> Callable[[], str]:
        """Take the numbers as they are now; what comes back writes them, on any thread."""
        described = [self._describe(model) for model in self._models()]

        def write() -> str:
            of_models = families(described, self._metering, self._devices.uuid)
            return render(chain(of_models, self._devices.families(), self._custom.families()))

        return write

    def _describe(self, model: Measured) -> Described:
        spread = model.spread
        return Described(
            statistics=model.statistics(),
            tags=model.config.metric_tags,
            load_ns=model.load_ns,
            spread=SpreadPicture() if spread is None else spread.picture(self._now_ns()),
        )
