"""How one gets into the hosts: keys made on the spot, and the files that ssh and Ansible read."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .machine import run
from .model import Host, Lab, LabError
from .progress import Progress

USER = "ops"
# ssh appends 17 bytes while it makes the socket, and the kernel takes 107.
_SOCKET_PATH_MAX = 107 - 17
_READY = {"running", "degraded"}
_PROBE = "systemctl is-system-running --wait; systemctl list-units --failed --plain --no-legend --no-pager"


def ensure(lab: Lab, progress: Progress) -> dict[str, str]:
    """Make the lab's keys and connection files, unless they are there.

    Returns:
        The private host key of each host, by its name.
    """
    if _ensure_key(lab.home / "id_ed25519", f"{USER}@{lab.name}", lab.owner):
        progress.change("key for the user ops made")
    keys = lab.home / "host_keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    lines = []
    for host in lab.hosts:
        key = keys / host.name
        if _ensure_key(key, host.name, (0, 0)):
            progress.change(f"{host.name}: host key made")
        kind, public = public_half(key).split()[:2]
        lines.append(f"{host.name},{host.address} {kind} {public}\n")
    socket_folder(lab).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(socket_folder(lab), *lab.owner)
    written = [
        _write(lab.home / "known_hosts", "".join(lines), lab.owner),
        _write(lab.home / "ssh_config", _ssh_config(lab), lab.owner),
        _write(lab.home / "inventory.yml", _inventory(lab), lab.owner),
    ]
    if any(written):
        progress.change("connection files written")
    return {host.name: (keys / host.name).read_text(encoding="utf-8") for host in lab.hosts}


def public_half(key: Path) -> str:
    """The public key beside a private one."""
    return key.with_name(key.name + ".pub").read_text(encoding="utf-8")


def socket_folder(lab: Lab) -> Path:
    """Folder of ssh's shared connections: in the lab, or in /tmp when its path is too long for a socket."""
    longest = len("255.255.255.255")
    inside = lab.home / "c"
    if len(os.fsencode(inside)) + 1 + longest <= _SOCKET_PATH_MAX:
        return inside
    return Path("/tmp") / f"sf-{hashlib.sha256(str(lab.home).encode()).hexdigest()[:12]}"


def close_connections(lab: Lab) -> None:
    """End the connections that ssh keeps open in the background."""
    for path in socket_folder(lab).glob("*"):
        run(["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "lab"], check=False)
        path.unlink(missing_ok=True)


def forget(lab: Lab) -> None:
    """Remove the folder of shared connections when it lies outside of the lab's folder."""
    close_connections(lab)
    shutil.rmtree(socket_folder(lab), ignore_errors=True)


def wait_ready(lab: Lab, patience: float, ended: Callable[[str], str]) -> dict[str, str]:
    """Wait until every host lets us in and has finished starting.

    Args:
        lab: The lab.
        patience: Seconds for all of them together.
        ended: Says why a host does not run; empty while it does.

    Returns:
        By host, its failed units; empty when none has failed.

    Raises:
        LabError: a host has ended, or did not get that far in time.
    """
    deadline = time.monotonic() + patience
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(lambda host: _wait_for(lab, host, deadline, ended), lab.hosts))
    return {host.name: failed for host, failed in zip(lab.hosts, found, strict=True)}


def _wait_for(lab: Lab, host: Host, deadline: float, ended: Callable[[str], str]) -> str:
    command = ["ssh", "-F", str(lab.home / "ssh_config"), "-o", "ControlPath=none", "-o", "ConnectTimeout=2"]
    console = lab.home / "log" / f"{host.name}.log"
    said = ""
    while time.monotonic() < deadline:
        reason = ended(host.name)
        if reason:
            raise LabError(f"Host {host.name} does not run: {reason}; its console is in {console}.")
        left = max(1.0, deadline - time.monotonic())
        try:
            done = subprocess.run(
                [*command, host.name, _PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=left, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            break
        state, _, failed = done.stdout.partition("\n")
        if state in _READY:
            return ", ".join(line.split()[0] for line in failed.splitlines() if line.split())
        said = (done.stderr.strip() or state).splitlines()[-1] if (done.stderr.strip() or state) else "no answer"
        time.sleep(0.2)
    raise LabError(
        f"Host {host.name} ({host.address}) was not ready in time (last: {said or 'no answer'}); "
        f"its console is in {console}."
    )


def _ensure_key(key: Path, comment: str, owner: tuple[int, int]) -> bool:
    public = key.with_name(key.name + ".pub")
    if key.exists() and public.exists():
        return False
    for half in (key, public):
        half.unlink(missing_ok=True)
    part = key.with_name(key.name + ".part")
    for half in (part, part.with_name(part.name + ".pub")):
        half.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", part])
    for half in (part, part.with_name(part.name + ".pub")):
        os.chown(half, *owner)
    part.with_name(part.name + ".pub").rename(public)
    part.rename(key)
    return True


def _write(path: Path, content: str, owner: tuple[int, int]) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return False
    part = path.with_name(path.name + ".part")
    part.write_text(content, encoding="utf-8")
    os.chown(part, *owner)
    part.rename(path)
    return True


def _ssh_config(lab: Lab) -> str:
    entries = "".join(
        f"Host {host.name} {host.address}\n  HostName {host.address}\n  HostKeyAlias {host.name}\n"
        for host in lab.hosts
    )
    return f"""# Made for the lab {lab.name}; use it with: ssh -F {lab.home}/ssh_config <host>
{entries}
Host *
  User {USER}
  IdentityFile "{_literal(lab.home)}/id_ed25519"
  IdentitiesOnly yes
  BatchMode yes
  UserKnownHostsFile "{_literal(lab.home)}/known_hosts"
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  LogLevel ERROR
  ServerAliveInterval 10
  ControlMaster auto
  ControlPersist 60s
  ControlPath "{_literal(socket_folder(lab))}/%h"
"""


def _literal(path: Path) -> str:
    """A path in which ssh finds none of its own signs like %h."""
    return str(path).replace("%", "%%")


def _inventory(lab: Lab) -> str:
    arguments = f"-F {shlex.quote(str(lab.home / 'ssh_config'))}"
    return f"""# How Ansible reaches the hosts of the lab {lab.name}; goes together with its inventory folder.
all:
  vars:
    ansible_user: {USER}
    ansible_ssh_common_args: "{arguments}"
    lab_home: "{lab.home}"
"""
