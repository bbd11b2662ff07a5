"""Command line: reads the description of a lab as JSON from standard input, prints each step as it happens.

Run as root: python3 -m shopfloor_lab up|down|destroy < description.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import lifecycle
from .model import LabError, parse
from .progress import Progress


def main() -> int:
    """Do what the command line says; the exit code is 1 when the user has to do something."""
    parser = argparse.ArgumentParser(prog="shopfloor_lab", description="Lab hosts on this machine.")
    parser.add_argument("verb", choices=["up", "down", "destroy"])
    verb = parser.parse_args().verb
    try:
        progress = _do(verb, json.load(sys.stdin))
    except LabError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return 130
    if not progress.changed:
        progress.say("nothing had to be changed")
    return 0


def _do(verb: str, raw: dict[str, Any]) -> Progress:
    if verb == "up":
        return lifecycle.up(parse(raw))
    lab = lifecycle.stored(Path(str(raw.get("root"))), str(raw.get("name")))
    return lifecycle.down(lab) if verb == "down" else lifecycle.destroy(lab)


if __name__ == "__main__":
    sys.exit(main())
