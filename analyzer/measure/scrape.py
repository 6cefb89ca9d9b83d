"""Watches a server that runs elsewhere by its metrics page.

Owns the fetching: a thread that reads the page once a second, as Model Analyzer does. Does not own
what the page means (``pages``). A page that cannot be read is no error: what it would have told is
not measured, and the reason says what to do.
"""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Self
from urllib.parse import urlsplit

from analyzer import v2client
from analyzer.errors import UsageError
from analyzer.measure import pages
from analyzer.measure.glimpse import Glimpse, Seen
from engine.nvml import Gpu

PERIOD_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0
#: where Triton serves it
PORT, PATH = 8002, "/metrics"
#: a page of thousands of models has some megabytes
MOST_BYTES = 64 << 20
JOIN_SECONDS = 2 * TIMEOUT_SECONDS
_ADVICE = (
    "GPU metrics of that server are not measured; say where its metrics are with"
    " --triton-metrics-url, or start it with --allow-metrics=true"
)
#: what only a look at the server's own machine tells
OUT_OF_SIGHT = ("cpu_utilization", "cpu_used_ram", "gpu_memory_by_process", "gpu_temperature")


class PageError(Exception):
    """The page could not be read; the text says why."""


class PageWatch:
    """Watches a server by the metrics page at ``url`` while it is entered; of ``model``, if given.

    ``seen`` has the GPUs that the page tells of, as a watch on this machine would; ``gpu_reason``
    says why there are none.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        period_s: float = PERIOD_SECONDS,
        timeout_s: float = TIMEOUT_SECONDS,
    ) -> None:
        self._address = address(url)
        self._model = model
        self._period_s = period_s
        self._timeout_s = timeout_s
        self._glimpses: list[Glimpse] = []
        self._failure = ""
        self._failures = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrape", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def seen(self) -> Seen:
        """Return all that was seen so far."""
        glimpses = tuple(self._glimpses)
        gpus: dict[str, Gpu] = {}
        for glimpse in glimpses:
            for look in glimpse.gpus:
                gpus[look.uuid] = Gpu(uuid=look.uuid, total_bytes=look.total_bytes)
        absent = dict.fromkeys(OUT_OF_SIGHT, "the server runs elsewhere: its page does not tell it")
        if glimpses and self._failures:
            absent["metrics_page"] = (
                f"{self._failures} of {self._failures + len(glimpses)} readings failed: "
                f"{self._failure}"
            )
        return Seen(glimpses, tuple(gpus.values()), self._why_no_gpus(glimpses, gpus), absent)

    def _why_no_gpus(self, glimpses: tuple[Glimpse, ...], gpus: dict[str, Gpu]) -> str:
        if gpus:
            return ""
        if not glimpses:
            return f"{self._failure}: {_ADVICE}" if self._failure else "it was not looked at yet"
        return f"{self._address}: the page shows no GPU (nv_gpu_...)"

    def _run(self) -> None:
        while not self._over.wait(self._period_s):
            self._look()
        self._look()

    def _look(self) -> None:
        try:
            seen = pages.page(pages.read(fetch(self._address, self._timeout_s)), self._model)
        except PageError as error:
            self._failures += 1
            self._failure = str(error)
            return
        self._glimpses.append(
            Glimpse(
                at_ns=time.monotonic_ns(),
                available_ram_bytes=seen.available_bytes,
                machine_share=seen.machine_share,
                gpus=seen.gpus,
                counters=seen.counters,
            )
        )


def default_url(http: str) -> str:
    """Return where a server at ``http`` (host:port) has its metrics, if they are where usual.

    Raises:
        LaunchError: that is no address.
    """
    host, _ = v2client.split(http)
    return f"http://{f'[{host}]' if ':' in host else host}:{PORT}{PATH}"


def why_unreadable(url: str) -> str:
    """Try the page once; say why it cannot be read, and what to do, or "" if it can."""
    try:
        fetch(address(url), TIMEOUT_SECONDS)
    except PageError as error:
        return f"{error}: {_ADVICE}"
    return ""


def address(url: str) -> str:
    """Complete an address: scheme, port (then Triton's) and /metrics may be left out.

    Raises:
        UsageError: it is no address.
    """
    whole = url if "//" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in {"http", "https"}:
        raise UsageError(
            f"{url!r} is not the address of a metrics page; expected http://host:{PORT}{PATH}"
        )
    shown = f"[{host}]" if ":" in host else host
    path = parts.path if parts.path.strip("/") else PATH
    usual = {"http": 80, "https": 443}[parts.scheme] if "//" in url else PORT
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{shown}:{port or usual}{path}{query}"


def fetch(url: str, timeout_s: float) -> str:
    """Fetch the page of a complete address.

    Raises:
        PageError: it cannot be had, or is no metrics page.
    """
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}".rstrip("?"))
        answer = connection.getresponse()
        text = answer.read(MOST_BYTES).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise PageError(f"no answer from {url} ({error or type(error).__name__})") from error
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004 - HTTP's success
        raise PageError(f"{url} answered {answer.status}")
    return text
