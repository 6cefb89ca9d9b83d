"""Wires ``analyze export``: from a profile's results to a folder that can be deployed."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from analyzer import results
from analyzer.deployment import docker, folder, kserve, kubernetes, models, readme, yamltext
from analyzer.deployment.choice import choose
from analyzer.deployment.folder import Item, State
from analyzer.deployment.served import served
from analyzer.deployment.sizing import size
from analyzer.deployment.values import Choice, Export, Format, Wish
from analyzer.errors import UsageError
from analyzer.record import journal as journals
from analyzer.report import wording
from analyzer.workspace import CONFIG
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

#: where the export goes, in the folder of the results
FOLDER = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line of ``analyze export`` has.

    ``variant`` names another configuration than the one that was chosen, ``repositories`` where the
    models' files are if the results do not lead to them, ``wheels`` are files for the image.
    """

    model: str
    export_path: Path
    output: Path | None = None
    variant: str | None = None
    repositories: tuple[Path, ...] = ()
    wheels: tuple[Path, ...] = ()
    link: bool = False
    dry_run: bool = False
    wish: Wish


def export(asked: Asked, console: Console) -> int:
    """Write the folder, or only say what would be written; return the exit code.

    Raises:
        UsageError: there are no results, or no files of the models, or the folder has others.
        NothingMeasured: the profile has no winner.
        OSError: a file cannot be written.
    """
    place = results.locate(asked.export_path, asked.model)
    contents = journals.read(place.journal)
    goal = results.read_goal(place)
    choice = choose(contents.rows, goal, asked.variant, str(place.journal))
    found = models.folders(place, contents.head, choice, asked.repositories)
    where = f"{place.journal}: row {choice.row.number}"
    configs = {name: convert.loads(text, where) for name, text in choice.row.configs.items()}
    how = served(choice, contents.head, configs, asked.wish)
    if not asked.repositories:
        how = replace(how, notes=(*how.notes, *_changed(found, choice)))
    made = Export(
        choice=choice, served=how, wish=asked.wish, run=contents.head.run,
        size=size(choice, goal, how, asked.wish, contents.head.machine),
        machine=wording.hardware(contents.head.machine),
    )  # fmt: skip
    root = asked.output or place.root / FOLDER
    items = [*_texts(made), *_models(found, configs), *_others(made, asked.wheels)]
    plan = folder.plan(root, items)
    if not asked.dry_run:
        folder.write(plan, link=asked.link)
    _say(console, made, plan, asked)
    return 0


def _changed(found: Mapping[str, Path], choice: Choice) -> Iterator[str]:
    """Say which models are not what was measured any more."""
    last = max(row.taken_at for row in choice.rows)
    for name, place in found.items():
        if (newer := models.changed_since(place, last)) is not None:
            yield (
                f"{name}: {newer} was changed after {choice.variant} was measured ({last}): the "
                "figures are of what it was before. Profile it again."
            )


def _texts(made: Export) -> Iterator[Item]:
    """Spell the files of every format that is asked for, and the README."""
    formats = made.wish.formats
    heading = f"{made.served.model} as {made.choice.variant}; `analyze export` wrote it."
    if Format.DOCKER in formats:
        yield from (Item(path, text) for path, text in docker.texts(made).items())
    for kind, documents in (
        (Format.KUBERNETES, kubernetes.documents), (Format.KSERVE, kserve.documents),
    ):  # fmt: skip
        if kind in formats:
            for name, document in documents(made).items():
                yield Item(f"{kind.value}/{name}", yamltext.dumps(document, heading))
    yield Item("README.md", readme.text(made))


def _models(found: Mapping[str, Path], configs: Mapping[str, ModelConfig]) -> Iterator[Item]:
    """List the files of the model repository."""
    for name, place in found.items():
        base = f"{docker.MODELS}/{name}"
        yield Item(f"{base}/{CONFIG}", convert.dumps(configs[name]))
        yield from (Item(f"{base}/{path}", source=file) for path, file in models.files(place))


def _others(made: Export, wheels: Sequence[Path]) -> Iterator[Item]:
    """List what comes from elsewhere: wheels, and native backends.

    Raises:
        UsageError: a wheel is none, or the folder of backends is not there.
    """
    for each in wheels:
        if each.suffix != ".whl" or not each.is_file():
            raise UsageError(f"--wheel: {each} is no wheel (a file that ends in .whl)")
        yield Item(f"{docker.WHEELS}/{each.name}", source=each)
    if made.served.backends:
        for path, file in models.tree(Path(made.served.backends)):
            yield Item(f"backends/{path}", source=file)


def _say(console: Console, made: Export, plan: folder.Plan, asked: Asked) -> None:
    """Say what was chosen, what was written, and what to do with it."""

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    say(made.choice.claim, None if made.choice.proven else "yellow")
    counts = Counter(step.state for step in plan.steps)
    done = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
    if asked.dry_run:
        for step in plan.steps:
            say(f"  {step.state.value:<9}  {plan.root / step.path}")
        say(f"Nothing was written; it would be {wording.count(len(plan.steps), 'file')}: {done}.")
    else:
        say(f"{plan.root}: {wording.count(len(plan.steps), 'file')} ({done}).")
    for note in made.served.notes:
        say(f"Note: {note}", "yellow")
    if not asked.dry_run and Format.DOCKER in asked.wish.formats:
        build = shlex.join(["docker", "build", "--tag", made.image, str(plan.root)])
        say(f"Next: {build}; {plan.root / 'README.md'} has the rest")
