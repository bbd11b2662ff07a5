"""What changes a running cluster: restarts behind the gate, identity, groups that a host leaves."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.commands import wait_for
from tests.conftest import NEW_KAFKA, OLD_KAFKA, Cluster
from tests.test_cluster import UNITS, all_units_run, grows, windows

BROKERS = ("master1", "worker1", "worker2")


def started(cluster: Cluster, host: str, unit: str) -> str:
    return cluster.show(host, unit, "InvocationID")


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """The lab's variables, which a test may change and write; afterwards they are as before."""
    path = cluster.lab.inventory / "group_vars" / "all.yml"
    before = path.read_text()
    yield yaml.safe_load(before)
    path.write_text(before)


def write(cluster: Cluster, settings: dict[str, Any]) -> None:
    (cluster.lab.inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(settings))


def version(cluster: Cluster, host: str) -> str:
    return cluster.ssh(host, "readlink /opt/kafka").output.strip().removeprefix("/opt/kafka-")


def versions(cluster: Cluster) -> set[str]:
    return {version(cluster, host) for host in BROKERS}


def test_an_upgrade_that_was_interrupted_goes_back(cluster: Cluster) -> None:
    words = ("upgrade", "PRODUCT=kafka", f"VERSION={NEW_KAFKA}", "YES=1")
    cluster.make(*words, check=False, interrupt_at="TASK [product : Wait until the cluster has settled]")
    assert versions(cluster) == {OLD_KAFKA, NEW_KAFKA}
    assert f"{NEW_KAFKA} on " in cluster.make("status", check=False).output
    cluster.make("rollback", "PRODUCT=kafka", "YES=1")
    assert versions(cluster) == {OLD_KAFKA}


def test_kafka_goes_to_the_next_version_host_by_host_and_streaming_goes_on(cluster: Cluster) -> None:
    before, ids = windows(cluster), {host: started(cluster, host, "kafka") for host in BROKERS}
    streaming = started(cluster, "edge1", "retail-streaming")
    cluster.make("upgrade", "PRODUCT=kafka", f"VERSION={NEW_KAFKA}", "YES=1")
    assert versions(cluster) == {NEW_KAFKA}
    assert all(started(cluster, host, "kafka") != ids[host] for host in BROKERS)
    since = {host: int(cluster.show(host, "kafka", "ExecMainStartTimestampMonotonic")) for host in BROKERS}
    assert max(since, key=lambda host: since[host]) == "master1", "the active controller goes last"
    assert started(cluster, "edge1", "retail-streaming") == streaming
    wait_for("live windows grow", lambda: grows(cluster, before))


def test_after_finalize_there_is_no_way_back(cluster: Cluster) -> None:
    assert "make rollback PRODUCT=kafka" in cluster.make("status").output
    cluster.make("finalize", "PRODUCT=kafka", "YES=1")
    refused = cluster.make("rollback", "PRODUCT=kafka", "YES=1", check=False)
    assert refused.code
    assert "there is no way back. Nothing was touched." in " ".join(refused.output.split())
    assert versions(cluster) == {NEW_KAFKA}


def test_a_plan_is_shown_and_nothing_is_touched_without_yes(cluster: Cluster) -> None:
    before = started(cluster, "worker1", "kafka")
    command = f"make restart HOST=worker1 INVENTORY={cluster.lab.inventory.relative_to(cluster.checkout)} </dev/null"
    said = cluster.user.run("bash", "-c", command, cwd=cluster.checkout, variables={}, timeout=300)
    assert said.code
    assert "hdfs-datanode" in said.output and "YES=1" in said.output
    assert started(cluster, "worker1", "kafka") == before
    cluster.make("restart", "HOST=worker1", "SERVICE=kafka", "YES=1")
    assert started(cluster, "worker1", "kafka") != before


