"""Processes, mounts and cgroups of this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .model import LabError

# Its parameters are fixed at creation and an empty one takes no process; nothing here needs it.
_UNUSED_CONTROLLERS = {"cpuset"}
_PR_SET_PDEATHSIG = 1


def run(command: Sequence[str | Path], *, check: bool = True, stdin: str | None = None, cwd: Path | None = None) -> str:
    """Run a command and give its output.

    Raises:
        LabError: it failed and `check` is set; the message holds what it said.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"The command {words[0]} is missing on this machine: run `make setup`.") from None
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise LabError(f"`{' '.join(words)}` failed: {said}")
    return done.stdout


def identity(pid: int) -> dict[str, Any] | None:
    """What tells this process from a later one with the same number; None when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return {"pid": pid, "start": int(fields[19]), "boot": boot_id()}


def end_with_parent() -> None:
    """Ask the kernel to send this process a SIGTERM when its parent ends; to be called before an exec."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def boot_id() -> str:
    """Changes with every start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def alive(known: dict[str, Any] | None) -> bool:
    """Whether the process that `identity` described still runs."""
    return known is not None and identity(int(known["pid"])) == {key: known[key] for key in ("pid", "start", "boot")}


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below a folder, innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(_unescape(line.split()[4]))
        if point == folder or folder in point.parents:
            found.append(point)
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def _unescape(field: str) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda hit: bytes([int(hit.group(1), 8)]), field.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def unmount_below(folder: Path) -> bool:
    """Unmount everything at or below a folder; says whether there was something."""
    points = mounts_below(folder)
    for point in points:
        try:
            run(["umount", point])
        except LabError:
            run(["umount", "--lazy", point])
    return bool(points)


def remove_tree(folder: Path) -> bool:
    """Delete a folder, never anything that is mounted below it.

    Raises:
        LabError: something is still mounted there.
    """
    if not folder.exists():
        return False
    mounted = mounts_below(folder)
    if mounted:
        raise LabError(f"{mounted[0]} is still mounted, so {folder} was not deleted: stop what uses it, then go on.")
    run(["rm", "-rf", "--one-file-system", "--", folder])
    return True


def systemd_runs_here() -> bool:
    """Whether systemd is the init of this machine."""
    return Path("/run/systemd/system").is_dir()


def cgroup_roots() -> dict[Path, Path]:
    """Every cgroup hierarchy in use: its mount point, and this process's own folder in it."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    roots = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        point = Path(_unescape(head.split()[4]))
        if not str(point).startswith("/sys/fs/cgroup"):
            continue
        if kind == "cgroup2" and "" in own:
            roots[point] = point / own[""].lstrip("/")
        elif kind == "cgroup":
            words = set(options.split(","))
            mine = [path for key, path in own.items() if key and set(key.split(",")) <= words]
            if mine and not words & _UNUSED_CONTROLLERS:
                roots[point] = point / mine[0].lstrip("/")
    return roots


def is_unified(root: Path) -> bool:
    """Whether a cgroup folder belongs to version 2."""
    return (root / "cgroup.controllers").exists()


def cgroup_members(folders: Sequence[Path]) -> set[int]:
    """Processes in these cgroups and all below them."""
    members: set[int] = set()
    for folder in folders:
        for parent, _, _ in os.walk(folder):  # which, unlike a glob, takes no harm from a group that ends meanwhile
            with contextlib.suppress(OSError):
                members |= {int(pid) for pid in Path(parent, "cgroup.procs").read_text().split()}
    return members - {0}


def remove_cgroups(folders: Sequence[Path]) -> None:
    """Remove these cgroups and all below them; those with processes stay."""
    for folder in folders:
        for parent, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(parent).rmdir()


def kill_cgroups(folders: Sequence[Path], patience: float) -> None:
    """Wait until these cgroups are empty; after `patience` seconds kill what is left in them.

    Raises:
        LabError: processes survive even that.
    """
    for _ in _until(patience):
        if not cgroup_members(folders):
            return
    for _ in _until(10):
        members = cgroup_members(folders)
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    raise LabError(f"Processes {sorted(cgroup_members(folders))} of the lab cannot be ended; restart this machine.")


def _until(seconds: float, step: float = 0.05) -> Iterator[None]:
    """Yield at once and then every `step` seconds until time is up."""
    end = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() >= end:
            return
        time.sleep(step)


wait_steps = _until
