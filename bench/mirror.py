"""Mirror: bytes between the control machine and a cluster of eight hosts, against one of four.

    python -m bench.mirror

Needs root and what `make artefacts` fetched. Makes eight hosts of its own beside a lab that runs, installs all products
on four and then on all of them, with the mirror and without, and takes everything away at the end: some six minutes.
Counted are the bytes of the IP packets that this machine itself sends to the hosts or gets from them, not what hosts
send each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench import Ratio, show
from bench.deploy import timed
from tests.labs import ROOT, TestLab, derive
from tools.terminal import Problem, console, run

NETWORK = "192.168.60"
FOUR = ("master1", "worker1", "worker2", "edge1")
FOUR_MORE = ("worker3", "worker4", "worker5", "worker6")
TABLE = "bench_mirror"
COUNTERS = f"""
table ip {TABLE} {{
  counter line {{ }}
  chain sent {{ type filter hook output priority filter; ip daddr {NETWORK}.0/24 counter name line; }}
  chain received {{ type filter hook input priority filter; ip saddr {NETWORK}.0/24 counter name line; }}
}}
"""


def eight_hosts() -> TestLab:
    """Write the inventory: that of the classroom, and four hosts more."""
    lab = derive("lab", "mirror", NETWORK, 13500)
    file = lab.inventory / "hosts.yml"
    content = yaml.safe_load(file.read_text())
    for number, name in enumerate(FOUR_MORE, start=21):
        content["all"]["hosts"][name] = {"ansible_host": f"{NETWORK}.{number}", "memory_mib": 256}
    file.write_text(yaml.safe_dump(content))
    return lab


def nft(*words: str, stdin: str = "") -> str:
    """Run nft and return what it printed."""
    return subprocess.run(["nft", *words], input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def counting() -> Iterator[None]:
    """Count the bytes between this machine and the hosts."""
    nft("-f", "-", stdin=f"table ip {TABLE}\ndelete table ip {TABLE}\n{COUNTERS}")
    try:
        yield
    finally:
        nft("delete", "table", "ip", TABLE)


def counted() -> int:
    """Bytes since the last question."""
    rows = json.loads(nft("-j", "reset", "counters", "table", "ip", TABLE))["nftables"]
    return next(int(row["counter"]["bytes"]) for row in rows if "counter" in row)


def install(lab: TestLab, hosts: tuple[str, ...], mirror: str) -> int:
    """Install everything on hosts that have nothing.

    Args:
        lab: The lab.
        hosts: Names of the hosts that take part.
        mirror: Name of the host that is the mirror; empty for none.

    Returns:
        Bytes between this machine and the hosts.
    """
    tools = Path(sys.executable).parent
    sources = [word for source in lab.inventories for word in ("-i", source)]
    where = (*sources, "--limit", ",".join(hosts))
    name = f"{len(hosts)} hosts {'with' if mirror else 'without'} mirror"
    clear = "rm --recursive --force /opt/* /var/cache/shopfloor"
    timed(f"clear {name}", tools / "ansible", *where, "all", "--become", "-m", "ansible.builtin.shell", "-a", clear)
    counted()
    timed(name, tools / "ansible-playbook", *where, "-e", f"product_mirror={mirror}", ROOT / "bench" / "mirror.yml")
    sent = counted()
    console.print(f"{name}: {sent / 1e6:.0f} MB")
    return sent


def main() -> None:
    """Measure, and print the ratio."""
    if os.geteuid():
        raise Problem("Hosts are made as root: sudo .venv/bin/python -m bench.mirror")
    lab = eight_hosts()
    make = ("make", f"INVENTORY={lab.inventory}")
    try:
        timed("make hosts", *make, "hosts")
        with counting():
            few, many = (install(lab, hosts, "edge1") for hosts in (FOUR, FOUR + FOUR_MORE))
            plain_few, plain_many = (install(lab, hosts, "") for hosts in (FOUR, FOUR + FOUR_MORE))
    finally:
        timed("make destroy", *make, "destroy")
    console.print(f"without a mirror, eight hosts to four: {plain_many / plain_few:.2f}")
    show([Ratio("bytes to and from eight hosts, to those of four, with the mirror", many / few, 1.1)])


if __name__ == "__main__":
    run(main)
