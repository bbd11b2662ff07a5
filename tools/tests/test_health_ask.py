"""The questions, asked of real daemons on loopback, and what the rules make of their answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tools.health.snapshot import ASK, Kafka, Placement, hdfs_from, kafka_from
from tools.health.snapshot import Hdfs as HdfsState
from tools.testing.hdfs_daemons import USER, Hdfs, running_hdfs
from tools.testing.kafka_broker import Broker, create_topic, running


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-", *words], input=ASK, capture_output=True, text=True, check=False)


def answer(*words: str) -> Any:  # noqa: ANN401 - JSON
    done = ask(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as daemons:
        yield daemons


def test_a_broker_tells_of_itself_its_partitions_and_the_quorum(broker: Broker) -> None:
    create_topic(broker.address, "sales", partitions=2, min_insync_replicas="1")
    kafka = kafka_from(answer("kafka", f"127.0.0.1:1,{broker.address}"))  # the first one is away
    assert isinstance(kafka, Kafka)
    (only,) = kafka.brokers
    assert (only.id, only.host, only.fenced) == (1, "127.0.0.1", False)
    assert only.room and only.room > 2**20
    assert {(p.name, p.leader, p.replicas, p.isr, p.min_isr) for p in kafka.partitions} == {
        ("sales-0", 1, (1,), (1,), 1),
        ("sales-1", 1, (1,), (1,), 1),
    }
    assert [partition.sizes for partition in kafka.partitions] == [{1: 0}] * 2
    (voter,) = kafka.quorum.voters
    assert (kafka.quorum.leader, voter.id, voter.host) == (1, 1, "127.0.0.1")
    assert voter.lag < 2


def test_a_namenode_tells_of_its_datanodes_and_where_blocks_lie(hdfs: Hdfs) -> None:
    hdfs.put("/data/a b, c.csv", b"1,2\n")
    hdfs.allow_snapshots("/data")
    hdfs.snapshot("/data", "s1")
    for path in ("/data/a b, c.csv", "/started"):
        hdfs.delete(path)
    state = hdfs_from(answer("hdfs", hdfs.ui, USER))
    assert isinstance(state, HdfsState)
    assert (state.state, state.safe_mode, state.replication, state.missing) == ("active", "", 1, 0)
    (node,) = state.datanodes
    assert node.live and node.last_contact < 10 and node.state == "In Service" and node.remaining > 0
    assert state.stale_storages == state.under_replicated == 0
    # A file that is deleted is still there for who reads the snapshot.
    assert state.placements == (Placement(frozenset({node.host}), 1, 1, False, "/data/.snapshot/s1/a b, c.csv"),)
    without = hdfs_from(answer("hdfs", hdfs.ui))
    assert isinstance(without, HdfsState) and without.placements is None


@pytest.mark.parametrize(
    "words", [("kafka", "127.0.0.1:1"), ("hdfs", "http://127.0.0.1:1"), ("spark", "http://127.0.0.1:1")]
)
def test_who_is_away_is_a_sentence(words: tuple[str, str]) -> None:
    done = ask(*words)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
