"""Labs of the tests: an inventory of the repository with another name, subnet and ports, and data of its own.

So the tests run beside a lab that somebody works with and leave it and its data alone.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "output"


@dataclass(frozen=True)
class TestLab:
    """Where a lab of the tests lies.

    Attributes:
        checkout: The checkout whose make makes it.
        name: Name of the lab, and of its inventory folder.
        inventory: The inventory folder.
        data: Folder with the lab's own input/ and output/.
        ports: By UI, its port on localhost.
    """

    __test__ = False

    checkout: Path
    name: str
    inventory: Path
    data: Path
    ports: dict[str, int]

    @property
    def inventories(self) -> tuple[str, str]:
        """The inventory folder, and how its hosts are reached, which is written when they are made."""
        return str(self.inventory), str(self._home / "inventory.yml")

    @property
    def ssh_config(self) -> str:
        """Configuration with which `ssh -F` reaches its hosts by name."""
        return str(self._home / "ssh_config")

    @property
    def _home(self) -> Path:
        return self.checkout / ".lab" / self.name

    def url(self, ui: str) -> str:
        """Return the address of a UI on localhost."""
        return f"http://localhost:{self.ports[ui]}"


def derive(
    profile: str,
    name: str,
    network: str,
    port_offset: int,
    variables: dict[str, Any] | None = None,
    checkout: Path = ROOT,
) -> TestLab:
    """Write an inventory like that of a profile, for another lab.

    Args:
        profile: The inventory to start from, for instance `lab`.
        name: Name of the new lab.
        network: The first three numbers of its addresses, for instance `192.168.57`.
        port_offset: Added to every published port. At most 14,000: from 32768 on a port may be that of any connection.
        variables: Variables of all hosts that differ.
        checkout: Where the lab is to be made.

    Returns:
        The new lab. Its input is a fresh copy of the sample data, its output is empty.
    """
    source = checkout / "inventories" / profile
    hosts = yaml.safe_load((source / "hosts.yml").read_text())
    settings = yaml.safe_load((source / "group_vars" / "all.yml").read_text())
    for host in hosts["all"]["hosts"].values():
        host["ansible_host"] = f"{network}.{host['ansible_host'].rsplit('.', 1)[1]}"
    for row in settings["lab_publish"].values():
        row["port"] += port_offset

    folder = checkout / OUTPUT.relative_to(ROOT) / name
    shutil.rmtree(folder, ignore_errors=True)
    inventory, data = folder / name, folder / "data"
    shutil.copytree(checkout / "data" / "input", data / "input")
    settings |= {"jobs_source": str(data / "input"), "jobs_results": str(data / "output")} | (variables or {})
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(settings))
    return TestLab(checkout, name, inventory, data, {ui: row["port"] for ui, row in settings["lab_publish"].items()})


def with_worker(hosts: dict[str, Any], name: str) -> dict[str, Any]:
    """Hosts of the profile `lab`, as hosts.yml has them, with one more that is what the workers are."""
    more: dict[str, Any] = deepcopy(hosts["all"])
    address = more["hosts"]["edge1"]["ansible_host"].rpartition(".")[0] + ".15"
    more["hosts"][name] = {"ansible_host": address, "node_id": 4, "memory_mib": 1792, "cpus": 2}
    for group in ("datanode", "kafka_broker", "spark_worker"):
        more["children"][group]["hosts"][name] = {}
    return {"all": more}


def copy(checkout: Path) -> Path:
    """Copy what is or will be committed, as it stands here.

    Args:
        checkout: The folder to make.

    Returns:
        The same folder.
    """
    checkout.mkdir(parents=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["rsync", "--archive", "--from0", "--files-from=-", f"{ROOT}/", checkout], input=tracked, check=True)
    return checkout


def link_cache(checkout: Path) -> None:
    """Give a copy of the checkout the downloads, archives and base trees of this one, as hard links where that can be.

    The folders of downloads and archives become its owner's; a base tree is root's, and no lab changes it.
    """
    owner = checkout.stat()
    source, target = ROOT / ".cache", checkout / ".cache"
    target.mkdir()
    for name in ("artefacts", "downloads"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=_link)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        os.chown(folder, owner.st_uid, owner.st_gid)
    for tree in (path for path in source.glob("base-*") if path.is_dir() and path.suffix != ".part"):
        link_tree(tree, target / tree.name)


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder that nobody changes, as hard links where that can be."""
    link = ["--link"] if source.stat().st_dev == target.parent.stat().st_dev else []
    subprocess.run(["cp", "--archive", *link, source, target], check=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def only_one_changes_the_firewall() -> Iterator[None]:
    """Hold what tests that run side by side ask for before they change rules that all labs of this machine share."""
    OUTPUT.mkdir(exist_ok=True)
    with (OUTPUT / "firewall.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def destroy(checkout: Path, name: str) -> None:
    """Delete a lab, whatever is left of it, without the tools of its checkout."""
    place = json.dumps({"root": str(checkout), "name": name})
    command = ["/usr/bin/python3", "-B", "-m", "shopfloor_lab", "destroy"]
    subprocess.run(command, cwd=ROOT / "lab", input=place, text=True, stdout=subprocess.DEVNULL, check=True)


def clone(folder: Path) -> Path:
    """A copy of the checkout with its tools and downloads, for tests that need one of their own.

    Args:
        folder: Where to put it, best on the file system of the checkout.

    Returns:
        The copy's folder.
    """
    checkout = copy(folder / "checkout")
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    link_cache(checkout)
    return checkout


def main() -> None:
    """Write the inventory of a test lab and print its folder, for `make molecule`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("profile")
    parser.add_argument("name")
    parser.add_argument("network")
    parser.add_argument("port_offset", type=int)
    parser.add_argument("--mirror", default="", help="host that is the mirror of the archives")
    options = parser.parse_args()
    variables = {"product_mirror": options.mirror}
    print(derive(options.profile, options.name, options.network, options.port_offset, variables).inventory)


if __name__ == "__main__":
    main()
