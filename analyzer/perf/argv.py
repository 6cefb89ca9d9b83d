"""The command line of ``analyze perf``, made of the table of flags.

perf_analyzer reads its arguments by ``getopt_long``: ``-b8``, ``--shape=x:1``, ``-v -v``, and long
names cut short where they stay unique. All of that is understood.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer

from analyzer.perf.flags import FLAGS, Effect, Flag

HELP = ("-h", "-?", "--help")


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, which takes any keywords, a parameter for each flag, by its key."""
    parameters = [_parameter(flag) for flag in FLAGS]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def completed(arguments: Sequence[str]) -> Iterator[str]:
    """Complete long names that are cut short, where only one begins so."""
    names = [name for flag in FLAGS for name in flag.spellings if name.startswith("--")]
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        found = [each for each in names if each.startswith(name)]
        cut = name.startswith("--") and len(name) > len("--") and name not in names
        yield f"{found[0]}{equals}{rest}" if cut and len(found) == 1 else argument


def shown(flag: Flag) -> str:
    """Spell a flag with what stands behind it: ``-b, --batch-size N``."""
    return " ".join(filter(None, (", ".join(flag.spellings), flag.metavar)))


def _parameter(flag: Flag) -> inspect.Parameter:
    switch = not flag.metavar
    kind: Any = (int if flag.repeated else bool) if switch else str | None
    if flag.repeated and not switch:
        kind = list[str] | None
    option = typer.Option(
        *flag.spellings,
        help=flag.text,
        # Without a metavar the help would show a switch's type.
        metavar=flag.metavar or " ",
        rich_help_panel=flag.panel,
        hidden=flag.effect not in {Effect.SAME, Effect.OURS},
        count=switch and flag.repeated,
        show_default=False,
    )
    return inspect.Parameter(
        flag.key,
        inspect.Parameter.KEYWORD_ONLY,
        default=kind() if switch else None,
        annotation=Annotated[kind, option],
    )
