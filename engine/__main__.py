"""``python -m engine`` and the command ``engine``, which have a process to themselves.

Owns what only a whole process may be told about its memory. Python looks for garbage two hundred
times while a thousand modules are imported, and in the end once more through everything. Importing
leaves none, and of a process that ends nothing has to be taken apart: it is a third of its time.
"""

import atexit
import gc
import sys


def run() -> int:
    """Run the command with the process's own arguments; the answer is the exit code."""
    gc.disable()
    # Registered first, it comes last: all that has something to do in the end has done it by then.
    atexit.register(gc.freeze)
    from engine.cli import main  # noqa: PLC0415 - imports are what this is about

    gc.enable()
    return main()


if __name__ == "__main__":
    sys.exit(run())
