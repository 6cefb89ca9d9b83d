"""The remote launcher: a V2 server that somebody else runs.

Owns nothing but the changes it makes: a variant is loaded through explicit model control, as
an override of the configuration, and at the end the model is put back as it was found. A
server without model control is served as it is, and asking it for a variant is an error that
says what it lacks.
"""

from __future__ import annotations

import logging
import time

from analyzer import v2client
from analyzer.errors import AnalyzerError, LaunchError, ServerLost
from analyzer.launcher import ALONE, Beside, Endpoint, Launcher
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

LOAD_SECONDS = 300.0
READY_SECONDS = 60.0
PROBE_SECONDS = 10.0
POLL_SECONDS = 0.05
#: how long a server that has answered before may be gone: whoever runs it may restart it
RETURN_SECONDS = 30.0
#: how Triton and its kin say that models are not for clients to load
NO_CONTROL = (404, 405, 501, 503)
#: a name that no model has
PROBE = "servetune.no-such-model"

logger = logging.getLogger(__name__)


def make(http: str, grpc: str | None = None, *, return_seconds: float = RETURN_SECONDS) -> Launcher:
    """Make a launcher for the server at ``http`` (host:port), and ``grpc`` if it is known.

    A server that answered once and then does not is waited for, ``return_seconds`` long.

    Raises:
        LaunchError: that is no address.
    """
    host, port = v2client.split(http)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return _RemoteLauncher(Endpoint(address, grpc=grpc), return_seconds)


def controls_models(http: str) -> bool:
    """Whether the server at ``http`` loads and unloads models at a client's request.

    It is asked to unload a model that nobody has: under explicit control that succeeds and
    changes nothing, and without it is refused like any other.

    Raises:
        LaunchError: nothing answers there.
    """
    host, port = v2client.split(http)
    endpoint = Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        v2client.unload(endpoint, PROBE, timeout_s=PROBE_SECONDS)
    except v2client.Refused as error:
        return error.status not in NO_CONTROL
    return True


class _RemoteLauncher:
    def __init__(self, endpoint: Endpoint, return_seconds: float) -> None:
        self._endpoint = endpoint
        self._return_seconds = return_seconds
        self._answered = False
        #: the models that were changed, and whether each was ready before
        self._changed: dict[str, bool] = {}

    def serve(
        self, model: str, config: ModelConfig | None, *, variant: str, beside: Beside = ALONE
    ) -> Endpoint:
        """Have the server load ``model`` under ``config``; None: as its repository has it.

        Models ``beside`` it are loaded first, as it may be made of them; it is taken down before,
        because between two loads they might not fit each other.

        Raises:
            LaunchError: no such model, no model control, or it did not load.
            ServerLost: nothing answers.
        """
        self._await_server()
        changing = {name: own for name, own in beside.items() if not self._as_found(name, own)}
        if changing and v2client.model_ready(self._endpoint, model):
            self._ask(model, None, variant, down=True)
        for name, own in changing.items():
            self._ask(name, own, variant)
        if changing or not self._as_found(model, config):
            self._ask(model, config, variant)
        return self._endpoint

    def _as_found(self, model: str, config: ModelConfig | None) -> bool:
        """Whether a model is wanted, and there, as the server had it before."""
        changed = config is not None or model in self._changed
        return not changed and v2client.model_ready(self._endpoint, model)

    def _ask(
        self, model: str, config: ModelConfig | None, variant: str, *, down: bool = False
    ) -> None:
        """Have a model loaded under ``config``, or taken down."""
        endpoint, before = self._endpoint, v2client.model_ready(self._endpoint, model)
        override = None if config is None else convert.to_json(config)
        try:
            if down:
                v2client.unload(endpoint, model, timeout_s=LOAD_SECONDS)
            else:
                v2client.load(endpoint, model, override, timeout_s=LOAD_SECONDS)
        except v2client.Refused as error:
            if error.status in NO_CONTROL and config is None and not down:
                raise LaunchError(self._not_there(model)) from error
            if error.status in NO_CONTROL:
                raise LaunchError(
                    f"{endpoint.http} does not load models at a client's request "
                    f"({error.reason}), so {variant} cannot be served there; start that server "
                    "with --model-control-mode=explicit"
                ) from error
            # A load that failed may have changed what the server has, too.
            self._changed.setdefault(model, before)
            raise
        self._changed.setdefault(model, before)
        if not down:
            self._await_ready(model)

    def why_ended(self) -> str:
        """Whether the server ended is out of sight; the next ``serve`` tells."""
        return ""

    def log_tail(self) -> str:
        """The server's log is out of sight."""
        return ""

    def close(self) -> None:
        """Put every model back as it was found; what fails is logged."""
        changed, self._changed = self._changed, {}
        # Who is made of others was taken down before they were changed, so it comes last here.
        for model, was_ready in reversed(changed.items()):
            try:
                if was_ready:
                    v2client.load(self._endpoint, model, timeout_s=LOAD_SECONDS)
                else:
                    v2client.unload(self._endpoint, model, timeout_s=LOAD_SECONDS)
            except AnalyzerError as error:
                logger.warning("not restored model=%s reason=%s", model, error)

    def _await_server(self) -> None:
        """Wait until the server answers: not at all before its first answer."""
        deadline = time.monotonic() + (self._return_seconds if self._answered else 0.0)
        while True:
            try:
                v2client.server_metadata(self._endpoint)
            except v2client.Unreachable as error:
                if time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
                    continue
                raise ServerLost(
                    f"{error.message}; no variant can be measured there until it answers. "
                    "What was measured is kept: the same command goes on from it"
                ) from error
            self._answered = True
            return

    def _not_there(self, model: str) -> str:
        """Say that the server has no such model, and which it has."""
        listed = v2client.index(self._endpoint)
        ready = sorted({each.name for each in listed if each.state == "READY"})
        return (
            f"{self._endpoint.http} has no model {model!r} that is ready, and loads none at a "
            f"client's request; ready there: {', '.join(ready) or 'none'}"
        )

    def _await_ready(self, model: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not v2client.model_ready(self._endpoint, model):
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"{self._endpoint.http} loaded {model!r}, but it was not ready within "
                    f"{READY_SECONDS:g} s"
                )
            time.sleep(POLL_SECONDS)
