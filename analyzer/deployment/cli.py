"""``analyze export``: arguments in, exit code out. No logic: parse, call, print, exit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analyzer.ending import console, leave
from analyzer.errors import UsageError

_FORMATS = "docker, kubernetes and kserve"


def export(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write to. [the results' own: export]"),
    ] = None,
    formats: Annotated[
        str,
        typer.Option("--format", help=f"What is written: of {_FORMATS}.", metavar="NAME,..."),
    ] = "docker,kubernetes,kserve",
    image: Annotated[
        str | None,
        typer.Option("--image", help="The image's name. [the model and its configuration]"),
    ] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="Of the objects.")] = None,
    replicas: Annotated[int, typer.Option("--replicas", help="Pods at least.", min=1)] = 2,
    max_replicas: Annotated[
        int | None, typer.Option("--max-replicas", help="Pods at most. [four times as many]", min=1)
    ] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", help="GPUs of a pod. [as was measured]", min=0)
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant", help="Another configuration than the one that was chosen.", metavar="NAME"
        ),
    ] = None,
    pip: Annotated[
        list[str] | None,
        typer.Option(
            "--pip", help="To install besides, for Python models; repeatable.", metavar="PACKAGE"
        ),
    ] = None,
    wheel: Annotated[
        list[Path] | None,
        typer.Option("--wheel", help="A wheel that no index has; repeatable.", metavar="FILE"),
    ] = None,
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(
            "--model-repository",
            "-m",
            help="Where the models' files are, if the results do not lead there; repeatable.",
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Hard links of the models' files in place of copies.")
    ] = False,
    export_path: Annotated[
        Path, typer.Option("--export-path", "-e", help="Folder that holds the results.")
    ] = Path("results"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be written; write nothing.")
    ] = False,
) -> None:
    """Write a folder with all that it takes to run the chosen configuration in production.

    The model repository, a Dockerfile, manifests for Kubernetes and for KServe, and a README with
    the source of every number, and how sure it is that this is better than the default. Writing it
    again changes nothing, and never a file that is not its own.
    """
    # It takes two seconds to import, which `--help` does not wait for.
    from analyzer.deployment import compose  # noqa: PLC0415 - see above
    from analyzer.deployment.values import Format, Wish  # noqa: PLC0415 - see above

    def run() -> int:
        names = [each.strip() for each in formats.split(",") if each.strip()]
        if unknown := [each for each in names if each not in {one.value for one in Format}]:
            raise UsageError(f"--format: no {unknown[0]!r}; there are {_FORMATS}")
        wish = Wish(
            image=image, namespace=namespace, replicas=replicas, max_replicas=max_replicas,
            gpus=gpus, formats=frozenset(map(Format, names)), packages=tuple(pip or ()),
        )  # fmt: skip
        asked = compose.Asked(
            model=model, export_path=export_path, output=output, variant=variant,
            repositories=tuple(model_repository or ()), wheels=tuple(wheel or ()),
            link=link, dry_run=dry_run, wish=wish,
        )  # fmt: skip
        return compose.export(asked, console())

    leave(run)
