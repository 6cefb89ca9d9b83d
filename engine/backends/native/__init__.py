"""Models in C and C++: shared libraries that speak ``servetune_backend.h``.

``python -m engine.backends.native`` prints the folder of that header, for a compiler's ``-I``.
"""

from engine.backends.native.backend import BACKEND

__all__ = ["BACKEND"]
