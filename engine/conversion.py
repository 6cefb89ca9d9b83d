"""The interface of conversions: a model in one format becomes a model folder in another.

A conversion is one module in ``engine.conversions`` that defines ``CONVERSION``; its name is the
module's, and nothing it needs is imported before it runs. Owns: what is asked of one, where the
source is, and the folder that appears whole or not at all. Does not own: any format.
"""

from __future__ import annotations

import pkgutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from engine.errors import AlreadyExists, Internal, InvalidArgument, NotFound
from engine.modelconfig import convert
from engine.modelconfig.schema import InstanceKind, ModelConfig

GROUP = "engine.conversions"
#: stands for made-up calibration data
RANDOM = "random"
_CONFIG = "config.pbtxt"
_MODEL = "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be converted, and how. ``model`` is the ONNX file.

    ``config`` is the configuration beside it, None if there is none. An option that was not given
    is "", 0 or (). ``calibration`` is a file's name, or ``RANDOM``. The shapes are those of
    profiles, as they were written. ``symmetric`` is one conversion's wish to another: numbers in
    INT8 have no zero point.
    """

    model: Path
    config: ModelConfig | None = None
    precision: str = ""
    calibration: str = ""
    samples: int = 0
    min_shapes: tuple[str, ...] = ()
    opt_shapes: tuple[str, ...] = ()
    max_shapes: tuple[str, ...] = ()
    symmetric: bool = False

    @property
    def given(self) -> frozenset[str]:
        """Name the options that were given."""
        options = ("precision", "calibration", "samples", "min_shapes", "opt_shapes", "max_shapes")
        return frozenset(name.replace("_", "-") for name in options if getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One conversion from ONNX.

    ``takes`` names the options it has. ``write`` writes the model's files, ``filename`` above all,
    into a version's folder, and returns remarks on what it did. What is ``on_gpu`` runs on GPUs
    only, so instance groups on the CPU do not go along.
    """

    summary: str
    backend: str
    platform: str = ""
    filename: str
    takes: frozenset[str] = frozenset()
    write: Callable[[Job, Path], Sequence[str]]
    on_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """A model folder that is there now, its model's size in bytes, and remarks."""

    path: Path
    size: int
    remarks: tuple[str, ...]


def names() -> tuple[str, ...]:
    """Name every conversion there is."""
    package = import_module(GROUP)
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def find(name: str) -> Conversion:
    """Find a conversion by name.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in names():
        raise NotFound(f"no conversion to {name!r}; there are: {', '.join(names())}")
    return cast("Conversion", import_module(f"{GROUP}.{name}").CONVERSION)


def source(path: Path) -> tuple[Path, ModelConfig | None]:
    """Find the ONNX model in ``path``: a file, a version's folder or a model's.

    Returns:
        the file, and the configuration of the model's folder, None for a file.

    Raises:
        NotFound: there is nothing of the kind.
        ConfigError: the configuration cannot be read.
    """
    if path.is_file():
        return path, None
    file = path / _CONFIG
    config = convert.loads(file.read_text(encoding="utf-8"), str(file)) if file.is_file() else None
    name = (config.default_model_filename if config is not None else "") or _MODEL
    versions = sorted((one for one in path.glob("[0-9]*") if one.name.isdecimal()), key=_number)
    for folder in (*reversed(versions), path):
        for model in (folder / name, folder / name / _MODEL):
            if model.is_file():
                return model, config
    raise NotFound(
        f"{path}: no ONNX model; give its file, or a model's folder that holds 1/{_MODEL}"
    )


def _number(folder: Path) -> int:
    return int(folder.name)


def run(conversion: Conversion, job: Job, target: Path, *, force: bool = False) -> Converted:
    """Convert, and put the model into the folder ``target``, which is named after it.

    Raises:
        InvalidArgument: an option that this conversion does not have; the source is no ONNX.
        AlreadyExists: ``target`` is there, and nothing says that it may be replaced.
        Internal: it cannot be written to.
        EngineError: what the conversion cannot do.
    """
    if alien := sorted(job.given - conversion.takes):
        raise InvalidArgument(
            f"this conversion has no --{alien[0]}; it has: "
            + (", ".join(f"--{name}" for name in sorted(conversion.takes)) or "no options")
        )
    if job.model.suffix != ".onnx":
        raise InvalidArgument(f"{job.model}: only ONNX models (.onnx) can be converted")
    if target.exists() and not force:
        raise AlreadyExists(f"{target}: is there already; pass another --output, or --force")
    try:
        return _put(conversion, job, target)
    except OSError as fault:
        raise Internal(f"{target}: cannot write it: {fault.strerror or fault}") from fault


def _put(conversion: Conversion, job: Job, target: Path) -> Converted:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=target.parent) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        (fresh / "1").mkdir(parents=True)
        remarks = conversion.write(job, fresh / "1")
        text = convert.dumps(configuration(conversion, job, target.name))
        (fresh / _CONFIG).write_text(text, encoding="utf-8")
        size = sum(one.stat().st_size for one in (fresh / "1").rglob("*") if one.is_file())
        if target.exists() or target.is_symlink():
            target.rename(old)
        fresh.rename(target)
    return Converted(target, size, tuple(remarks))


def configuration(conversion: Conversion, job: Job, name: str) -> ModelConfig:
    """Give the new model's configuration: the old one for another backend, or a short one.

    What a short one leaves out, the server reads off the model file.
    """
    config = replace(
        job.config or ModelConfig(),
        name=name,
        backend=conversion.backend,
        platform=conversion.platform,
        default_model_filename=conversion.filename,
    )
    if conversion.on_gpu:
        groups = config.instance_group
        groups = tuple(one for one in groups if one.kind is not InstanceKind.KIND_CPU)
        config = replace(config, instance_group=groups)
    if job.config is None or job.config.backend in {"", conversion.backend}:
        return config
    # What was said to another runtime means nothing to this one.
    optimization = config.optimization
    if optimization is not None:
        optimization = replace(optimization, execution_accelerators=None, graph_level=None)
    return replace(config, parameters={}, optimization=optimization)
