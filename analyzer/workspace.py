"""Where things lie: the results of a model, its variants' repositories, the winner.

Owns the layout of the results folder and the writing of model repositories into it. Does
not own what the files say: the journal, the report and the configurations are others'.

::

    results/<model>/
        journal.jsonl              every measurement; the checkpoint
        report.html  summary.json  metrics-*.csv
        chosen/<model>/            the winner, ready for `engine serve --chosen <model>`
        chosen.txt                 what it is, and how sure that is
        variants/<variant>/<model>/    what was served; all but config.pbtxt are links.
                                       The models behind it, or beside it, lie there as well
        default-answers.npz        what variants' answers are compared with
        logs/server-<variant>.log
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import AnalyzerError, UsageError
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig, VersionPolicy

CONFIG = "config.pbtxt"
#: what `analyze apply` replaced; a later one has a number behind it
KEPT = f"{CONFIG}.before-apply"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one model's results."""

    root: Path

    @property
    def journal(self) -> Path:
        """The measurements, one JSON line each."""
        return self.root / "journal.jsonl"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.root / "report.html"

    @property
    def chosen(self) -> Path:
        """A model repository that holds the winner."""
        return self.root / "chosen"

    @property
    def answers(self) -> Path:
        """The default's answers, which variants' are compared with."""
        return self.root / "default-answers.npz"

    @property
    def variants(self) -> Path:
        """A folder of model repositories, one for each variant that was served."""
        return self.root / "variants"

    @property
    def logs(self) -> Path:
        """The servers' logs."""
        return self.root / "logs"


def find_model(repositories: Sequence[Path], model: str) -> Path | None:
    """Return the folder of ``model`` in the first repository that has it."""
    return next(
        (path for repository in repositories if (path := repository / model).is_dir()), None
    )


def require_model(repositories: Sequence[Path], model: str) -> Path:
    """Return the folder of ``model``.

    Raises:
        UsageError: none of the repositories has it; the text lists what they have.
    """
    for repository in repositories:
        if not repository.is_dir():
            raise UsageError(f"model repository {repository} is not a directory")
    if (found := find_model(repositories, model)) is not None:
        return found
    there = sorted(
        path.name for repository in repositories for path in repository.iterdir() if path.is_dir()
    )
    places = ", ".join(str(repository) for repository in repositories)
    raise UsageError(
        f"model {model!r} is not in {places}; there: {', '.join(there) or 'no model at all'}"
    )


def version_files(source: Path, policy: VersionPolicy | None) -> frozenset[str]:
    """Name what lies in the folders of all versions that ``policy`` serves (None: the newest)."""
    there = sorted(int(each.name) for each in source.iterdir() if each.name.isdecimal())
    served = there[-(policy.latest if policy and policy.latest else 1) :]
    if policy is not None and policy.all:
        served = there
    elif policy is not None and policy.specific is not None:
        served = [each for each in there if each in policy.specific]
    found = [{each.name for each in (source / str(one)).iterdir()} for one in served]
    return frozenset(set.intersection(*found)) if found else frozenset()


def examples() -> tuple[str, ...]:
    """Name the example models that the engine can build."""
    listed = _engine("examples", "--format", "csv")
    return tuple(line.split(",")[0] for line in listed.stdout.splitlines()[1:])


def build_example(model: str, directory: Path) -> Path:
    """Build the example ``model`` into the repository ``directory``; return its folder there.

    Raises:
        UsageError: there is no example of that name.
        AnalyzerError: it could not be built.
    """
    if model not in (known := examples()):
        raise UsageError(
            f"no model repository given, and there is no example named {model!r}; "
            f"pass --model-repository PATH, or one of the examples: {', '.join(known)}"
        )
    built = _engine("examples", "build", model, "--output", str(directory))
    if built.returncode:
        raise AnalyzerError(f"building the example {model!r} failed:\n{built.stderr.strip()}")
    return directory / model


def write_variant(
    directory: Path, sources: Mapping[str, Path], configs: Mapping[str, ModelConfig | None]
) -> Path:
    """Write the model repository of one variant, and return its path.

    ``sources`` are the folders of its models by name. Everything in them but config.pbtxt is
    linked, not copied; where there is no configuration, or None, that is linked too, so the model
    is served as it is.
    """
    shutil.rmtree(directory, ignore_errors=True)
    for model, source in sources.items():
        _write_model(directory / model, source, configs.get(model))
    return directory


