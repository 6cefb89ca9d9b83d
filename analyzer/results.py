"""What can be done with a profile that is over: report anew, put the winner to use.

Owns the goal that is kept beside the journal, and the two commands that need no measurement.
Does not own the ranking (``ranking``) or the pages (``report``).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm
from rich.syntax import Syntax

from analyzer import checkpoint, variant, workspace
from analyzer import report as reports
from analyzer.config import load, values
from analyzer.config.settings import Settings
from analyzer.errors import AnalyzerError, NothingMeasured, UsageError
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.rank import Standing, is_default, recommended
from analyzer.record import journal as journals
from analyzer.record.row import SCHEMA, Row, RunHead
from analyzer.terminal import closing_words, gain_words
from analyzer.workspace import CONFIG, Workspace
from engine.modelconfig import convert

#: the goal of the last profile, beside its journal
GOAL = "goal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A goal as the command line of ``analyze report`` has it; all None: the profile's own.

    A price alone is added to the profile's own goal.
    """

    objectives: Sequence[str] | Mapping[str, float] | None = None
    constraints: Sequence[str] | Mapping[str, Mapping[str, float]] | None = None
    latency_budget: float | None = None
    min_throughput: float | None = None
    cost_per_hour: float | None = None

    def goal(self, place: Workspace) -> Goal:
        """Return the goal that was asked for, or else the one that the profile had.

        Raises:
            UsageError: it names metrics that do not exist, or bounds that cannot hold.
        """
        # A goal that is stated asks nothing of a file that may be gone.
        return self.over(read_goal(place)) if self._is_open else self.stated()

    def over(self, own: Goal) -> Goal:
        """Return the goal that was asked for; where none was, ``own``, with the price if one was.

        Raises:
            UsageError: as above.
        """
        if not self._is_open:
            return self.stated()
        return own.priced(own.cost_per_hour if self.cost_per_hour is None else self.cost_per_hour)

    @property
    def _is_open(self) -> bool:
        """Whether nothing is asked for, but perhaps another price."""
        budgets = (self.latency_budget, self.min_throughput)
        return not self.objectives and not self.constraints and budgets == (None, None)

    def stated(self) -> Goal:
        """Return the goal that was asked for; throughput, if none was.

        Raises:
            UsageError: as above.
        """
        try:
            objectives = values.objectives(self.objectives) if self.objectives else None
            constraints = values.constraints(self.constraints) if self.constraints else None
        except ValueError as error:
            raise UsageError(str(error)) from error
        budgets = (self.latency_budget, self.min_throughput)
        return parse_goal(objectives, constraints, *budgets, self.cost_per_hour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What ``analyze report`` is of, as its command line has it.

    ``configs`` are names of configurations (``MODEL_config_4``), which stand for their model.
    """

    model: str | None = None
    configs: str | None = None
    file: Path | None = None
    export_path: Path | None = None


def asked(subject: Subject, wanted: Wanted) -> tuple[tuple[Workspace, Wanted, Sequence[str]], ...]:
    """Find what to report on: each model's results, its goal, and the configurations named.

    What the command line says comes before what the file does.

    Raises:
        UsageError: no model is named, or configurations of several, or the file has mistakes.
    """
    found = load.resolve(subject.file, {}, profiles=False)
    listed = found.common.get("report_model_configs")
    configs = values.names(subject.configs) if subject.configs else ()
    if not configs and subject.model is None and listed is not None:
        configs = listed.value
    models = [subject.model] if subject.model else [_model_of(configs)] if configs else []
    models = models or list(found.models)
    if not models:
        raise UsageError(
            "no model to report on: name one, such as `analyze report resnet50`, or its "
            "configurations: --report-model-configs resnet50_config_4"
        )
    usual = found.common.get("export_path")
    folder = subject.export_path or (usual.value if usual else Path("results"))
    return tuple(
        (locate(folder, model), _goal_of(wanted, found.models.get(model, found.common)), configs)
        for model in models
    )


def _goal_of(wanted: Wanted, settings: Settings) -> Wanted:
    """Fill in from a file what the command line leaves open."""
    given = {
        field.name: getattr(wanted, field.name) or setting.value
        for field in fields(Wanted)
        if (setting := settings.get(field.name)) is not None
    }
    return replace(wanted, **given)


def _model_of(configs: Sequence[str]) -> str:
    """Return the model of configurations.

    Raises:
        UsageError: they are of several, or one is no name of a configuration.
    """
    names = [re.fullmatch(r"(.+)_config_(?:default|\d+)", each) for each in configs]
    wrong = [each for each, match in zip(configs, names, strict=True) if match is None]
    if wrong:
        raise UsageError(
            f"--report-model-configs: expected names such as resnet50_config_4, found {wrong[0]!r}"
        )
    models = sorted({match[1] for match in names if match is not None})
    if len(models) > 1:
        raise UsageError(
            f"--report-model-configs: a report is of one model; these are of {', '.join(models)}"
        )
    return models[0]


def import_checkpoint(path: Path, export_path: Path, console: Console) -> int:
    """Make journals of Model Analyzer's checkpoint, and report on them; return the exit code.

    ``path`` is the file, or the folder of checkpoints, of which the last counts. A profile does not
    go on from such a journal: its rows were taken by other means.

    Raises:
        UsageError: there is none, it cannot be read, or a model has results there already.
        JournalError: a journal cannot be written.
    """
    file = _last_of(path)
    try:
        text, written = file.read_text(encoding="utf-8"), file.stat().st_mtime
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    taken_at = datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
    found = checkpoint.read(text, str(file), taken_at)
    places = {model: Workspace(export_path / model) for model in found.rows}
    if taken := [str(place.journal) for place in places.values() if place.journal.exists()]:
        raise UsageError(f"{', '.join(taken)}: there already; choose another --export-path")
    if found.unknown:
        console.print(f"Not known here, and left out: {', '.join(found.unknown)}", style="yellow")
    for model, rows in found.rows.items():
        place = places[model]
        options = {"measured_by": "Model Analyzer", "checkpoint": file.name}
        head = RunHead(
            schema=SCHEMA, run=taken_at, model=model, started_at=taken_at, versions={},
            machine=found.machine, options=options,
            options_digest=journals.options_digest(options),
        )  # fmt: skip
        place.root.mkdir(parents=True, exist_ok=True)
        with journals.Journal.create(place.journal, head) as journal:
            for row in rows:
                journal.append(row)
        console.print(f"{model}: {len(rows)} measurements of Model Analyzer's", highlight=False)
        report(place, Wanted(), None, console)
    return 0


def _last_of(path: Path) -> Path:
    """Return a checkpoint: the file itself, or the last one in a folder."""
    if not path.is_dir():
        return path
    numbered = [each for each in path.glob("*.ckpt") if each.stem.isdecimal()]
    if not numbered:
        raise UsageError(f"{path}: holds no checkpoint, such as 0.ckpt")
    return max(numbered, key=lambda each: int(each.stem))


def locate(export_path: Path, model: str) -> Workspace:
    """Find a profiled model's results by its name, or by the folder itself.

    Raises:
        UsageError: there are none.
    """
    for root in (export_path / model, Path(model)):
        if Workspace(root).journal.is_file():
            return Workspace(root)
    profiled = sorted(path.parent.name for path in export_path.glob("*/journal.jsonl"))
    near = difflib.get_close_matches(model, profiled, n=1)
    advice = f"did you mean {near[0]}?" if near else f"there: {', '.join(profiled) or 'none'}"
    raise UsageError(
        f"no results of {model!r} under {export_path} ({advice}); "
        f"`analyze profile --model {model}` makes them"
    )


def report(
    place: Workspace,
    wanted: Wanted,
    output: Path | None,
    console: Console,
    configs: Sequence[str] = (),
    files: reports.Files = reports.USUAL,
) -> int:
    """Rank a journal's rows anew and write the report; return the exit code.

    Raises:
        UsageError: one of ``configs`` was not measured, or a format cannot be written here.
    """
    goal = wanted.goal(place)
    contents = journals.read(place.journal)
    measured = list(dict.fromkeys(row.variant for row in contents.rows))
    if unknown := [each for each in configs if each not in measured]:
        near = difflib.get_close_matches(unknown[0], measured, n=1)
        advice = f"did you mean {near[0]}?" if near else f"there: {', '.join(measured) or 'none'}"
        raise UsageError(f"{place.journal} has no configuration {unknown[0]!r}; {advice}")
    written = reports.write(
        contents.head,
        contents.rows,
        goal,
        output or place.root,
        omitted=_omitted(place, contents),
        results=place.root,
        files=files,
    )
    if configs:
        seen = evidence(place, goal)
        folder = output or place.root
        written += reports.write_detailed(seen, configs, folder, results=place.root, files=files)
    if (winner := recommended(contents.rows, goal)) is not None:
        closing_words(console, contents.rows, goal, winner)
    for path in written:
        console.print(str(path), highlight=False, soft_wrap=True)
    return 0


def measured(place: Workspace) -> tuple[journals.Contents, reports.Omissions]:
    """Read what was measured, and what was not.

    Raises:
        JournalError: the journal cannot be read.
        AnalyzerError: what was kept beside it cannot be.
    """
    contents = journals.read(place.journal)
    return contents, _omitted(place, contents)


def evidence(place: Workspace, goal: Goal) -> reports.Evidence:
    """Rank what was measured under a goal.

    Raises:
        JournalError: the journal cannot be read.
        NothingMeasured: it has no row.
    """
    contents, omitted = measured(place)
    return reports.gather(contents.head, contents.rows, goal, omitted)


def _omitted(place: Workspace, contents: journals.Contents) -> reports.Omissions:
    skipped = reports.read_skipped(place.root, contents.head.run)
    return reports.Omissions(torn=len(contents.damage), skipped=skipped)


def apply(
    place: Workspace, repository: Path, console: Console, *, yes: bool, dry_run: bool = False
) -> int:
    """Show what the winner changes in a model's config.pbtxt, and write it; return the exit code.

    Of a pipeline, or of models profiled side by side, the files of all its models: either all are
    written or none is. With ``dry_run`` nothing is written.

    Raises:
        UsageError: the repository does not hold a model, or there is nobody to ask.
        NothingMeasured: the profile has no winner.
        OSError: a file cannot be written.
    """
    contents = journals.read(place.journal)
    goal = read_goal(place)
    winner = _to_apply(place, contents.rows, goal)
    source = f"{place.journal}: {winner.variant}"
    changes = [
        _Change(folder, _text_of(folder / CONFIG), text)
        for name, text in winner.best.configs.items()
        for folder in [workspace.require_model((repository,), name)]
    ]
    # Written out, a default would only fix what the server completes by itself.
    same = [each for each in changes if _is_default(each, contents)]
    for each in same:
        won = "The default won: " if winner.is_default else ""
        console.print(f"{won}{each.target} stays as it is.", highlight=False)
    changes = [each.merged(source) for each in changes if each not in same]
    for each in changes:
        if each.old == each.new:
            console.print(f"{each.target} is the winner's already.", highlight=False)
    if not (changes := [each for each in changes if each.old != each.new]):
        return 0
    console.print(gain_words(contents.rows, goal, winner), highlight=False, markup=False)
    for each in changes:
        _show(each, winner.variant, console)
    if dry_run:
        return 0
    if not yes and not _confirmed(changes, console):
        return 1
    for each, kept in _write(changes):
        said = f"; the old one is {kept}" if each.old else ""
        console.print(f"Wrote {each.target}{said}", highlight=False)
    return 0


def _to_apply(place: Workspace, rows: Sequence[Row], goal: Goal) -> Standing:
    """Return the winner.

    Raises:
        UsageError: it is not known what it was.
        NothingMeasured: there is none.
    """
    winner = recommended(rows, goal)
    if winner is None:
        raise NothingMeasured(f"{place.journal} holds no measurement that succeeded")
    if not winner.best.configs:
        raise UsageError(
            f"{place.journal}: does not say what {winner.variant} was (another program measured "
            "it, or a server elsewhere that does not tell), so there is nothing to apply"
        )
    return winner


def _write(changes: Sequence[_Change]) -> Sequence[tuple[_Change, Path]]:
    """Write them all, or none: models that were tuned together are of no use by halves."""
    now = datetime.now(UTC)
    written: list[tuple[_Change, Path]] = []
    try:
        for each in changes:
            kept = workspace.replace_config(each.folder, each.new, round(now.timestamp() * 1e9))
            written.append((each, kept))
    except OSError:
        for each, kept in reversed(written):
            workspace.restore_config(each.folder, kept).unlink(missing_ok=True)
        raise
    return written


def _confirmed(changes: Sequence[_Change], console: Console) -> bool:
    """Ask whether to write them.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not console.is_terminal:
        raise UsageError("nobody is there to ask: pass --yes to write it")
    targets = " and ".join(str(each.target) for each in changes)
    return Confirm.ask(f"Write it to {targets}?", console=console, default=False)


@dataclass(frozen=True, slots=True)
class _Change:
    """A model's config.pbtxt as it is ("": there is none), and as it is to be."""

    folder: Path
    old: str
    new: str

    @property
    def target(self) -> Path:
        return self.folder / CONFIG

    def merged(self, source: str) -> _Change:
        """Keep what the user wrote and the winner does not change."""
        return replace(self, new=_with_winner(self.old, self.target, self.new, source))


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _is_default(change: _Change, contents: journals.Contents) -> bool:
    """Whether a model has its default configuration there, and is still as it was profiled."""
    name, options = change.folder.name, contents.head.options
    default = next((row.configs for row in contents.rows if is_default(row)), {})
    digests = {contents.head.model: options.get("model_digest"),
               **options.get("composing_digests", {})}  # fmt: skip
    same = default.get(name) == change.new
    return same and workspace.fingerprint(change.folder) == digests.get(name)


def _show(change: _Change, variant_name: str, console: Console) -> None:
    """Print what changes."""
    lines = difflib.unified_diff(
        change.old.splitlines(), change.new.splitlines(), str(change.target), variant_name,
        lineterm="",
    )  # fmt: skip
    diff = "\n".join(lines)
    if console.is_terminal:
        console.print(Syntax(diff, "diff", background_color="default", word_wrap=True))
    else:
        console.print(diff, highlight=False, markup=False, soft_wrap=True)


def _with_winner(old: str, target: Path, best: str, source: str) -> str:
    """Return a configuration's text with the winner's settings; the text itself if it has them."""
    winner = convert.loads(best, source)
    if not old:
        return best
    own = convert.loads(old, str(target))
    merged = variant.onto(own, winner)
    return old if merged == own else convert.dumps(merged)


def write_goal(place: Workspace, goal: Goal) -> None:
    """Keep the goal of the profile, for ``report`` and ``apply``."""
    plain = {
        "objectives": dict(goal.objectives),
        "constraints": {
            each.tag: {
                end: bound
                for end, bound in (("min", each.minimum), ("max", each.maximum))
                if bound is not None
            }
            for each in goal.constraints
        },
        "cost_per_hour": goal.cost_per_hour,
    }
    (place.root / GOAL).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def read_goal(place: Workspace) -> Goal:
    """Return the goal of the profile, or the usual one where it never came to an end."""
    path = place.root / GOAL
    if not path.is_file():
        return parse_goal(None, None, None, None)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        price = plain.get("cost_per_hour")
        return parse_goal(plain["objectives"], plain["constraints"], cost_per_hour=price)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise AnalyzerError(
            f"{path}: not a goal ({error!r}); remove it, or state a goal"
        ) from error
