"""Command line: reads the description of a lab as JSON from standard input, prints the result as JSON.

Run as root: python3 -m shopfloor_lab up|down|destroy|status < description.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import lifecycle
from .model import LabError, parse


def main() -> int:
    """Do what the command line says; the exit code is 1 when the user has to do something."""
    parser = argparse.ArgumentParser(prog="shopfloor_lab", description="Lab hosts on this machine.")
    parser.add_argument("verb", choices=["up", "down", "destroy", "status"])
    verb = parser.parse_args().verb
    try:
        print(json.dumps(_do(verb, json.load(sys.stdin))))
    except LabError as error:
        print(json.dumps({"failed": True, "msg": str(error)}))
        return 1
    return 0


def _do(verb: str, raw: dict[str, Any]) -> dict[str, Any]:
    steps = Path(raw["steps"]) if raw.get("steps") else None
    if verb == "up":
        packages = [str(name) for name in raw.get("packages", [])]
        progress = lifecycle.up(parse(raw), packages, float(raw.get("patience", 120)), steps)
        return {"changed": progress.changed, "steps": progress.steps}
    lab = lifecycle.stored(Path(str(raw.get("root"))), str(raw.get("name")))
    if verb == "status":
        return {"changed": False, **lifecycle.status(lab)}
    progress = lifecycle.down(lab, steps) if verb == "down" else lifecycle.destroy(lab, steps)
    return {"changed": progress.changed, "steps": progress.steps}


if __name__ == "__main__":
    sys.exit(main())
