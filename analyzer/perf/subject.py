"""What is measured: a model on a server, by the server's own account.

Any V2 server will do. One without the configuration extension is taken at its metadata's word; one
without statistics gives figures of the client only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer import v2client
from analyzer.errors import LaunchError, UsageError
from analyzer.launcher import Endpoint
from analyzer.load.inputs.fields import takes
from analyzer.tls import Tls

if TYPE_CHECKING:
    from analyzer.load.inputs.fields import Takes
    from analyzer.perf.options import PerfOptions
    from engine.modelconfig.schema import ModelConfig
    from engine.v2.call import ModelDescription

DEFAULT_PORTS = {"http": 8000, "grpc": 8001}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model on a server. ``composing`` are the models behind it, by name and version."""

    endpoint: Endpoint
    described: ModelDescription
    config: ModelConfig | None
    composing: tuple[tuple[str, str], ...] = ()

    @property
    def decoupled(self) -> bool:
        """Whether it answers a request any number of times."""
        return self.config is not None and self.config.decoupled

    @property
    def sequences(self) -> bool:
        """Whether its requests belong to sequences."""
        return self.config is not None and self.config.sequence_batching is not None

    @property
    def cached(self) -> bool:
        """Whether its responses are cached."""
        return self.config is not None and self.config.response_cache

    def takes(self, batch_size: int = 1) -> Takes:
        """Return its inputs and outputs."""
        one = self.described
        return takes(one.name, one.inputs, one.outputs, self.config, batch_size, {})


def find(options: PerfOptions) -> Subject:
    """Ask the server for the model.

    Raises:
        LaunchError: nothing answers there, or there is no such model; the text says what there is.
    """
    endpoint = endpoint_of(options)
    model, version = options.model, options.version
    try:
        described = v2client.model_metadata(endpoint, model, version)
    except v2client.Refused as error:
        raise LaunchError(f"{error.message}{_others(endpoint, model)}") from error
    try:
        config = v2client.model_config(endpoint, model, version)
    except v2client.Refused:
        config = None
    return Subject(
        endpoint=endpoint,
        described=described,
        config=config,
        composing=(*_steps(endpoint, config), *options.composing),
    )


def endpoint_of(options: PerfOptions) -> Endpoint:
    """Return where the server is, as ``-u`` and ``-i`` say.

    Raises:
        LaunchError: that is no address.
        UsageError: a certificate or a key is in a form that is not read.
    """
    url = options.url
    tls = _tls(options)
    address = url.partition("//")[2] if "//" in url else url
    address = address.rstrip("/")
    if not address.rpartition(":")[2].isdecimal() or address.endswith("]"):
        address = f"{address}:{DEFAULT_PORTS[options.protocol]}"
    if options.protocol == "grpc":
        return Endpoint("", grpc=address, tls=tls)
    host, port = v2client.split(address)
    return Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls=tls)


def _tls(options: PerfOptions) -> Tls | None:
    """Return how the server is spoken to in secret, if it is: as the address or a flag says."""
    asked = options.tls
    secret = options.url.startswith(("https://", "grpcs://"))
    if options.protocol == "grpc":
        secret = secret or asked.grpc
    if not secret:
        return None
    if "DER" in {asked.key_type, asked.chain_type}:
        raise UsageError(
            "--ssl-https-...-type: certificates and keys are read as PEM; "
            "convert them by `openssl x509` or `openssl pkey`, with -inform DER"
        )
    return Tls(
        verify_peer=asked.verify_peer,
        verify_host=asked.verify_host,
        ca_file=str(asked.root or ""),
        cert_file=str(asked.chain or ""),
        key_file=str(asked.key or ""),
    )


def _steps(endpoint: Endpoint, config: ModelConfig | None) -> tuple[tuple[str, str], ...]:
    """Return the models of an ensemble's steps; a version that is left open is the latest."""
    found: dict[str, str] = {}
    for step in (config.ensemble_scheduling or ()) if config is not None else ():
        version = str(step.model_version) if step.model_version > 0 else ""
        found.setdefault(step.model_name, version or _latest(endpoint, step.model_name))
    return tuple(found.items())


def _latest(endpoint: Endpoint, model: str) -> str:
    try:
        versions = v2client.model_metadata(endpoint, model).versions
    except LaunchError:
        return ""
    return max(versions, key=lambda each: int(each) if each.isdecimal() else 0, default="")


def _others(endpoint: Endpoint, model: str) -> str:
    """Say which models there are, where the server tells."""
    try:
        names = sorted({each.name for each in v2client.index(endpoint) if each.name != model})
    except LaunchError:
        return ""
    return f"; there are: {', '.join(names)}" if names else ""
