"""The processes that a test's own process has started and not yet ended."""

import psutil


def offspring(word: str) -> list[int]:
    """Return the ids of living descendants whose command line holds ``word``."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if word in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.Error:
            continue
    return found
