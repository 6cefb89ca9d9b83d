"""The tiny V2 server in the place of the engine: an "interpreter" that a launcher can start."""

import stat
import sys
from pathlib import Path

from support import v2_server


def interpreter(directory: Path) -> str:
    """Write a program that takes ``-P -m engine serve ...`` and runs the tiny server instead."""
    program = directory / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{v2_server.__file__}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)
