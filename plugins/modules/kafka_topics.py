#!/usr/bin/python
"""Ansible module: brings the topics of a Kafka cluster to their declared state."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: kafka_topics
short_description: Makes topics, and brings partitions, copies and settings of those that are there to what is declared
description:
  - Runs on a host that has Kafka's client in Python. Topics and settings that are not named are left alone.
  - Settings are compared as values. Copies are added on the brokers that hold the fewest, and those that are in sync
    are kept first; the module ends when the partitions have moved.
options:
  servers:
    description: Brokers to ask, as host:port; one that answers is enough.
    type: list
    elements: str
    required: true
  copies: {description: Copies of every partition., type: int, required: true}
  topics:
    description: What there is to be.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the topic., type: str, required: true}
      partitions: {description: "Number of partitions, which can grow and never shrink.", type: int, required: true}
      config: {description: Settings that differ from the brokers'., type: dict, default: {}}
  client: {description: Folder of Kafka's client in Python., type: path, default: /opt/kafka-client}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""

EXAMPLES = """
- name: Make the topics
  kafka_topics:
    servers: ["worker1:9092", "worker2:9092"]
    copies: 2
    topics:
      - {name: sales, partitions: 3, config: {retention.ms: 604800000}}
"""

RETURN = """
changes:
  description: What was not as declared, a sentence each.
  returned: success
  type: list
  elements: str
"""

ANSWER_SECONDS = 60.0
MOVE_SECONDS = 900.0


@dataclass(frozen=True)
class Topic:
    """A topic as it is: for each partition the brokers with a copy and those in sync, and all its settings."""

    replicas: Sequence[Sequence[int]]
    in_sync: Sequence[Sequence[int]]
    config: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """Something to be done about a topic; the fields that are not needed for it are empty.

    Attributes:
        topic: Its name.
        text: What is done, as a sentence.
        create: Partitions of a topic that is new.
        partitions: How many there are to be.
        config: Settings to be set.
        replicas: By partition, the brokers that are to have a copy.
    """

    topic: str
    text: str
    create: int = 0
    partitions: int = 0
    config: Mapping[str, str] | None = None
    replicas: Mapping[int, Sequence[int]] | None = None


def written(value: object) -> str:
    """A setting as Kafka writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def same(one: str, other: str) -> bool:
    """Whether two settings mean the same; the order of a list does not matter."""
    return sorted(part.strip() for part in one.split(",")) == sorted(part.strip() for part in other.split(","))


def moved(topic: Topic, copies: int, load: Counter[int]) -> dict[int, list[int]]:
    """Where copies of its partitions are to lie that have too few or too many.

    Args:
        topic: The topic as it is.
        copies: How many each partition is to have.
        load: Copies that each broker holds; those that are added are counted.
    """
    found = {}
    for number, (replicas, in_sync) in enumerate(zip(topic.replicas, topic.in_sync, strict=True)):
        if len(replicas) == copies:
            continue
        kept = sorted(replicas, key=lambda broker: broker not in in_sync)[:copies]
        while len(kept) < copies:
            broker = min((broker for broker in load if broker not in kept), key=lambda broker: (load[broker], broker))
            load[broker] += 1
            kept.append(broker)
        found[number] = kept
    return found


def changes(
    wanted: Sequence[Mapping[str, Any]], copies: int, found: Mapping[str, Topic], brokers: Sequence[int]
) -> Iterator[Change]:
    """What differs from what is declared.

    Args:
        wanted: Topics as declared: name, partitions, config.
        copies: Copies of every partition.
        found: Topics that are there, by name.
        brokers: Node ids of the brokers that take part.

    Raises:
        ValueError: It cannot be done: partitions would have to go, or there are fewer brokers than copies.
    """
    if copies > len(brokers):
        raise ValueError(f"{copies} copies need as many brokers, and {len(brokers)} take part")
    load = Counter(dict.fromkeys(brokers, 0))
    load.update(
        broker for topic in found.values() for replicas in topic.replicas for broker in replicas if broker in load
    )
    for row in wanted:
        name, partitions = row["name"], row["partitions"]
        config = {key: written(value) for key, value in (row.get("config") or {}).items()}
        if name not in found:
            yield Change(name, f"{name} is made with {partitions} partitions", create=partitions, config=config)
            continue
        topic = found[name]
        if partitions < len(topic.replicas):
            raise ValueError(
                f"{name} has {len(topic.replicas)} partitions and is declared with {partitions}. Kafka takes none "
                "away: declare as many, or delete the topic and its events first"
            )
        if partitions > len(topic.replicas):
            text = f"{name} gets {partitions} partitions instead of {len(topic.replicas)}"
            yield Change(name, text, partitions=partitions)
        wrong = {key: value for key, value in config.items() if not same(topic.config.get(key, ""), value)}
        if wrong:
            was = ", ".join(f"{key} {value} instead of {topic.config.get(key, '')}" for key, value in wrong.items())
            yield Change(name, f"{name} gets {was}", config=wrong)
        if replicas := moved(topic, copies, load):
            yield Change(name, f"{len(replicas)} partitions of {name} get {copies} copies", replicas=replicas)


