"""The null server (``null_server.c``): built by gcc, started on a port, what it costs the CPU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from analyzer.launcher import Endpoint
from benchmarks.server import Server

SOURCE = Path(__file__).parent / "null_server.c"
ANSWER_BYTES = 164


class NoCompiler(Exception):
    """There is no gcc to build it with."""


@contextmanager
def null_server(scratch: Path) -> Iterator[Server]:
    """Serve, by HTTP and gRPC on one port.

    Raises:
        NoCompiler: there is no gcc.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("the null server is built by gcc, and there is none on the PATH")
    program = scratch / "null_server"
    subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)  # noqa: S603 - our own
    process = subprocess.Popen(  # noqa: S603 - likewise
        [program, str(ANSWER_BYTES)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = f"127.0.0.1:{int(process.stdout.readline())}"
        endpoint = Endpoint(address, address, None, process.pid)
        yield Server(endpoint, psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
