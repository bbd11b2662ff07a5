"""One verb at a time: who changes a cluster holds its lock on the control machine.

Checks before a stop are worth something only while nobody else stops anything. The lock is one per cluster, whatever
checkout or inventory file leads to it, and for all users of the machine; it ends with the process that holds it.

    python -m tools.health.lock "make site" ansible-playbook ansible/site.yml    # a command that holds it
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from tools import ROOT
from tools import cluster as clusters
from tools.cluster import Cluster
from tools.terminal import Problem, run

SHARED = Path("/run/lock")  # of all users; where it is missing, the user's own folder for temporary files
NOTED = ROOT / ".cache" / "verbs"  # what has held a lock, for `make timeline`


def path_of(cluster: Cluster) -> Path:
    """Where the lock of a cluster lies: the same for all inventories with the same hosts."""
    hosts = sorted((host.name, host.address) for host in cluster.hosts.values())
    folder = SHARED if SHARED.is_dir() and os.access(SHARED, os.W_OK) else Path(tempfile.gettempdir())
    return folder / f"shopfloor-{sha256(json.dumps(hosts).encode()).hexdigest()[:12]}.lock"


@contextmanager
def held(cluster: Cluster, verb: str) -> Iterator[int]:
    """Hold the lock of a cluster; gives its descriptor, for `pass_fds` of what must not outlive it unlocked.

    Args:
        cluster: What is going to change.
        verb: What the user typed, for those who are refused meanwhile.

    Raises:
        Problem: Another verb holds it; the message says whose and since when.
    """
    path = path_of(cluster)
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Problem(f"{_holder(path)} Two at a time could stop too much: wait for its end.") from error
        words = {"verb": verb, "user": getpass.getuser(), "process": os.getpid(), "since": time.time()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(words).encode(), 0)
        NOTED.mkdir(parents=True, exist_ok=True)
        with _noted(cluster).open("a", encoding="utf-8") as noted:
            noted.write(json.dumps(words) + "\n")
        yield descriptor
    finally:
        os.close(descriptor)


def history(cluster: Cluster) -> list[dict[str, Any]]:
    """What has held the lock of a cluster from this checkout, in order: `verb`, `user`, `process`, `since`."""
    try:
        return [json.loads(line) for line in _noted(cluster).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []


def _noted(cluster: Cluster) -> Path:
    return NOTED / path_of(cluster).with_suffix(".log").name


def _open(path: Path) -> int:
    """Open the file, and make it for all users if it is not there.

    In folders that all may write to, Debian's kernel lets nobody open another user's file with O_CREAT.
    """
    while True:
        try:
            return os.open(path, os.O_RDWR)
        except FileNotFoundError:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                continue
            os.fchmod(descriptor, 0o666)
            return descriptor


def _holder(path: Path) -> str:
    try:
        words = json.loads(path.read_text())
    except ValueError:  # it has just begun
        return "Another command is changing this cluster."
    since = time.strftime("%X", time.localtime(words["since"]))
    return f"`{words['verb']}` of {words['user']} (process {words['process']}) is changing this cluster since {since}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Become a command that changes the cluster; the lock is held until its last process has ended."""
    verb, *command = arguments or sys.argv[1:]

    def locked() -> None:
        with held(clusters.from_inventory(), verb) as descriptor:
            os.set_inheritable(descriptor, True)
            os.execvp(command[0], command)

    run(locked)


if __name__ == "__main__":
    main()
