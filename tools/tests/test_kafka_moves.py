"""The module that moves partitions: that real brokers take what it says, and that nothing of it is left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kafka
import pytest
import yaml
from kafka.admin import KafkaAdminClient

from tools import ROOT
from tools.testing.kafka_broker import Broker, create_topic, jars, running

MODULE = ROOT / "plugins" / "modules" / "kafka_moves.py"


@pytest.fixture(scope="module")
def brokers() -> Iterator[tuple[Broker, Broker]]:
    with running() as first, running(first) as second:
        yield first, second


def run_module(broker: Broker, **options: object) -> dict[str, Any]:
    """What the module says when it runs as on a host."""
    client = str(Path(kafka.__file__).parent.parent)
    arguments = {"servers": [broker.address], "bytes_per_second": 10_000_000, "client": client, **options}
    words = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    done = subprocess.run([sys.executable, MODULE, words], capture_output=True, text=True, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def homes(broker: Broker, *topics: str) -> list[list[int]]:
    """Where each topic's first partition lies; a client that stays open tries for ever to reach brokers that ended."""
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        return [topic["partitions"][0]["replica_nodes"] for topic in admin.describe_topics(list(topics))]


def settled(broker: Broker) -> dict[str, Any]:
    """The last answer, when nothing moves any more."""
    answer = run_module(broker)
    while answer["moving"]:
        time.sleep(0.3)
        answer = run_module(broker)
    return answer


def test_a_partition_moves_within_a_limit_of_which_nothing_is_left(brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    create_topic(first.address, "daily-sales")
    ((here,),) = homes(first, "daily-sales")
    to = 3 - here
    assert run_module(first, moves={"daily-sales-0": [to]})["changes"] == ["1 partitions move"]
    settled(first)
    assert homes(first, "daily-sales") == [[to]]
    assert not run_module(second)["changed"], "the throttle is off already"


def test_a_broker_is_cordoned_and_uncordoned_once(brokers: tuple[Broker, Broker]) -> None:
    first, _ = brokers
    assert run_module(first, cordoned={"2": True})["changes"] == ["broker 2 gets no new partitions"]
    assert not run_module(first, cordoned={"2": True})["changed"]
    for number in range(4):
        create_topic(first.address, f"new-{number}")
    assert homes(first, *(f"new-{number}" for number in range(4))) == [[1]] * 4
    assert run_module(first, cordoned={"2": False})["changes"] == ["broker 2 gets new partitions again"]


def test_a_move_that_kafka_refuses_is_quoted(brokers: tuple[Broker, Broker]) -> None:
    refused = run_module(brokers[0], moves={"no-such-topic-0": [1]})
    assert refused["failed"]
    assert "no-such-topic" in refused["msg"]


def test_every_tool_of_kafka_is_in_the_jars_that_hosts_get() -> None:
    tools = yaml.safe_load((ROOT / "roles" / "kafka" / "vars" / "main.yml").read_text())["__kafka_tools"]
    there = {name for jar in jars("kafka", "libs") for name in zipfile.ZipFile(jar).namelist()}
    assert [name for name, tool in tools.items() if f"{tool.replace('.', '/')}.class" not in there] == []
