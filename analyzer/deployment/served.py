"""How the chosen configuration's server is to be started in a container. Pure.

Owns what of a measured server is carried over: its flags, its variables, the packages that its
backends are made of, in the versions that were measured. What cannot be carried over is a note,
never lost in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analyzer.deployment.values import Choice, Served, Wish
from analyzer.record.row import RunHead
from analyzer.variant.accelerators import accelerator_of
from analyzer.variant.runtime import backend_of
from engine import __version__
from engine.modelconfig.schema import InstanceKind, ModelConfig

#: the first that servetune runs by; taken where the measured one is not known
OLDEST_PYTHON = "3.11"
#: where a native backend's libraries lie in the image
BACKENDS = "/backends"
#: flags of a measured server that a container's has not -> why, "" where nobody misses them
LEFT_OUT: Mapping[str, str] = {
    "log-file": "",
    "reuse-http-port": "",
    "reuse-grpc-port": "",
    "model-config-name": "",
    "allow-client-shm": (
        "It was measured with tensors in shared memory, which clients in other pods do not have: "
        "the network's cost comes on top of what was measured."
    ),
}
#: what every server needs, in the versions that were measured
_ALWAYS = ("grpcio", "httptools", "numpy", "protobuf", "tritonclient", "uvloop")
#: backend or accelerator -> (servetune's extra for it, distributions; the first is the extra's own)
_MADE_OF: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "openvino": ("openvino", ("openvino",)),
    "pytorch": ("torch", ("torch",)),
    "tensorflow": ("tensorflow", ("tensorflow-cpu", "tensorflow")),
    "tensorrt": ("tensorrt", ("tensorrt-cu13", "tensorrt-cu12")),
    "tensorrt_rtx": ("tensorrt-rtx", ("onnxruntime-ep-nv-tensorrt-rtx-cu13",)),
    "redis": ("redis", ()),
}
_ONNX, _ONNX_GPU, _ONNX_OPENVINO = "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"
_RTX = _MADE_OF["tensorrt_rtx"][1][0]
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|(^|_)KEY($|_)", re.IGNORECASE)
_VERSION = re.compile(r"\d+\.\d+")
_OUTSIDE = "EXECUTION_ENV_PATH"


def served(choice: Choice, head: RunHead, configs: Mapping[str, ModelConfig], wish: Wish) -> Served:
    """Say how a configuration is served; ``configs`` are its models', the profiled one first."""
    options = _of_server(head.options)
    flags, notes = _flags(options.get("server_flags", ()))
    environment, kept_back = _environment(options.get("environment", {}))
    backends = next((value for name, value in flags if name == "backend-directory"), "")
    words = [
        f"--{name}={BACKENDS if name == 'backend-directory' else value}" if value else f"--{name}"
        for name, value in flags
        if name != "exit-timeout-secs"
    ]
    timeout = next((value for name, value in flags if name == "exit-timeout-secs"), "30")
    requirements, swapped = packages(configs.values(), head.versions, words, wish.packages)
    found = _VERSION.match(head.versions.get("python", ""))
    return Served(
        model=head.model,
        loaded=tuple(choice.row.of_models) or (head.model,),
        configs=configs,
        flags=tuple(words),
        environment=environment,
        exit_timeout_s=int(timeout),
        backends=backends,
        python=found[0] if found else OLDEST_PYTHON,
        requirements=requirements,
        swapped=swapped,
        notes=(*notes, *kept_back, *_of_models(configs, wish)),
    )


