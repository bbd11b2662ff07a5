"""The control side. It runs from a checkout, where the package that reads the sales files lies beside it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "dataset"))
