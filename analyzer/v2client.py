"""A small blocking client of a V2 server: what is asked of it besides inference.

Owns the verbs that a sweep needs (readiness, metadata, configuration, counters, index, load,
unload) and their replies as frozen values. Does not own inference under load (``load``) nor
the meaning of a configuration (``engine.modelconfig``). One connection a call: these calls
are rare.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from analyzer.errors import LaunchError
from engine.errors import ConfigError
from engine.types import DType, TensorSpec

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from engine.modelconfig.schema import ModelConfig

DEFAULT_PORT = 8000


class Unreachable(LaunchError):
    """Nothing answers there, or what answers does not speak HTTP."""


class Refused(LaunchError):
    """The server answered, and said no. ``status`` is HTTP's, ``reason`` the server's text."""

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a server says of a model; shapes have the leading -1 of a batching model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """A model's counters since it was loaded, all its versions together.

    Source: the statistics extension. ``*_ns`` are sums over the ``requests`` that succeeded.
    """

    requests: int = 0
    failed: int = 0
    inferences: int = 0
    executions: int = 0
    request_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0

    def __sub__(self, earlier: Counters) -> Counters:
        names = [field.name for field in fields(self)]
        return Counters(**{name: getattr(self, name) - getattr(earlier, name) for name in names})


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository index; ``reason`` says why a model is not ready."""

    name: str
    version: str
    state: str
    reason: str


def ready(endpoint: Endpoint, *, timeout_s: float = 5.0) -> bool:
    """Whether the server says that it is ready; False where nothing answers."""
    return _says_yes(endpoint, "/v2/health/ready", timeout_s)


def model_ready(endpoint: Endpoint, model: str, *, timeout_s: float = 5.0) -> bool:
    """Whether the server says that the model is ready; False where nothing answers."""
    return _says_yes(endpoint, f"{_path(model)}/ready", timeout_s)


def server_metadata(endpoint: Endpoint) -> ServerMetadata:
    """Ask the server what it is.

    Raises:
        LaunchError: it does not answer, or not as a V2 server does.
    """
    plain = _object(endpoint, "/v2")
    extensions = plain.get("extensions") or ()
    return ServerMetadata(
        name=str(plain.get("name", "")),
        version=str(plain.get("version", "")),
        extensions=tuple(str(extension) for extension in extensions),
    )


