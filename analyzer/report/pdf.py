"""A page as PDF, printed by a browser that is there.

Owns which browser prints and how it is called. Does not own how a page looks on paper: its style
sheet does. The browser runs without a window and with a profile of its own, which goes when it is
done, so it neither waits for nor changes one that its user has open.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from analyzer.errors import AnalyzerError, UsageError

#: names the browser to print with
VARIABLE = "CHROME"
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
    "chrome-headless-shell",
)
_SECONDS = 120.0
_OPTIONS = (
    "--headless",
    "--disable-gpu",
    # A container's /dev/shm is often too small for a browser.
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pdf-header-footer",
    # What the page draws is drawn by then; the time is the page's own and costs none of ours.
    "--virtual-time-budget=10000",
)
_BEGINS = b"%PDF-"


def browser(environment: Mapping[str, str]) -> str:
    """Return the program to print with: what CHROME names, else the first that PATH has.

    Raises:
        UsageError: there is none.
    """
    path = environment.get("PATH", "")
    if named := environment.get(VARIABLE):
        if (found := shutil.which(named, path=path)) is None:
            raise UsageError(
                f"{VARIABLE} names {named!r}, which is no program that can be run; "
                "it has to be a Chromium, Google Chrome or Microsoft Edge"
            )
        return found
    for name in BROWSERS:
        if (found := shutil.which(name, path=path)) is not None:
            return found
    raise UsageError(
        "PDF is printed by a browser, and there is none on PATH: install Chromium, Google Chrome "
        f"or Microsoft Edge, or name one in the environment variable {VARIABLE}; the HTML file "
        "prints as well, from any browser"
    )


def print_page(page: Path, target: Path, program: str, seconds: float = _SECONDS) -> Path:
    """Print an HTML file to ``target``, whole or not at all, and return that.

    Raises:
        AnalyzerError: the browser failed, or was not done after ``seconds``.
    """
    fresh = target.with_name(f"{target.stem}.{os.getpid()}.new.pdf")
    try:
        with tempfile.TemporaryDirectory(
            prefix="servetune-print-", ignore_cleanup_errors=True
        ) as profile:
            words = _run([*_command(program, profile), f"--print-to-pdf={fresh.absolute()}",
                          page.absolute().as_uri()], Path(profile) / "words", seconds)  # fmt: skip
        if not _is_pdf(fresh):
            raise AnalyzerError(f"{program} printed nothing of {page}: {words or 'without a word'}")
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _command(program: str, profile: str) -> list[str]:
    # The sandbox cannot be set up by root, and the page is one that we wrote ourselves.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return [program, *_OPTIONS, *sandbox, f"--user-data-dir={profile}"]


def _run(command: list[str], words: Path, seconds: float) -> str:
    """Run the browser to its end, and return the last line of what it said.

    Raises:
        AnalyzerError: it cannot be run, failed, or took too long; then it was ended.
    """
    # Into a file: a browser's own children would keep a pipe open that nobody reads.
    with words.open("wb") as said:
        try:
            running = subprocess.Popen(  # noqa: S603 - a browser that the user has or named
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            raise AnalyzerError(f"{command[0]} cannot be run: {error.strerror or error}") from error
        try:
            code = running.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AnalyzerError(
                f"{command[0]} had not printed {command[-1]} after {seconds:g} s, and was ended"
            ) from error
        finally:
            _end(running)
    last = (words.read_text(errors="replace").strip().splitlines() or [""])[-1]
    if code:
        raise AnalyzerError(f"{command[0]} ended with code {code}: {last or 'without a word'}")
    return last


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a browser and its children, as far as they still run."""
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def _is_pdf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS
