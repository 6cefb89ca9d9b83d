"""What a Python model raised, as Triton tells it: type, text, and where, innermost first."""

from __future__ import annotations

import traceback

from engine.backends.python.errors import TritonModelException


def told(fault: BaseException) -> str:
    """Write ``<Type>: <text>`` and, below ``At:``, the frames of the model, innermost first.

    Frames of the engine and of Python's import are left out; what the engine raised itself has
    only its text.
    """
    package = __name__.rpartition(".")[0].replace(".", "/")
    frames = [
        f"  {frame.filename}({frame.lineno}): {frame.name}\n"
        for frame in reversed(traceback.extract_tb(fault.__traceback__))
        if package not in frame.filename and not frame.filename.startswith("<frozen importlib")
    ]
    if not frames and isinstance(fault, TritonModelException):
        return str(fault)
    text = f"{type(fault).__name__}: {fault}"
    return f"{text}\n\nAt:\n{''.join(frames)}" if frames else text
