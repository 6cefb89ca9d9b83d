"""Example model repositories, made out of nothing: no download, no framework.

An example is one module here that defines ``EXAMPLE``; its name is the module's (modules
that begin with an underscore are none). Owns: what an example consists of, and putting it
on disk whole or not at all. Does not own: what the models compute; each module says that.

Weights come from a seed that is written down, so that everybody's copy is the same, byte
for byte. They are not trained: speed and memory are true, answers mean nothing. Trained are only
those examples that name packages from outside: such packages ship the weights.
"""

from __future__ import annotations

import pkgutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import cast

from engine.errors import AlreadyExists, Internal, NotFound, Unsupported
from engine.examples._compiler import Compiler
from engine.examples._outside import Outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example model.

    ``config`` is the text of its ``config.pbtxt``. ``model`` makes the bytes of its
    ``model.onnx``, or ``code`` is the text of its ``model.py``; others have neither. ``needs``
    names the examples that have to stand beside it; ``parts`` are models that stand beside it and
    are no examples of their own, by name. ``files`` makes what else lies in its version's folder,
    by name. ``outside`` are packages that it takes files from, or that its models import, and the
    compiler that it needs. ``megabytes`` is about what it takes on disk, without what it needs.
    """

    summary: str
    megabytes: float
    config: str
    model: Callable[[], bytes] | None = None
    code: str = ""
    files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    parts: Mapping[str, Example] = field(default_factory=dict)
    outside: tuple[Outside | Compiler, ...] = ()

    @property
    def missing(self) -> tuple[Outside | Compiler, ...]:
        """What it takes from outside and is not installed."""
        return tuple(one for one in self.outside if not one.there)

    @property
    def file(self) -> str:
        """Name of the model's file, "" if it has none."""
        if self.model is not None:
            return "model.onnx"
        return "model.py" if self.code else ""


@dataclass(frozen=True, slots=True)
class Built:
    """An example on disk: the model's folder, and whether this call wrote it."""

    name: str
    path: Path
    written: bool


def names() -> tuple[str, ...]:
    """Name every example there is."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def find(name: str) -> Example:
    """Find an example by name.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in names():
        message = f"no example named {name!r}; there are: {', '.join(names())}"
        raise NotFound(message)
    return cast("Example", import_module(f"{__name__}.{name}").EXAMPLE)


def build(name: str, directory: Path, *, force: bool = False) -> tuple[Built, ...]:
    """Put an example, and the examples it needs, into the model repository ``directory``.

    What is there already stays as it is, unless ``force`` asks for it anew. Each model's
    folder appears in one step, so that a server never reads half of one.

    Returns:
        every model that is there now, those that are needed first.

    Raises:
        NotFound: there is no such example.
        Unsupported: a package or a compiler that it needs is not installed.
        AlreadyExists: a file, or a folder that holds something else, has the model's name.
        Internal: the repository cannot be written to.
    """
    example = find(name)
    if missing := example.missing:
        message = (
            f"the example {name!r} needs {', '.join(one.package for one in missing)},"
            f" which {'is' if len(missing) == 1 else 'are'} not installed:"
            f" {' && '.join(one.install for one in missing)}"
        )
        raise Unsupported(message)
    needed = tuple(one for need in example.needs for one in build(need, directory, force=force))
    parts = tuple(
        _put(part, model, directory, force=force) for part, model in example.parts.items()
    )
    return (*needed, *parts, _put(name, example, directory, force=force))


def _put(name: str, example: Example, directory: Path, *, force: bool) -> Built:
    target = directory / name
    if target.exists() and not force:
        if not _is_whole(target, example):
            message = (
                f"{target}: is there already and is not the example {name!r}; "
                "pass another --output, or --force to replace it"
            )
            raise AlreadyExists(message)
        return Built(name, target, written=False)
    try:
        _write(target, example)
    except OSError as error:
        message = f"{target}: cannot write the example {name!r}: {error.strerror or error}"
        raise Internal(message) from error
    return Built(name, target, written=True)


def _is_whole(target: Path, example: Example) -> bool:
    config, version = target / "config.pbtxt", target / "1"
    model = version / example.file
    files = all((version / file).is_file() for file in example.files)
    return config.is_file() and files and (model.is_file() if example.file else version.is_dir())


def _write(target: Path, example: Example) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".example-", dir=target.parent) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        (fresh / "1").mkdir(parents=True)
        (fresh / "config.pbtxt").write_text(example.config, encoding="utf-8")
        if example.model is not None:
            (fresh / "1" / example.file).write_bytes(example.model())
        elif example.code:
            (fresh / "1" / example.file).write_text(example.code, encoding="utf-8")
        for file, make in example.files.items():
            (fresh / "1" / file).write_bytes(make())
        if target.exists() or target.is_symlink():
            target.rename(old)
        fresh.rename(target)
