#!/usr/bin/python
"""Ansible module: looks at a host before anything is deployed to it, and tells what must be mended."""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: host_looks
short_description: What must be mended on a host before it can become part of the cluster
description:
  - Looks at memory, disk, the host's address, the ways to other hosts, and the ports of the daemons that it is to run.
    Changes nothing.
  - The action plugin of the same name runs it. It makes findings of a host that cannot be reached or has no sudo,
    gathers facts, and compares the clock.
options:
  address: {description: Address of the host by which the others know it., type: str, required: true}
  peers: {description: "SSH server of every other host by its name, as address:port.", type: dict, required: true}
  listens:
    description: "Units that will run here, and all addresses (address:port) that they listen on."
    type: dict
    required: true
  disk_mib: {description: MiB that must be free below /opt and below /var/lib., type: int, required: true}
  memory_mib: {description: "MiB of memory that the host is to have; 0 asks for none.", type: int, default: 0}
attributes:
  check_mode: {support: full}
"""

EXAMPLES = """
- name: Look at the host
  host_looks:
    address: 192.168.56.12
    peers: {master1: "192.168.56.11:22"}
    listens: {kafka: ["192.168.56.12:9092"]}
    disk_mib: 1536
"""

RETURN = """
findings:
  description: What is wrong (what) and how it is mended (do).
  returned: success
  type: list
  elements: dict
unreached:
  description: Names of the peers that did not answer.
  returned: success
  type: list
  elements: str
now:
  description: The host's clock, in seconds since 1970.
  returned: success
  type: float
"""

Finding = dict[str, str]
MEMORY_SHARE = 0.9  # of a machine's memory, firmware and kernel keep some for themselves
CONNECT_SECONDS = 5.0
LISTENING = "0A"
UNIT = re.compile(r"/([^/\n]+\.service)\s*$", re.MULTILINE)


def memory_findings(meminfo: str, wanted_mib: int) -> Iterator[Finding]:
    """Compare the memory of the machine, as in /proc/meminfo, with what the inventory says."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    mib = int(found[1]) // 1024 if found else 0
    if mib < wanted_mib * MEMORY_SHARE:
        yield {
            "what": f"It has {mib} MiB of memory; memory_mib in the inventory is {wanted_mib}",
            "do": "Give it more, or move some of its groups to another host and lower memory_mib.",
        }


def disk_findings(free: Mapping[str, int], wanted_mib: int) -> Iterator[Finding]:
    """Compare the MiB that are free below some folders with what a deployment needs."""
    for folder, mib in free.items():
        if mib < wanted_mib:
            yield {
                "what": f"{mib} MiB of disk are free below {folder}; a deployment asks for {wanted_mib}",
                "do": "Make room there, or give it a larger disk (base_disk_mib says how much is asked for).",
            }


def listeners(table: str) -> Iterator[tuple[int, str]]:
    """Port and socket number of everything that listens, from the text of /proc/net/tcp or tcp6."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] == LISTENING:
            yield int(words[1].rpartition(":")[2], 16), words[9]


def holders(port: int) -> Iterator[tuple[str, str]]:
    """Unit (empty when it is none) and description of every process that listens on a port."""
    tables = [path.read_text() for path in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if path.exists()]
    sockets = {f"socket:[{number}]" for table in tables for taken, number in listeners(table) if taken == port}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if sockets.isdisjoint(open_files(process)):
                continue
            unit = UNIT.search((process / "cgroup").read_text())
            name = (process / "comm").read_text().strip()
            yield unit[1] if unit else "", f"{name}, process {process.name}"


def open_files(process: Path) -> Iterator[str]:
    """What the files that a process has open are, as its folder in /proc shows them."""
    for file in process.glob("fd/*"):
        with contextlib.suppress(OSError):  # it has been closed
            yield str(file.readlink())


def is_taken(address: str, port: int) -> bool:
    """Whether a daemon could not listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is only closing is no obstacle
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def port_findings(listens: Mapping[str, Iterable[str]]) -> Iterator[Finding]:
    """Find the ports of our units that something else holds."""
    for unit, addresses in listens.items():
        for text in addresses:
            address, _, port = text.rpartition(":")
            if not is_taken(address, int(port)):
                continue
            held = dict(holders(int(port)))
            if f"{unit}.service" not in held:
                others = "; ".join(f"{who}{f' of {unit}' if unit else ''}" for unit, who in held.items())
                yield {
                    "what": f"Port {port} of {unit} is in use ({others or 'by a process that cannot be seen'})",
                    "do": "Stop what uses it, or move that daemon's group to another host.",
                }


def address_findings(address: str) -> Iterator[Finding]:
    """Find out whether the host itself has the address: daemons listen on it."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            yield {
                "what": f"ansible_host {address} is no address of its own",
                "do": "Let ansible_host be the address that `ip address` shows there for the cluster's network.",
            }


def reaches(server: str) -> bool:
    """Whether a machine answers at address:port, be it by a refusal."""
    address, _, port = server.rpartition(":")
    try:
        socket.create_connection((address, int(port)), CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def main() -> None:
    """Look, and return what was found."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "peers": {"type": "dict", "required": True},
            "listens": {"type": "dict", "required": True},
            "disk_mib": {"type": "int", "required": True},
            "memory_mib": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    asked = module.params
    with ThreadPoolExecutor(max_workers=16) as pool:
        ways = {name: pool.submit(reaches, server) for name, server in asked["peers"].items()}
    free = {folder: shutil.disk_usage(folder).free >> 20 for folder in ("/opt", "/var/lib")}
    findings = [
        *memory_findings(Path("/proc/meminfo").read_text(), asked["memory_mib"]),
        *disk_findings(free, asked["disk_mib"]),
        *address_findings(asked["address"]),
        *port_findings(asked["listens"]),
    ]
    unreached = [name for name, way in ways.items() if not way.result()]
    module.exit_json(changed=False, findings=findings, unreached=unreached, now=time.time())


if __name__ == "__main__":
    main()
