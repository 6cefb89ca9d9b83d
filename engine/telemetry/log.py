"""The server's log: one event a line, on standard error or in a file.

Owns: how a line looks and which levels are shown. A line begins as Triton's do, so that
what collects those logs reads these: a letter for the level, the date, the time, the number of the
server in the system, who speaks. Does not own: what is worth a line.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.errors import InvalidArgument
from engine.options import LogFormat

if TYPE_CHECKING:
    from engine.clock import Clock
    from engine.options import ServeOptions

ROOT = "engine"


class Line(logging.Formatter):
    """``I1123 15:20:11.123456 42 engine.compose] text``, or with an ISO 8601 date."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Write one event down; a line break inside it is written as ``\\n``."""  # noqa: D301 - these two characters are meant
        text = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        level, when = record.levelname[0], datetime.fromtimestamp(record.created, UTC)
        if self._form is LogFormat.ISO8601:
            head = f"{when:%Y-%m-%dT%H:%M:%SZ} {level}"
        else:
            head = f"{level}{when:%m%d %H:%M:%S.%f}"
        line = f"{head} {os.getpid()} {record.name}] {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Shown(logging.Filter):
    """Lets through the levels that ``--log-*`` ask for; each is switched by itself."""

    def __init__(self, options: ServeOptions) -> None:
        super().__init__()
        self._shown = {
            logging.DEBUG: options.log_verbose > 0,
            logging.INFO: options.log_info,
            logging.WARNING: options.log_warning,
            logging.ERROR: options.log_error,
            logging.CRITICAL: options.log_error,
        }

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether this event is shown."""
        return self._shown.get(record.levelno, True)


class Seldom:
    """Says when something that may happen with every request is worth a line again."""

    def __init__(self, clock: Clock, period_s: float = 30.0) -> None:
        self._now_ns = clock.now_ns
        self._period_ns = round(period_s * 1e9)
        self._next_ns: int | None = None

    def due(self) -> bool:
        """Say whether a line is due: for the first time, or a period after the last one."""
        now_ns = self._now_ns()
        if self._next_ns is not None and now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._period_ns
        return True


def set_up(options: ServeOptions) -> logging.Handler:
    """Send what the engine logs where ``options`` say; the answer is what carries it there.

    Raises:
        InvalidArgument: the log file cannot be written.
    """
    try:
        carrier: logging.Handler = (
            logging.FileHandler(options.log_file, encoding="utf-8", delay=False)
            if options.log_file
            else logging.StreamHandler()
        )
    except OSError as error:
        message = f"--log-file {options.log_file}: cannot write it: {error.strerror}"
        raise InvalidArgument(message) from error
    carrier.setFormatter(Line(options.log_format))
    carrier.addFilter(Shown(options))
    logger = logging.getLogger(ROOT)
    for former in logger.handlers[:]:
        logger.removeHandler(former)
        former.close()
    logger.addHandler(carrier)
    logger.setLevel(logging.DEBUG if options.log_verbose else logging.INFO)
    logger.propagate = False
    return carrier
