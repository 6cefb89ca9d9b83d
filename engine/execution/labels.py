"""The labels of a model's classes, read from its ``label_filename`` files.

One label a line; the files lie in the model's folder, beside its versions. Does not own what is
done with labels (``v2.classes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import ModelConfig, ModelOutput

Labels = Mapping[str, tuple[bytes, ...]]


def read_labels(folder: Path, config: ModelConfig) -> Labels:
    """Read the labels of every output that has some, from the model's ``folder``.

    Raises:
        Unsupported: a file is outside of the folder.
        InvalidArgument: a file cannot be read.
    """
    return {
        output.name: _lines(folder, output, config.name)
        for output in config.output
        if output.label_filename
    }


def _lines(folder: Path, output: ModelOutput, model: str) -> tuple[bytes, ...]:
    named = PurePosixPath(output.label_filename)
    where = f"model '{model}': label_filename '{named}' of output '{output.name}'"
    if named.is_absolute() or ".." in named.parts:
        message = f"{where} is outside of the model's folder; put the file into it"
        raise Unsupported(message)
    try:
        text = (folder / named).read_bytes()
    except OSError as error:
        message = f"{where} cannot be read: {error.strerror} ({folder / named})"
        raise InvalidArgument(message) from error
    lines = [line.removesuffix(b"\r") for line in text.split(b"\n")]
    return tuple(lines if lines[-1] else lines[:-1])
