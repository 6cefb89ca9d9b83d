"""Samples in files of their own: perf_analyzer's folders, and NumPy's arrays. Pure.

1. A folder holds a file for each input, of its name, with one sample: raw bytes (little-endian,
   row-major), or for strings a text with one a line. A file of an output's name is the answer.
2. An ``.npz`` holds arrays by input, and by output the answers: one sample each, or many along a
   first axis more than the model's.
3. An ``.npy`` is the only input of a model that needs one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from analyzer.errors import UsageError
from analyzer.load.inputs.fields import Field, Takes, from_array, from_bytes, from_lines
from analyzer.load.inputs.samples import Sample, Samples
from engine.types import DType

if TYPE_CHECKING:
    from engine.types import Array


def from_folder(files: Mapping[str, bytes], folder: str, model: Takes) -> Samples:
    """Make the one sample of a folder; ``files`` are its contents by name.

    Raises:
        UsageError: a file is missing, is of no input or output, or does not fit.
    """
    for name in sorted(files):
        if model.input(name) is None and model.output(name) is None:
            names = [each.name for each in (*model.inputs, *model.outputs)]
            raise UsageError(
                f"{folder}/{name}: {model.model} has no input or output of that name; "
                f"it has {', '.join(names)}"
            )
    for field in model.needed:
        if field.name not in files:
            raise UsageError(f"{folder}: expected a file {field.name} ({field.words}); none there")
    inputs = {f.name: _content(f, files, folder) for f in model.inputs if f.name in files}
    expected = {f.name: _content(f, files, folder) for f in model.outputs if f.name in files}
    return Samples(streams=((Sample(inputs=inputs, expected=expected, place=folder),),))


def from_arrays(arrays: Mapping[str, Array], file: str, model: Takes) -> Samples:
    """Make samples of arrays by input and output.

    Raises:
        UsageError: an array is missing, of no input or output, or does not fit.
    """
    fields: dict[str, Field] = {}
    for name in arrays:
        field = model.input(name) or model.output(name)
        if field is None:
            names = [each.name for each in (*model.inputs, *model.outputs)]
            raise UsageError(
                f"{file}: {name!r} is no input or output of {model.model}; "
                f"it has {', '.join(names)}"
            )
        fields[name] = field
    for field in model.needed:
        if field.name not in arrays:
            raise UsageError(
                f"{file}: expected an array {field.name!r} ({field.words}); none there"
            )
    rows = {name: _rows(fields[name], array, file) for name, array in arrays.items()}
    counts = {name: len(found) for name, found in rows.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UsageError(f"{file}: expected as many samples in each array, found {told}")
    count = next(iter(counts.values()), 0)
    if not count:
        raise UsageError(f"{file}: expected at least one sample, found none")
    samples = []
    for index in range(count):
        of_all = {name: found[index] for name, found in rows.items()}
        samples.append(
            Sample(
                inputs={name: each for name, each in of_all.items() if model.input(name)},
                expected={name: each for name, each in of_all.items() if not model.input(name)},
                place=f"{file}: sample {index}",
            )
        )
    return Samples(streams=(tuple(samples),))


def only_input(file: str, model: Takes) -> Field:
    """Return the input that a file of one array fills.

    Raises:
        UsageError: the model needs more than one.
    """
    wanted = model.needed or model.inputs
    if len(wanted) != 1:
        names = ", ".join(each.name for each in wanted)
        raise UsageError(
            f"{file}: fills one input, and {model.model} needs {names}; "
            "give an .npz with an array for each"
        )
    return wanted[0]


def _content(field: Field, files: Mapping[str, bytes], folder: str) -> Array:
    content = files[field.name]
    try:
        if field.dtype is DType.BYTES:
            return from_lines(field, content.splitlines())
        return from_bytes(field, content, None)
    except ValueError as error:
        raise UsageError(f"{folder}/{field.name}: {error}") from error


def _rows(field: Field, array: Array, file: str) -> list[Array]:
    """Divide an array into samples: along its first axis, if it has one more than the field."""
    rank = len(field.dims)
    if array.ndim not in {rank, rank + 1}:
        raise UsageError(
            f"{file}: {field.name}: expected shape {list(field.dims)} for one sample, or "
            f"[samples, ...] for many; found {list(array.shape)}"
        )
    many = list(array) if array.ndim == rank + 1 else [array]
    rows = []
    for index, one in enumerate(many):
        try:
            rows.append(from_array(field, one))
        except ValueError as error:
            raise UsageError(f"{file}: {field.name}[{index}]: {error}") from error
    return rows
