"""Hosts and controllers join, leave, come back empty, while sales run: the oracle finds none lost and none twice."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.commands import Result, wait_for
from tests.conftest import Cluster
from tests.labs import with_worker
from tests.test_gate import gate, reason, stopped
from tools.faults import plan
from tools.faults.pipeline import Pipeline
from tools.faults.verdict import finish

pytestmark = pytest.mark.long
MEMBER = "worker3"
MINUTES = 20


def write(cluster: Cluster, hosts: dict[str, Any]) -> None:
    (cluster.lab.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))


@pytest.fixture(scope="module")
def hosts(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """The lab's inventory; at the end it is as it was."""
    path = cluster.lab.inventory / "hosts.yml"
    before = path.read_text()
    yield yaml.safe_load(before)
    path.write_text(before)


@pytest.fixture(scope="module")
def grown(hosts: dict[str, Any]) -> dict[str, Any]:
    """The same with one host more."""
    return with_worker(hosts, MEMBER)


@pytest.fixture(scope="module")
def sales(cluster: Cluster) -> Iterator[Pipeline]:
    """Sales that run through a pipeline of the test's own; at the end all is as the oracle says."""
    pipeline = Pipeline(cluster.hosts, f"members_{secrets.token_hex(3)}", 1)
    with pipeline.running(int(plan.RATE * 60 * MINUTES), batch_files=1):
        yield pipeline
        assert finish(pipeline) == []


def copies(cluster: Cluster, broker: int) -> int:
    """How many partitions have a copy on a broker."""
    described = cluster.ssh("master1", "kafka-topics --bootstrap-server master1:9092 --describe").output
    rows = re.findall(r"\tReplicas: ([\d,]+)", described)
    assert rows
    return sum(str(broker) in row.split(",") for row in rows)


def states(cluster: Cluster) -> dict[str, str]:
    """What the NameNode takes each DataNode for."""
    bean = "Hadoop:service=NameNode,name=NameNodeInfo"
    page = cluster.ssh("master1", f"curl --silent 'http://master1:9870/jmx?qry={bean}'").output
    answer = json.loads(page)["beans"][0]
    nodes = json.loads(answer["LiveNodes"]) | json.loads(answer["DeadNodes"])
    return {name.split(":")[0]: node["adminState"] for name, node in nodes.items()}


def voters(cluster: Cluster) -> set[int]:
    """Node ids of the controllers that vote."""
    ask = "kafka-metadata-quorum --bootstrap-server master1:9092 describe --status"
    found = re.search(r"CurrentVoters: +(\[.*\])", cluster.ssh("master1", ask).output)
    assert found
    return {voter["id"] for voter in json.loads(found[1])}


def throttles(cluster: Cluster) -> str:
    """Settings of brokers and topics that limit moves."""
    ask = "kafka-configs --bootstrap-server master1:9092 --describe"
    brokers, topics = (cluster.ssh("master1", f"{ask} --entity-type {kind}").output for kind in ("brokers", "topics"))
    return "\n".join(line for line in (brokers + topics).splitlines() if "throttled" in line)


def refused(cluster: Cluster, *words: str) -> str:
    done: Result = cluster.make(*words, check=False)
    assert done.code
    return " ".join(done.output.split())


def test_a_host_that_is_not_in_the_inventory_is_not_added(cluster: Cluster) -> None:
    assert "write it there first" in refused(cluster, "add", f"HOST={MEMBER}", "YES=1")


def test_a_host_is_added_and_gets_its_share(cluster: Cluster, sales: Pipeline, grown: dict[str, Any]) -> None:
    write(cluster, grown)
    output = cluster.make("add", f"HOST={MEMBER}", "YES=1").output
    assert f"{MEMBER} takes part." in output
    assert states(cluster)[MEMBER] == "In Service"
    assert copies(cluster, 4) > 0
    assert throttles(cluster) == ""


def test_a_removal_with_another_name_than_the_clusters_touches_nothing(cluster: Cluster, sales: Pipeline) -> None:
    assert f"NAME={cluster.lab.name}" in refused(cluster, "remove", f"HOST={MEMBER}", "NAME=another", "YES=1")
    assert states(cluster)[MEMBER] == "In Service"


def test_nothing_one_of_a_kind_is_removed_and_no_host_that_has_not_been_rebuilt_replaced(cluster: Cluster) -> None:
    name = f"NAME={cluster.lab.name}"
    assert "one host that cannot be swapped" in refused(cluster, "remove", "HOST=master1", name, "YES=1")
    assert "Did you mean worker3" in refused(cluster, "remove", "HOST=wroker3", name, "YES=1")
    assert "it has not been replaced" in refused(cluster, "replace", "HOST=worker1", "YES=1")


def test_a_host_is_removed_and_forgotten(cluster: Cluster, sales: Pipeline, hosts: dict[str, Any]) -> None:
    output = cluster.make("remove", f"HOST={MEMBER}", f"NAME={cluster.lab.name}", "YES=1").output
    assert f"{MEMBER} has left. Take it out of hosts.yml" in output
    assert MEMBER not in states(cluster)
    assert copies(cluster, 4) == 0
    assert throttles(cluster) == ""
    assert "was removed from the cluster" in refused(cluster, "kafka")
    assert "2 brokers would remain" in refused(cluster, "remove", "HOST=worker1", f"NAME={cluster.lab.name}", "YES=1")
    write(cluster, hosts)


def test_brokers_become_controllers(cluster: Cluster, sales: Pipeline, hosts: dict[str, Any]) -> None:
    more = deepcopy(hosts)
    more["all"]["children"]["kafka_controller"]["hosts"] |= {"worker1": {}, "worker2": {}}
    write(cluster, more)
    cluster.make("kafka")
    assert voters(cluster) == {1, 2, 3}
    assert cluster.make("kafka").changed == 0
    assert "2 controllers would remain" in refused(cluster, "can-stop", "HOST=worker1", "FOR=remove")


def test_two_controllers_of_three_must_stay(cluster: Cluster, sales: Pipeline) -> None:
    with stopped(cluster, ("worker1", "kafka")):
        found = reason(gate(cluster, "worker2"), "quorum")
        assert (found["verdict"], found["number"], found["bound"]) == ("NO", 1, 2)


def test_a_host_that_was_made_anew_becomes_what_it_was(cluster: Cluster, sales: Pipeline) -> None:
    before = copies(cluster, 2)
    # The cluster's own stream, which the deployment started, may have lost a copy of its log with the removed DataNode.
    cluster.make("restart", "SERVICE=retail-streaming", "YES=1")
    # What the removal has moved may have one copy for a moment: until there is another, the host is not deleted.
    wait_for("worker1 is made anew", lambda: cluster.make("renew", "HOST=worker1"))
    output = cluster.make("replace", "HOST=worker1", "YES=1").output
    assert "worker1 takes part again." in output
    assert copies(cluster, 2) == before
    assert states(cluster)["worker1"] == "In Service"
    assert "Under-replicated blocks:\t0" in cluster.ssh("master1", "sudo -u hdfs hdfs fsck /").output
    assert voters(cluster) == {1, 2, 3}


def test_controllers_become_brokers_alone(cluster: Cluster, sales: Pipeline, hosts: dict[str, Any]) -> None:
    write(cluster, hosts)
    cluster.make("kafka")
    assert voters(cluster) == {1}
    assert cluster.make("kafka").changed == 0
