"""Snapshots of a lab: what its hosts have written is frozen, and they go on in fresh layers above it.

The tree of a host is a stack: the base tree, and over it the host's layers, folders of which only the last is written
to. `lab.json` says which layers the hosts stand on and which ones each snapshot keeps. So nothing is copied, and
writing that one file is the whole switch, for all hosts at once: a verb that is interrupted leaves the old state or
the new one. The functions here only change what `lab.json` is to say; hosts must be stopped when it is written.
"""

from __future__ import annotations

import difflib
import os
import re
import time
from typing import Any

from .machine import remove_tree, run
from .model import Lab, LabError

FIRST = "upper"
DEPTH_MAX = 40
"""Layers below each other: the kernel looks for a name in all of them, and takes 500 at most."""
ROOM_MIB = 512
"""Free disk for each host: whatever it writes to after a snapshot is copied to its fresh layer first."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_LAYER = re.compile(rf"{FIRST}(-(\d+))?")


def layers(known: dict[str, Any]) -> list[str]:
    """Names of the layers that the hosts stand on, the lowest first; the last is the one that they write to."""
    return list(known.get("layers", [FIRST]))


def kept(known: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The snapshots by name: `layers`, `hosts`, `made` (seconds since 1970), `bytes` of its last layer, `lacked`."""
    found: dict[str, dict[str, Any]] = known.setdefault("snapshots", {})
    return found


def find(known: dict[str, Any], lab: Lab, name: str) -> dict[str, Any]:
    """The snapshot of this name.

    Raises:
        LabError: there is none; the message names the nearest.
    """
    if name in kept(known):
        return kept(known)[name]
    if not kept(known):
        raise LabError(f"Lab {lab.name} has no snapshots: `make snapshot NAME={name or 'healthy'}` takes one.")
    near = difflib.get_close_matches(name, kept(known), 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(kept(known))}."
    raise LabError(f"Lab {lab.name} has no snapshot '{name}': {hint}")


def refuse_new(known: dict[str, Any], lab: Lab, name: str) -> None:
    """Refuse a snapshot that cannot be taken, before anything is stopped.

    Raises:
        LabError: its name cannot be used or is taken, or there is no room for it.
    """
    if not _NAME.fullmatch(name):
        raise LabError(f"'{name}' cannot name a snapshot: use small letters, digits, '.', '_' and '-', 40 at most.")
    if name in kept(known):
        stopped = "" if (lab.home / "state.json").exists() else " The hosts are stopped: `make hosts` starts them."
        raise LabError(
            f"There is a snapshot {name} already: take another name, or delete it with "
            f"`make snapshots DELETE={name}`.{stopped}"
        )
    if len(layers(known)) >= DEPTH_MAX:
        raise LabError(
            f"The hosts stand on {DEPTH_MAX} snapshots already, one above the other: rewind to an earlier one, "
            "or destroy the lab and make it anew."
        )
    disk = os.statvfs(lab.home)
    free, needed = disk.f_bavail * disk.f_frsize >> 20, ROOM_MIB * len(lab.hosts)
    if free < needed:
        raise LabError(
            f"A snapshot needs {needed} MiB of free disk at {lab.home}, for what {len(lab.hosts)} hosts write to after "
            f"it, and there are {free} MiB: make room, for instance with `make snapshots DELETE=` of an old one."
        )


def take(known: dict[str, Any], lab: Lab, name: str, lacked: list[str]) -> None:
    """Keep the present layers under a name, and let the hosts go on in fresh ones.

    Args:
        known: What `lab.json` says; changed in place.
        lab: The lab, its hosts stopped.
        name: Of the snapshot.
        lacked: What the cluster lacked when it was taken.
    """
    now = layers(known)
    top = [folder for host in lab.hosts if (folder := lab.host_home(host.name) / now[-1]).is_dir()]
    sizes = run(["du", "--summarize", "--block-size=1", "--one-file-system", "--", *top]) if top else ""
    kept(known)[name] = {
        "layers": now,
        "hosts": [host.name for host in lab.hosts],
        "made": int(time.time()),
        "bytes": sum(int(line.split()[0]) for line in sizes.splitlines()),
        "lacked": lacked,
    }
    known["layers"] = [*now, _fresh(known, lab)]


def go_back(known: dict[str, Any], lab: Lab, name: str) -> None:
    """Put the hosts on the layers of a snapshot, and fresh ones above them; the present ones are given up.

    Raises:
        LabError: there is no such snapshot, or it was taken of other hosts.
    """
    snapshot = find(known, lab, name)
    missing = {host.name for host in lab.hosts} - set(snapshot["hosts"])
    if missing:
        raise LabError(
            f"Snapshot {name} is older than {', '.join(sorted(missing))}: take that host out of the inventory first "
            "(`make hosts` deletes it), or take another snapshot."
        )
    known["layers"] = [*snapshot["layers"], _fresh(known, lab)]


def drop_hosts(known: dict[str, Any], names: set[str]) -> list[str]:
    """Give up the snapshots that hold hosts which are to be deleted; gives their names."""
    lost = [name for name, snapshot in kept(known).items() if names & set(snapshot["hosts"])]
    for name in lost:
        del kept(known)[name]
    return lost


def remove_unused(known: dict[str, Any], lab: Lab) -> bool:
    """Delete the layers on which neither the hosts nor a snapshot stand; says whether there were any."""
    used = set(layers(known)).union(*(snapshot["layers"] for snapshot in kept(known).values()))
    unused = [lab.host_home(host) / layer for host, layer in _present(lab) if layer not in used]
    for folder in unused:
        remove_tree(folder)
    return bool(unused)


def _fresh(known: dict[str, Any], lab: Lab) -> str:
    """A layer's name that was never used: what an interrupted verb left behind must not come to life again."""
    taken = {*layers(known), *(layer for _, layer in _present(lab))}
    taken.update(layer for snapshot in kept(known).values() for layer in snapshot["layers"])
    numbers = [int(match[2] or 0) for layer in taken if (match := _LAYER.fullmatch(layer))]
    return f"{FIRST}-{max(numbers, default=0) + 1}"


def _present(lab: Lab) -> list[tuple[str, str]]:
    """Host and name of every layer on the disk."""
    return [
        (host.name, folder.name)
        for host in lab.hosts
        for folder in sorted(lab.host_home(host.name).glob(f"{FIRST}*"))
        if _LAYER.fullmatch(folder.name)
    ]
