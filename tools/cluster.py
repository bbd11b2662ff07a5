"""The hosts of a cluster as the inventory describes them, and how commands reach them.

Any inventory will do: a lab's, one that Terraform rendered, or one written by hand. Used are `ansible_host`,
`ansible_user`, `ansible_port`, `ansible_ssh_private_key_file`, `ansible_ssh_common_args`,
`ansible_ssh_extra_args` and the names of the groups.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tools import ROOT
from tools.terminal import Problem

UNREACHABLE = 255  # ssh's own exit code
BOOT = "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"
"""A shell command that prints something else once a host has begun anew; a lab's hosts share the machine's boot id."""

T = TypeVar("T")


class UnreachableError(Exception):
    """A host did not let us in; the text is what ssh said."""


@dataclass(frozen=True)
class Done:
    """How a command on a host ended."""

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The last lines it printed, errors first."""
        return "\n".join((self.err.strip() or self.out.strip()).splitlines()[-5:])


@dataclass(frozen=True)
class Host:
    """One host: its name in the inventory and its variables."""

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where it is reached."""
        return str(self.variables.get("ansible_host", self.name))

    def ssh(self, *, by_name: bool = False) -> list[str]:
        """The words of an ssh command that reaches it, as short as a person would type it."""
        known = self.variables.get
        arguments = shlex.split(str(known("ansible_ssh_common_args", "")))
        arguments += shlex.split(str(known("ansible_ssh_extra_args", "")))
        if key := known("ansible_ssh_private_key_file"):
            arguments += ["-i", str(key)]
        if port := known("ansible_port"):
            arguments += ["-p", str(port)]
        if by_name and "-F" in arguments:  # a configuration of its own knows the host's name and user
            return ["ssh", *arguments, self.name]
        user = known("ansible_user")
        return ["ssh", *arguments, f"{user}@{self.address}" if user else self.address]

    def run(self, command: str, *, stdin: str = "", timeout: float = 120) -> Done:
        """Run a shell command there as the ordinary user, who may use sudo.

        Args:
            command: Text for the user's shell.
            stdin: What the command can read.
            timeout: Seconds until it counts as hanging.

        Raises:
            UnreachableError: ssh did not get in.
        """
        if self.variables.get("ansible_connection") == "local":
            words = ["bash", "-c", command]
        else:
            program, *arguments = self.ssh()
            words = [program, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *arguments, command]
        try:
            done = subprocess.run(
                words,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Done(124, "", f"no end after {timeout:.0f} s: {command.splitlines()[0][:200]}")
        except FileNotFoundError as error:
            raise Problem(f"{words[0]} is not installed here; install it (Debian: openssh-client)") from error
        if done.returncode == UNREACHABLE:
            raise UnreachableError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason")
        return Done(done.returncode, done.stdout, done.stderr)

    def journal_command(self, unit: str) -> str:
        """What to type here to read a unit's journal there."""
        words = [_relative(word) for word in self.ssh(by_name=True)]
        return shlex.join([*words, "sudo", "journalctl", "--unit", unit, "--lines", "50", "--no-pager"])


@dataclass(frozen=True)
class Cluster:
    """All hosts, and the groups they are in."""

    hosts: Mapping[str, Host]
    groups: Mapping[str, Sequence[str]]

    def group(self, name: str) -> list[Host]:
        """The hosts of a group, in the order of the inventory; empty when it has none."""
        return [self.hosts[host] for host in self.groups.get(name, ())]

    def one_of(self, *groups: str) -> Host:
        """The first host of the first group that has one.

        Raises:
            Problem: None of the groups has a host.
        """
        for name in groups:
            if hosts := self.group(name):
                return hosts[0]
        raise Problem(f"the inventory has no host in {' or '.join(groups)}; add one in its hosts.yml")

    def groups_of(self, host: str) -> set[str]:
        """Names of the groups that a host is in."""
        return {name for name, members in self.groups.items() if host in members}

    def variable(self, name: str, default: T) -> T:
        """A variable that is the same for all hosts: the value of the first host that has it."""
        for host in self.hosts.values():
            if name in host.variables:
                value: T = host.variables[name]
                return value
        return default

    def on_all(self, task: Callable[[Host], T]) -> dict[str, T]:
        """Do something with every host, all at the same time; results by name of the host."""
        with ThreadPoolExecutor(max_workers=max(1, len(self.hosts))) as pool:
            return dict(zip(self.hosts, pool.map(task, self.hosts.values()), strict=True))


def from_inventory(sources: Sequence[str] = ()) -> Cluster:
    """The cluster that Ansible would work on.

    Args:
        sources: Inventories; without any, those of ANSIBLE_INVENTORY, or else the lab.

    Raises:
        Problem: Ansible cannot read the inventory, or it has no hosts.
    """
    program = Path(sys.executable).parent / "ansible-inventory"
    words = [str(program) if program.exists() else "ansible-inventory", "--list"]
    for source in sources or _default_sources():
        words += ["--inventory", source]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise Problem("ansible-inventory is missing: run `make` once, it installs the tools") from error
    if done.returncode != 0:
        raise Problem(f"Ansible cannot read the inventory: {done.stderr.strip()}")
    cluster = parse(json.loads(done.stdout))
    if not cluster.hosts:
        raise Problem(f"the inventory has no hosts: {' '.join(words[2:])} {done.stderr.strip()}")
    return cluster


def _default_sources() -> list[str]:
    if os.environ.get("ANSIBLE_INVENTORY"):
        return []
    connection = ROOT / ".lab" / "lab" / "inventory.yml"
    return ["inventories/lab", *([str(connection)] if connection.exists() else [])]


def parse(listing: Mapping[str, Any]) -> Cluster:
    """The cluster in the output of `ansible-inventory --list`."""
    variables = listing.get("_meta", {}).get("hostvars", {})
    groups: dict[str, list[str]] = {}

    def members(name: str) -> list[str]:
        if name not in groups:
            group = listing.get(name, {})
            found = list(group.get("hosts", []))
            for child in group.get("children", []):
                found += [host for host in members(child) if host not in found]
            groups[name] = found
        return groups[name]

    for name in listing:
        if name != "_meta":
            members(name)
    names = sorted({host for hosts in groups.values() for host in hosts} | set(variables), key=_natural(listing))
    return Cluster({name: Host(name, variables.get(name, {})) for name in names}, groups)


def _natural(listing: Mapping[str, Any]) -> Callable[[str], tuple[Any, ...]]:
    """Sort by address where there is one, so that masters come before workers as in the inventory."""
    variables = listing.get("_meta", {}).get("hostvars", {})

    def key(name: str) -> tuple[Any, ...]:
        address = str(variables.get(name, {}).get("ansible_host", ""))
        numbers = tuple(int(part) for part in address.split(".") if part.isdigit())
        return (numbers if len(numbers) == 4 else (256,), name)

    return key


def _relative(word: str) -> str:
    """A path inside the checkout as it is typed there."""
    path = Path(word)
    return str(path.relative_to(ROOT)) if path.is_absolute() and path.is_relative_to(ROOT) else word
