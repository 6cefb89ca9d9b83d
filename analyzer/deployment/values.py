"""What an export is made of. Pure.

Figures of the manifests carry their source, so that whoever reads a file knows which measurement a
number is from. Does not own how any of it is found out (``choice``, ``served``, ``sizing``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from analyzer.errors import UsageError
from analyzer.record.row import Row
from engine.modelconfig.schema import ModelConfig

T = TypeVar("T")

#: Triton's ports, by the names that the Service gives them
PORTS: Mapping[str, int] = {"http": 8000, "grpc": 8001, "metrics": 8002}
#: what a name may be at most: KServe adds ``-predictor-00001`` and more to it, and 63 is the end
_LONGEST = 40
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
#: a registry's host (with a port or not), a path in lower case, a tag, a digest
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]+)?"
)
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Format(Enum):
    """What is written beside the model repository."""

    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    KSERVE = "kserve"


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """A figure, and where it is from, in words that stand beside it."""

    value: T
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for; None: what was measured says it.

    ``replicas`` are the least that run, ``max_replicas`` the most. ``packages`` are installed
    besides what the backends need (pip's words).
    """

    image: str | None = None
    namespace: str | None = None
    replicas: int = 2
    max_replicas: int | None = None
    gpus: int | None = None
    formats: frozenset[Format] = frozenset(Format)
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.image is not None and not _IMAGE.fullmatch(self.image):
            raise UsageError(
                f"--image: {self.image!r} is no name of an image; expected such as "
                "registry.example.com/team/resnet50:1.4, its path in lower case"
            )
        if self.namespace is not None and not _NAMESPACE.fullmatch(self.namespace):
            raise UsageError(
                f"--namespace: {self.namespace!r} is no name of a namespace; expected lower case "
                "letters, digits and dashes, 63 at most"
            )
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise UsageError(
                f"--max-replicas {self.max_replicas} is less than --replicas {self.replicas}"
            )

    @property
    def most(self) -> int:
        """How many pods there may be."""
        return 4 * self.replicas if self.max_replicas is None else self.max_replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The configuration that goes into production, and why it is this one.

    ``row`` is its best measurement, ``rows`` all of them, ``others`` those of the whole profile.
    ``claim`` is a sentence or two; ``proven`` whether it was verified to be better than the
    default.
    """

    variant: str
    is_default: bool
    proven: bool
    claim: str
    row: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How the server is to be started: as the measured one was, as far as a container has it.

    ``loaded`` are the models that requests go to. ``flags`` are ``engine serve``'s besides the
    repository and the ports. ``backends`` is the folder of native backends on this machine ("":
    none), ``python`` the version of Python that it ran by. ``requirements`` are pip's lines,
    ``swapped`` what takes the place of ONNX Runtime's usual build ("": nothing does). ``notes`` are
    what somebody has to know or to do.
    """

    model: str
    loaded: tuple[str, ...]
    configs: Mapping[str, ModelConfig]
    python: str
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    exit_timeout_s: int = 30
    backends: str = ""
    requirements: tuple[str, ...] = ()
    swapped: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a pod needs, and when there are too few; None: not measured.

    ``cpu_request`` and ``cpu_limit`` in cores, ``memory`` in MiB, ``start`` the seconds that a
    start may take. ``in_flight`` is, for each model that requests go to, how many requests a pod
    should have at once, and ``pending`` how many of all may wait in it. ``operating`` is the row at
    the knee.
    """

    operating: Row
    knee: bool
    start: Sourced[int]
    cpu_request: Sourced[float] | None = None
    cpu_limit: Sourced[int] | None = None
    memory: Sourced[int] | None = None
    gpus: Sourced[int] | None = None
    in_flight: Mapping[str, Sourced[float]] = field(default_factory=dict)
    pending: Sourced[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Everything that the files are made of. ``run`` is the profile's, ``machine`` in words."""

    choice: Choice
    served: Served
    size: Size
    wish: Wish
    run: str
    machine: str

    @property
    def name(self) -> str:
        """What the objects are called."""
        return object_name(self.served.model)

    @property
    def image(self) -> str:
        """The image: the one that was asked for, or one that the configuration names."""
        tag = re.sub(r"[^A-Za-z0-9._]+", "-", self.choice.row.digest or self.choice.variant)
        return self.wish.image or f"{self.name}:{tag[:16]}"


def object_name(model: str) -> str:
    """Turn a model's name into one that Kubernetes takes (RFC 1035): ``ResNet_50`` is resnet-50."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if not name or not name[0].isalpha():
        name = f"model-{name}".rstrip("-")
    return name[:_LONGEST].rstrip("-")


def is_label(text: str) -> bool:
    """Whether Kubernetes takes a text as a label's value."""
    return _LABEL.fullmatch(text) is not None
