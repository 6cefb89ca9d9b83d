"""The options on the command line: those of Model Analyzer's that have no parameter of their own.

A command names the options that it wants to explain; the rest of the table of keys becomes
parameters here, so that Model Analyzer's command lines are understood whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer

from analyzer.config import values
from analyzer.config.keys import KEYS, Effect, Key

PANEL = "More of Model Analyzer's options"


def with_options(
    like: Callable[..., Any] | None = None, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, which takes any keywords, the options it does not have.

    ``like`` is a command whose parameters are added as well, but for those in ``without``.
    """

    def give(command: Callable[..., None]) -> Callable[..., None]:
        own = _parameters(command)
        if like is not None:
            own += [each for each in _parameters(like) if each.name not in without]
        here = {each.name for each in own}
        own += [_parameter(key) for key in KEYS if key.name not in here and not key.yaml_only]
        command.__annotations__ = {each.name: each.annotation for each in own}
        command.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return command

    return give


def _parameters(command: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(command, eval_str=True).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        each.replace(kind=keyword)
        for each in found
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def _parameter(key: Key) -> inspect.Parameter:
    switch = key.parse is values.switch
    names = [key.long_flag, *([key.flag] if key.flag else [])]
    if key.name == "always_report_gpu_metrics":
        names.append("--always_report-gpu-metrics")  # as Model Analyzer's report spells it
    if key.name in {"plots", "report_model_configs", "output_formats"}:
        names = [key.long_flag]
    option = typer.Option(
        *names,
        help=key.text if key.effect is Effect.ACTED else f"{key.effect.value}: {key.note}.",
        metavar=" " if switch else "VALUE",
        rich_help_panel=PANEL,
        hidden=key.effect is not Effect.ACTED,
        show_default=False,
    )
    kind: Any = bool if switch else str | None
    return inspect.Parameter(
        key.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if switch else None,
        annotation=Annotated[kind, option],
    )
