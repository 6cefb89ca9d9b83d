"""The launcher's interface: something that brings a model up under a given configuration.

A launcher owns the server's life; whoever asks it for an endpoint gets one that answers, or
a LaunchError with the server's own words in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from analyzer.tls import Tls
    from engine.modelconfig.schema import ModelConfig


#: models served besides the one that is asked for, and the configuration of each
Beside = Mapping[str, "ModelConfig | None"]
ALONE: Beside = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that answers: ``host:port`` of each protocol, and its process where it is ours.

    ``http`` is "" where only the gRPC address is known. ``tls`` None is plain text.
    ``pid`` is None for a server on another machine: nothing is then known of its CPU and RAM.
    """

    http: str
    grpc: str | None = None
    metrics: str | None = None
    pid: int | None = None
    tls: Tls | None = None


class Launcher(Protocol):
    """Serves one variant at a time."""

    def serve(
        self,
        model: str,
        config: ModelConfig | None,
        *,
        variant: str,
        beside: Beside = ALONE,
    ) -> Endpoint:
        """Serve ``model`` under ``config`` (None: as the repository has it), and wait for ready.

        What was served before is stopped or replaced first. ``variant`` names logs and folders.
        The models ``beside`` it, which it may be made of, are served likewise, and waited for.

        Raises:
            LaunchError: it did not come up; the text holds the server's own explanation.
            ServerLost: there is no server to ask, whatever the variant.
        """
        ...

    def why_ended(self) -> str:
        """Say how the server ended, with its last lines; "" where it runs or is out of sight."""
        ...

    def log_tail(self) -> str:
        """Return the last lines of the server's log, or "" where there is none to see."""
        ...

    def close(self) -> None:
        """Stop what was started. May be called twice."""
        ...
