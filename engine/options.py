"""What ``engine serve`` was asked to do, frozen; and the forms in which Triton's flags say it.

Names and defaults follow Triton's flags. Owns: the values flags may have, and which of them
exclude each other. Does not own: argv (``cli``), or whether a path, a port or a model exists.

Rules:

1. No flag of Triton's is silently ignored. One that would change what the server does, and
   cannot yet, is refused by name (``LATER``); one that tunes what this server does not have
   is noted in the log (``IDLE``). A flag that repeats Triton's default asks for nothing.
2. Everything that is wrong with a command line is said at once.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any

from engine.errors import InvalidArgument
from engine.metering import CacheChoice, Metering, cache_config, metrics_config
from engine.sharing import (
    HostPolicy,
    RateLimit,
    Resources,
    host_policies,
    rate_limit,
    rate_limit_resources,
)


class ModelControlMode(Enum):
    """Who decides which models are loaded."""

    NONE = "none"
    POLL = "poll"
    EXPLICIT = "explicit"


class LogFormat(Enum):
    """How a log line begins: with Triton's short date, or with an ISO 8601 one."""

    DEFAULT = "default"
    ISO8601 = "ISO8601"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Everything ``engine serve`` needs, with Triton's defaults.

    A port of 0 lets the system choose one; ``ports_file`` then tells which, once the server
    answers. ``backend_config`` maps a backend's name ("" for all of them) to its settings.
    """

    model_repository: tuple[Path, ...]
    id: str = "triton"
    model_control_mode: ModelControlMode = ModelControlMode.NONE
    load_model: tuple[str, ...] = ()
    exit_on_error: bool = True
    strict_readiness: bool = True
    model_config_name: str = ""
    disable_auto_complete_config: bool = False
    exit_timeout_secs: int = 30
    model_load_thread_count: int = 4
    model_load_retry_count: int = 0
    repository_poll_secs: float = 15.0
    allow_http: bool = True
    http_address: str = "0.0.0.0"  # noqa: S104 - Triton's default, and what a container needs
    http_port: int = 8000
    reuse_http_port: bool = False
    http_max_input_size: int = 64 << 20
    allow_grpc: bool = True
    grpc_address: str = "0.0.0.0"  # noqa: S104 - as above
    grpc_port: int = 8001
    reuse_grpc_port: bool = False
    allow_metrics: bool = True
    metrics_address: str | None = None
    metrics_port: int = 8002
    allow_client_shm: bool = False
    allow_gpu_metrics: bool = True
    allow_cpu_metrics: bool = True
    metrics_interval_ms: int = 2000
    metrics_config: Metering = field(default_factory=Metering)
    cache_config: CacheChoice | None = None
    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    backend_directory: Path | None = None
    rate_limit: RateLimit = RateLimit.OFF
    rate_limit_resource: Resources = field(default_factory=dict)
    host_policy: Mapping[str, HostPolicy] = field(default_factory=dict)
    log_verbose: int = 0
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_format: LogFormat = LogFormat.DEFAULT
    log_file: Path | None = None
    ports_file: Path | None = None


_SWITCHES = tuple(one.name for one in fields(ServeOptions) if one.type == "bool")

#: What changes a server's behaviour and comes later: the flag, the values that ask for
#: nothing (Triton's default), and what it is about.
LATER: Mapping[str, tuple[tuple[str, ...], str]] = {
    "model-load-gpu-limit": ((), "limiting a GPU's memory"),
    "model-namespacing": (("false",), "model namespaces"),
    "http-header-forward-pattern": (("",), "forwarding headers to models"),
    "http-restricted-api": ((), "restricting parts of the API"),
    "grpc-header-forward-pattern": (("",), "forwarding headers to models"),
    "grpc-restricted-protocol": ((), "restricting parts of the API"),
    "grpc-use-ssl": (("false",), "TLS"),
    "grpc-use-ssl-mutual": (("false",), "TLS"),
    "grpc-server-cert": (("",), "TLS"),
    "grpc-server-key": (("",), "TLS"),
    "grpc-root-cert": (("",), "TLS"),
    "grpc-infer-response-compression-level": (("none",), "compressing gRPC responses"),
    "grpc-keepalive-time": (("7200000",), "gRPC keep-alive settings"),
    "grpc-keepalive-timeout": (("20000",), "gRPC keep-alive settings"),
    "grpc-keepalive-permit-without-calls": (("false",), "gRPC keep-alive settings"),
    "grpc-http2-max-pings-without-data": (("2",), "gRPC keep-alive settings"),
    "grpc-http2-min-recv-ping-interval-without-data": (("300000",), "gRPC keep-alive settings"),
    "grpc-http2-max-ping-strikes": (("2",), "gRPC keep-alive settings"),
    "grpc-max-connection-age": (("0",), "limiting a connection's age"),
    "grpc-max-connection-age-grace": (("0",), "limiting a connection's age"),
    "allow-sagemaker": (("false",), "the SageMaker front end"),
    "sagemaker-port": (("8080",), "the SageMaker front end"),
    "sagemaker-safe-port-range": ((), "the SageMaker front end"),
    "sagemaker-thread-count": (("8",), "the SageMaker front end"),
    "allow-vertex-ai": (("false",), "the Vertex AI front end"),
    "vertex-ai-port": (("8080",), "the Vertex AI front end"),
    "vertex-ai-thread-count": (("8",), "the Vertex AI front end"),
    "vertex-ai-default-model": (("",), "the Vertex AI front end"),
    "trace-config": ((), "tracing"),
    "trace-file": ((), "tracing"),
    "trace-level": (("OFF",), "tracing"),
    "trace-rate": (("1000",), "tracing"),
    "trace-count": (("-1",), "tracing"),
    "trace-log-frequency": (("0",), "tracing"),
    "repoagent-directory": ((), "repository agents"),
    "cache-directory": ((), "caches in a folder (they come as Python packages here)"),
    "min-supported-compute-capability": ((), "a bound on GPU compute capability"),
}

#: What tunes parts of Triton that do not exist here: accepted, and said to do nothing.
IDLE: Mapping[str, str] = {
    "http-thread-count": "one event loop serves every HTTP connection",
    "grpc-infer-thread-count": "one event loop serves every gRPC connection",
    "grpc-infer-allocation-pool-size": "requests are not pooled",
    "grpc-max-response-pool-size": "responses are not pooled",
    "pinned-memory-pool-byte-size": "the runtimes manage memory themselves",
    "cuda-memory-pool-byte-size": "the runtimes manage memory themselves",
    "cuda-virtual-address-size": "the runtimes manage memory themselves",
    "buffer-manager-thread-count": "batches are joined where they run",
    "enable-peer-access": "the runtimes manage memory themselves",
}

#: what ``--backend-config`` can set here: for every backend (""), and for one. Others of ours have
#: no settings of their own; of any other name they are for a library, or another distribution
BACKEND_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "": ("default-max-batch-size",),
    "onnxruntime": (
        "enable-global-threadpool",
        "intra_op_thread_count",
        "inter_op_thread_count",
    ),
    "python": (
        "shm-default-byte-size",
        "shm-growth-byte-size",
        "shm-limit-byte-size",
        "shm-region-prefix-name",
        "stub-timeout-seconds",
        "in-process",
    ),
}

#: settings that are no whole numbers; their backend judges them
_WORDS = ("shm-region-prefix-name", "in-process")

_TRUE, _FALSE = ("true", "on", "1"), ("false", "off", "0")


def switch(flag: str, text: str) -> bool:
    """Read a boolean in Triton's forms: true, on, 1, false, off, 0, in any letter case.

    Raises:
        InvalidArgument: it is none of these.
    """
    if (word := text.strip().lower()) in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidArgument(f"--{flag}: expected true or false (on, off, 1, 0), found {text!r}")


def verbosity(text: str) -> int:
    """Read ``--log-verbose``: a number, or a boolean (Model Analyzer writes ``True``).

    Raises:
        InvalidArgument: it is neither.
    """
    if text.strip().isdecimal():
        return int(text)
    try:
        return int(switch("log-verbose", text))
    except InvalidArgument:
        message = f"--log-verbose: expected 0, 1 or more, found {text!r}"
        raise InvalidArgument(message) from None


def config_name(text: str) -> str:
    """Read ``--model-config-name``: the name of a file in the models' ``configs`` folders.

    Raises:
        InvalidArgument: it is empty, or no name of a file.
    """
    if not text or any(letter.isspace() for letter in text) or "/" in text:
        raise InvalidArgument(
            "--model-config-name: expected the name of a file in configs/, without .pbtxt, spaces "
            f"and folders, found {text!r}"
        )
    return text


def backend_settings(texts: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    """Read every ``--backend-config [BACKEND,]SETTING=VALUE``; "" stands for all backends.

    Raises:
        InvalidArgument: one of them has another form, or sets what nobody here reads.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        head, equals, value = text.partition("=")
        backend, comma, setting = head.partition(",")
        if not comma:
            backend, setting = "", head
        if not equals or not setting or (comma and not backend):
            raise InvalidArgument(
                f"--backend-config: expected [BACKEND,]SETTING=VALUE, found {text!r}"
            )
        there_are = (*BACKEND_SETTINGS[""], *BACKEND_SETTINGS.get(backend, ()))
        foreign = bool(backend) and backend not in _built_in()
        if setting not in there_are and not foreign:
            of = f" of {backend}" if backend else ""
            raise InvalidArgument(
                f"--backend-config: {setting}{of} is not available in this version (there is: "
                f"{', '.join(there_are)}); a model's own settings go into its config.pbtxt"
            )
        judged = setting in there_are and setting not in _WORDS
        if judged and not (value.isascii() and value.isdecimal()):
            raise InvalidArgument(
                f"--backend-config: {setting}: expected a whole number, found {value!r}"
            )
        found.setdefault(backend, {})[setting] = value
    return found


