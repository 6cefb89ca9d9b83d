"""Builds the server out of its parts, starts them in order, and stops them in reverse.

The only module that knows every part. In order: the ports are held, the models load, the
transports listen, the ports are told. A server that answers is therefore a server whose
models are loaded (Triton opens its ports last, and start-up probes rely on it).

Signals: the first SIGINT or SIGTERM ends the server cleanly (nothing new is accepted, what
is in flight is answered, models are unloaded, within ``--exit-timeout-secs``); the second
ends it at once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, TextIO

import uvloop

from engine import cache
from engine.clock import Clock, SystemClock
from engine.errors import EngineError, Internal, InvalidArgument, NotFound
from engine.execution.ensemble import Composer
from engine.execution.host import Host
from engine.execution.pinning import resolve
from engine.inside import Inside
from engine.memory.cuda import OpenCuda
from engine.memory.system import open_system
from engine.memory.table import RegionTable
from engine.options import ServeOptions, endpoints
from engine.ratelimit import RateLimiter
from engine.repository.overview import COLUMNS, Line, overview
from engine.repository.registry import Registry
from engine.repository.scan import CONFIG
from engine.service import Service
from engine.sharing import RateLimit
from engine.telemetry import log, machine
from engine.telemetry.custom import CustomMetrics
from engine.telemetry.devices import Devices
from engine.telemetry.gpus import Gpus
from engine.telemetry.gpus import find as find_gpus
from engine.telemetry.page import MetricsPage
from engine.transports.grpc import serve_grpc
from engine.transports.http import serve_http
from engine.transports.metrics import serve_metrics
from engine.transports.ports import reserved

logger = logging.getLogger(__name__)

DONE, FAILED, INTERRUPTED = 0, 1, 130
#: what Triton calls the services in its log
TITLES = {"http": "HTTPService", "grpc": "GRPCInferenceService", "metrics": "Metrics Service"}


class Listener(Protocol):
    """A transport that accepts connections."""

    port: int

    def stop_accepting(self) -> None:
        """Take no new connection."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Wait until what is in flight has been answered."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def serve(options: ServeOptions, notes: Sequence[str] = ()) -> int:
    """Serve until a signal ends it; ``notes`` are warnings for the log.

    Returns:
        the exit code of a clean stop: 0. A stop that takes too long leaves with 1, a signal
        while models load, or a second one, with 130, and neither returns.

    Raises:
        EngineError: the log file or a port cannot be had, or models did not load.
    """
    # What was imported stays: no collection walks through it while requests wait (some 50 ms).
    gc.freeze()
    gc.enable()
    carrier = log.set_up(options)
    for note in notes:
        logger.warning("%s", note)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(options))
    finally:
        carrier.flush()


async def _serve(options: ServeOptions) -> int:
    loop = asyncio.get_running_loop()
    stop = _stop_on_signals(loop)
    clock = SystemClock()
    with reserved(options):
        custom = CustomMetrics()
        inside = Inside(loop, meters=custom)
        gpus = await loop.run_in_executor(None, find_gpus, os.environ)
        host = _host(options, clock, inside, gpus)
        devices = await _devices(options, loop, gpus)
        composer = Composer(clock, loop, host)
        registry = Registry(options, clock=clock, loop=loop, host=host, composer=composer)
        inside.connect(registry)
        try:
            await _load(options, registry, stop)
            regions = RegionTable(open_system, OpenCuda()) if options.allow_client_shm else None
            service = Service(registry, options, regions)
            page = MetricsPage(registry.models, devices, options.metrics_config, clock, custom)
            listeners = await _listen(options, service, page)
        except EngineError:
            await registry.stop(options.exit_timeout_secs)
            raise
    await stop.wait()
    if not await _shut_down(options, registry, listeners, clock):
        _leave_at_once(FAILED, "Exit timeout expired. Exiting immediately.")
    devices.stop()
    if regions is not None:
        regions.close()
    if host.cache is not None:
        await host.cache.close()
    return DONE


async def _devices(options: ServeOptions, loop: asyncio.AbstractEventLoop, gpus: Gpus) -> Devices:
    """Begin to look at the machine's devices, if anybody may ask for them."""
    devices = Devices(
        gpus=gpus,
        gpu=options.allow_gpu_metrics,
        cpu=options.allow_cpu_metrics,
        interval_ms=options.metrics_interval_ms,
    )
    if options.allow_metrics:
        await loop.run_in_executor(None, devices.start)
    return devices


def _host(options: ServeOptions, clock: Clock, inside: Inside, gpus: Gpus) -> Host:
    """Say what the models share.

    Raises:
        InvalidArgument: a host policy names cores that there are not; the cache's settings are
            wrong.
        NotFound: there is no such cache.
        Unavailable: what it needs is not installed.
    """
    limiter = None
    if options.rate_limit is RateLimit.EXECUTION_COUNT:
        # Models join and leave on the threads that load them; all else is on the loop.
        limiter = RateLimiter(options.rate_limit_resource, threading.Lock())
    elif options.rate_limit_resource:
        logger.warning("--rate-limit-resource has no effect while --rate-limit is off")
    chosen = options.cache_config
    return Host(
        cores=machine.cores(),
        policies=resolve(options.host_policy),
        limiter=limiter,
        cache=None if chosen is None else cache.find(chosen.name)(chosen.settings, clock),
        metering=options.metrics_config,
        inside=inside,
        gpus=tuple(range(len(gpus.uuids))),
    )


