"""``python -m analyzer`` and the command ``analyze``, which have a process to themselves.

Begins and ends as the engine does (``engine.__main__``).
"""

import atexit
import gc


def run() -> None:
    """Run the command with the process's own arguments; leaves with its exit code."""
    gc.disable()
    atexit.register(gc.freeze)
    from analyzer.cli import main  # noqa: PLC0415 - imports are what this is about

    gc.enable()
    main()


if __name__ == "__main__":
    run()
