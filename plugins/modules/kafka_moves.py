#!/usr/bin/python
"""Ansible module: cordons brokers of a Kafka cluster, and moves copies of partitions within a limit."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: kafka_moves
short_description: Begins, cancels or ends moves of Kafka's partitions, with their throttle, and cordons brokers
description:
  - Runs on a host that has Kafka's client in Python. It waits for nothing that moves, so every call may come again.
options:
  servers:
    description: Brokers to ask, as host:port; one that answers is enough.
    type: list
    elements: str
    required: true
  moves:
    description: By partition (topic-number), the ids of the brokers that are to have a copy.
    type: dict
    default: {}
  bytes_per_second: {description: What each broker may give and take for these moves., type: int, required: true}
  cordoned: {description: "By id of a broker, whether it gets no new partitions.", type: dict, default: {}}
  cancel_of:
    description: Id of a broker; what moves off it or to it stays where it is. 0 for none.
    type: int
    default: 0
  client: {description: Folder of Kafka's client in Python., type: path, default: /opt/kafka-client}
notes:
  - Without I(moves) the throttle is taken off, unless something still moves.
attributes:
  check_mode: {support: none}
"""

EXAMPLES = """
- name: Move a partition, and let nothing new come to broker 4
  kafka_moves:
    servers: ["worker1:9092", "worker2:9092"]
    moves: {sales-0: [1, 2, 3]}
    bytes_per_second: 20000000
    cordoned: {4: true}
"""

RETURN = """
changes:
  description: What was done, a sentence each.
  returned: success
  type: list
  elements: str
moving:
  description: How many partitions move now.
  returned: success
  type: int
"""

CORDON = "cordoned.log.dirs"
RATES = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
REPLICAS = ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas")
ANSWER_MILLISECONDS = 60_000


def split(partition: str) -> tuple[str, int]:
    """Topic and number of a partition; the topic's name may have hyphens, too."""
    topic, _, number = partition.rpartition("-")
    return topic, int(number)


class Cluster:
    """Kafka's own client, in the words of this module."""

    def __init__(self, servers: Sequence[str]) -> None:
        # Known only where the module runs.
        from kafka.admin import KafkaAdminClient

        self.admin = KafkaAdminClient(bootstrap_servers=list(servers), bootstrap_timeout_ms=ANSWER_MILLISECONDS)

    def brokers(self) -> list[int]:
        """Ids of those that take part."""
        return [row["broker_id"] for row in self.admin.describe_cluster()["brokers"] if not row["is_fenced"]]

    def settings(self, kind: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """What was set on these brokers or topics themselves, by name."""
        from kafka.admin import ConfigResource, ConfigResourceType

        asked = [ConfigResource(ConfigResourceType[kind.upper()], name) for name in names]
        found = self.admin.describe_configs(asked, config_filter="modified")[kind] if asked else {}
        return {name: {key: str(entry["value"]) for key, entry in rows.items()} for name, rows in found.items()}

    def set(self, kind: str, changes: Mapping[str, Mapping[str, str | None]]) -> bool:
        """Bring settings of brokers or topics to these values, None being none; whether something was not so.

        Raises:
            ValueError: Kafka refuses one.
        """
        from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType

        found = self.settings(kind, changes)
        different = {
            name: {key: value for key, value in wanted.items() if found.get(name, {}).get(key) != value}
            for name, wanted in changes.items()
        }
        resources = [
            ConfigResource(
                ConfigResourceType[kind.upper()],
                name,
                {
                    key: (AlterConfigOp.DELETE, None) if value is None else (AlterConfigOp.SET, value)
                    for key, value in rows.items()
                },
            )
            for name, rows in different.items()
            if rows
        ]
        if resources:
            # The client would look for the names in what a broker describes, where not all of these are.
            answers = self.admin.alter_configs(resources, raise_on_unknown=False)[kind]
            if refused := [f"{kind} {name}: {answer}" for name, answer in answers.items() if answer != "OK"]:
                raise ValueError("; ".join(refused))
        return bool(resources)

    def throttle(self, topics: Iterable[str], rate: int) -> None:
        """Limit what moves of these topics."""
        self.set("topic", {topic: dict.fromkeys(REPLICAS, "*") for topic in topics})
        self.set("broker", {str(broker): dict.fromkeys(RATES, str(rate)) for broker in self.brokers()})

    def unthrottle(self) -> bool:
        """Take all limits off; whether there were any."""
        topics = [row["name"] for row in self.admin.describe_topics()]
        on_topics = self.set("topic", {topic: dict.fromkeys(REPLICAS) for topic in topics})
        return self.set("broker", {str(broker): dict.fromkeys(RATES) for broker in self.brokers()}) or on_topics

    def moving(self) -> dict[Any, dict[str, list[int]]]:
        """What moves, by partition."""
        found: dict[Any, dict[str, list[int]]] = self.admin.list_partition_reassignments()
        return found

    def move(self, targets: Mapping[Any, Sequence[int] | None]) -> None:
        """Begin moves, or cancel those whose target is None.

        Raises:
            ValueError: Kafka refuses one.
        """
        answers = self.admin.alter_partition_reassignments(dict(targets))
        refused = [f"{key.topic}-{key.partition}: {error}" for key, error in answers.items() if error]
        if refused:
            raise ValueError("; ".join(refused))


def carry_out(cluster: Cluster, wanted: Mapping[str, Any]) -> list[str]:
    """Do what the options say; what was done, a sentence each."""
    from kafka import TopicPartition

    said = []
    for broker, cordoned in wanted["cordoned"].items():
        if cluster.set("broker", {str(broker): {CORDON: "*" if cordoned else None}}):
            said.append(f"broker {broker} {'gets no new partitions' if cordoned else 'gets new partitions again'}")
    if broker := wanted["cancel_of"]:
        cancelled = {
            key: None
            for key, move in cluster.moving().items()
            if broker in (*move["adding_replicas"], *move["removing_replicas"])
        }
        if cancelled:
            cluster.move(cancelled)
            said.append(f"{len(cancelled)} moves were cancelled")
    if wanted["moves"]:
        targets = {TopicPartition(*split(name)): list(to) for name, to in wanted["moves"].items()}
        cluster.throttle({key.topic for key in targets}, wanted["bytes_per_second"])
        cluster.move(targets)
        said.append(f"{len(targets)} partitions move")
    elif not cluster.moving() and cluster.unthrottle():
        said.append("the throttle was taken off")
    return said


def main() -> None:
    """Do it."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "list", "elements": "str", "required": True},
            "moves": {"type": "dict", "default": {}},
            "bytes_per_second": {"type": "int", "required": True},
            "cordoned": {"type": "dict", "default": {}},
            "cancel_of": {"type": "int", "default": 0},
            "client": {"type": "path", "default": "/opt/kafka-client"},
        }
    )
    sys.path.insert(0, module.params["client"])
    from kafka.errors import KafkaError

    try:
        cluster = Cluster(module.params["servers"])
        said, moving = carry_out(cluster, module.params), len(cluster.moving())
    except (ValueError, KafkaError) as error:
        module.fail_json(msg=f"{error}")
    module.exit_json(changed=bool(said), changes=said, moving=moving)


if __name__ == "__main__":
    main()
