"""What `make add`, `make remove` and `make replace` share: which host is meant, and the steps of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from tools import daemons
from tools.cluster import Cluster
from tools.health.snapshot import Kafka, Partition, Silent, Snapshot
from tools.health.verdicts import Reason, Verdict, count, size
from tools.terminal import Problem, console
from tools.verbs import moves
from tools.verbs.moves import Moves
from tools.verbs.plan import chosen

# Groups that a host joins and leaves while the cluster runs; hosts of the others are one of a kind.
MEMBERS = {
    "datanode": "a DataNode",
    "kafka_broker": "a broker",
    "kafka_controller": "a controller",
    "spark_worker": "a Spark worker",
}


@dataclass(frozen=True)
class Step:
    """A step of a plan: what is done, and what is interrupted or moves meanwhile."""

    what: str
    meanwhile: str = ""


def one(cluster: Cluster, host: str, verb: str) -> str:
    """The host that is meant.

    Raises:
        Problem: None is named, or the inventory has no such host.
    """
    if not host:
        raise Problem(f"Which host? make {verb} HOST=worker3")
    return chosen(host, list(cluster.hosts), "host")[0]


def refuse_one_of_a_kind(snapshot: Snapshot, host: str, verb: str) -> None:
    """Refuse hosts whose daemons cannot move while the cluster runs.

    Raises:
        Problem: It has such a daemon, or none at all.
    """
    groups = {daemon.group for daemon in daemons.of_groups(snapshot.groups[host])}
    if fixed := sorted(groups - MEMBERS.keys()):
        raise Problem(
            f"make {verb} is for hosts with DataNodes, brokers, controllers and Spark workers; {host} is in "
            f"{', '.join(fixed)}, of which a cluster has one host that cannot be swapped while it runs."
        )
    if not groups:
        raise Problem(f"{host} is in no group of the inventory that runs anything: put it into one in hosts.yml.")


def helper(cluster: Cluster, snapshot: Snapshot, host: str) -> str:
    """Another broker's host that answers: Kafka is told there what to do.

    Raises:
        Problem: There is none.
    """
    for other in cluster.group("kafka_broker"):
        state = snapshot.unit(other.name, "kafka")
        if other.name != host and not isinstance(state, Silent) and state.active:
            return other.name
    raise Problem("No other broker's host answers: `make status` says what runs.")


def taking_part(kafka: Kafka) -> list[int]:
    """Ids of the brokers that can take copies."""
    return sorted(broker.id for broker in kafka.brokers if not broker.fenced)


def moved(partitions: Sequence[Partition], planned: Moves) -> str:
    """How much moves, in words."""
    if not planned:
        return "no partition moves"
    return (
        f"{count(len(planned), 'partition')} move with {size(moves.weight(partitions, planned))}, within a throttle "
        "that is taken off at the end"
    )


def show(steps: Sequence[Step]) -> None:
    """Print the plan."""
    table = Table("", "step", "meanwhile", box=None, pad_edge=False)
    for number, step in enumerate(steps, 1):
        table.add_row(str(number), step.what, step.meanwhile or "nothing is interrupted")
    console.print(table)


def refuse(host: str, verb: str, reasons: Sequence[Reason]) -> None:
    """Stop before anything is touched.

    Raises:
        Problem: One of the reasons is a no or an unknown.
    """
    found = [reason for reason in reasons if reason.verdict in (Verdict.NO, Verdict.UNKNOWN)]
    if found:
        raise Problem(f"{host} cannot be {verb}: {found[0].verdict.words}: {' '.join(map(str, found))}")


def words_of(cluster: Cluster, snapshot: Snapshot, host: str, planned: Moves) -> dict[str, Any]:
    """What all playbooks of these verbs are told."""
    groups = snapshot.groups[host]
    return {
        "member": host,
        "helper": helper(cluster, snapshot, host),
        "units": list(dict.fromkeys(daemon.unit for daemon in daemons.of_groups(groups))),
        "datanode": "datanode" in groups,
        "moves": {name: list(to) for name, to in planned.items()},
    }
