"""Makes, stops or deletes the hosts of an inventory on this machine.

    python -m lab up|down|destroy inventories/lab
    python -m lab renew inventories/lab --host worker1

Reads the inventory as the user who calls it. Only the program that makes the hosts, `shopfloor_lab`, runs as root: with
the system's own Python, under sudo, which asks for a password on the terminal if it needs one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.preflight import Inventory, has_sudo_ready
from tools.terminal import Problem, console, run

PROGRAM = ("/usr/bin/python3", "-B", "-m", "shopfloor_lab")


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
        near = get_close_matches(str(host), [row["name"] for row in rest], 1)
        raise Problem(f"The lab has no host {host!r}." + (f" Did you mean {near[0]}?" if near else ""))
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and the inventory, and have it done."""
    parser = argparse.ArgumentParser(prog="lab", description="Hosts on this machine.")
    parser.add_argument("verb", choices=["up", "down", "destroy", "renew"])
    parser.add_argument("inventory", type=Path, help="folder of the inventory")
    parser.add_argument("--host", help="the one that `renew` deletes and makes anew")
    options = parser.parse_args(arguments)
    if options.verb == "renew":
        described = description(Inventory.load(options.inventory))
        as_root("up", without(described, options.host))
        as_root("up", described)
        return
    # Whatever has become of its inventory, a lab can be taken down.
    described = description(Inventory.load(options.inventory)) if options.verb == "up" else place(options.inventory)
    as_root(options.verb, described)


if __name__ == "__main__":
    run(main)
