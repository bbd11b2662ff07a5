"""Command line: reads the description of a lab as JSON from standard input, prints each step as it happens.

Run as root: python3 -m shopfloor_lab up|down|destroy|snapshot|rewind|forget < description.json

`snapshot`, `rewind` and `forget` find the snapshot's name in it as `snapshot`.
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
    parser.add_argument("verb", choices=["up", "down", "destroy", "snapshot", "rewind", "forget"])
    verb = parser.parse_args().verb
    try:
        progress = _do(verb, json.load(sys.stdin))
    except LabError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        then = "the same command goes on where this one stopped"
        if verb == "snapshot":
            then = "`make snapshots` says whether it was taken, `make hosts` starts the hosts"
        print(f"\nInterrupted; {then}.", file=sys.stderr)
        return 130
    if not progress.changed:
        progress.say("nothing had to be changed")
    return 0


def _do(verb: str, raw: dict[str, Any]) -> Progress:
    if verb == "up":
        return lifecycle.up(parse(raw))
    lab = lifecycle.stored(Path(str(raw.get("root"))), str(raw.get("name")))
    name = str(raw.get("snapshot", ""))
    if verb == "snapshot":
        return lifecycle.snapshot(lab, name, [str(lack) for lack in raw.get("lacked", [])])
    if verb == "rewind":
        return lifecycle.rewind(lab, name)
    if verb == "forget":
        return lifecycle.forget(lab, name)
    return lifecycle.down(lab) if verb == "down" else lifecycle.destroy(lab)


if __name__ == "__main__":
    sys.exit(main())
