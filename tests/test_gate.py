"""The gate on a whole cluster: for each rule a state in which it warns, and what happens to who does not listen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.commands import Result, run, wait_for
from tests.conftest import Cluster

SERVER = "--bootstrap-server master1:9092"
EXIT_CODES = {"YES": 0, "YES BUT": 0, "WAIT": 3, "NO": 1, "UNKNOWN": 2}


def health(cluster: Cluster, *words: str) -> Result:
    """Run the module itself: make has only one exit code for all that is not well."""
    sources = [word for source in cluster.lab.inventories for word in ("-i", source)]
    command = (str(cluster.checkout / ".venv/bin/python"), "-m", "tools.health", *sources, *words)
    return run(*cluster.user.prefix, *command, cwd=cluster.checkout, env=cluster.user.environment, check=False)


def gate(cluster: Cluster, host: str, purpose: str = "restart") -> dict[str, Any]:
    """Ask the gate; its exit code must be that of its verdict."""
    done = health(cluster, "can-stop", host, "--for", purpose, "--json")
    answer: dict[str, Any] = json.loads(done.output)
    assert done.code == EXIT_CODES[answer["verdict"]]
    return answer


def reasons(answer: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    """The reasons of a rule."""
    return [reason for reason in answer["reasons"] if reason["rule"] == rule]


def reason(answer: dict[str, Any], rule: str) -> dict[str, Any]:
    """The first reason of a rule; the test fails when it has none."""
    assert reasons(answer, rule), answer
    return reasons(answer, rule)[0]


def may_stop(cluster: Cluster, host: str) -> dict[str, Any]:
    """Ask the gate of a host that may stop; at most a file is named whose writer was killed by an earlier test."""
    answer = gate(cluster, host)
    assert {reason["rule"] for reason in answer["reasons"]} <= {"files being written"}, answer
    return answer


@contextmanager
def stopped(cluster: Cluster, *daemons: tuple[str, str]) -> Iterator[None]:
    """Daemons (host, unit) are stopped; at the end they run and have settled."""
    try:
        for host, unit in daemons:
            cluster.ssh(host, f"sudo systemctl stop {unit}")
        yield
    finally:
        for host, unit in daemons:
            cluster.ssh(host, f"sudo systemctl start --no-block {unit}")
        for host, unit in daemons:
            done = health(cluster, "settled", host, unit, "--wait", "180")
            assert done.code == 0, done.output


@pytest.fixture(scope="module", autouse=True)
def quiet(cluster: Cluster) -> Iterator[None]:
    """Nothing else writes to the cluster, and it is whole before and after."""
    jobs = "retail-batch.timer retail-streaming retail-producer"
    cluster.ssh("edge1", f"sudo systemctl stop {jobs} retail-batch")
    try:
        for host in ("master1", "worker1", "worker2"):
            done = health(cluster, "settled", host, "--wait", "120")
            assert done.code == 0, done.output
        yield
    finally:
        cluster.ssh("edge1", f"sudo systemctl start {jobs}")


def test_a_worker_of_a_whole_cluster_may_stop(cluster: Cluster) -> None:
    may_stop(cluster, "worker1")
    assert cluster.make("can-stop", "HOST=worker1").output.startswith("YES")


def test_an_unknown_host_is_refused_with_the_nearest_name(cluster: Cluster) -> None:
    done = cluster.make("can-stop", "HOST=wroker1", check=False)
    assert done.code and "Did you mean worker1?" in done.output


def test_a_broker_whose_copies_are_needed_is_no_and_ignoring_it_stops_producers(cluster: Cluster) -> None:
    produce = f"echo 1 | timeout 60 kafka-console-producer {SERVER} --topic gate --request-required-acks all"
    create = f"kafka-topics {SERVER} --create --topic gate --partitions 3 --replication-factor 3"
    cluster.ssh("master1", f"{create} --config min.insync.replicas=2")
    try:
        with stopped(cluster, ("worker1", "kafka")):
            answer = gate(cluster, "worker2")
            assert answer["verdict"] == "NO"
            found = reason(answer, "in-sync copies")
            assert (found["number"], found["bound"]) == (1, 2)
            assert "worker1's broker does not run" in found["text"]
            assert "NotEnoughReplicas" not in cluster.ssh("master1", produce).output
            with stopped(cluster, ("worker2", "kafka")):
                said = wait_for("the broker refuses", lambda: refused(cluster, produce))
                assert "fewer in-sync replicas than required" in said or "NOT_ENOUGH_REPLICAS" in said
        may_stop(cluster, "worker2")
    finally:
        cluster.ssh("master1", f"kafka-topics {SERVER} --delete --topic gate")


def refused(cluster: Cluster, produce: str) -> str:
    """What the producer says, as soon as it is an error."""
    said = cluster.ssh("master1", produce, check=False).output
    return said if "REPLICAS" in said.upper() else ""


def test_a_broker_that_starts_is_waited_for(cluster: Cluster) -> None:
    with stopped(cluster, ("worker1", "kafka")):
        cluster.ssh("worker1", "sudo systemctl start --no-block kafka")
        # It may have caught up between the two looks of the gate.
        assert gate(cluster, "worker2")["verdict"] in ("WAIT", "YES", "YES BUT")
        done = health(cluster, "settled", "worker1", "kafka", "--wait", "120")
        assert done.code == 0, done.output


def node_id(cluster: Cluster, host: str) -> int:
    return int(cluster.ssh(host, "sudo sed -n 's/^node.id=//p' /etc/kafka/server.properties").output)


def test_a_reassignment_under_way_is_waited_for(cluster: Cluster) -> None:
    here, there = (node_id(cluster, host) for host in ("worker1", "worker2"))
    plan = {"version": 1, "partitions": [{"topic": "moving", "partition": 0, "replicas": [here, there]}]}
    reassign = f"kafka-reassign-partitions {SERVER} --reassignment-json-file /tmp/plan.json"
    create = f"kafka-topics {SERVER} --create --topic moving --replica-assignment {here}"
    cluster.ssh("master1", f"{create} --config min.insync.replicas=1")
    try:
        lines = "head -c 5000000 /dev/zero | tr '\\0' x | fold -w 10000"
        cluster.ssh("master1", f"{lines} | kafka-console-producer {SERVER} --topic moving")
        cluster.ssh("master1", f"echo '{json.dumps(plan)}' >/tmp/plan.json && {reassign} --execute --throttle 1000")
        for host in ("worker1", "worker2"):
            answer = gate(cluster, host)
            assert answer["verdict"] == "WAIT"
            assert reason(answer, "reassignment")["subject"] == "moving-0"
        cluster.ssh("master1", f"{reassign} --cancel && rm /tmp/plan.json")
        assert not reasons(gate(cluster, "worker2"), "reassignment")
    finally:
        cluster.ssh("master1", f"kafka-topics {SERVER} --delete --topic moving")


def test_a_topic_with_one_copy_is_interrupted_by_name(cluster: Cluster) -> None:
    create = f"kafka-topics {SERVER} --create --topic single --replica-assignment {node_id(cluster, 'worker1')}"
    cluster.ssh("master1", f"{create} --config min.insync.replicas=1")
    try:
        answer = gate(cluster, "worker1")
        assert answer["verdict"] == "YES BUT"
        assert reason(answer, "in-sync copies")["subject"] == "single-0"
        may_stop(cluster, "worker2")
        with stopped(cluster, ("worker1", "kafka")):
            described = cluster.ssh("master1", f"kafka-topics {SERVER} --describe --unavailable-partitions").output
            assert "single" in described
    finally:
        cluster.ssh("master1", f"kafka-topics {SERVER} --delete --topic single")


def test_a_datanode_with_the_only_copies_is_no_and_ignoring_it_takes_files_away(cluster: Cluster) -> None:
    with stopped(cluster, ("worker1", "hdfs-datanode")):
        # The NameNode takes it for live for another minute; the gate knows better at once.
        answer = gate(cluster, "worker2")
        assert answer["verdict"] == "NO"
        assert reason(answer, "blocks")["number"] > 0
        path = reason(answer, "blocks")["subject"]
        assert cluster.ssh("master1", f"sudo -u hdfs hdfs dfs -cat '{path}' | wc -c").code == 0
        with stopped(cluster, ("worker2", "hdfs-datanode")):
            done = cluster.ssh("master1", f"timeout 60 sudo -u hdfs hdfs dfs -cat '{path}' >/dev/null", check=False)
            assert done.code and "Could not obtain block" in done.output
    may_stop(cluster, "worker2")


def test_a_file_with_one_copy_is_interrupted_by_name(cluster: Cluster) -> None:
    put = "echo 1 | sudo -u hdfs hdfs dfs -D dfs.replication=1 -put -f - /tmp/gate"
    cluster.ssh("worker1", put)  # a writer on a DataNode's host writes to it
    try:
        answer = gate(cluster, "worker1")
        assert answer["verdict"] == "YES BUT"
        assert reason(answer, "single copies")["subject"] == "/tmp/gate"
        may_stop(cluster, "worker2")
    finally:
        cluster.ssh("worker1", "sudo -u hdfs hdfs dfs -rm -skipTrash /tmp/gate")


def test_a_namenode_that_would_stay_in_safe_mode_is_no_and_ignoring_it_leaves_it_there(cluster: Cluster) -> None:
    with stopped(cluster, ("worker1", "hdfs-datanode"), ("worker2", "hdfs-datanode")):
        answer = gate(cluster, "master1")
        assert answer["verdict"] == "NO" and reason(answer, "safe mode")["number"] > 0
        cluster.ssh("master1", "sudo systemctl restart hdfs-namenode")
        done = health(cluster, "settled", "master1", "hdfs-namenode")
        assert done.code == EXIT_CODES["WAIT"] and "safe mode" in done.output
    assert health(cluster, "settled", "master1", "--wait", "120").code == 0


@pytest.mark.parametrize("unit", ["hdfs-namenode", "kafka"])
def test_a_system_that_hangs_is_never_a_yes(cluster: Cluster, unit: str) -> None:
    hosts = ("master1", "worker1", "worker2") if unit == "kafka" else ("master1",)
    try:
        for host in hosts:
            cluster.ssh(host, f"sudo systemctl kill --kill-whom=main --signal=STOP {unit}")
        assert gate(cluster, "worker1")["verdict"] == "UNKNOWN"
    finally:
        for host in hosts:
            cluster.ssh(host, f"sudo systemctl kill --kill-whom=main --signal=CONT {unit}")
    for host in hosts:
        assert health(cluster, "settled", host, "--wait", "120").code == 0


def test_nothing_is_removed_that_the_rest_cannot_hold(cluster: Cluster) -> None:
    worker = gate(cluster, "worker1", "remove")
    assert worker["verdict"] == "NO"
    texts = " ".join(reason["text"] for reason in worker["reasons"])
    assert "files ask for 2 copies and 1 DataNode would remain" in texts
    assert "3 copies, and 2 brokers would remain" in texts
    groups = {reason["subject"] for reason in gate(cluster, "master1", "remove")["reasons"] if reason["rule"] == "last"}
    assert groups == {"namenode", "kafka_controller", "spark_master"}
    assert gate(cluster, "edge1", "remove")["verdict"] == "NO"


def test_the_only_master_and_the_edge_host_name_what_they_interrupt(cluster: Cluster) -> None:
    cluster.ssh("edge1", "sudo systemctl start retail-streaming retail-producer")
    before = wait_for("the stream runs", lambda: streams(cluster))
    assert "retail-streaming" in reason(gate(cluster, "master1"), "applications")["text"]
    assert "the stream pauses" in reason(gate(cluster, "edge1"), "pipeline")["text"]
    cluster.ssh("master1", "sudo systemctl restart spark-master")
    done = health(cluster, "settled", "master1", "spark-master", "--wait", "120")
    assert done.code == 0, done.output
    wait_for("the stream begins anew by itself", lambda: streams(cluster) - before)


def streams(cluster: Cluster) -> set[str]:
    """Ids of the applications of that name which the Spark master knows."""
    master = json.loads(cluster.ssh("master1", "curl --silent http://master1:8080/json/").output)
    return {app["id"] for app in master["activeapps"] if app["name"] == "retail-streaming"}
