"""Layouts that no profile has: daemons of one product apart, of all products together. What makes sense works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import Result, run, wait_for
from tests.labs import TestLab, clone, derive, destroy

pytestmark = pytest.mark.long

LAYOUTS: dict[str, dict[str, Any]] = {
    # Three controllers, of which one is nothing else, a master that is a worker, an edge host that is a broker.
    "apart": {
        "hosts": {
            "head1": ["namenode", "kafka_controller", "spark_master", "spark_worker", "spark_history"],
            "quorum1": ["kafka_controller"],
            "store1": ["datanode", "kafka_controller", "kafka_broker"],
            "store2": ["datanode", "kafka_broker", "spark_worker"],
            "edge1": ["kafka_broker", "edge"],
        },
        "variables": {},
    },
    # A host with all of it, and one that helps.
    "pair": {
        "hosts": {
            "all1": [
                "namenode", "datanode", "kafka_controller", "kafka_broker", "spark_master", "spark_history", "edge",
            ],
            "more1": ["datanode", "kafka_broker", "spark_worker"],
        },
        "variables": {"kafka_replication_factor": 2, "kafka_min_insync_replicas": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the tests' own."""
    return clone(tmp_path_factory.mktemp("layouts"))


@pytest.fixture(params=LAYOUTS, scope="module")
def lab(request: pytest.FixtureRequest, checkout: Path) -> Iterator[TestLab]:
    """A lab that nothing has been deployed on."""
    layout = LAYOUTS[request.param]
    made = derive("lab", request.param, "192.168.59", 12000, layout["variables"], checkout)
    groups: dict[str, dict[str, Any]] = {}
    hosts = {}
    for number, (host, of) in enumerate(layout["hosts"].items(), 1):
        hosts[host] = {"ansible_host": f"192.168.59.{10 + number}", "node_id": number, "memory_mib": 2048, "cpus": 2}
        for group in of:
            groups.setdefault(group, {"hosts": {}})["hosts"][host] = {}
    (made.inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "children": groups}}))
    settings = made.inventory / "group_vars" / "all.yml"
    published = yaml.safe_load(settings.read_text())
    (edge,), (master,) = groups["edge"]["hosts"], groups["spark_master"]["hosts"]
    for row in published["lab_publish"].values():
        row["host"] = master if row["host"] == "master1" else edge
    settings.write_text(yaml.safe_dump(published))
    yield made
    destroy(checkout, made.name)


def test_the_main_job_runs_and_a_second_deployment_changes_nothing(checkout: Path, lab: TestLab) -> None:
    inventory = f"INVENTORY={lab.inventory.relative_to(checkout)}"
    run("make", "lab", inventory, cwd=checkout, timeout=1800)
    assert run("make", "site", inventory, cwd=checkout).changed == 0
    assert "Traceback" not in run("make", "check", inventory, cwd=checkout).output


@pytest.mark.parametrize("lab", ["apart"], indirect=True)
def test_two_controllers_of_three_must_stay_and_ignoring_it_stops_all_changes(checkout: Path, lab: TestLab) -> None:
    inventory = f"INVENTORY={lab.inventory.relative_to(checkout)}"
    run("make", "lab", inventory, cwd=checkout, timeout=1800)
    create = "timeout 60 kafka-topics --bootstrap-server store1:9092 --create --topic"

    def on(host: str, command: str, check: bool = True) -> Result:
        return run("ssh", "-F", lab.ssh_config, host, command, check=check)

    on("quorum1", "sudo systemctl stop kafka")
    refused = run("make", "can-stop", "HOST=head1", inventory, cwd=checkout, check=False).output
    assert "stopping head1 leaves 1 of 3 controllers caught up; 2 are needed" in refused
    on("store1", f"{create} made")
    on("head1", "sudo systemctl stop kafka")
    assert on("store1", f"{create} refused", check=False).code
    for host in ("head1", "quorum1"):
        on(host, "sudo systemctl start --no-block kafka")
    wait_for("changes are made again", lambda: on("store1", f"{create} again --if-not-exists"))