def _of_server(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was asked of the server: models that were loaded together shared one."""
    together: Mapping[str, Mapping[str, Any]] = options.get("together", {})
    return next(iter(together.values()), options)


def _flags(given: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the flags that are carried over, by name and value, and notes on the others."""
    kept, notes = [], []
    for each in given:
        name, _, value = each.removeprefix("--").partition("=")
        if name in LEFT_OUT:
            notes.append(LEFT_OUT[name])
        else:
            kept.append((name, value))
        if name == "host-policy":
            notes.append(
                f"--{name}={value} pins instances to cores by their numbers. Pods ask for whole "
                "cores, so that the kubelet's static CPU manager may give them their own; the "
                "numbers have to be among those, or the server says so and does not start."
            )
    return tuple(kept), tuple(dict.fromkeys(note for note in notes if note))


def _environment(given: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the variables that are carried over, and notes on the others."""
    notes = []
    kept = {name: str(value) for name, value in given.items() if name != "CUDA_VISIBLE_DEVICES"}
    if len(kept) < len(given):
        notes.append(
            "CUDA_VISIBLE_DEVICES is left to the cluster, which shows a pod the GPUs it was given."
        )
    for name in [name for name, value in kept.items() if _SECRET.search(name) or "\n" in value]:
        del kept[name]
        notes.append(
            f"The measured server had the variable {name}, which may be a secret and is not "
            "written here: hand it to the pods by a Secret."
        )
    return kept, tuple(notes)


def _of_models(configs: Mapping[str, ModelConfig], wish: Wish) -> Iterator[str]:
    python = [name for name, config in configs.items() if backend_of(config) == "python"]
    if python and not wish.packages:
        yield (
            f"{', '.join(python)}: Python models, whose imports nobody but their code knows. What "
            "they need beyond numpy goes into requirements.txt: export with --pip PACKAGE."
        )
    for name, config in configs.items():
        place = config.parameters.get(_OUTSIDE, "")
        if place.startswith("/"):
            yield f"{name}: {_OUTSIDE} is {place}, which the image has to have as well."


def packages(
    configs: Iterable[ModelConfig],
    versions: Mapping[str, str],
    flags: Sequence[str],
    others: Sequence[str] = (),
) -> tuple[tuple[str, ...], str]:
    """Return pip's requirements, and what takes the place of ONNX Runtime's build ("": nothing).

    Distributions have the versions that were measured, without a build's local part (``+cpu``),
    which an index may not have.
    """
    every = tuple(configs)
    extras, pinned = [], [name for name in _ALWAYS if name in versions]
    for need in _needs(every, versions, flags):
        extra, distributions = _MADE_OF[need]
        there = [name for name in distributions if name in versions]
        if not versions or not distributions or distributions[0] in there:
            extras.append(extra)
        pinned += there[:1]
    swapped = _swapped(every, versions)
    if _ONNX in versions and not swapped:
        pinned.append(_ONNX)
    named = f"servetune[{','.join(sorted(set(extras)))}]" if extras else "servetune"
    lines = [_pin(named, versions.get("servetune", __version__))]
    lines += [_pin(name, versions[name]) for name in sorted(set(pinned))]
    return (*lines, *others), swapped


def _needs(
    configs: Sequence[ModelConfig], versions: Mapping[str, str], flags: Sequence[str]
) -> Iterator[str]:
    """Name the backends and accelerators in use that have packages of their own."""
    for config in configs:
        backend, accelerators = backend_of(config), accelerator_of(config).split("+")
        if backend == "tensorflow" and not {"tensorflow", "tensorflow-cpu"} & versions.keys():
            # OpenVINO runs such models where there is no TensorFlow.
            backend = "openvino" if "openvino" in versions else backend
        if backend in _MADE_OF:
            yield backend
        for each in accelerators:
            if each == "openvino" and _ONNX_OPENVINO in versions:
                continue
            if each in {"tensorrt", "tensorrt_rtx"} and _RTX in versions:
                yield "tensorrt_rtx"
            elif each in _MADE_OF:
                yield each
    if any(flag.startswith("--cache-config=redis") for flag in flags):
        yield "redis"


def _swapped(configs: Sequence[ModelConfig], versions: Mapping[str, str]) -> str:
    """Return the build of ONNX Runtime that takes the usual one's place; "" where none does."""
    onnx = [config for config in configs if backend_of(config) == _ONNX]
    if any("openvino" in accelerator_of(config) for config in onnx) and _ONNX_OPENVINO in versions:
        return _pin(_ONNX_OPENVINO, versions[_ONNX_OPENVINO])
    on_gpu = any(
        group.kind is InstanceKind.KIND_GPU for config in onnx for group in config.instance_group
    )
    if on_gpu and _ONNX_GPU in versions:
        return _pin(f"{_ONNX_GPU}[cuda,cudnn]", versions[_ONNX_GPU])
    return ""


def _pin(name: str, version: str) -> str:
    return f"{name}=={version.partition('+')[0]}"