class Cluster:
    """Kafka's own client, asked and told in the words of this module."""

    def __init__(self, servers: Sequence[str], copies: int) -> None:
        # Known only where the module runs.
        from kafka.admin import KafkaAdminClient

        self.copies = copies
        self.admin = KafkaAdminClient(bootstrap_servers=list(servers), bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000))

    def brokers(self) -> list[int]:
        """Node ids of those that take part."""
        return [row["broker_id"] for row in self.admin.describe_cluster()["brokers"] if not row["is_fenced"]]

    def topics(self) -> dict[str, Topic]:
        """All topics by name."""
        from kafka.admin import ConfigResource, ConfigResourceType

        rows = self.admin.describe_topics()
        asked = [ConfigResource(ConfigResourceType.TOPIC, row["name"]) for row in rows]
        settings = self.admin.describe_configs(asked, config_filter="all")["topic"] if asked else {}
        found = {}
        for row in rows:
            partitions = sorted(row["partitions"], key=lambda partition: int(partition["partition_index"]))
            found[row["name"]] = Topic(
                [partition["replica_nodes"] for partition in partitions],
                [partition["isr_nodes"] for partition in partitions],
                {key: str(entry["value"]) for key, entry in settings[row["name"]].items()},
            )
        return found

    def apply(self, change: Change) -> None:
        """Do it, and wait until it is done."""
        from kafka import TopicPartition
        from kafka.admin import ConfigResource, ConfigResourceType

        if change.create:
            options = {
                "num_partitions": change.create,
                "replication_factor": self.copies,
                "configs": dict(change.config or {}),
            }
            self.admin.create_topics({change.topic: options}, wait_for_metadata=True)
        elif change.partitions:
            self.admin.create_partitions({change.topic: change.partitions})
        elif change.config:
            self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, change.topic, dict(change.config))])
        elif change.replicas:
            targets = {TopicPartition(change.topic, number): list(to) for number, to in change.replicas.items()}
            refused = {key: error for key, error in self.admin.alter_partition_reassignments(targets).items() if error}
            if refused:
                raise ValueError("; ".join(f"{key.topic}-{key.partition}: {error}" for key, error in refused.items()))
            deadline = time.monotonic() + MOVE_SECONDS
            while self.admin.list_partition_reassignments(list(targets)):
                if time.monotonic() > deadline:
                    raise ValueError(f"partitions of {change.topic} still move after {MOVE_SECONDS:.0f} s")
                time.sleep(1)


def main() -> None:
    """Ask, compare, change."""
    row = {
        "name": {"type": "str", "required": True},
        "partitions": {"type": "int", "required": True},
        "config": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "list", "elements": "str", "required": True},
            "copies": {"type": "int", "required": True},
            "topics": {"type": "list", "elements": "dict", "required": True, "options": row},
            "client": {"type": "path", "default": "/opt/kafka-client"},
        },
        supports_check_mode=True,
    )
    sys.path.insert(0, module.params["client"])
    from kafka.errors import KafkaError

    try:
        cluster = Cluster(module.params["servers"], module.params["copies"])
        found = cluster.topics()
        todo = list(changes(module.params["topics"], cluster.copies, found, cluster.brokers()))
        for change in todo if not module.check_mode else ():
            cluster.apply(change)
    except (ValueError, KafkaError) as error:
        module.fail_json(msg=f"{error}")
    texts = [change.text for change in todo]
    module.exit_json(changed=bool(todo), changes=texts, diff={"prepared": "\n".join([*texts, ""]) if texts else ""})


if __name__ == "__main__":
    main()
