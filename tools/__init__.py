"""The control side. It runs from a checkout, where the package that reads the sales files lies beside it."""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
JOBS_PATH = os.pathsep.join(str(_ROOT / name) for name in ("jobs", "dataset"))
"""PYTHONPATH of a process that runs the jobs from a checkout."""

sys.path.append(str(_ROOT / "dataset"))
