"""Makes, stops, rewinds or deletes the hosts of an inventory on this machine.

    python -m lab up|down|destroy inventories/lab
    python -m lab snapshot|rewind|forget inventories/lab healthy
    python -m lab snapshots inventories/lab
    python -m lab renew inventories/lab worker1

Reads the inventory as the user who calls it. Only the program that makes the hosts, `shopfloor_lab`, runs as root: with
the system's own Python, under sudo, which asks for a password on the terminal if it needs one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tools import ROOT
from tools import cluster as clusters
from tools.cluster import Cluster
from tools.drills import game
from tools.health import lock
from tools.health.status import age, mebibytes
from tools.health.watch import whole
from tools.preflight import Inventory, has_sudo_ready
from tools.terminal import Problem, console, nearest, run, step
from tools.verbs.plan import begun

PROGRAM = ("/usr/bin/python3", "-B", "-m", "shopfloor_lab")
SETTLE_SECONDS = 300
OF_SNAPSHOTS = {"snapshot": "snapshot NAME=", "rewind": "rewind NAME=", "forget": "snapshots DELETE="}
"""Verbs of `shopfloor_lab` that take a snapshot's name, and what the user types before it."""


def description(inventory: Inventory) -> dict[str, Any]:
    """What `shopfloor_lab` is told of a lab, as `shopfloor_lab.model.parse` reads it.

    Args:
        inventory: its hosts with ansible_host and memory_mib, and `lab_publish`.
    """
    hosts = [
        {"name": name, "address": variables.get("ansible_host"), "memory_mib": variables.get("memory_mib")}
        for name, variables in inventory.hosts.items()
    ]
    publish: object = next((row["lab_publish"] for row in inventory.hosts.values() if row.get("lab_publish")), {})
    return place(inventory.folder) | {"hosts": hosts, "publish": publish}


def place(folder: Path) -> dict[str, Any]:
    """Which lab it is: its name is that of the inventory folder; who owns the checkout owns its files."""
    checkout = ROOT.stat()
    return {"name": folder.resolve().name, "root": str(ROOT), "owner": [checkout.st_uid, checkout.st_gid]}


def without(described: dict[str, Any], host: str) -> dict[str, Any]:
    """A lab without one of its hosts: what has left the description is deleted.

    Raises:
        Problem: it has no such host.
    """
    rest = [row for row in described["hosts"] if row["name"] != host]
    if rest == described["hosts"]:
        raise Problem(f"The lab has no host {host!r}. {nearest(host, [row['name'] for row in rest])}")
    publish = {name: row for name, row in described["publish"].items() if row.get("host") != host}
    return described | {"hosts": rest, "publish": publish}