def near_misses(options: ServeOptions) -> tuple[str, ...]:
    """Say whose settings are taken for a library's, though a backend of ours may be meant."""
    named = {one: get_close_matches(one, _built_in(), n=1) for one in options.backend_config if one}
    return tuple(
        f"--backend-config: no backend here is called '{name}', so its settings are for a library"
        f" of that name; did you mean '{near[0]}'?"
        for name, near in named.items()
        if near and near[0] != name
    )


def _built_in() -> frozenset[str]:
    """Name the backends that come with the engine and have no libraries of others behind them."""
    folder = str(Path(__file__).parent / "backends")
    return frozenset(one.name for one in pkgutil.iter_modules([folder])) - {"native"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was made of the words of a command line that are no flag of ours.

    ``notes`` are worth a line in the log (flags that have no effect here); ``problems`` are
    flags that are not available yet, that nobody knows, and stray words.
    """

    notes: tuple[str, ...]
    problems: tuple[str, ...]


def leftover(words: Sequence[str], known: Iterable[str]) -> Judgement:
    """Judge what is left of a command line; ``known`` are our flags, with their dashes."""
    candidates = (*known, *(f"--{name}" for name in (*LATER, *IDLE)))
    notes, problems = [], []
    for flag, value in _pairs(words):
        name = flag.removeprefix("--")
        if name in IDLE:
            notes.append(f"--{name} has no effect: {IDLE[name]}")
        elif name in LATER:
            accepted, what = LATER[name]
            if not _same(value, accepted):
                problems.append(f"--{name}: not available in this version ({what}); leave it out")
        elif flag.startswith("-"):
            near = get_close_matches(flag, candidates, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; --help lists the flags there are"
            problems.append(f"{flag}: no such flag{hint}")
        else:
            problems.append(
                f"{flag!r}: expected a flag; model repositories follow --model-repository"
            )
    return Judgement(tuple(notes), tuple(problems))


def _pairs(words: Sequence[str]) -> Iterable[tuple[str, str | None]]:
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if equals or not flag.startswith("-"):
            yield flag, value
        elif rest and not rest[0].startswith("--"):
            yield flag, rest.pop(0)
        else:
            yield flag, None


def _same(value: str | None, accepted: tuple[str, ...]) -> bool:
    if value is None:
        return False
    words = {word.lower() for word in accepted}
    return value.lower() in words or ("false" in words and value.lower() in _FALSE)


def from_flags(flags: Mapping[str, Any], found: Iterable[str] = ()) -> ServeOptions:
    """Turn flags, by their names with underscores, into options.

    Booleans are texts in Triton's forms; repeated flags are lists. What is absent or None has
    its default. ``found`` are problems of the same command line that are known already.

    Raises:
        InvalidArgument: every flag whose value cannot be, and every two that exclude each other.
    """
    problems = list(found)
    values: dict[str, Any] = {}
    for name, given in flags.items():
        if given is None:
            continue
        try:
            values[name] = _value(name, given)
        except InvalidArgument as error:
            problems.append(error.message)
    if values.pop("strict_model_config", False):  # Triton's old name
        values["disable_auto_complete_config"] = True
    if size := values.pop("response_cache_byte_size", 0):  # likewise
        if values.get("cache_config") is not None:
            problems.append(
                "Incompatible flags --response-cache-byte-size and --cache-config both provided. "
                "--response-cache-byte-size is deprecated, please use --cache-config instead."
            )
        values["cache_config"] = CacheChoice("local", {"size": str(size)})
    values.setdefault("model_repository", ())
    options = ServeOptions(**values)
    if problems := [*problems, *conflicts(options)]:
        raise InvalidArgument("\n".join(problems))
    return options


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "log_verbose": verbosity,
    "backend_config": backend_settings,
    "rate_limit": rate_limit,
    "rate_limit_resource": rate_limit_resources,
    "host_policy": host_policies,
    "metrics_config": metrics_config,
    "cache_config": cache_config,
    "model_config_name": config_name,
}


def _value(name: str, given: Any) -> Any:  # noqa: ANN401 - one flag's text or list, and what it means
    if name in {*_SWITCHES, "strict_model_config"} and isinstance(given, str):
        return switch(name.replace("_", "-"), given)
    if name in _READERS:
        return _READERS[name](given)
    return tuple(given) if isinstance(given, list) else given


def conflicts(options: ServeOptions) -> tuple[str, ...]:
    """Say which options exclude each other."""
    found = []
    if not options.model_repository:
        found.append(
            "--model-repository: missing; pass the folder that holds the models, or --chosen "
            "NAME for the winner of a profile (`engine examples` builds models to try)"
        )
    explicit = options.model_control_mode is ModelControlMode.EXPLICIT
    if options.load_model and not explicit:
        found.append("--load-model requires --model-control-mode=explicit as well")
    if "*" in options.load_model and len(options.load_model) > 1:
        found.append("--load-model: '*' loads every model; leave the others out")
    pool = options.backend_config.get("onnxruntime", {})
    sizes = sorted(name for name in pool if name.endswith("_thread_count"))
    if sizes and pool.get("enable-global-threadpool", "0") == "0":
        found.append(
            f"--backend-config: onnxruntime,{sizes[0]} is the size of the pool that all models "
            "share; add onnxruntime,enable-global-threadpool=1, or set the model's own threads in "
            "its config.pbtxt"
        )
    if not options.allow_http and not options.allow_grpc:
        found.append("--allow-http and --allow-grpc are both false: nothing would be served")
    return (*found, *_collisions(options))


def _collisions(options: ServeOptions) -> Iterable[str]:
    taken: list[tuple[str, str, int]] = []
    for name, address, port in endpoints(options):
        for other, elsewhere, used in taken:
            if port and port == used and _overlap(address, elsewhere):
                yield f"--{other}-port and --{name}-port are both {port}; give each its own"
        taken.append((name, address, port))


def _overlap(one: str, other: str) -> bool:
    return one == other or not {one, other}.isdisjoint({"0.0.0.0", "::", ""})  # noqa: S104 - compared only


def endpoints(options: ServeOptions) -> tuple[tuple[str, str, int], ...]:
    """List what listens: (http, grpc or metrics; address; port)."""
    metrics_address = options.metrics_address or options.http_address
    every = (
        (options.allow_http, "http", options.http_address, options.http_port),
        (options.allow_grpc, "grpc", options.grpc_address, options.grpc_port),
        (options.allow_metrics, "metrics", metrics_address, options.metrics_port),
    )
    return tuple((name, address, port) for allowed, name, address, port in every if allowed)
