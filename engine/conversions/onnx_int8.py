"""ONNX to ONNX in INT8: weights and activations quantised, with data to calibrate them by.

The QDQ form, which ONNX Runtime, OpenVINO and TensorRT all run. How good the answers are depends on
the data: some hundred inputs like those that will come. Made-up data is good for speed only.

Calibration data is an ``.npz`` with an array for each input by its name, or an ``.npy`` for a model
of one input; the first axis counts the samples, each of which is run as a batch of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from engine.conversion import RANDOM, Conversion, Job
from engine.errors import InvalidArgument, NotFound
from engine.types import Array

_RANDOM_SAMPLES = 16
_SEED = 0


def _write(job: Job, directory: Path) -> Sequence[str]:
    if not job.calibration:
        raise InvalidArgument(
            "INT8 needs data to calibrate by: --calibration FILE.npz (an array for each input, by"
            f" name) or FILE.npy, or --calibration {RANDOM} to try how fast it would be"
        )
    inputs = _inputs(job.model)
    samples = list(
        _random(inputs, job.samples or _RANDOM_SAMPLES)
        if job.calibration == RANDOM
        else _read(Path(job.calibration), inputs, job.samples)
    )
    quantization = import_module("onnxruntime.quantization")
    shape_inference = import_module("onnxruntime.quantization.shape_inference")
    ready = directory / ".prepared.onnx"
    try:
        shape_inference.quant_pre_process(str(job.model), str(ready), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(ready),
            str(directory / "model.onnx"),
            _reader(quantization, samples),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            **_activations(quantization, symmetric=job.symmetric),
        )
    except Exception as fault:
        text = f"{type(fault).__name__}: {fault}"
        raise InvalidArgument(f"{job.model}: cannot be quantised: {text}") from fault
    finally:
        ready.unlink(missing_ok=True)
    remarks = [f"calibrated by {len(samples)} samples"]
    if job.calibration == RANDOM:
        remarks.append("the samples were made up: speed is true, answers are not to be trusted")
    return remarks


def _activations(quantization: Any, *, symmetric: bool) -> Mapping[str, Any]:  # noqa: ANN401 - untyped library
    """Say how activations are quantised; without zero points biases have to stay as they are."""
    kinds = quantization.QuantType
    options = {"ActivationSymmetric": symmetric, "WeightSymmetric": True}
    if symmetric:
        options["QuantizeBias"] = False
    return {
        "activation_type": kinds.QInt8 if symmetric else kinds.QUInt8,
        "extra_options": options,
    }


def _inputs(model: Path) -> Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Read type and shape of every input; -1 where a dimension varies."""
    onnx = import_module("onnx")
    try:
        graph = onnx.load(model, load_external_data=False).graph
    except Exception as fault:
        raise InvalidArgument(f"{model}: is no ONNX model: {fault}") from fault
    weights = {one.name for one in graph.initializer}
    return {
        one.name: (
            np.dtype(onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)),
            tuple(
                dim.dim_value if dim.HasField("dim_value") else -1
                for dim in one.type.tensor_type.shape.dim
            ),
        )
        for one in graph.input
        if one.name not in weights
    }


def _random(
    inputs: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], count: int
) -> Iterator[Mapping[str, Array]]:
    """Make samples up: normal numbers, as normalised images have them."""
    for name, (dtype, shape) in inputs.items():
        if dtype.kind != "f":
            raise InvalidArgument(
                f"input '{name}' is of {dtype}: what it may hold cannot be made up; give an .npz"
            )
        if -1 in shape[1:]:
            raise InvalidArgument(
                f"input '{name}' has the shape {list(shape)}: its sizes cannot be made up; give an"
                " .npz"
            )
    random = np.random.default_rng(_SEED)
    for _ in range(count):
        yield {
            name: random.standard_normal((1, *shape[1:]) if shape else ()).astype(dtype)
            for name, (dtype, shape) in inputs.items()
        }


def _read(
    file: Path, inputs: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], most: int
) -> Iterator[Mapping[str, Array]]:
    """Read samples, ``most`` of them at most if that is not 0."""
    arrays = _arrays(file, tuple(inputs))
    if missing := sorted(inputs.keys() - arrays.keys()):
        raise InvalidArgument(
            f"{file}: no array for input '{missing[0]}'; it has: {', '.join(sorted(arrays))}"
        )
    count = min(len(arrays[name]) for name in inputs)
    if count == 0:
        raise InvalidArgument(f"{file}: holds no samples; the first axis counts them")
    for name, (_, shape) in inputs.items():
        had = arrays[name].shape[1:]
        if len(had) != len(shape[1:]) or any(
            want not in {-1, found} for want, found in zip(shape[1:], had, strict=True)
        ):
            raise InvalidArgument(
                f"{file}: '{name}' has samples of shape {list(had)}, the model wants"
                f" {list(shape[1:])}; the first axis counts samples"
            )
    for place in range(min(count, most or count)):
        yield {
            name: arrays[name][place : place + 1].astype(dtype, copy=False)
            for name, (dtype, _) in inputs.items()
        }


def _arrays(file: Path, names: Sequence[str]) -> Mapping[str, Array]:
    if not file.is_file():
        raise NotFound(f"--calibration {file}: no such file")
    try:
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                return {name: found[name] for name in found.files}
    except (OSError, ValueError) as fault:
        raise InvalidArgument(f"--calibration {file}: neither .npz nor .npy: {fault}") from fault
    if len(names) != 1:
        raise InvalidArgument(
            f"{file}: one array, and the model has {len(names)} inputs ({', '.join(names)}): give"
            " an .npz"
        )
    return {names[0]: found}


def _reader(quantization: Any, samples: Sequence[Mapping[str, Array]]) -> object:  # noqa: ANN401 - untyped library
    """Hand samples out one by one, as the library asks for them."""
    left = iter(samples)

    def get_next(_self: object) -> Mapping[str, Array] | None:
        return next(left, None)

    return type("Samples", (quantization.CalibrationDataReader,), {"get_next": get_next})()


CONVERSION = Conversion(
    summary="ONNX in INT8 (QDQ); --calibration FILE.npz|FILE.npy|random, --samples N",
    backend="onnxruntime",
    platform="onnxruntime_onnx",
    filename="model.onnx",
    takes=frozenset(("calibration", "samples")),
    write=_write,
)
