"""What a lab is: its description as the inventory gives it, checked, and every name derived from it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

IFNAME_MAX = 15
PREFIX = 24
_LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MOUNT_SEPARATORS = set(':,\\"\n')


class LabError(Exception):
    """Something the user must know; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Host:
    """One host: its name, its address and its memory limit in MiB (None: the machine's)."""

    name: str
    address: IPv4Address
    memory_mib: int | None = None


@dataclass(frozen=True)
class Publication:
    """A port of the user's machine (127.0.0.1 only) that leads to a port of a host."""

    name: str
    port: int
    host: str
    target: int


@dataclass(frozen=True)
class Lab:
    """A checked description."""

    name: str
    root: Path
    owner: tuple[int, int]
    subnet: IPv4Network
    hosts: tuple[Host, ...]
    publications: tuple[Publication, ...]

    @property
    def bridge(self) -> str:
        """Name of the bridge, within the kernel's limit of 15 characters."""
        plain = f"sf-{self.name}"
        if len(plain) <= IFNAME_MAX:
            return plain
        return f"sf-{self.name[:5]}-{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"

    @property
    def table(self) -> str:
        """Name of the nftables table."""
        return f"shopfloor_{self.name.replace('-', '_')}"

    @property
    def unit(self) -> str:
        """Name of the cgroup folder, and of the transient unit where systemd runs this machine."""
        return f"shopfloor-{self.name}"

    @property
    def gateway(self) -> IPv4Address:
        """The machine's own address on the bridge: the first of the subnet."""
        return self.subnet.network_address + 1

    @property
    def home(self) -> Path:
        """Folder with everything that belongs to this lab."""
        return self.root / ".lab" / self.name

    def host_home(self, host: str) -> Path:
        """Folder with the writable layer and the mount point of a host."""
        return self.home / "hosts" / host

    def host_tree(self, host: str) -> Path:
        """Where the root file system of a host is mounted."""
        return self.host_home(host) / "root"

    def host(self, name: str) -> Host:
        """The host of this name."""
        return next(host for host in self.hosts if host.name == name)

    def digest(self) -> str:
        """Changes when anything in the description changes."""
        return hashlib.sha256(json.dumps(to_dict(self), sort_keys=True).encode()).hexdigest()[:16]


def to_dict(lab: Lab) -> dict[str, Any]:
    """The description in the form that `parse` reads."""
    return {
        "name": lab.name,
        "root": str(lab.root),
        "owner": list(lab.owner),
        "hosts": [
            {"name": host.name, "address": str(host.address), "memory_mib": host.memory_mib} for host in lab.hosts
        ],
        "publish": {row.name: {"port": row.port, "host": row.host, "target": row.target} for row in lab.publications},
    }


def parse(raw: dict[str, Any]) -> Lab:
    """Check a description and make a lab of it.

    Raises:
        LabError: something in it is missing, twice there, or cannot work.
    """
    name, root = check_place(str(raw.get("name", "")), Path(str(raw.get("root", ""))))
    hosts = tuple(_host(row) for row in raw.get("hosts") or [])
    if not hosts:
        raise LabError(f"The inventory of lab {name} has no hosts: name them in its hosts.yml.")
    _refuse_twice("name", [(host.name, host.name) for host in hosts])
    _refuse_twice("address", [(str(host.address), host.name) for host in hosts])
    subnet = _subnet(hosts)
    publications = tuple(_publication(str(key), row, hosts) for key, row in _published(raw).items())
    _refuse_twice("published port", [(str(row.port), row.name) for row in publications])
    uid, gid = raw.get("owner") or [0, 0]
    return Lab(name, root, (int(uid), int(gid)), subnet, hosts, publications)


def bare(name: str, root: Path) -> Lab:
    """A lab of which only name and place are known: enough to undo it.

    Raises:
        LabError: name or place cannot be those of a lab.
    """
    check_place(name, root)
    return Lab(name, root, (0, 0), IPv4Network("0.0.0.0/32"), (), ())


def check_place(name: str, root: Path) -> tuple[str, Path]:
    """Check the name of a lab and the folder of the checkout.

    Raises:
        LabError: one of them cannot be used.
    """
    if not _LAB_NAME.fullmatch(name):
        raise LabError(f"'{name}' cannot name a lab: use small letters, digits and '-', a letter first, 40 at most.")
    if not root.is_absolute() or _MOUNT_SEPARATORS & set(str(root)):
        raise LabError(
            f"The checkout's path {str(root)!r} cannot be mounted: move it to one without ':', ',', quotes "
            "and backslashes."
        )
    return name, root


def _host(row: dict[str, Any]) -> Host:
    name = str(row.get("name", ""))
    if not _HOST_NAME.fullmatch(name):
        raise LabError(f"'{name}' cannot name a host: use small letters, digits and '-'.")
    address = row.get("address")
    if not address:
        raise LabError(f"Host {name} has no address: give it ansible_host in the inventory's hosts.yml.")
    try:
        parsed = IPv4Address(str(address))
    except ValueError:
        raise LabError(f"Host {name} has ansible_host '{address}', which is no IPv4 address.") from None
    memory = row.get("memory_mib")
    return Host(name, parsed, None if memory is None else _number("memory_mib", memory, name, 128, 2**24))


def _published(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rows = raw.get("publish") or {}
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise LabError("lab_publish must hold rows such as {dashboard: {port: 5000, host: edge1, target: 5000}}.")
    return rows


def _publication(name: str, row: dict[str, Any], hosts: tuple[Host, ...]) -> Publication:
    unknown = set(row) - {"port", "host", "target"}
    missing = {"port", "host", "target"} - set(row)
    if unknown or missing:
        what = f"unknown key {min(unknown)!r}" if unknown else f"no {min(missing)!r}"
        raise LabError(f"lab_publish.{name} has {what}: a row holds port, host and target.")
    host = str(row["host"])
    if host not in {known.name for known in hosts}:
        raise LabError(f"lab_publish.{name} names host '{host}', which is not in the inventory.")
    return Publication(
        name,
        _number("port", row["port"], f"lab_publish.{name}", 1, 65535),
        host,
        _number("target", row["target"], f"lab_publish.{name}", 1, 65535),
    )


def _number(key: str, value: object, where: str, low: int, high: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise LabError(f"{key} of {where} is {value!r}: give a number from {low} to {high}.")
    return number


def _subnet(hosts: tuple[Host, ...]) -> IPv4Network:
    """The /24 around the first host; its first address is this machine's."""
    subnet = IPv4Network(f"{hosts[0].address}/{PREFIX}", strict=False)
    reserved = {subnet.network_address, subnet.network_address + 1, subnet.broadcast_address}
    for host in hosts:
        if host.address not in subnet:
            raise LabError(f"Host {host.name} has address {host.address}, outside of the lab's subnet {subnet}.")
        if host.address in reserved:
            raise LabError(
                f"Host {host.name} has address {host.address}, which the subnet {subnet} needs for itself "
                "(its first and last address, and .1, the gateway): choose another."
            )
    return subnet


def _refuse_twice(what: str, pairs: list[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for value, owner in pairs:
        if value in seen:
            raise LabError(f"{seen[value]} and {owner} have the same {what} {value}: give each its own.")
        seen[value] = owner
