"""Snapshots of the lab: whatever is done to it, a rewind brings back what was, on all hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.commands import wait_for
from tests.conftest import Cluster
from tests.test_cluster import HOSTS, UNITS, all_units_run, grows, windows
from tools.cluster import from_inventory
from tools.health import lock

pytestmark = pytest.mark.long
WRITERS = "retail-producer retail-streaming retail-batch.timer"


@pytest.fixture
def at_rest(cluster: Cluster) -> Iterator[None]:
    """Nothing writes, so that the state can be compared to the byte; it stays so over a boot."""
    cluster.ssh("edge1", f"sudo systemctl disable --now {WRITERS} && sudo systemctl stop retail-batch")
    yield
    cluster.ssh("edge1", f"sudo systemctl enable --now {WRITERS}")


def state(cluster: Cluster) -> dict[str, str]:
    """Return all that a rewind must bring back: files of HDFS with checksums, ends of topics, units, the result."""
    # Names of files are what follows seven columns, spaces and all.
    hdfs = (
        "sudo -u hdfs hdfs dfs -ls -R / >/tmp/listing && cat /tmp/listing && "
        "sed -nE 's/^-([^ ]+ +){7}//p' /tmp/listing | sudo -u hdfs xargs -d '\\n' hdfs dfs -checksum"
    )
    found = {
        "HDFS": cluster.ssh("master1", hdfs).output,
        "topics": cluster.ssh("master1", "kafka-get-offsets --bootstrap-server master1:9092").output,
        "result": cluster.ssh("edge1", "sudo sh -c 'sha256sum /var/lib/retail/output/analysis_csv/*'").output,
    }
    for host in HOSTS:
        units = " ".join(f"{unit}*" for unit in UNITS[host])
        command = f"systemctl list-unit-files --no-legend {units}; systemctl is-active {' '.join(UNITS[host])}; true"
        found[f"units of {host}"] = cluster.ssh(host, command).output
        found[f"programs of {host}"] = cluster.ssh(host, "ls -l /opt; sudo find /etc -type f | sort | wc -l").output
    return found


def test_a_rewind_brings_everything_back_after_it_was_changed_and_broken(cluster: Cluster, at_rest: None) -> None:
    before = state(cluster)
    assert "sales:" in before["topics"]
    assert ".parquet\tMD5-of-" in before["HDFS"]
    taken = cluster.make("snapshot", "NAME=healthy")
    cluster.ssh("master1", "echo more | sudo -u hdfs hdfs dfs -put - /more")
    cluster.ssh("master1", "sudo -u hdfs hdfs dfs -rm -r -skipTrash /data/input /data/state")
    cluster.ssh("master1", "kafka-topics --bootstrap-server master1:9092 --delete --topic product_revenue")
    cluster.ssh("edge1", "seq 100 | kafka-console-producer --bootstrap-server master1:9092 --topic sales")
    wait_for("the topic is gone", lambda: "product_revenue:" not in state_of_topics(cluster))
    cluster.ssh("worker1", "sudo systemctl disable --now hdfs-datanode; sudo rm -rf /var/lib/hdfs /etc/hadoop")
    cluster.ssh("worker2", "sudo systemctl stop kafka; sudo rm -rf /var/lib/kafka; sudo rm /opt/kafka /opt/spark")
    cluster.ssh("edge1", "sudo rm -rf /var/lib/retail /etc/systemd/system/retail-*")
    rewound = cluster.make("rewind", "NAME=healthy")
    assert state(cluster) == before
    print(f"snapshot: {taken.seconds:.0f} s, rewind: {rewound.seconds:.0f} s")


def state_of_topics(cluster: Cluster) -> str:
    return cluster.ssh("master1", "kafka-get-offsets --bootstrap-server master1:9092").output


def test_the_pipeline_goes_on_from_there(cluster: Cluster) -> None:
    wait_for("all units run", lambda: all(all_units_run(cluster, host) for host in HOSTS))
    before = wait_for("the dashboard has live windows", lambda: windows(cluster))
    wait_for("live windows grow", lambda: grows(cluster, before), seconds=300)
    cluster.make("check")


def test_a_rewind_is_refused_while_something_changes_the_cluster(cluster: Cluster) -> None:
    known = from_inventory([str(cluster.lab.inventory)])
    with lock.held(known, "make deploy"):
        refused = cluster.make("rewind", "NAME=healthy", check=False)
    assert refused.code and "`make deploy` of root" in refused.output and "wait for its end" in refused.output
    assert cluster.ssh("worker1", "hostname").output.strip() == "worker1"


def test_snapshots_are_listed_and_deleted_and_mistakes_have_a_sentence(cluster: Cluster) -> None:
    listed = cluster.make("snapshots").output
    assert "healthy" in listed and "ago" in listed
    assert "did you mean healthy?" in cluster.make("rewind", "NAME=helthy", check=False).output
    assert "There is a snapshot healthy already" in cluster.make("snapshot", "NAME=healthy", check=False).output
    assert "Which snapshot?" in cluster.make("rewind", check=False).output
    known = json.loads((cluster.checkout / ".lab" / cluster.lab.name / "lab.json").read_text())
    layer = cluster.checkout / ".lab" / cluster.lab.name / "hosts" / "edge1" / known["layers"][-1]
    assert layer.is_dir()
    said = cluster.make("snapshots", "DELETE=healthy").output
    assert "snapshot healthy deleted" in said and "is not free yet" in said
    assert "There are no snapshots" in cluster.make("snapshots").output


def test_hosts_that_no_lab_made_are_told_apart(cluster: Cluster) -> None:
    said = cluster.make("snapshot", "NAME=healthy", inventory=cluster.checkout / "inventories" / "byo", check=False)
    assert said.code and "No lab byo was made here" in said.output
