"""ONNX to a TensorRT plan, by TensorRT or, where that is not installed, TensorRT-RTX.

A plan is for the version that builds it and the kind of GPU it is built on (TensorRT-RTX builds
for many kinds, also where there is none). Rules:

1. a profile is a least, a best and a greatest shape for every input that varies: ``--min-shapes``,
   ``--opt-shapes`` and ``--max-shapes``, once for each profile, in the form of NVIDIA's own tool
   (``input:1x3x224x224,mask:1x64``). Without them there is one, from a batch of 1 to
   ``max_batch_size`` (or 8); that is enough where nothing but the batch varies;
2. fp16 is left to TensorRT, which keeps what loses by it in fp32; TensorRT-RTX computes in what the
   file says, so there the file is converted first. bf16 only TensorRT can choose;
3. for int8 the file is quantised first (QDQ), with data to calibrate by and without zero points,
   which TensorRT does not know.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.conversion import Conversion, Job, find
from engine.errors import InvalidArgument, Unavailable
from engine.tensorrtlib import RTX, TENSORRT, Libraries, Library

_PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_BATCH = 8
_SHAPE = re.compile(r"(?P<name>.+):(?P<sizes>\d+(x\d+)*)")
_OPTIONS = ("min-shapes", "opt-shapes", "max-shapes")
Shapes = Mapping[str, tuple[int, ...]]


def _write(job: Job, directory: Path) -> Sequence[str]:
    precision = job.precision or _PRECISIONS[0]
    if precision not in _PRECISIONS:
        raise InvalidArgument(f"--precision {precision}: plans have {', '.join(_PRECISIONS)}")
    if (precision == "int8") is not bool(job.calibration):
        raise InvalidArgument(
            "--calibration and --precision int8 belong together: int8 needs data to calibrate by"
            " (FILE.npz, FILE.npy or random), and nothing else does"
        )
    asked = profiles(job)
    library = _library(job)
    flags = library.module.BuilderFlag
    with tempfile.TemporaryDirectory(prefix="servetune-plan-") as scratch:
        file, remarks, flag = job.model, list[str](), ""
        if precision == "int8":
            plain = replace(job, precision="", symmetric=True)
            remarks += find("onnx_int8").write(plain, Path(scratch))
            file, flag = Path(scratch, "model.onnx"), "INT8"
        elif precision == "fp16" and not hasattr(flags, "FP16"):
            remarks += find("onnx_fp16").write(replace(job, precision=""), Path(scratch))[:1]
            file = Path(scratch, "model.onnx")
        elif precision == "bf16" and not hasattr(flags, "BF16"):
            raise InvalidArgument(
                f"--precision bf16: {library.text} computes in what the ONNX file says, and a file"
                " cannot be converted to bf16 here; take fp16, or TensorRT in its place"
            )
        else:
            flag = precision.upper() if precision != "fp32" else ""
        content, ranges = _build(library, file, job, asked, flag)
    (directory / "model.plan").write_bytes(content)
    return (f"built by {library.text}, which alone can read it; {precision}", *remarks, *ranges)


def profiles(job: Job) -> tuple[tuple[Shapes, Shapes, Shapes], ...]:
    """Read the profiles that were asked for (rule 1), () for none; pure.

    Raises:
        InvalidArgument: a shape is not in the form, or the three options are not alike.
    """
    given = [
        [_shapes(option, text) for text in texts]
        for option, texts in zip(
            _OPTIONS, (job.min_shapes, job.opt_shapes, job.max_shapes), strict=True
        )
    ]
    if len({len(one) for one in given}) > 1:
        raise InvalidArgument(
            "--min-shapes, --opt-shapes and --max-shapes: a profile needs all three, so give each"
            f" as often as there are profiles (found {', '.join(str(len(one)) for one in given)})"
        )
    found = tuple(zip(*given, strict=True))
    for number, (least, best, most) in enumerate(found):
        for name in {*least, *best, *most}:
            bounds = [one.get(name, ()) for one in (least, best, most)]
            if len({len(one) for one in bounds}) > 1 or not all(
                low <= size <= high for low, size, high in zip(*bounds, strict=True)
            ):
                raise InvalidArgument(
                    f"profile {number}, input '{name}': {', '.join(map(_spell, bounds))} are no"
                    " least, best and greatest shape"
                )
    return found


def _shapes(option: str, text: str) -> Shapes:
    found = {}
    for part in text.split(","):
        matched = _SHAPE.fullmatch(part.strip())
        if matched is None:
            raise InvalidArgument(
                f"--{option} {text}: expected NAME:1x3x224x224 for each input, with commas between"
            )
        found[matched["name"]] = tuple(int(size) for size in matched["sizes"].split("x"))
    return found


def _spell(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "nothing"


def _library(job: Job) -> Library:
    libraries = Libraries()
    why = {name: libraries.missing(name) for name in (TENSORRT, RTX)}
    for name, missing in why.items():
        if not missing:
            return libraries.take(name, job.model.name)
    raise Unavailable(
        f"this needs TensorRT, which cannot be imported ({why[TENSORRT]}); pip install"
        " 'servetune[tensorrt]', or 'servetune[tensorrt-rtx]', which builds plans without a GPU"
    )


def _build(
    library: Library,
    file: Path,
    job: Job,
    asked: Sequence[tuple[Shapes, Shapes, Shapes]],
    flag: str,
) -> tuple[bytes, list[str]]:
    module = library.module
    try:
        builder = module.Builder(library.log)
        network = builder.create_network(0)
        parser = module.OnnxParser(network, library.log)
        config = builder.create_builder_config()
    except (RuntimeError, TypeError) as fault:
        raise Unavailable(
            f"{library.text} cannot build plans here: {library.why()} ({fault})"
        ) from fault
    if not parser.parse_from_file(str(file)):
        said = "; ".join(_parsing(parser.get_error(one)) for one in range(parser.num_errors))
        raise InvalidArgument(f"{job.model}: {library.text} cannot read it: {said}")
    if flag and hasattr(module.BuilderFlag, flag):
        config.set_flag(getattr(module.BuilderFlag, flag))
    inputs = [network.get_input(place) for place in range(network.num_inputs)]
    own = {one.name: tuple(int(size) for size in one.shape) for one in inputs}
    ranges = []
    for number, profile in enumerate(asked or _by_batch(own, job)):
        _add(builder, config, own, profile, job)
        ranges += [
            f"profile {number}: {name} from {_spell(profile[0][name])} to {_spell(most)}"
            for name, most in profile[2].items()
        ]
    library.said.clear()
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise InvalidArgument(f"{job.model}: {library.text} cannot build it: {library.why()}")
    return bytes(content), ranges


def _parsing(fault: Any) -> str:  # noqa: ANN401 - untyped library
    """Say what the parser found, and at which node."""
    operator = fault.node_operator()
    return f"{fault.desc()}" + (f" (node '{fault.node_name()}', {operator})" if operator else "")


def _by_batch(own: Shapes, job: Job) -> Iterator[tuple[Shapes, Shapes, Shapes]]:
    """Make the one profile of a model in which only the batch varies."""
    varying = {name: shape for name, shape in own.items() if -1 in shape}
    if not varying:
        return
    for name, shape in varying.items():
        if -1 in shape[1:]:
            raise InvalidArgument(
                f"{job.model}: input '{name}' has shape {list(shape)}: say between which sizes it"
                " varies by --min-shapes, --opt-shapes and --max-shapes, for example --max-shapes"
                f" {name}:{_spell([_BATCH if size == -1 else size for size in shape])}"
            )
    most = job.config.max_batch_size if job.config is not None else 0
    least, greatest = (
        {name: (rows, *shape[1:]) for name, shape in varying.items()}
        for rows in (1, most or _BATCH)
    )
    yield least, greatest, greatest


def _add(
    builder: Any,  # noqa: ANN401 - untyped library
    config: Any,  # noqa: ANN401 - as above
    own: Shapes,
    bounds: tuple[Shapes, Shapes, Shapes],
    job: Job,
) -> None:
    profile = builder.create_optimization_profile()
    least, best, most = bounds
    for name in least:
        if name not in own:
            raise InvalidArgument(
                f"{job.model}: has no input '{name}'; it has: {', '.join(sorted(own))}"
            )
        if len(own[name]) != len(least[name]) or any(
            size not in {-1, low} or size not in {-1, high}
            for size, low, high in zip(own[name], least[name], most[name], strict=True)
        ):
            raise InvalidArgument(
                f"{job.model}: input '{name}' has shape {list(own[name])}, which"
                f" {_spell(least[name])} to {_spell(most[name])} do not fit"
            )
        profile.set_shape(name, least[name], best[name], most[name])
    if unnamed := sorted(name for name, shape in own.items() if -1 in shape and name not in least):
        raise InvalidArgument(
            f"{job.model}: input '{unnamed[0]}' varies too ({list(own[unnamed[0]])}): a profile"
            " has to say between which shapes"
        )
    config.add_optimization_profile(profile)


CONVERSION = Conversion(
    summary="TensorRT plan; --precision fp32, fp16, bf16, int8; --min-shapes, --opt-, --max-shapes",
    backend="tensorrt",
    platform="tensorrt_plan",
    filename="model.plan",
    takes=frozenset(("precision", "calibration", "samples", *_OPTIONS)),
    write=_write,
    on_gpu=True,
)
