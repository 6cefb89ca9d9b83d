"""The analyzer's errors.

::

    AnalyzerError                  a text: what, where, what to do
    ├── UsageError                 the command line or a file asks for something impossible
    ├── LaunchError                no server came up, or it answers wrongly
    │   └── ServerLost             a server that is not ours is not there any more
    ├── GpuLost                    a GPU answers nothing any more
    ├── LoadError                  the load client failed
    ├── JournalError               results that cannot be read or written
    └── NothingMeasured            no row to report on

``cli`` turns them into exit codes: 2 for UsageError, 1 for the rest.
"""

from __future__ import annotations


class AnalyzerError(Exception):
    """The root of all that the analyzer raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(AnalyzerError):
    """The command line or a file asks for something impossible."""


class LaunchError(AnalyzerError):
    """No server came up, or it answers wrongly."""


class ServerLost(LaunchError):
    """A server that is not ours does not answer: no candidate's fault, and nothing to measure."""


class GpuLost(AnalyzerError):
    """A GPU does not answer any more: no candidate's fault."""


class LoadError(AnalyzerError):
    """The load client failed."""


class JournalError(AnalyzerError):
    """Results that cannot be read or written."""


class NothingMeasured(AnalyzerError):
    """There is no row to report on."""
