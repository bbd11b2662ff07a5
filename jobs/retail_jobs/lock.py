"""One run at a time: a lock file beside the state, which its owner keeps fresh."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retail_jobs.errors import JobError
from retail_jobs.storage import Storage

log = logging.getLogger(__name__)

FRESH_SECONDS = 10
# Time for a NameNode to restart under a running job.
STALE_SECONDS = 120


class Lock:
    """A lock file that this run holds."""

    def __init__(self, storage: Storage, path: str, content: str) -> None:
        self._storage, self._path, self._content = storage, path, content

    def check(self) -> None:
        """Make sure that the lock is still ours; ask before anything is made visible.

        Raises:
            JobError: another run took over, because this one looked dead.
        """
        if self._storage.read_text(self._path) != self._content:
            raise JobError("another run has taken over because this one stood still: start the job again")

    def keep_fresh(self, stop: threading.Event) -> None:
        """Set the file's time of change until told to stop."""
        while not stop.wait(FRESH_SECONDS):
            try:
                self._storage.touch(self._path, int(time.time() * 1000))
            except Exception as error:
                log.warning("the lock could not be kept fresh: %s", str(error).splitlines()[0])


@contextmanager
def hold(storage: Storage, path: str) -> Iterator[Lock]:
    """Hold the lock while the block runs.

    Raises:
        JobError: another run holds it.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid()), "at": time.time()}
    content = json.dumps(owner)
    if not storage.create_new(path, content):
        _take_over(storage, path)
        if not storage.create_new(path, content):
            raise JobError("another batch run has just started: wait until it has finished")
    lock, stop = Lock(storage, path, content), threading.Event()
    keeper = threading.Thread(target=lock.keep_fresh, args=(stop,), daemon=True)
    keeper.start()
    try:
        yield lock
    finally:
        stop.set()
        keeper.join()
        if storage.read_text(path) == content:
            storage.delete(path)


def _take_over(storage: Storage, path: str) -> None:
    """Remove a lock whose owner is gone."""
    found, info = storage.read_text(path), storage.info(path)
    if found is None or info is None:
        return
    owner = json.loads(found or "{}")
    if owner.get("host") == socket.gethostname():
        # A process that stood still, for instance on a laptop that slept, goes on: its lock stays.
        held = _is_alive(owner)
    else:
        held = time.time() - info.modified / 1000 < STALE_SECONDS
    if held:
        raise JobError(
            f"another batch run holds {path} (process {owner.get('pid')} on {owner.get('host')}): "
            "wait until it has finished"
        )
    log.warning("taking over the lock of a run that has died (process %s on %s)", owner.get("pid"), owner.get("host"))
    aside = f"{path}.{os.getpid()}"
    storage.replace(path, aside)
    if storage.read_text(aside) != found:
        # Someone else took over between the look and the move: it is their lock.
        storage.replace(aside, path)
        raise JobError("another batch run has just started: wait until it has finished")
    storage.delete(aside)


def _is_alive(owner: dict[str, Any]) -> bool:
    """Whether the process that made the lock lives; another one with its number does not count."""
    pid = int(owner.get("pid", 0))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid > 0 and owner.get("born", "") == _born(pid)


def _born(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # The name of the program may hold spaces and brackets.
    return status.rpartition(")")[2].split()[19]
