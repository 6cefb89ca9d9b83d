"""TLS in front of a server that speaks plain text: certificates, and a proxy in a thread."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """A certificate that is its own authority, of 127.0.0.1."""

    file: Path
    key: Path


def certificate(folder: Path, name: str) -> Certificate:
    """Make one; skip the test where there is no ``openssl``."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1", "-out", made.file, "-keyout", made.key,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@contextmanager
def in_front_of(port: int, own: Certificate, client: Certificate | None = None) -> Iterator[int]:
    """Hand on what comes in secret; with ``client``, only from who has that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.file, own.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if client is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client.file)
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        for way in (pass_on(reader, inner_writer), pass_on(inner_reader, writer)):
            task = loop.create_task(way)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def over(ended: tuple[asyncio.Task[None], ...]) -> None:
        await asyncio.gather(*ended, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        loop.run_until_complete(over(tuple(tasks)))
        for _ in range(2):
            # A transport that was closed says so in the loop's next turns.
            loop.call_soon(loop.stop)
            loop.run_forever()
        loop.close()
