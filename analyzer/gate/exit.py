"""How a check ends: its exit code. Pure.

==== =========================================================================================
0    every gate passed
1    a regression; with ``--on-inconclusive fail`` also where nothing is sure
2    the command line or a file asks for something impossible
3    the measurement failed: a server or a model did not run
4    inconclusive
75   the machine is unfit to measure on, so a failure found on it means nothing (EX_TEMPFAIL)
130  interrupted
==== =========================================================================================
"""

from __future__ import annotations

from enum import IntEnum

from analyzer.gate.values import OnInconclusive, Report, Settings, Verdict


class Exit(IntEnum):
    """The exit codes."""

    PASSED = 0
    REGRESSION = 1
    USAGE = 2
    MEASUREMENT = 3
    INCONCLUSIVE = 4
    UNFIT = 75
    INTERRUPTED = 130


def again(report: Report, settings: Settings) -> bool:
    """Whether to measure all of it once more: a failure on an unfit machine, or a doubt, if asked.

    Once only; what comes of it is final.
    """
    if report.verdict is Verdict.FAIL:
        return bool(report.tainted)
    retry = settings.on_inconclusive is OnInconclusive.RETRY
    return report.verdict is Verdict.INCONCLUSIVE and retry


def code(report: Report, settings: Settings) -> Exit:
    """Return the exit code of a check that was measured through."""
    match report.verdict:
        case Verdict.PASS:
            return Exit.PASSED
        case Verdict.FAIL:
            return Exit.UNFIT if report.tainted else Exit.REGRESSION
        case Verdict.INCONCLUSIVE:
            fails = settings.on_inconclusive is OnInconclusive.FAIL
            return Exit.REGRESSION if fails else Exit.INCONCLUSIVE