async def _load(options: ServeOptions, registry: Registry, stop: asyncio.Event) -> None:
    for repository in options.model_repository:
        check_repository(repository)
    try:
        if not await _before(stop, registry.start()):
            _leave_at_once(INTERRUPTED, "interrupted while models were loading")
    except EngineError:
        # What follows says why; the table says what else there is.
        _announce(options, registry, reasons=False)
        raise
    _announce(options, registry, reasons=True)


def check_repository(repository: Path) -> None:
    """Refuse what is no folder of models, before anything else is done.

    Raises:
        NotFound: it is not there.
        InvalidArgument: it is a file, or a single model's folder.
    """
    if not repository.exists():
        raise NotFound(
            f"{repository}: no such model repository; it is the folder that holds a folder "
            "for each model (`engine examples` builds models to try)"
        )
    if not repository.is_dir():
        raise InvalidArgument(
            f"{repository}: this is a file; a model repository is the folder that holds a folder "
            "for each model"
        )
    if (repository / CONFIG).is_file():
        raise InvalidArgument(
            f"{repository}: this is one model's folder, since it holds a {CONFIG}; pass the "
            f"folder around it: --model-repository {repository.absolute().parent}"
        )


async def _listen(
    options: ServeOptions, service: Service, page: MetricsPage
) -> tuple[Listener, ...]:
    opened: dict[str, Listener] = {}
    try:
        for name, address, port in endpoints(options):
            if name == "metrics":
                opened[name] = await serve_metrics(page.freeze, address=address, port=port)
            else:
                opened[name] = await _open(name, service, options, address, port)
            logger.info("Started %s at %s:%d", TITLES[name], address, opened[name].port)
        if options.ports_file:
            tell_ports(options.ports_file, {name: one.port for name, one in opened.items()})
    except EngineError:
        for listener in opened.values():
            listener.close()
        raise
    return tuple(opened.values())


async def _open(
    name: str, service: Service, options: ServeOptions, address: str, port: int
) -> Listener:
    if name == "grpc":
        return await serve_grpc(
            service, address=address, port=port, reuse_port=options.reuse_grpc_port
        )
    return await serve_http(
        service,
        address=address,
        port=port,
        max_input_size=options.http_max_input_size,
        reuse_port=options.reuse_http_port,
    )


def tell_ports(file: Path, ports: dict[str, int]) -> None:
    """Write ``{"http": 8000, ...}``; who waits for the file never reads half of it.

    Raises:
        Internal: it cannot be written.
    """
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(ports), encoding="utf-8")
        scratch.replace(file)
    except OSError as error:
        message = f"--ports-file {file}: cannot write it: {error.strerror}"
        raise Internal(message) from error


async def _before(stop: asyncio.Event, work: Awaitable[object]) -> bool:
    """Wait for ``work``, or for ``stop``, whichever is first; say whether work was done."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        stopped.cancel()


async def _shut_down(
    options: ServeOptions, registry: Registry, listeners: Sequence[Listener], clock: Clock
) -> bool:
    """Stop in order; say whether everything had ended in time."""
    deadline_ns = clock.now_ns() + options.exit_timeout_secs * 1_000_000_000

    def left_s() -> float:
        return max(0.0, (deadline_ns - clock.now_ns()) / 1e9)

    logger.info(
        "Stopping: no new requests, waiting for those in flight, at most %d s",
        options.exit_timeout_secs,
    )
    for listener in listeners:
        listener.stop_accepting()
    await asyncio.gather(*(listener.drain(left_s()) for listener in listeners))
    await registry.stop(left_s())
    for listener in listeners:
        listener.close()
    if in_time := left_s() > 0.0:
        logger.info("Stopped")
    return in_time


def _stop_on_signals(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            _leave_at_once(INTERRUPTED, f"{number.name} after a stop had begun")
        logger.info("Signal %s received", number.name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _leave_at_once(code: int, reason: str) -> NoReturn:
    # Threads that load or run a model cannot be interrupted, and Python would wait for them.
    logger.error("%s", reason)
    logging.shutdown()
    os._exit(code)


def _announce(options: ServeOptions, registry: Registry, *, reasons: bool) -> None:
    served = {(one.name, str(one.version)): one.config for one in registry.models()}
    runtimes = {(one.name, str(one.version)): one.runtime for one in registry.models()}
    lines = overview(registry.index(), served, runtimes)
    if options.log_info:
        draw(lines, sys.stderr)
    for line in lines:
        if reasons and line.reason:
            logger.warning("Unavailable: %s", line.explanation)


def draw(lines: Sequence[Line], out: TextIO, width: int | None = None) -> None:
    """Show what is served: as a table on a terminal, of its width if None, else as aligned text."""
    if not lines:
        out.write("no models\n")
    elif out.isatty():
        _table(lines, out, width)
    else:
        rows = [COLUMNS, *(line.cells for line in lines)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            out.write("  ".join(cells).rstrip() + "\n")
    out.flush()


def _table(lines: Sequence[Line], out: TextIO, width: int | None) -> None:
    # Only a terminal needs rich, and a server that another program starts has none.
    from rich.console import Console  # noqa: PLC0415 - as said above
    from rich.markup import escape  # noqa: PLC0415 - as said above
    from rich.table import Column, Table  # noqa: PLC0415 - as said above

    table = Table(*(Column(name, no_wrap=True) for name in COLUMNS))
    for line in lines:
        table.add_row(*map(escape, line.cells), style="red" if line.reason else None)
    Console(file=out, width=width).print(table)