def model_metadata(endpoint: Endpoint, model: str) -> ModelMetadata:
    """Ask what the model's inputs and outputs are.

    Raises:
        LaunchError: the server has no such model, or does not answer as a V2 server does.
    """
    plain = _object(endpoint, _path(model))
    try:
        return ModelMetadata(
            name=str(plain["name"]),
            versions=tuple(str(version) for version in plain.get("versions") or ()),
            platform=str(plain.get("platform", "")),
            inputs=tuple(_spec(tensor) for tensor in plain["inputs"]),
            outputs=tuple(_spec(tensor) for tensor in plain["outputs"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LaunchError(
            f"http://{endpoint.http}{_path(model)}: not the metadata of a model: {error!r}"
        ) from error


def model_config(endpoint: Endpoint, model: str) -> ModelConfig:
    """Ask for the complete configuration that the server runs the model with.

    Raises:
        LaunchError: no such model, the server has no configuration extension, or the
            configuration holds what this version does not know.
    """
    # Protobuf takes a third of a second to import, and the load client, which starts for
    # every measurement, wants this module's counters only.
    from engine.modelconfig import convert  # noqa: PLC0415 - as said above

    source = f"{_path(model)}/config"
    plain = _object(endpoint, source)
    try:
        return convert.from_json(plain, f"http://{endpoint.http}{source}")
    except ConfigError as error:
        raise LaunchError(error.message) from error


def statistics(endpoint: Endpoint, model: str, *, timeout_s: float = 30.0) -> Counters:
    """Read the model's counters.

    Raises:
        LaunchError: no such model, or the server has no statistics extension.
    """
    source = f"{_path(model)}/stats"
    plain = _object(endpoint, source, timeout_s)
    try:
        versions = [stats for stats in plain["model_stats"] if stats["name"] == model]
        return _sum([_counters(stats) for stats in versions])
    except (KeyError, TypeError, ValueError) as error:
        raise LaunchError(
            f"http://{endpoint.http}{source}: not the statistics of a model: {error!r}"
        ) from error


def index(endpoint: Endpoint) -> tuple[IndexEntry, ...]:
    """List the repository of the server.

    Raises:
        LaunchError: the server does not answer, or has no model repository extension.
    """
    plain = _request(endpoint, "POST", "/v2/repository/index", b"{}")
    if not isinstance(plain, list):
        raise LaunchError(f"http://{endpoint.http}/v2/repository/index: expected a JSON list")
    return tuple(
        IndexEntry(*(str(entry.get(key, "")) for key in ("name", "version", "state", "reason")))
        for entry in plain
    )


def load(
    endpoint: Endpoint, model: str, config: Mapping[str, Any] | None = None, *, timeout_s: float
) -> None:
    """Have the server load the model, under ``config`` (Triton's JSON form) or its own.

    Raises:
        LaunchError: it refused, or the model did not load; the text is the server's.
    """
    parameters = {} if config is None else {"parameters": {"config": json.dumps(config)}}
    path = f"/v2/repository/models/{quote(model, safe='')}/load"
    _request(endpoint, "POST", path, json.dumps(parameters).encode(), timeout_s=timeout_s)


def unload(endpoint: Endpoint, model: str, *, timeout_s: float) -> None:
    """Have the server unload the model.

    Raises:
        LaunchError: it refused.
    """
    path = f"/v2/repository/models/{quote(model, safe='')}/unload"
    _request(endpoint, "POST", path, b"{}", timeout_s=timeout_s)


def split(address: str) -> tuple[str, int]:
    """Split ``host:port`` (a scheme of http:// is accepted, the port may be left out).

    Raises:
        LaunchError: it is no such address, or it asks for https.
    """
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LaunchError(f"{address!r} is not an address; expected host:port") from error
    if parts.scheme not in {"", "http"} or not host or parts.path.strip("/"):
        raise LaunchError(f"{address!r} is not an address; expected host:port (plain HTTP)")
    return host, port or DEFAULT_PORT


def error_text(body: bytes) -> str:
    """Return the server's own words out of an error's body: V2 puts them under ``error``."""
    text = body.decode("utf-8", "replace").strip()
    try:
        plain = json.loads(text)
    except ValueError:
        return text
    return str(plain["error"]) if isinstance(plain, dict) and "error" in plain else text


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}"


def _says_yes(endpoint: Endpoint, path: str, timeout_s: float) -> bool:
    try:
        _request(endpoint, "GET", path, timeout_s=timeout_s)
    except (Refused, Unreachable):
        return False
    return True


def _object(endpoint: Endpoint, path: str, timeout_s: float = 30.0) -> dict[str, Any]:
    plain = _request(endpoint, "GET", path, timeout_s=timeout_s)
    if not isinstance(plain, dict):
        raise LaunchError(f"http://{endpoint.http}{path}: expected a JSON object")
    return plain


def _request(
    endpoint: Endpoint, method: str, path: str, body: bytes = b"", *, timeout_s: float = 30.0
) -> Any:  # noqa: ANN401 - whatever JSON the server sent; the caller checks it
    """Send one request and return the reply's JSON (None for an empty body)."""
    host, port = split(endpoint.http)
    url = f"http://{endpoint.http}{path}"
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request(method, path, body, {"Connection": "close"})
        reply = connection.getresponse()
        content = reply.read()
    except (OSError, HTTPException) as error:
        raise Unreachable(f"no answer from {url}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if not 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP's successes
        reason = error_text(content) or reply.reason
        message = f"{url} answered {reply.status}: {reason}"
        raise Refused(message, status=reply.status, reason=reason)
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise LaunchError(f"{url}: the reply is not JSON: {content[:80]!r}") from error


def _spec(plain: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(
        name=str(plain["name"]),
        dtype=DType(plain["datatype"]),
        shape=tuple(int(size) for size in plain["shape"]),
    )


def _counters(stats: Mapping[str, Any]) -> Counters:
    times = stats["inference_stats"]
    return Counters(
        requests=int(times["success"]["count"]),
        failed=int(times["fail"]["count"]),
        inferences=int(stats["inference_count"]),
        executions=int(stats["execution_count"]),
        request_ns=int(times["success"]["ns"]),
        queue_ns=int(times["queue"]["ns"]),
        compute_input_ns=int(times["compute_input"]["ns"]),
        compute_infer_ns=int(times["compute_infer"]["ns"]),
        compute_output_ns=int(times["compute_output"]["ns"]),
    )


def _sum(parts: list[Counters]) -> Counters:
    names = [field.name for field in fields(Counters)]
    return Counters(**{name: sum(getattr(part, name) for part in parts) for name in names})