def _write_model(folder: Path, source: Path, config: ModelConfig | None) -> None:
    folder.mkdir(parents=True)
    for entry in sorted(source.resolve().iterdir()):
        if entry.name != CONFIG or config is None:
            (folder / entry.name).symlink_to(entry)
    if config is not None:
        write_whole(folder / CONFIG, convert.dumps(config))


def write_chosen(
    workspace: Workspace,
    sources: Mapping[str, Path],
    configs: Mapping[str, ModelConfig | None],
    words: str,
) -> Path:
    """Put the winner, all its models, where ``engine serve --chosen`` looks for it.

    ``words`` say what it is and how sure that is; that command repeats them.
    """
    fresh = workspace.root / ".chosen"
    write_variant(fresh, sources, configs)
    shutil.rmtree(workspace.chosen, ignore_errors=True)
    fresh.rename(workspace.chosen)
    write_whole(workspace.chosen.with_suffix(".txt"), f"{words}\n")
    return workspace.chosen


def replace_config(folder: Path, text: str, at_ns: int | None = None) -> Path:
    """Replace a model's config.pbtxt in one step; the old one is kept beside it, and returned.

    One that was kept before stays: the next has a number. An empty one says that there was none.
    ``at_ns`` is what all that are replaced together have in common, as the time of what is kept.
    """
    target, before = folder / CONFIG, kept_configs(folder)
    number = _kept_number(before[-1]) + 1 if before else 1
    kept = folder / (KEPT if number == 1 else f"{KEPT}-{number}")
    if target.exists():
        shutil.copyfile(target, kept)
    else:
        kept.touch()
    if at_ns is not None:
        os.utime(kept, ns=(at_ns, at_ns))
    try:
        write_whole(target, text)
    except OSError:
        kept.unlink()
        raise
    return kept


def kept_configs(folder: Path) -> tuple[Path, ...]:
    """Return what was kept of a model's configurations, the last one last."""
    there = (path for path in folder.glob(f"{KEPT}*") if _kept_number(path))
    return tuple(sorted(there, key=_kept_number))


def _kept_number(path: Path) -> int:
    """Return which of those kept it is, from 1; 0: it is none."""
    rest = path.name.removeprefix(KEPT)
    return 1 if not rest else int(rest[1:]) if rest[:1] == "-" and rest[1:].isdecimal() else 0


def restore_config(folder: Path, kept: Path) -> Path:
    """Put back what ``replace_config`` kept; what is there now is kept, and its file returned."""
    target, now = folder / CONFIG, folder / f"{CONFIG}.before-undo"
    if target.exists():
        shutil.copyfile(target, now)
    if kept.stat().st_size:
        kept.replace(target)
    else:
        target.unlink(missing_ok=True)
        kept.unlink()
    return now


def composing(repositories: Sequence[Path], model: str) -> tuple[str, ...]:
    """Name the models that an ensemble calls, those of ensembles in it too; () of other models.

    Raises:
        ConfigError: a configuration has mistakes.
    """
    found: dict[str, None] = {}
    unread = [model]
    while unread:
        folder = find_model(repositories, unread.pop(0))
        if folder is None or not (path := folder / CONFIG).is_file():
            continue
        config = convert.loads(path.read_text(encoding="utf-8"), str(path))
        steps = dict.fromkeys(step.model_name for step in config.ensemble_scheduling or ())
        unread += [name for name in steps if name not in found]
        found |= steps
    return tuple(found)


def fingerprint(folder: Path) -> str:
    """Return a digest of everything in a model's folder: equal only for equal models."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def fingerprint_of(paths: Sequence[Path]) -> str:
    """Return a digest of files and folders, in this order.

    Raises:
        UsageError: one is not there.
    """
    digest = hashlib.sha256()
    for path in paths:
        if path.is_dir():
            digest.update(fingerprint(path).encode())
            continue
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()[:16]


def _engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the engine's command line in a process of its own: the analyzer imports only words."""
    return subprocess.run(  # noqa: S603 - our own module, in our own interpreter
        [sys.executable, "-m", "engine", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
    )


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; its folder is made.

    Raises:
        OSError: it cannot be written.
    """
    plain = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fresh.write_bytes(plain)
        fresh.replace(path)
    except OSError as error:
        # What a full disk raises while writing names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        fresh.unlink(missing_ok=True)
