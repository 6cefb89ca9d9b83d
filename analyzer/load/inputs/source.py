"""Opens what ``--input-data`` names, for a model that is served.

``random`` and ``zero`` make one request up, which is sent again and again. A path is a JSON file
(perf_analyzer's form; repeatable), a folder (one file an input, or pictures), an ``.npz`` or an
``.npy``. Owns the reading of files; what they mean is the readers'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analyzer.errors import UsageError
from analyzer.load.inputs import json_samples
from analyzer.load.inputs.assemble import Prepared, assemble
from analyzer.load.inputs.fields import Takes, takes
from analyzer.load.inputs.file_samples import from_arrays, from_folder, only_input
from analyzer.load.inputs.images import SUFFIXES, from_pictures
from analyzer.load.inputs.samples import Samples, joined
from analyzer.load.payload import KINDS, Texts, concrete, make
from analyzer.load.workload import Item, Workload

if TYPE_CHECKING:
    from engine.modelconfig.schema import ModelConfig
    from engine.types import TensorSpec
    from engine.v2.call import ModelDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What requests are to carry.

    ``sources`` are "random", "zero" or paths. ``shapes`` gives shapes by input, without the batch
    dimension, where the model leaves them open.
    """

    sources: tuple[str, ...] = ("random",)
    batch_size: int = 1
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    texts: Texts = field(default_factory=Texts)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """The requests for one model, stream by stream.

    A model that keeps sequences has one in each stream; for another they are all in one.
    ``made_up`` says that they are generated, and one stands for any number.
    """

    model: Takes
    streams: tuple[tuple[Prepared, ...], ...]
    made_up: bool

    @property
    def every(self) -> tuple[Prepared, ...]:
        """All of them, in order."""
        return tuple(one for stream in self.streams for one in stream)


def workload(found: Requests, batch_size: int, version: str = "") -> Workload:
    """Make the workload that sends these requests, in rotation or sequence by sequence."""
    streams = tuple(tuple(one.request for one in stream) for stream in found.streams)
    keeps = found.model.sequences
    answered = any(one.expected for one in found.every)
    item = Item(
        model=found.model.model,
        version=version,
        inferences=batch_size,
        requests=() if keeps else tuple(one for stream in streams for one in stream),
        sequences=streams if keeps else (),
        expected=tuple(one.expected for one in found.every) if answered else (),
        places=tuple(one.place for one in found.every) if answered else (),
    )
    return Workload((item,))


def prepare(described: ModelDescription, config: ModelConfig | None, asked: Asked) -> Requests:
    """Make the requests that are asked for, for a model as its server describes it.

    Raises:
        LoadError: the model cannot take that batch size or those shapes.
        UsageError: a source is not there, or does not fit the model; with file and place.
    """
    inputs = described.inputs
    model = takes(described.name, inputs, described.outputs, config, asked.batch_size, asked.shapes)
    made_up = [source for source in asked.sources if source in KINDS]
    if made_up:
        if len(asked.sources) > 1:
            raise UsageError(
                f"--input-data {made_up[0]} stands alone; given were {', '.join(asked.sources)}"
            )
        return _generated(model, inputs, config, asked)
    read = [(source, _samples(Path(source), model)) for source in asked.sources]
    streams = assemble(joined(read), model, asked.batch_size)
    return Requests(model=model, streams=streams, made_up=False)


def _generated(
    model: Takes, inputs: Sequence[TensorSpec], config: ModelConfig | None, asked: Asked
) -> Requests:
    specs = concrete(inputs, config, asked.batch_size, asked.shapes)
    (kind,) = asked.sources
    request = make(specs, kind, asked.seed, asked.texts)
    return Requests(model=model, streams=((Prepared(request=request),),), made_up=True)


def _samples(path: Path, model: Takes) -> Samples:
    """Read one source."""
    try:
        if path.is_dir():
            return _folder(path, model)
        match path.suffix.lower():
            case ".npz":
                with np.load(path, allow_pickle=False) as opened:
                    return from_arrays({name: opened[name] for name in opened}, str(path), model)
            case ".npy":
                array = np.load(path, allow_pickle=False)
                return from_arrays({only_input(str(path), model).name: array}, str(path), model)
            case suffix if suffix in SUFFIXES:
                return from_pictures([path], str(path), model)
            case _:
                return json_samples.read(path.read_text(encoding="utf-8"), str(path), model)
    except FileNotFoundError as error:
        raise UsageError(
            f"--input-data {path}: no such file or folder; expected random, zero, a JSON file, a "
            "folder, .npz or .npy"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text, as JSON is: {error.reason}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a file of NumPy arrays: {error}") from error


def _folder(path: Path, model: Takes) -> Samples:
    """Read a folder: pictures, if it holds nothing else, or a file for each input."""
    files = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    if not files:
        raise UsageError(f"{path}: is empty; expected a file for each input, or pictures")
    if all(each.suffix.lower() in SUFFIXES for each in files):
        return from_pictures(files, str(path), model)
    if nested := [each for each in files if each.is_dir()]:
        raise UsageError(f"{nested[0]}: is a folder; expected a file for each input, or pictures")
    return from_folder({each.name: each.read_bytes() for each in files}, str(path), model)
