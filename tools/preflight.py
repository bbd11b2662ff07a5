"""Looks before anything is changed: can this machine hold the lab, do the inventory and the input make sense?

    python -m tools.preflight all inventories/lab      # or one of: inventory, input, machine

Every objection is listed at once, each with what to do. Nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml

from tools import ROOT
from tools.artefacts.packing import PLATFORMS
from tools.data.sales_files import objections as input_objections
from tools.terminal import Problem, console, nearest, run

HEADROOM_MIB = 512  # for Ansible and the rest of the machine, beside what the hosts may use
BASE_DEFAULTS: dict[str, Any] = yaml.safe_load((ROOT / "roles/base/defaults/main.yml").read_text())
HOST_DISK_MIB: int = BASE_DEFAULTS["base_disk_mib"]
SHARED_DISK_MIB = 4096  # base tree, downloads, archives and Python tools
KEPT_DISK_MIB = 1024  # what a lab that was made before still needs to run

REQUIRED_GROUPS = (
    "namenode", "datanode", "kafka_controller", "kafka_broker",
    "spark_master", "spark_worker", "spark_history", "edge",
)  # fmt: skip
ONE_HOST_ONLY = {
    "namenode": "Two mean NameNode HA, which is not available yet",
    "spark_master": "Two mean recovery by ZooKeeper, which is not available yet",
    "edge": "Two would run every job twice over the same data",
}
# Whole numbers of a host. Sizes are read, like lab_publish, by what makes hosts, the others by playbooks.
NUMBERS = frozenset({"memory_mib", "cpus", "node_id"})
KAFKA_GROUPS = ("kafka_controller", "kafka_broker")
# Roles are told these by the playbooks.
TOLD = ROOT / "ansible" / "vars" / "cluster.yml"


@dataclass(frozen=True)
class Inventory:
    """What Ansible understood of an inventory folder."""

    folder: Path
    hosts: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Sequence[str]]

    @classmethod
    def load(cls, folder: Path) -> Inventory:
        """Ask ansible-inventory.

        Raises:
            Problem: the folder is not there, or Ansible cannot read it.
        """
        if not folder.is_dir():
            others = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
            raise Problem(f"There is no inventory {folder}. Take one of: {', '.join(others) or 'none is there'}.")
        command = [
            str(Path(sys.executable).with_name("ansible-inventory")),
            "--inventory",
            str(folder),
            "--list",
        ]
        settings = os.environ | {
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "ANSIBLE_NOCOLOR": "true",
        }
        done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Problem(f"Ansible cannot read {folder}:\n{done.stderr.strip()}")
        listing = json.loads(done.stdout)
        hosts = listing.pop("_meta")["hostvars"]
        members = {name: _members(listing, name) for name in listing}
        names = sorted({host for group in members.values() for host in group})
        return cls(folder, {name: hosts.get(name, {}) for name in names}, members)

    @property
    def name(self) -> str:
        """Name of the lab: that of the folder."""
        return self.folder.resolve().name

    @property
    def input(self) -> Path:
        """Folder of the CSVs that go to the cluster."""
        return Path(
            next((v["jobs_source"] for v in self.hosts.values() if "jobs_source" in v), ROOT / "data" / "input")
        )

    @property
    def published(self) -> dict[str, Mapping[str, Any]]:
        """Rows of lab_publish, by UI; each row has port, host and target."""
        rows: dict[str, Any] = next((v["lab_publish"] for v in self.hosts.values() if v.get("lab_publish")), {})
        return {name: row for name, row in rows.items() if isinstance(row, dict)}


def _members(listing: Mapping[str, Any], group: str) -> list[str]:
    row = listing.get(group, {})
    inner = [host for child in row.get("children", []) for host in _members(listing, child)]
    return [*row.get("hosts", []), *inner]


def inventory_objections(inventory: Inventory, known: frozenset[str]) -> Iterator[str]:
    """What is wrong with an inventory.

    Args:
        inventory: the inventory.
        known: names of the variables that some role takes.
    """
    yield from _unknown_variables(inventory, known)
    yield from _groups(inventory)
    yield from _mirror(inventory)
    yield from _hosts(inventory)
    yield from _node_ids(inventory)


def known_variables(roles: Path) -> frozenset[str]:
    """Every variable that an inventory may set: what roles take and are not told by the playbooks."""
    names = {*NUMBERS, "lab_publish"}
    for path in roles.glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            names |= (entry.get("options") or {}).keys()
    told: dict[str, Any] = yaml.safe_load(TOLD.read_text())
    return frozenset(names - told.keys())


def _unknown_variables(inventory: Inventory, known: frozenset[str]) -> Iterator[str]:
    names = {name for variables in inventory.hosts.values() for name in variables}
    for name in sorted(names - known):
        if name.startswith("ansible_"):
            continue
        meant = nearest(name, known, "Variables stand in roles/*/defaults/main.yml.")
        yield f"Variable {name} means nothing to any role. {meant}"


def _groups(inventory: Inventory) -> Iterator[str]:
    for group in REQUIRED_GROUPS:
        if not inventory.groups.get(group):
            others = [name for name in inventory.groups if name not in REQUIRED_GROUPS]
            near = get_close_matches(group, others, n=1)
            yield f"Group {group} has no host." + (f" Is {near[0]} meant for it?" if near else " Put one into it.")
    for group, reason in ONE_HOST_ONLY.items():
        hosts = inventory.groups.get(group, [])
        if len(hosts) > 1:
            yield f"Group {group} has {len(hosts)} hosts ({', '.join(hosts)}). {reason}: leave one."
    controllers = inventory.groups.get("kafka_controller", [])
    if controllers and len(controllers) % 2 == 0:
        yield (
            f"Group kafka_controller has {len(controllers)} hosts ({', '.join(controllers)}). An even number "
            "bears no more failures than one less: take 1, 3 or 5."
        )


def _node_ids(inventory: Inventory) -> Iterator[str]:
    kafka = dict.fromkeys(host for group in KAFKA_GROUPS for host in inventory.groups.get(group, ()))
    owners: dict[Any, list[str]] = {}
    for host in kafka:
        owners.setdefault(inventory.hosts[host].get("node_id", 0), []).append(host)
    if without := owners.pop(0, []):
        unused = max((owner for owner in owners if isinstance(owner, int)), default=0) + 1
        yield (
            f"{', '.join(without)} would run Kafka without a node_id. Give each one that no other host has or ever "
            f"had, from {unused} on; hosts that run already keep the node.id of their /etc/kafka/server.properties."
        )
    for number, hosts in owners.items():
        if len(hosts) > 1:
            yield f"{' and '.join(hosts)} have the same node_id, {number}. Give each one of its own."


def _mirror(inventory: Inventory) -> Iterator[str]:
    edge = inventory.groups.get("edge", [])
    for name in sorted({variables.get("product_mirror") or "" for variables in inventory.hosts.values()} - {"", *edge}):
        yield f"product_mirror is {name}, which is no host of the group edge. Name {' or '.join(edge)} there."


def _hosts(inventory: Inventory) -> Iterator[str]:
    owners: dict[str, list[str]] = {}
    for host, variables in inventory.hosts.items():
        for name in NUMBERS & variables.keys():
            if not isinstance(variables[name], int):
                yield f"Host {host} has {name} {variables[name]!r}. Write a whole number."
        address = variables.get("ansible_host")
        if address is None:
            yield f"Host {host} has no ansible_host. Give it its IP address."
            continue
        try:
            owners.setdefault(str(ip_address(str(address))), []).append(host)
        except ValueError:
            yield f"Host {host} has ansible_host {address}, which is no IP address."
    for address, hosts in owners.items():
        if len(hosts) > 1:
            yield f"Address {address} is given to {' and '.join(hosts)}. Give each host its own."


@dataclass(frozen=True)
class Machine:
    """What there is of this machine, in MiB where it is an amount."""

    arch: str
    may_become_root: bool
    free_memory: int
    free_disk: int

    @classmethod
    def this(cls, folder: Path) -> Machine:
        """Measure this machine; the disk is the one that holds the folder."""
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
        return cls(platform.machine(), _may_become_root(), free, shutil.disk_usage(folder).free >> 20)


def machine_objections(inventory: Inventory, machine: Machine, lab: Path) -> Iterator[str]:
    """Why this machine cannot hold the lab.

    Args:
        inventory: its hosts say how much memory they need, lab_publish which ports.
        machine: what there is.
        lab: folder of the lab, there or not.
    """
    if machine.arch not in PLATFORMS:
        yield f"This machine is {machine.arch}; the products are made for {' and '.join(PLATFORMS)} only."
    if not machine.may_become_root:
        yield "Hosts are made as root: run this in a terminal, where sudo can ask for your password, or run it as root."
    state = _state(lab)
    if not _alive(state.get("keeper")):
        yield from _memory(inventory, machine)
    yield from _disk(inventory, machine, lab)
    yield from _ports(inventory, state)


def _memory(inventory: Inventory, machine: Machine) -> Iterator[str]:
    amounts = (variables.get("memory_mib") for variables in inventory.hosts.values())
    hosts = sum(amount for amount in amounts if isinstance(amount, int))
    if machine.free_memory < hosts + HEADROOM_MIB:
        yield (
            f"{machine.free_memory} MiB of memory are free; the hosts need {hosts} MiB and the rest "
            f"{HEADROOM_MIB} MiB. Close what uses memory, stop another lab (`make down PROFILE=...`), or "
            "take a smaller one: `make lab PROFILE=mini`."
        )


def _disk(inventory: Inventory, machine: Machine, lab: Path) -> Iterator[str]:
    made = (lab / "hosts").exists()
    needed = KEPT_DISK_MIB if made else SHARED_DISK_MIB + HOST_DISK_MIB * len(inventory.hosts)
    if machine.free_disk < needed:
        yield (
            f"{machine.free_disk} MiB of disk are free where the checkout is; {needed} MiB are needed. Make "
            "room (`make destroy` removes a lab; .cache may be deleted, it is made again)."
        )


def _ports(inventory: Inventory, state: Mapping[str, Any]) -> Iterator[str]:
    ours = {port for port, row in state.get("ports", {}).items() if _alive(row.get("process"))}
    for name, row in inventory.published.items():
        port = row.get("port")
        if isinstance(port, int) and str(port) not in ours and not _is_free(port):
            yield (
                f"Port {port} of this machine ({name}) is in use{_holder(port)}. Stop what uses it, or give "
                f"{name} another port: lab_publish in {inventory.folder}/group_vars/all.yml."
            )
    for port, count in Counter(row.get("port") for row in inventory.published.values()).items():
        if count > 1:
            yield f"Port {port} stands {count} times in lab_publish. Give each UI its own."


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is only closing is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """Who listens there, as far as this user may know it."""
    if not shutil.which("ss"):
        return ""
    listing = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=False)
    _, found, users = listing.stdout.partition("users:")
    return f" by {users.split(maxsplit=1)[0]}" if found else ""


def has_sudo_ready() -> bool:
    """Whether sudo lets this user become root without asking for a password now."""
    sudo = shutil.which("sudo")
    return bool(sudo) and subprocess.run([str(sudo), "-n", "true"], capture_output=True, check=False).returncode == 0


def _may_become_root() -> bool:
    return os.geteuid() == 0 or has_sudo_ready() or (bool(shutil.which("sudo")) and _has_terminal())


def _has_terminal() -> bool:
    """Whether there is a terminal on which sudo can ask."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


