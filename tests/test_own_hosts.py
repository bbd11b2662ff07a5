"""Hosts that exist: what `make preflight-hosts` says of them, before anything is deployed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.commands import wait_for
from tests.conftest import Cluster

PORT = 9864  # of a DataNode
NO_SUCH_HOST = 250


@pytest.fixture
def inventory(cluster: Cluster) -> Iterator[Path]:
    """A copy of the lab's inventory, of the same name so that the lab's connection file goes with it."""
    folder = cluster.lab.inventory.parent / "own_hosts" / cluster.lab.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(cluster.lab.inventory, folder)
    yield folder
    shutil.rmtree(folder.parent)


@pytest.fixture
def faults(cluster: Cluster) -> Iterator[None]:
    """A user without sudo on a worker, and a process of somebody else on the edge host."""
    cluster.ssh("worker2", "sudo useradd -m plain && sudo cp -r ~/.ssh ~plain && sudo chown -R plain: ~plain")
    cluster.ssh("edge1", f"sudo systemd-run --unit foreign --property Type=exec python3 -m http.server {PORT}")
    wait_for("it listens", lambda: cluster.ssh("edge1", f"curl --silent localhost:{PORT}", check=False).code == 0)
    yield
    cluster.ssh("edge1", "sudo systemctl stop foreign")
    cluster.ssh("worker2", "sudo userdel --remove plain", check=False)


def test_a_deployed_cluster_is_in_order(cluster: Cluster) -> None:
    looked = cluster.make("preflight-hosts")
    assert "4 hosts, all in order" in looked.output
    assert looked.changed == 0


def test_all_that_is_wrong_stands_in_one_table(cluster: Cluster, inventory: Path, faults: None) -> None:
    file = inventory / "hosts.yml"
    content = yaml.safe_load(file.read_text())
    hosts, groups = content["all"]["hosts"], content["all"]["children"]
    network = hosts["edge1"]["ansible_host"].rpartition(".")[0]
    groups["datanode"]["hosts"]["edge1"] = {}
    hosts["worker1"]["memory_mib"] = 99_000_000
    hosts["worker2"] |= {"ansible_user": "plain", "ansible_ssh_extra_args": "-o ControlPath=none"}
    hosts["worker3"] = {"ansible_host": f"{network}.{NO_SUCH_HOST}"}
    file.write_text(yaml.safe_dump(content))
    looked = cluster.make("preflight-hosts", inventory=inventory, check=False)
    assert looked.code and looked.changed == 0
    assert "Traceback" not in looked.output
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in looked.output.splitlines() if "│" in line]
    found = {host: what for host, what, do in rows if do}
    expected = {
        "edge1": f"Port {PORT} of hdfs-datanode is in use (python3",
        "worker1": "memory_mib in the inventory is 99000000",
        "worker2": "The user of ansible_user may not become root",
        "worker3": "It cannot be reached",
    }
    assert len(rows) == len(found) and found.keys() == expected.keys()
    assert [host for host, words in expected.items() if words not in found[host]] == []
