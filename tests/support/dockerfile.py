"""A Dockerfile read as far as those of exports go, and its steps done without a container engine.

``Image`` is a folder in the place of the image's root. COPY copies into it, of the context only
what .dockerignore leaves; RUN is run by a shell with the absolute paths of COPY and of the virtual
environment in the place of the image's. What makes users works on files of the folder's own. What
cannot be done so is what a container isolates.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction, in capitals, and the rest of it in one line."""

    word: str
    rest: str


def read(text: str) -> tuple[Step, ...]:
    """Read a Dockerfile; lines that are continued are one."""
    whole = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in whole.splitlines()]
    split = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    return tuple(Step(word, rest) for word, rest in split)


def words(step: Step) -> list[str]:
    """Read the JSON form of a CMD, or of what follows CMD in a HEALTHCHECK."""
    listed: list[str] = json.loads(step.rest[step.rest.index("[") :])
    return listed


def option(step: Step, name: str) -> str | None:
    """Return an option of an instruction: ``--interval`` of a HEALTHCHECK."""
    found = re.search(rf"--{name}=(\S+)", step.rest)
    return found[1] if found else None


def in_context(folder: Path) -> tuple[str, ...]:
    """Name the files that a build gets of a folder: what .dockerignore does not leave out."""
    rules = (folder / ".dockerignore").read_text().split()
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    return tuple(name for name in names if not _ignored(name, rules))


def _ignored(name: str, rules: Sequence[str]) -> bool:
    """Whether a file is left out: the last rule that fits it, or a folder around it, says."""
    out = False
    around = [name, *(str(each) for each in Path(name).parents if each.name)]
    for rule in rules:
        if any(fnmatch(each, rule.removeprefix("!")) for each in around):
            out = not rule.startswith("!")
    return out


@dataclass(slots=True)
class Image:
    """What has been built: a root folder, variables, a user, what is run."""

    root: Path
    context: Path
    environment: dict[str, str] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    user: str = ""
    ports: list[int] = field(default_factory=list)
    stop_signal: str = ""

    @property
    def bin(self) -> Path:
        """Where the programs of its Python are."""
        return self.root / "python" / "bin"

    def mapped(self, text: str) -> str:
        """Put the folders of this machine in the place of the image's."""
        for inside, place in self.places.items():
            text = re.sub(rf"(?<![\w.]){re.escape(inside)}(?=[/\"'\s,\]]|$)", str(place), text)
        return text

    def variables(self) -> dict[str, str]:
        """Return the environment of what runs in it; pip's index is this machine's own."""
        own = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        path = f"{self.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {**own, "PATH": path, **self.environment}

    def do(self, step: Step) -> None:
        """Do one step."""
        getattr(self, f"_{step.word.lower()}")(step)

    def _from(self, step: Step) -> None:
        assert re.fullmatch(r"python:3\.\d+-slim", step.rest), step.rest
        subprocess.run([sys.executable, "-m", "venv", self.root / "python"], check=True)

    def _arg(self, step: Step) -> None:
        assert "=" not in step.rest, "an index is not the image's business"

    def _env(self, step: Step) -> None:
        for name, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', step.rest):
            self.environment[name] = re.sub(r"\\(.)", r"\1", value)

    def _run(self, step: Step) -> None:
        command = self.mapped(step.rest)
        if "useradd" in command:
            etc = self.root / "etc"
            etc.mkdir()
            for name in ("passwd", "group", "shadow", "gshadow"):
                (etc / name).write_text("")
            command = re.sub(r"\b(group|user)add\b", rf"\1add --prefix {self.root}", command)
        done = subprocess.run(
            ["/bin/sh", "-c", command], env=self.variables(), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"

    def _copy(self, step: Step) -> None:
        source, target = [word for word in step.rest.split() if not word.startswith("--")]
        top = "/" + target.strip("/").split("/")[0]
        self.places[top] = self.root / top.strip("/")
        place = self.root / target.strip("/")
        here = self.context / source
        assert here.exists(), f"COPY {source}: not there"
        names = [name for name in in_context(self.context) if Path(name).is_relative_to(source)]
        assert names, f"COPY {source}: .dockerignore leaves nothing of it"
        for name in names:
            inside = Path(name).relative_to(source)
            made = place / inside if here.is_dir() else place
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.context / name, made)

    def _user(self, step: Step) -> None:
        self.user = step.rest

    def _expose(self, step: Step) -> None:
        self.ports = [int(port) for port in step.rest.split()]

    def _stopsignal(self, step: Step) -> None:
        self.stop_signal = step.rest

    def _healthcheck(self, step: Step) -> None:
        self.health = words(step)

    def _cmd(self, step: Step) -> None:
        self.command = words(step)


def on_ports(text: str, free: Mapping[int, int]) -> str:
    """Put free ports in the place of those that an image listens on."""
    for port, other in free.items():
        text = re.sub(rf"\b{port}\b", str(other), text)
    return text
