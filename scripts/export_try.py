"""The steps of an exported Dockerfile, done by hand; ``scripts/export-try`` says what for."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from support.dockerfile import Image, on_ports, option, read
from support.serving import serving, until

from engine.types import DType

ROOT = Path(__file__).parents[1]
EXAMPLE = "add_sub"
QUICK = ("--search-time", "5", "--verify-pairs", "2", "--max-seconds", "1")


def main() -> int:
    """Try the folder that is named, or one that is made; the answer is the exit code."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else exported(place)
        try_out(folder, place / "image", place)
    return 0


def exported(place: Path) -> Path:
    """Build a wheel and an example, profile it briefly, export it; return the folder."""
    python = sys.executable
    run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place / "dist"))
    (wheel,) = (place / "dist").glob("*.whl")
    models, results = str(place / "models"), str(place / "results")
    run(python, "-m", "engine", "examples", "build", EXAMPLE, "--output", models)
    run(python, "-m", "analyzer", "profile", "--model", EXAMPLE, "--model-repository", models,
        "--export-path", results, *QUICK)  # fmt: skip
    run(python, "-m", "analyzer", "export", EXAMPLE, "--export-path", results, "--wheel",
        str(wheel), "--output", str(place / "export"))  # fmt: skip
    return place / "export"


def run(*command: str) -> None:
    """Run a command of this checkout; what it says is shown if it fails."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def try_out(folder: Path, root: Path, scratch: Path) -> None:
    """Build the image, serve it, ask it, stop it.

    Raises:
        AssertionError: a step does not do what it is to do.
    """
    root.mkdir()
    image = Image(root, folder.resolve())
    grace, start = 30.0, 60.0
    for step in read((folder / "Dockerfile").read_text()):
        began = time.monotonic()
        image.do(step)
        start = float((option(step, "start-period") or f"{start}s").rstrip("s"))
        print(f"{time.monotonic() - began:6.1f} s  {step.word} {step.rest[:90]}", flush=True)
    for word in image.command:
        if word.startswith("--exit-timeout-secs="):
            grace = float(word.partition("=")[2])
    free = {port: free_port() for port in image.ports}
    words = [on_ports(image.mapped(word), free) for word in image.command]
    words[0] = str(image.bin / words[0])
    health = [on_ports(word, free) for word in image.health]
    health[0] = str(image.bin / health[0])
    log = scratch / "served.log"
    words = [*as_user(image), *words]
    with log.open("wb") as sink:
        server = subprocess.Popen(  # noqa: S603 - what the Dockerfile says is tried
            words, env=image.variables(), cwd="/", stdout=sink, stderr=sink
        )
    try:
        began = time.monotonic()
        healthy(server, health, start, log)
        print(f"{time.monotonic() - began:6.1f} s  until its health check passes")
        print(f"          it runs as user {Path(f'/proc/{server.pid}').stat().st_uid}")
        same_answers(folder, f"127.0.0.1:{free[image.ports[0]]}", scratch)
        began = time.monotonic()
        server.send_signal(getattr(signal, image.stop_signal))
        assert server.wait(grace) == 0, log.read_text()
        print(f"{time.monotonic() - began:6.1f} s  from {image.stop_signal} to its end, with 0")
    finally:
        server.kill()
        server.wait()


def as_user(image: Image) -> list[str]:
    """Return what runs a command as the image's user; only root may.

    Where this Python lies in a folder that only its owner may look into, the user may read all.
    """
    number, group = image.user.split(":")
    if os.geteuid() or shutil.which("setpriv") is None:
        print("          not as root, or without setpriv: it runs as who runs this")
        return []
    words = ["setpriv", f"--reuid={number}", f"--regid={group}", "--clear-groups"]
    if subprocess.run(  # noqa: S603 - our own words
        [*words, str(image.bin / "python"), "-c", ""], check=False, capture_output=True
    ).returncode:
        print("          only its owner may look where this Python is: the user may read all")
        words += [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    return words


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def healthy(server: subprocess.Popen[bytes], health: list[str], start: float, log: Path) -> None:
    """Wait until the health check passes, as long as its start period lasts."""
    deadline = time.monotonic() + start

    def settled() -> bool:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"not healthy within {start:g} s\n{log.read_text()}"
        asked = subprocess.run(  # noqa: S603 - likewise
            health, check=False, capture_output=True
        )
        return not asked.returncode

    until(settled, "its health check")


def same_answers(folder: Path, address: str, scratch: Path) -> None:
    """Ask it, and the repository served from this checkout, the same."""
    with serving("--model-repository", str(folder / "models"), folder=scratch) as other:
        names = [each["name"] for each in index(other.http) if each.get("state") == "READY"]
        for name in names:
            asked = request(other.http, name)
            ours, theirs = answers(address, name, asked), answers(other.http, name, asked)
            assert ours.keys() == theirs.keys()
            for output, value in theirs.items():
                np.testing.assert_allclose(ours[output], value, rtol=1e-5)
            print(f"          {name}: the same answers ({', '.join(theirs)})")
        assert names


def index(address: str) -> list[dict[str, str]]:
    """List the models of a server."""
    with closing(httpclient.InferenceServerClient(address)) as client:
        found: list[dict[str, str]] = client.get_model_repository_index()
        return found


def request(address: str, name: str) -> list[httpclient.InferInput]:
    """Make inputs of a model, at random; sizes that it leaves open are 1."""
    chance = np.random.default_rng(0)
    with closing(httpclient.InferenceServerClient(address)) as client:
        described = client.get_model_metadata(name)
    made = []
    for each in described["inputs"]:
        shape = [1 if size < 0 else size for size in each["shape"]]
        values = chance.random(shape) * 4
        kind = each["datatype"]
        tensor = httpclient.InferInput(each["name"], shape, kind)
        as_bytes = values.astype(str).astype(object)
        tensor.set_data_from_numpy(
            as_bytes if kind == "BYTES" else values.astype(DType(kind).numpy)
        )
        made.append(tensor)
    return made


def answers(address: str, name: str, asked: list[httpclient.InferInput]) -> dict[str, Any]:
    """Return the outputs that a model answers with."""
    with closing(httpclient.InferenceServerClient(address)) as client:
        result = client.infer(name, asked)
        listed = result.get_response()["outputs"]
        return {each["name"]: result.as_numpy(each["name"]) for each in listed}


if __name__ == "__main__":
    sys.exit(main())
