"""The two sides of a check: where their models lie, and under which configuration they are served.

Owns the words for a side (``git:main``, ``model-repo:PATH``, a baseline's name or file) and the
finding of its model folders. Does not own what a stored baseline holds (``baseline``), nor how a
side is served (``runner``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from analyzer import provision, workspace
from analyzer.config.schema import ProfileOptions
from analyzer.errors import UsageError
from analyzer.gate import revision
from analyzer.workspace import CONFIG

_GIT, _REPOSITORY = "git:", "model-repo:"


class Origin(Enum):
    """Where a side comes from."""

    PRESENT = "present"
    GIT = "git"
    REPOSITORY = "model-repo"
    NAMED = "name"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Source:
    """A side as it was asked for: its kind, and the ref, path or name."""

    origin: Origin
    where: str = ""

    @classmethod
    def read(cls, text: str) -> Source:
        """Read what stands after ``--baseline`` or ``--candidate``.

        Raises:
            UsageError: it names nothing.
        """
        for prefix, origin in ((_GIT, Origin.GIT), (_REPOSITORY, Origin.REPOSITORY)):
            if text.startswith(prefix):
                if rest := text.removeprefix(prefix).strip():
                    return cls(origin, rest)
                raise UsageError(
                    f"{text!r} lacks what comes after {prefix!r}, such as {prefix}main"
                )
        if not text.strip():
            raise UsageError("a side is a baseline's name or file, git:REF, or model-repo:PATH")
        if text.endswith(".json") or "/" in text:
            return cls(Origin.FILE, text)
        return cls(Origin.NAMED, text)

    @property
    def runnable(self) -> bool:
        """Whether it is a place with models, not a record of measurements."""
        return self.origin not in {Origin.NAMED, Origin.FILE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One side that can be served.

    ``folders`` are those of its models by name, the checked one's first; ``configs`` the
    config.pbtxt texts of those that are not served under their folder's own. ``python`` is the
    interpreter whose engine serves them. ``notes`` are what a reader should know of it.
    """

    label: str
    folders: Mapping[str, Path]
    configs: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    notes: tuple[str, ...] = ()

    @property
    def digests(self) -> Mapping[str, str]:
        """What tells each model's files apart, config.pbtxt aside."""
        return {name: files_digest(folder) for name, folder in self.folders.items()}

    @property
    def texts(self) -> Mapping[str, str]:
        """The config.pbtxt of each model, as it is served; "" where there is none."""
        return {
            name: self.configs.get(name) or _text(folder / CONFIG)
            for name, folder in self.folders.items()
        }

    @property
    def identity(self) -> str:
        """What tells this side apart: its files, its configurations, and its engine."""
        digests, texts = self.digests, self.texts
        return repr([(name, digests[name], texts[name]) for name in self.folders] + [self.python])


def present(
    options: ProfileOptions, configs: Mapping[str, str], label: str = "what is here now"
) -> Served:
    """Return what is there now: in the model repositories, or else what a profile chose.

    Raises:
        UsageError: the model is in none of them.
    """
    model = options.model
    if options.model_repository:
        own = workspace.require_model(options.model_repository, model)
    else:
        chosen = options.export_path / model / "chosen"
        built = options.export_path / "model_repository"
        found = workspace.find_model((chosen, built), model)
        if found is None:
            raise UsageError(
                f"no model repository is given, and there is no {chosen / model}; pass "
                f"--model-repository PATH, or run `analyze profile --model {model}` first"
            )
        own = found
    return Served(label=label, folders=provision.sources(options, own), configs=dict(configs))


def repository(options: ProfileOptions, configs: Mapping[str, str], path: Path) -> Served:
    """Return the model as a model repository has it, and the models behind it.

    Raises:
        UsageError: it is not there.
    """
    own = workspace.require_model((path,), options.model)
    here = replace(options, model_repository=(path,))
    label = f"model-repo:{path}"
    return Served(label=label, folders=provision.sources(here, own), configs=dict(configs))


def at_revision(
    now: Served, options: ProfileOptions, ref: str, into: Path, config_file: Path | None = None
) -> Served:
    """Return the models of ``now`` as a git revision had them, put below ``into``.

    Files that git does not track, as weights often are, are those of now. ``config_file`` is the
    configuration that the check names: as it was at the revision, if it was there.

    Raises:
        UsageError: the folders are in no git checkout, or there is no such revision, or the model
            was not there at it.
    """
    model = options.model
    work = revision.Checkout.of(now.folders[model].parent, ref)
    unread, found = [model, *(each.name for each in options.bls_composing)], dict[str, Path]()
    untracked: list[str] = []
    beside = now.folders[model].parent
    while unread:
        name = unread.pop(0)
        if name in found:
            continue
        folder = now.folders.get(name, beside / name)
        found[name] = work.folder(folder, into)
        untracked += revision.filled(work, folder, found[name])
        steps = workspace.composing((found[name].parent,), name)
        unread += [each for each in steps if each not in found]
    configs = dict(now.configs)
    if config_file is not None and (text := work.text(config_file)) is not None:
        configs[model] = text
    notes = (
        (f"{len(untracked)} files that git does not track are those of now: {_few(untracked)}",)
        if untracked
        else ()
    )
    label = f"git:{ref} ({work.commit[:12]})"
    return Served(label=label, folders=found, configs=configs, notes=notes)


def again(
    label: str, configs: Mapping[str, str], digests: Mapping[str, str], where: Iterable[Path]
) -> Served | None:
    """Return a side that was measured before, if files as they were then are still to be found.

    ``configs`` and ``digests`` are by model; ``where`` are the folders of models, or repositories,
    in which they may lie. None where one is gone or has changed.
    """
    places = tuple(where)
    folders: dict[str, Path] = {}
    for name, digest in digests.items():
        there = (folder for place in places for folder in (place / name, place) if folder.is_dir())
        same = next(
            (each for each in there if each.name == name and files_digest(each) == digest), None
        )
        if same is None:
            return None
        folders[name] = same
    return Served(label=label, folders=folders, configs=dict(configs)) if folders else None


def files_digest(folder: Path) -> str:
    """Return a digest of a model's files, config.pbtxt and what is kept beside it aside."""
    kept = sorted(
        path for path in folder.iterdir() if path.is_dir() or not path.name.startswith(CONFIG)
    )
    return workspace.fingerprint_of(kept)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} ..." if len(names) > len(names[:3]) else shown
