"""What ``analyze`` does, for programs and notebooks.

::

    from analyzer import load_results, profile

    results = profile(model="resnet50", model_repository="models", latency_budget=20)
    results = load_results("results/resnet50")

Owns the functions and what they return. Errors are ``AnalyzerError``; nothing is printed unless
progress is asked for, and the process is never ended. Both functions block until they are done; in
a thread other than the main one no signal is touched.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analyzer import compose, provision, strategy
from analyzer import report as reports
from analyzer import results as profiled
from analyzer.config import load
from analyzer.config.keys import BY_NAME, ELSEWHERE
from analyzer.config.schema import ProfileOptions
from analyzer.errors import AnalyzerError, UsageError
from analyzer.interruption import INTERRUPTED
from analyzer.ranking.rank import Gain, Standing
from analyzer.record.row import Row
from analyzer.report.evidence import advantage, gather
from analyzer.report.files import commands_of
from analyzer.report.formats import ALWAYS, TOP
from analyzer.report.frame import to_pandas
from analyzer.report.markdown import markdown
from analyzer.report.summary import summary
from analyzer.report.verdict import judge
from engine.errors import EngineError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnalyzerError", "Configuration", "Results", "load_results", "profile"]

_FLAG = re.compile(r"^--([a-z0-9-]+)(?=:)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration of the model, at the load that suits it best.

    ``metrics`` are by tag, in their units: the means of the verification, where it was verified,
    else of its best measurement. ``settings`` are those that reports show; ``configs`` are the
    config.pbtxt texts of all models that were served, by name, the profiled one's first.
    ``percent`` is how much better than the default it measured; None: it cannot be compared.
    """

    name: str
    is_default: bool
    satisfies: bool
    percent: float | None
    metrics: Mapping[str, float]
    settings: Mapping[str, Any]
    configs: Mapping[str, str]
    concurrency: int | None
    request_rate: float | None
    batch_size: int

    @property
    def config(self) -> str:
        """The config.pbtxt that was served, of the first model where there are several."""
        return next(iter(self.configs.values()), "")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Results:
    """What was measured of a model, ranked under a goal. ``path`` is the folder that holds it.

    ``taken`` are the rows as they were measured, and ``evidence`` is what came of them under the
    goal, which reports are made of.
    """

    path: Path
    taken: tuple[Row, ...]
    evidence: reports.Evidence

    def __repr__(self) -> str:
        measured = len(self.evidence.measured)
        return (
            f"<Results of {self.model}: {measured} measurements; {judge(self.evidence).headline}>"
        )

    def _repr_markdown_(self) -> str:
        """Return what a notebook shows."""
        return markdown(self.evidence, commands_of(self.evidence, self.path), TOP)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.evidence.model

    @property
    def goal(self) -> str:
        """What configurations are ranked by, in words."""
        return self.evidence.goal.describe()

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        return judge(self.evidence).sentence

    @property
    def best(self) -> Configuration | None:
        """The configuration to serve: the default, unless another is proven better.

        None where nothing could be measured.
        """
        return self._configuration(self.evidence.chosen)

    @property
    def default(self) -> Configuration | None:
        """The default configuration; None where it was not measured."""
        return self._configuration(self.evidence.default)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every configuration that was measured, the best first."""
        found = (self._configuration(each) for each in self.evidence.standings)
        return tuple(each for each in found if each is not None)

    @property
    def gain(self) -> Gain | None:
        """How much better the best other configuration is than the default, in per cent.

        With its 95 % interval: ``percent``, ``low``, ``high``, ``proven``, ``method``. None where
        there is nothing to compare.
        """
        return self.evidence.gain

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every measurement in the order in which it was taken, those that failed too."""
        return self.evidence.rows

    @property
    def chosen_config(self) -> str:
        """The config.pbtxt of ``best``; "" where there is none."""
        return "" if self.best is None else self.best.config

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a line for each of ``rows``.

        Columns are named by the metrics' tags, the ends of intervals ``TAG_low`` and ``TAG_high``.
        """
        return to_pandas(self.evidence)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``summary.json`` holds."""
        return summary(self.evidence, commands_of(self.evidence, self.path))

    def rank(
        self,
        objectives: Sequence[str] | Mapping[str, float] | None = None,
        constraints: Sequence[str] | Mapping[str, Mapping[str, float]] | None = None,
        *,
        latency_budget: float | None = None,
        min_throughput: float | None = None,
        cost_per_hour: float | None = None,
    ) -> Results:
        """Rank what was measured under another goal; nothing is measured again.

        ``objectives`` are tags, or tags with weights; ``constraints`` ``{tag: {"max": number}}``,
        or texts such as "perf_latency_p99<=20". ``latency_budget`` is in ms, ``min_throughput`` in
        inferences a second. A price alone is added to the goal that there is.

        Raises:
            AnalyzerError: a metric does not exist, or bounds cannot hold.
        """
        wanted = profiled.Wanted(
            objectives=[objectives] if isinstance(objectives, str) else objectives,
            constraints=[constraints] if isinstance(constraints, str) else constraints,
            latency_budget=latency_budget,
            min_throughput=min_throughput,
            cost_per_hour=cost_per_hour,
        )
        old = self.evidence
        # Of the rows as measured: what a goal adds to them is not the next one's.
        found = gather(old.head, self.taken, wanted.over(old.goal), old.omitted)
        return replace(self, evidence=found)

    def report(
        self,
        path: str | PathLike[str] | None = None,
        *,
        formats: str | Sequence[str] = ALWAYS,
        top: int = TOP,
    ) -> tuple[Path, ...]:
        """Write the report's files to a folder, and return them.

        ``path`` None: the folder of the results. ``formats`` are some of html, json, csv, md,
        parquet, pdf, svg, png; ``top`` configurations are in plots and in the Markdown summary.

        Raises:
            AnalyzerError: a format is unknown or needs what is not installed, or a file cannot be
                written.
        """
        listed = formats if isinstance(formats, str) else list(formats)
        old = self.evidence
        try:
            files = reports.Files(formats=reports.formats_of(listed), top=top)
            return reports.write(
                old.head, self.taken, old.goal, self.path if path is None else Path(path),
                omitted=old.omitted, results=self.path, files=files,
            )  # fmt: skip
        except UsageError as error:
            raise UsageError(_plain(error.message)) from error
        except OSError as error:
            raise _unreadable(error) from error

    def _configuration(self, standing: Standing | None) -> Configuration | None:
        if standing is None:
            return None
        best = standing.best
        is_open = best.load.is_open
        default = self.evidence.default
        return Configuration(
            name=standing.variant,
            is_default=standing.is_default,
            satisfies=standing.satisfies,
            percent=None if default is None else advantage(self.evidence.goal, best, default.best),
            metrics=self.evidence.typical(standing),
            settings=best.settings,
            configs=best.configs,
            concurrency=None if is_open else best.load.concurrency,
            request_rate=best.load.request_rate if is_open else None,
            batch_size=best.load.batch_size,
        )


