"""All benchmarks, one after the other, and all their ratios in one table: `make bench`.

`freshness`, `idle`, `endurance` and `recovery` need the lab to run; `verbs`, `deploy` and `mirror` make labs of their
own and need root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import RATIOS, Ratio, show
from tools.terminal import console

ROOT = Path(__file__).resolve().parent.parent
ALL = (
    "batch", "small", "streaming", "stream_memory", "producer", "dashboard", "freshness", "idle", "endurance",
    "recovery", "verbs", "deploy", "mirror",
)  # fmt: skip


def main() -> int:
    """Run the benchmarks that are named, or all; the exit code is 1 when one of them failed."""
    names = sys.argv[1:] or ALL
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ratios"
        file.touch()
        path = os.pathsep.join(str(ROOT / part) for part in ("dataset", "jobs", "producer", "webapp"))
        environment = os.environ | {"PYTHONPATH": path, RATIOS: str(file)}
        for name in names:
            console.print(f"\n== {name}")
            if subprocess.run(
                [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, env=environment, check=False
            ).returncode:
                failed.append(name)
        rows = [Ratio(**json.loads(line)) for line in file.read_text().splitlines()]
    console.print()
    show(rows)
    if failed:
        console.print(f"failed, or missed a bound: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
