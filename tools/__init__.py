"""The control side. It runs from a checkout, where the package that reads the sales files lies beside it.

artefacts/   what the hosts receive: locked, fetched, packed
data/        sales files: how they are read, made, checked by an independent answer; what was quarantined
health/      how the cluster is: status, check, and the gate
verbs/       what changes a running cluster: restart, upgrade, rollback, finalize
faults/      what breaks it, and whether everything is still exact afterwards
drills/      runs and proves the drills, which are folders at the top level
testing/     daemons and files for tests and benches
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
JOBS_PATH = os.pathsep.join(str(ROOT / name) for name in ("jobs", "dataset"))
"""PYTHONPATH of a process that runs the jobs from a checkout."""

sys.path.append(str(ROOT / "dataset"))