def test_a_broken_setting_reaches_one_broker_and_is_mended_by_the_next_deployment(
    cluster: Cluster, settings: dict[str, Any]
) -> None:
    ids = {host: started(cluster, host, "kafka") for host in BROKERS}
    write(cluster, settings | {"java_options": ["-XX:NoSuchOption"]})
    failed = cluster.make("kafka", check=False)
    assert failed.code
    assert "NoSuchOption" in failed.output, "the journal of the broker that did not start is shown"
    touched = [host for host in BROKERS if started(cluster, host, "kafka") != ids[host]]
    assert len(touched) == 1
    write(cluster, settings)
    cluster.make("kafka")
    wait_for("all units run", lambda: all(all_units_run(cluster, host) for host in UNITS))


def test_another_node_id_than_the_disk_has_is_refused_before_a_broker_is_touched(cluster: Cluster) -> None:
    path = cluster.lab.inventory / "hosts.yml"
    before, ids = path.read_text(), {host: started(cluster, host, "kafka") for host in BROKERS}
    hosts = yaml.safe_load(before)
    hosts["all"]["hosts"]["worker2"]["node_id"] = 7
    try:
        path.write_text(yaml.safe_dump(hosts))
        failed = cluster.make("kafka", check=False)
    finally:
        path.write_text(before)
    assert failed.code
    assert "worker2 has node_id 7 in the inventory" in failed.output
    assert {host: started(cluster, host, "kafka") for host in BROKERS} == ids


@pytest.mark.parametrize(
    ("product", "unit", "folder", "said"),
    [
        ("hdfs", "hdfs-namenode", "name", "worker1, worker2 hold blocks"),
        ("kafka", "kafka", "data", "there are partitions on worker1, worker2"),
    ],
)
def test_nothing_is_formatted_anew_while_others_hold_what_it_would_not_know(
    cluster: Cluster, product: str, unit: str, folder: str, said: str
) -> None:
    kept, away = f"/var/lib/{product}/{folder}", f"/var/lib/{product}/away"
    cluster.ssh("master1", f"sudo systemctl stop {unit} && sudo mv {kept} {away}")
    try:
        failed = cluster.make(product, check=False)
        assert failed.code
        assert said in " ".join(failed.output.split())
    finally:
        cluster.ssh("master1", f"sudo rm -rf {kept}; sudo mv {away} {kept}")
        cluster.ssh("master1", f"sudo systemctl start {unit}")
    wait_for("all units run", lambda: all(all_units_run(cluster, host) for host in UNITS))


def test_a_host_that_leaves_a_group_runs_its_daemon_no_more(cluster: Cluster) -> None:
    path = cluster.lab.inventory / "hosts.yml"
    before = path.read_text()
    hosts = yaml.safe_load(before)
    del hosts["all"]["children"]["spark_worker"]["hosts"]["worker2"]
    try:
        path.write_text(yaml.safe_dump(hosts))
        cluster.make("spark")
        assert cluster.ssh("worker2", "systemctl is-active spark-worker", check=False).output.strip() == "inactive"
        assert cluster.ssh("worker2", "systemctl cat spark-worker", check=False).code
    finally:
        path.write_text(before)
        cluster.make("spark")
    wait_for("all units run", lambda: all(all_units_run(cluster, host) for host in UNITS))


def test_what_happened_is_told_in_order_and_packed_for_whoever_helps(cluster: Cluster) -> None:
    cluster.ssh("worker2", "sudo systemctl restart spark-worker")
    lines = cluster.make("timeline", "FROM=-30m", "JSON=1").output.splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    texts = [event["text"] for event in events if event["host"] == "worker2"]
    assert [text for text in texts if text.startswith("spark-worker ")][-2:] == [
        "spark-worker stopped",
        "spark-worker started",
    ]
    found = re.search(r"\.cache/support/\S+\.tar\.gz", cluster.make("bundle-support").output)
    assert found
    with tarfile.open(cluster.checkout / found[0]) as archive:
        assert {name.split("/")[1] for name in archive.getnames()} > set(UNITS)
