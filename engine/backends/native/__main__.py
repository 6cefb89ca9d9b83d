"""Print the folder of ``servetune_backend.h``: ``c++ -I$(python -m engine.backends.native)``."""

import sys
from pathlib import Path

sys.stdout.write(f"{Path(__file__).parent / 'include'}\n")
