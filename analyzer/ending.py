"""How a command ends: where it prints, and what exit code an error becomes.

Codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Owns the words around an error; what it
says is the error's own.
"""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.console import Console

from analyzer.errors import AnalyzerError, UsageError
from analyzer.interruption import INTERRUPTED
from engine.errors import EngineError

FAILED, WRONG_USAGE = 1, 2


def console() -> Console:
    """Return where to print: lines are broken to fit a terminal, and for nobody else."""
    screen = Console()
    return screen if screen.is_terminal else Console(soft_wrap=True)


def error_console() -> Console:
    """Return where errors are told, as they are."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def leave(run: Callable[[], int], *, failed: int = FAILED) -> None:
    """Run a command and exit with its code, errors told in a line or two.

    ``failed`` is the code of an error that is not one of usage.

    Raises:
        Exit: always, with the command's code.
    """
    said = error_console()
    try:
        code = run()
    except UsageError as error:
        problems = error.message.splitlines()
        # Each of several is a line of its own, which begins with its place.
        alone = f"error: {error.message}"
        said.print(alone if len(problems) == 1 else f"{error.message}\n{len(problems)} errors")
        code = WRONG_USAGE
    except (AnalyzerError, EngineError) as error:
        said.print(f"error: {error.message}")
        code = failed
    except OSError as error:
        said.print(f"error: {error.filename or ''}: {error.strerror or error}")
        code = failed
    except KeyboardInterrupt:
        said.print("interrupted; the same command goes on where this one stopped")
        code = INTERRUPTED
    raise typer.Exit(code)
