"""The module that makes topics: what it finds to do, and that a real broker takes it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.modules.kafka_topics import Topic, changes
from tools.testing.kafka_broker import Broker, running

MODULE = Path(__file__).resolve().parents[2] / "plugins" / "modules" / "kafka_topics.py"
SALES = {"name": "sales", "partitions": 3, "config": {"retention.ms": 604800000}}


def topic(
    *replicas: tuple[int, ...], config: dict[str, str] | None = None, in_sync: list[tuple[int, ...]] | None = None
) -> Topic:
    return Topic(replicas, in_sync or replicas, config or {"retention.ms": "604800000"})


def texts(
    found: dict[str, Topic], *wanted: dict[str, Any], copies: int = 2, brokers: tuple[int, ...] = (1, 2, 3)
) -> str:
    return "; ".join(change.text for change in changes(wanted, copies, found, brokers))


def test_what_is_as_declared_is_left_alone() -> None:
    assert texts({"sales": topic((1, 2), (2, 3), (3, 1))}, SALES) == ""


def test_a_topic_that_is_not_there_is_made() -> None:
    assert texts({}, SALES) == "sales is made with 3 partitions"


def test_a_value_that_begins_alike_is_another_value() -> None:
    found = topic((1, 2), (2, 3), (3, 1), config={"retention.ms": "60480000"})
    assert texts({"sales": found}, SALES) == "sales gets retention.ms 604800000 instead of 60480000"


def test_a_setting_that_ends_alike_is_another_setting() -> None:
    found = topic((1, 2), (2, 3), (3, 1), config={"delete.retention.ms": "604800000", "retention.ms": "1"})
    assert "retention.ms 604800000 instead of 1" in texts({"sales": found}, SALES)


def test_true_and_a_list_in_another_order_mean_the_same() -> None:
    found = topic((1, 2), config={"preallocate": "true", "cleanup.policy": "delete,compact"})
    row = {"name": "a", "partitions": 1, "config": {"preallocate": True, "cleanup.policy": "compact,delete"}}
    assert texts({"a": found}, row) == ""


def test_partitions_can_grow_and_never_shrink() -> None:
    assert texts({"sales": topic((1, 2))}, SALES) == "sales gets 3 partitions instead of 1"
    with pytest.raises(ValueError, match="has 4 partitions and is declared with 3"):
        texts({"sales": topic((1, 2), (2, 3), (3, 1), (1, 2))}, SALES)


def test_more_copies_than_brokers_are_refused() -> None:
    with pytest.raises(ValueError, match="3 copies need as many brokers, and 2 take part"):
        texts({}, SALES, copies=3, brokers=(1, 2))


def test_of_too_many_copies_those_in_sync_are_kept() -> None:
    found = topic((1, 2, 3), in_sync=[(3, 1)])
    (change,) = changes([{"name": "a", "partitions": 1}], 2, {"a": found}, [1, 2, 3])
    assert change.replicas == {0: [1, 3]}


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=5, unique=True), min_size=1, max_size=8),
    st.integers(1, 5),
)
def test_copies_move_as_little_as_can_be_and_never_to_one_broker_twice(
    partitions: list[list[int]], copies: int
) -> None:
    row = {"name": "a", "partitions": len(partitions)}
    found = {"a": Topic(partitions, partitions, {})}
    replicas = {
        n: to for change in changes([row], copies, found, range(1, 6)) for n, to in (change.replicas or {}).items()
    }
    for number, before in enumerate(partitions):
        after = replicas.get(number, before)
        assert len(set(after)) == len(after) == copies
        assert set(after) <= set(before) or set(before) <= set(after)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as server:
        yield server


def run_module(broker: Broker, *rows: dict[str, Any]) -> dict[str, Any]:
    """What the module says when it runs as on a host."""
    client = str(Path(kafka.__file__).parent.parent)
    arguments = {"servers": [broker.address], "copies": 1, "topics": rows, "client": client}
    words = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    done = subprocess.run([sys.executable, MODULE, words], capture_output=True, text=True, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_broker_takes_what_is_found_and_then_nothing_is_left_to_do(broker: Broker) -> None:
    made = run_module(broker, SALES)
    assert made["changed"], made
    assert not run_module(broker, SALES)["changed"]
    grown = {"name": "sales", "partitions": 4, "config": {"retention.ms": 60480000, "cleanup.policy": "compact"}}
    assert len(run_module(broker, grown)["changes"]) == 2
    assert run_module(broker, grown)["changes"] == []


def test_a_broker_that_refuses_a_setting_is_quoted(broker: Broker) -> None:
    refused = run_module(broker, {"name": "other", "partitions": 1, "config": {"no.such.setting": 1}})
    assert refused["failed"]
    assert "no.such.setting" in refused["msg"]
