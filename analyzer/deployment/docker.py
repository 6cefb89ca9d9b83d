"""The image: Dockerfile, .dockerignore and requirements. Pure.

Owns their text. The image runs as nobody in particular (a user by number, so that Kubernetes can
see that it is not root), has nothing of a package index in it, and ends in the command that serves.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

from analyzer.deployment.served import BACKENDS
from analyzer.deployment.values import PORTS, Export, Served

USER = 10001
MODELS, WHEELS, REQUIREMENTS = "models", "wheels", "requirements.txt"
_LINES = """\
# Serves {model} as {variant} by servetune; `analyze export` wrote it.
# {claim}
#
#   docker build --tag {image} .
#   docker run --rm {gpus}--publish 8000:8000 --publish 8001:8001 --publish 8002:8002 {image}
FROM python:{python}-slim

# Of your own package index, if you have one: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
{environment}
RUN groupadd --gid {user} servetune && \\
    useradd --uid {user} --gid {user} --no-create-home --shell /usr/sbin/nologin servetune

# The versions that were measured. Wheels that no index has lie in wheels/.
COPY {requirements} /build/{requirements}
COPY {wheels}/ /build/{wheels}/
RUN pip install --find-links /build/{wheels} --requirement /build/{requirements}
{swap}
{backends}COPY --chown={user}:{user} {models}/ /{models}/

USER {user}:{user}
EXPOSE {ports}
STOPSIGNAL SIGTERM
# It is ready once every model is loaded; a start may take {start} s.
HEALTHCHECK --interval=10s --timeout=5s --start-period={start}s --retries=3 \\
    CMD {probe}
CMD {command}
"""
_SWAP = """\
# The builds of ONNX Runtime overwrite each other: only this one may stay.
RUN pip uninstall --yes onnxruntime && pip install {swapped}
"""
WHEELS_README = """\
# Wheels

`pip` takes wheels from here that the package index does not have, servetune's own for example:
`scripts/build` in its checkout makes it, `analyze export --wheel FILE` puts it here. Empty is fine
where the index has all that requirements.txt names.
"""


def texts(export: Export) -> Mapping[str, str]:
    """Return the files of the image by their paths; the models come on top."""
    return {
        "Dockerfile": dockerfile(export),
        ".dockerignore": dockerignore(export.served),
        REQUIREMENTS: requirements(export),
        f"{WHEELS}/README.md": WHEELS_README,
    }


def command(served: Served, models: str = f"/{MODELS}", **ports: int) -> tuple[str, ...]:
    """Return the words that serve; ``ports`` are others than Triton's, by their names."""
    listening = [f"--{name}-port={port}" for name, port in {**PORTS, **ports}.items()]
    timeout = f"--exit-timeout-secs={served.exit_timeout_s}"
    return ("engine", "serve", f"--model-repository={models}", *listening, timeout, *served.flags)


def dockerfile(export: Export) -> str:
    """Spell the Dockerfile."""
    served = export.served
    probe = (
        "import urllib.request; "
        f"urllib.request.urlopen('http://127.0.0.1:{PORTS['http']}/v2/health/ready', timeout=4)"
    )
    return _LINES.format(
        model=export.served.model,
        variant=export.choice.variant,
        claim="\n# ".join(textwrap.wrap(export.choice.claim, 96, break_on_hyphens=False)),
        image=export.image,
        gpus="--gpus all " if export.size.gpus else "",
        python=served.python,
        environment=_environment(export),
        user=USER,
        requirements=REQUIREMENTS,
        wheels=WHEELS,
        swap=_SWAP.format(swapped=json.dumps(served.swapped)) if served.swapped else "",
        backends=f"COPY backends/ {BACKENDS}/\n" if served.backends else "",
        models=MODELS,
        ports=" ".join(map(str, PORTS.values())),
        start=export.size.start.value,
        probe=json.dumps(["python", "-c", probe]),
        command=json.dumps(list(command(served))),
    )


def _environment(export: Export) -> str:
    """Spell the variables: pip's and Python's, a GPU's where there is one, the measured ones."""
    usual = {
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": "/tmp",  # noqa: S108 - in the image, where it is the one place that can be written
    }
    gpu = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    every = {**usual, **(gpu if export.size.gpus else {}), **export.served.environment}
    pairs = [f"{name}={_quoted(value)}" for name, value in every.items()]
    return "ENV " + " \\\n    ".join(pairs) + "\n"


def _quoted(value: str) -> str:
    """Quote a value for ENV, which replaces what begins with a dollar sign."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def dockerignore(served: Served) -> str:
    """Spell .dockerignore: of this folder only what the image is made of."""
    kept = [MODELS, WHEELS, REQUIREMENTS, *(["backends"] if served.backends else [])]
    return "".join(f"{line}\n" for line in ("*", *(f"!{each}" for each in kept)))


def requirements(export: Export) -> str:
    """Spell pip's requirements."""
    head = f"# What {export.choice.variant} was measured with; `analyze export` wrote it.\n"
    return head + "".join(f"{line}\n" for line in export.served.requirements)
