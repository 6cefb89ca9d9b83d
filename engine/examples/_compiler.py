"""The C++ compiler, for examples that are libraries: these are compiled where they are built.

Owns: which compiler that is, the words that say how to get one, and running it. Does not own: the
sources, which lie beside this file.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine.backends import native
from engine.errors import Internal, Unsupported

_FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC", "-pthread")


@dataclass(frozen=True, slots=True)
class Compiler:
    """The command that the environment's ``variable`` names, or the first of ``commands``."""

    commands: tuple[str, ...] = ("c++", "g++", "clang++")
    variable: str = "CXX"
    package: str = "a C++ compiler"
    install: str = "apt-get install g++ (or dnf install gcc-c++; CXX names one that lies elsewhere)"

    @property
    def there(self) -> bool:
        """Whether there is one."""
        return self._command() is not None

    def library(self, source: str) -> bytes:
        """Compile a source beside this file; returns the shared library.

        Raises:
            Unsupported: there is no compiler.
            Internal: it fails.
        """
        command = self._command()
        if command is None:
            named = ", ".join(self.commands)
            raise Unsupported(f"there is no C++ compiler ({named}): {self.install}")
        include = Path(native.__file__).parent / "include"
        path = Path(__file__).parent / source
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch, "made.so")
            said = subprocess.run(  # noqa: S603 - the compiler that the user has
                [*command, *_FLAGS, f"-I{include}", str(path), "-o", str(made)],
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode:
                what = f"{shlex.join(command)} cannot compile {path}"
                raise Internal(f"{what}:\n{said.stderr.strip() or said.stdout.strip()}")
            return made.read_bytes()

    def _command(self) -> list[str] | None:
        for one in (os.environ.get(self.variable, ""), *self.commands):
            words = shlex.split(one)
            if words and shutil.which(words[0]):
                return words
        return None