def as_root(verb: str, described: dict[str, Any]) -> None:
    """Run the program that makes hosts; its steps go to the terminal.

    Raises:
        Problem: it could not be run as root.
        SystemExit: it ended with an exit code other than 0, and has said why.
    """
    command = [*PROGRAM, verb]
    if os.geteuid():
        sudo = shutil.which("sudo")
        if not sudo:
            raise Problem("Hosts are made as root, and there is no sudo here: run this as root.")
        if not has_sudo_ready():
            console.print("  Hosts are made as root: sudo asks for your password.")
        command = [sudo, *command]
    done = subprocess.run(command, cwd=Path(__file__).parent, input=json.dumps(described), text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def stored(folder: Path) -> dict[str, Any]:
    """What `lab.json` says of the lab of an inventory folder.

    Raises:
        Problem: No hosts of it were made here.
    """
    name = folder.resolve().name
    try:
        found: dict[str, Any] = json.loads((ROOT / ".lab" / name / "lab.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        if any((ROOT / ".vagrant" / "machines").glob("*/*/id")):
            raise Problem(
                "Vagrant made these hosts, so it also takes them back: `vagrant snapshot save healthy`, then "
                "`vagrant snapshot restore healthy` (LXC has none)."
            ) from None
        raise Problem(
            f"No lab {name} was made here (`make lab` makes one). Hosts of your own are taken back by what made them: "
            "a snapshot of all of them, stopped, by libvirt or the cloud."
        ) from None
    return found


def list_snapshots(folder: Path) -> None:
    """Print the snapshots of a lab."""
    kept: dict[str, dict[str, Any]] = stored(folder).get("snapshots", {})
    if not kept:
        console.print("There are no snapshots: `make snapshot NAME=healthy` takes one.")
        return
    table = Table("snapshot", "taken", "size", "the cluster was", box=None, pad_edge=False)
    for name, snapshot in kept.items():
        lacked = snapshot["lacked"]
        state = f"not whole: {lacked[0].partition('. ')[0]}" if lacked else "whole"
        state += f", and {len(lacked) - 1} more" if len(lacked) > 1 else ""
        table.add_row(name, f"{age(time.time() - snapshot['made'])} ago", mebibytes(snapshot["bytes"]), state)
    console.print(table)


def of_snapshot(verb: str, folder: Path, name: str) -> None:
    """Take, bring back or delete a snapshot while nothing else changes the cluster, and wait until that is whole.

    Raises:
        Problem: Another verb is under way, or the cluster is not whole although it was.
    """
    home, known = ROOT / ".lab" / folder.resolve().name, stored(folder)
    cluster = clusters.from_inventory([str(folder), str(home / "inventory.yml")])
    with lock.held(cluster, f"make {OF_SNAPSHOTS[verb]}{name}"):
        if verb == "forget":
            as_root(verb, place(folder) | {"snapshot": name})
            return
        started, runs = time.monotonic(), (home / "state.json").exists()
        lacked = known.get("snapshots", {}).get(name, {}).get("lacked", [])
        if verb == "snapshot" and runs:
            lacked = whole(cluster, 0)
        as_root(verb, place(folder) | {"snapshot": name, "lacked": lacked})
        if verb == "rewind":
            begun(cluster).unlink(missing_ok=True)  # what was begun since has never been
            if drill := game.give_up(cluster):
                console.print(f"  the drill {drill} is over", markup=False)
        if runs or verb == "rewind":
            wait_until_whole(cluster, lacked)
        console.print(f"  after {time.monotonic() - started:.0f} s", markup=False)


def wait_until_whole(cluster: Cluster, lacked: Sequence[str]) -> None:
    """Wait until the cluster lacks nothing but what it lacked when the snapshot was taken.

    Raises:
        Problem: It is not in time.
    """
    with step("wait until all daemons have settled"):
        lacking = whole(cluster, SETTLE_SECONDS, lacked)
    if lacking:
        raise Problem(f"The hosts run, but the cluster is not whole after {SETTLE_SECONDS} s: {' '.join(lacking)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and the inventory, and have it done."""
    parser = argparse.ArgumentParser(prog="lab", description="Hosts on this machine.")
    parser.add_argument("verb", choices=["up", "down", "destroy", "renew", *OF_SNAPSHOTS, "snapshots"])
    parser.add_argument("inventory", type=Path, help="folder of the inventory")
    parser.add_argument("name", nargs="?", default="", help="of the snapshot, or of the host that is made anew")
    options = parser.parse_args(arguments)
    if options.verb in OF_SNAPSHOTS:
        of_snapshot(options.verb, options.inventory, options.name)
        return
    if options.verb == "snapshots":
        list_snapshots(options.inventory)
        return
    if options.verb == "renew":
        described = description(Inventory.load(options.inventory))
        as_root("up", without(described, options.name))
        as_root("up", described)
        return
    # Whatever has become of its inventory, a lab can be taken down.
    described = description(Inventory.load(options.inventory)) if options.verb == "up" else place(options.inventory)
    as_root(options.verb, described)


if __name__ == "__main__":
    run(main)
