"""What ``engine serve`` was asked to do, frozen. Names follow Triton's flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


class ModelControlMode(Enum):
    """Who decides which models are loaded."""

    NONE = "none"
    POLL = "poll"
    EXPLICIT = "explicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Everything ``engine serve`` needs, with Triton's defaults.

    A port of 0 lets the system choose one. ``backend_config`` maps a backend's name ("" for
    all of them) to its settings.
    """

    model_repository: tuple[Path, ...]
    id: str = "triton"
    model_control_mode: ModelControlMode = ModelControlMode.NONE
    load_model: tuple[str, ...] = ()
    exit_on_error: bool = True
    strict_readiness: bool = True
    disable_auto_complete_config: bool = False
    exit_timeout_secs: int = 30
    model_load_thread_count: int = 4
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
    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    log_verbose: int = 0
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
