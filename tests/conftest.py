"""Settings of every test: hypothesis judges what a function does, not how fast it is today."""

import os
import sys

from hypothesis import settings

settings.register_profile("servetune", deadline=None)
settings.load_profile("servetune")

# Tests start hundreds of processes. Where Python keeps no bytecode, each of them would compile the
# whole product anew: half a second of CPU.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
