"""Deployment: a `make lab` that finds nothing to change, against the one that made everything.

    python -m bench.deploy

Works in a fresh clone with the downloads and archives of this checkout, beside a lab that runs. Takes root and some
five minutes; everything is taken away at the end.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from bench import Ratio, show
from tests.labs import ROOT, clone, derive
from tools.terminal import Problem, console, run


def timed(name: str, *command: str | Path, folder: Path = ROOT) -> float:
    """Run a command, its output in a log; return how long it took in seconds.

    Raises:
        Problem: it failed; the text is the end of its output.
    """
    console.print(f"{name} ...")
    log = ROOT / "tests" / "output" / "bench" / f"{name.replace(' ', '_')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    started = time.monotonic()
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    seconds = time.monotonic() - started
    if done.returncode:
        raise Problem(f"{name} failed ({log}):\n{log.read_text()[-3000:]}")
    console.print(f"{name}: {seconds:.0f} s")
    return seconds


def main() -> None:
    """Measure, and print the ratio."""
    if os.geteuid():
        raise Problem("Hosts are made as root: sudo .venv/bin/python -m bench.deploy")
    lab = derive("lab", "bench", "192.168.59", 30000)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".cache") as name:
        folder = Path(name)
        checkout = clone(folder)
        make = ("make", f"INVENTORY={lab.inventory}")
        try:
            first = timed("make lab", *make, "lab", folder=checkout)
            again = timed("make lab again", *make, "lab", folder=checkout)
        finally:
            timed("make destroy", *make, "destroy", folder=checkout)
    show([Ratio("make lab with nothing to change, to the first", again / first, 0.2)])


if __name__ == "__main__":
    run(main)