def _state(lab: Path) -> dict[str, Any]:
    """What the lab's keeper wrote down about its processes."""
    try:
        state: dict[str, Any] = json.loads((lab / "state.json").read_text())
    except (OSError, ValueError):
        return {}
    return state


def _alive(process: Mapping[str, Any] | None) -> bool:
    """Whether this very process still runs: number, start and boot of the machine are the same."""
    if not process:
        return False
    try:
        stat = Path(f"/proc/{process['pid']}/stat").read_text()
    except OSError:
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return (int(stat.rpartition(")")[2].split()[19]), boot) == (process["start"], process["boot"])


def _refuse(what: str, objections: Iterable[str]) -> None:
    lines = list(objections)
    if lines:
        raise Problem(f"{what}:\n" + "\n".join(f"  - {line}" for line in lines) + "\nNothing was changed.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and look."""
    parser = argparse.ArgumentParser(prog="preflight", description="Look before anything is changed.")
    parser.add_argument("what", choices=["inventory", "input", "machine", "all"])
    parser.add_argument("inventory", type=Path, help="folder of the inventory")
    options = parser.parse_args(arguments)
    inventory = Inventory.load(options.inventory)
    looks: dict[str, Callable[[], Iterator[str]]] = {
        "inventory": lambda: inventory_objections(inventory, known_variables(ROOT / "roles")),
        "input": lambda: input_objections(inventory.input),
        "machine": lambda: machine_objections(inventory, Machine.this(ROOT), ROOT / ".lab" / inventory.name),
    }
    wanted = list(looks) if options.what == "all" else [options.what]
    _refuse(f"{options.inventory} cannot be used here", (line for name in wanted for line in looks[name]()))
    console.print(f"  {options.inventory}: {len(inventory.hosts)} hosts, {' and '.join(wanted)} in order")


if __name__ == "__main__":
    run(main)
