"""Labs of the tests: an inventory of the repository with another name, subnet and ports, and data of its own.

So the tests run beside a lab that somebody works with and leave it and its data alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
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
        name: Name of the lab, and of its inventory folder.
        inventory: The inventory folder.
        data: Folder with the lab's own input/ and output/.
        ports: By UI, its port on localhost.
    """

    __test__ = False

    name: str
    inventory: Path
    data: Path
    ports: dict[str, int]

    def url(self, ui: str) -> str:
        """Return the address of a UI on localhost."""
        return f"http://localhost:{self.ports[ui]}"


def derive(profile: str, name: str, network: str, port_offset: int, variables: dict[str, Any] | None = None) -> TestLab:
    """Write an inventory like that of a profile, for another lab.

    Args:
        profile: The inventory to start from, for instance `lab`.
        name: Name of the new lab.
        network: The first three numbers of its addresses, for instance `192.168.57`.
        port_offset: Added to every published port. At most 14,000: from 32768 on a port may be that of any connection.
        variables: Variables of all hosts that differ.

    Returns:
        The new lab. Its input is a fresh copy of the sample data, its output is empty.
    """
    source = ROOT / "inventories" / profile
    hosts = yaml.safe_load((source / "hosts.yml").read_text())
    settings = yaml.safe_load((source / "group_vars" / "all.yml").read_text())
    for host in hosts["all"]["hosts"].values():
        host["ansible_host"] = f"{network}.{host['ansible_host'].rsplit('.', 1)[1]}"
    for row in settings["lab_publish"].values():
        row["port"] += port_offset

    folder = OUTPUT / name
    shutil.rmtree(folder, ignore_errors=True)
    inventory, data = folder / name, folder / "data"
    shutil.copytree(ROOT / "data" / "input", data / "input")
    settings |= {"lab_name": name}
    settings |= {"jobs_source": str(data / "input"), "jobs_results": str(data / "output")} | (variables or {})
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(settings))
    return TestLab(name, inventory, data, {ui: row["port"] for ui, row in settings["lab_publish"].items()})


def clone(folder: Path) -> Path:
    """Clone what is committed, with the tools and downloads of this checkout.

    Args:
        folder: Where to put it, on the file system of the checkout: the downloads become hard links.

    Returns:
        The clone's folder.
    """
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    for name in ("artefacts", "downloads"):
        shutil.copytree(ROOT / ".cache" / name, checkout / ".cache" / name, copy_function=os.link)
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