def profile(
    model: str | Sequence[str] | None = None,
    *,
    config_file: str | PathLike[str] | None = None,
    progress: bool = False,
    fresh: bool = False,
    **options: Any,  # noqa: ANN401 - each option has its own type
) -> Results:
    """Profile a model, as ``analyze profile`` does, and return what was found.

    ``options`` are those of the command line or a file by their names there, with values as YAML
    would have them: ``model_repository="models"``, ``max_time=60``,
    ``constraints={"perf_latency_p99": {"max": 20}}``, ``perf_analyzer_flags={"shape": "X:3,4"}``.
    ``config_file`` is a YAML file with more; what is given here comes first. Several models are
    profiled together, with ``run_config_profile_models_concurrently_enable=True``, or one by one,
    by a call for each. What was measured before under the same options is not measured again,
    unless ``fresh``. ``progress`` prints what the command line does.

    It blocks for as long as measuring takes. In the main thread the first Ctrl-C ends it after the
    running measurement; what was measured is kept, and the same call goes on from there. What an
    option cannot do here is a ``UserWarning``.

    Raises:
        AnalyzerError: an option is wrong, no server came up, or nothing could be measured.
        KeyboardInterrupt: it was interrupted.
    """
    given = _given(model, fresh=fresh, options=options)
    console = _screen(progress=progress)
    try:
        found = load.resolve(
            None if config_file is None else Path(config_file), given, strategy.known()
        )
        for text in found.warnings:
            warnings.warn(_plain(text), stacklevel=2)
        every = load.options_of(found)
        whole = _one(every)
        code = compose.profile(every, console)
    except UsageError as error:
        raise UsageError(_plain(error.message)) from error
    except EngineError as error:
        raise AnalyzerError(error.message) from error
    except OSError as error:
        raise _unreadable(error) from error
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return load_results(whole.export_path / whole.model)


def load_results(
    path: str | PathLike[str], *, export_path: str | PathLike[str] = "results"
) -> Results:
    """Read the results of a profile, under the goal that it had.

    ``path`` is the folder of a model's results, the journal in it, or the model's name, whose
    folder is in ``export_path``.

    Raises:
        AnalyzerError: there are none, or they cannot be read.
    """
    named = Path(path)
    folder = named.parent if named.is_file() else named
    try:
        place = profiled.locate(Path(export_path), str(folder))
        contents, omitted = profiled.measured(place)
        goal = profiled.read_goal(place)
    except UsageError as error:
        raise UsageError(_plain(error.message)) from error
    except OSError as error:
        raise _unreadable(error) from error
    return Results(
        path=place.root,
        taken=tuple(contents.rows),
        evidence=gather(contents.head, contents.rows, goal, omitted),
    )


def _given(
    model: str | Sequence[str] | None, *, fresh: bool, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a call says, as a command line would."""
    known = {*BY_NAME, *ELSEWHERE, *load.OWN}
    for name in options.keys() - known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{name}: no such option{hint}")
    given = {name: value for name, value in options.items() if value is not None}
    if model is not None:
        if "profile_models" in given:
            raise UsageError("profile_models: model names the model already; keep one")
        given["profile_models"] = model
    named = given.get("profile_models", "")
    if not isinstance(named, str | list | tuple) or not all(isinstance(one, str) for one in named):
        raise UsageError(
            f"model: expected a name or a list of names, found {named!r}; what a file can say of "
            "each model is read by config_file"
        )
    return {**given, "fresh": True} if fresh else given


def _one(every: Sequence[ProfileOptions]) -> ProfileOptions:
    """Return the options of what is profiled."""
    if len(every) == 1:
        return every[0]
    if every[0].concurrently:
        return provision.joint(every)
    raise UsageError(
        f"model: {', '.join(each.model for each in every)} are profiled one after another: call "
        "profile() for each, or set run_config_profile_models_concurrently_enable=True"
    )


def _screen(*, progress: bool) -> Console:
    """Return where progress is printed; without it, nowhere."""
    if not progress:
        return Console(file=StringIO(), quiet=True, force_terminal=False, force_jupyter=False)
    screen = Console(force_jupyter=False)
    return screen if screen.is_terminal else Console(force_jupyter=False, soft_wrap=True)


def _plain(text: str) -> str:
    """Name options as a call does, not as a command line."""
    return _FLAG.sub(lambda match: match[1].replace("-", "_"), text)


def _unreadable(error: OSError) -> AnalyzerError:
    return AnalyzerError(f"{error.filename or 'results'}: {error.strerror or error}")
