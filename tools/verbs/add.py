"""`make add`: a host of the inventory is deployed and gets its share. What was interrupted goes on."""

from __future__ import annotations

from typing import Any

from tools.cluster import Cluster
from tools.health import lock
from tools.health.gate import settled
from tools.health.snapshot import Silent, Snapshot, gather
from tools.terminal import Problem, console
from tools.verbs import members, moves
from tools.verbs.members import MEMBERS, Step
from tools.verbs.moves import Moves
from tools.verbs.plan import confirm, kafka_of, play, settle

WRITE = (
    "The inventory is the only list of hosts: write it there first, a line below `hosts:` in hosts.yml "
    "(`worker3: { ansible_host: …, node_id: …, memory_mib: … }`, with a node_id that no host has or had), and its name "
    "in the groups datanode, kafka_broker and spark_worker."
)


def known(cluster: Cluster, host: str) -> str:
    """The host that is meant.

    Raises:
        Problem: The inventory does not have it; says how it is written there.
    """
    try:
        return members.one(cluster, host, "add")
    except Problem as problem:
        raise Problem(f"{problem} {WRITE}" if host else str(problem)) from problem


def steps(snapshot: Snapshot, host: str, planned: Moves) -> list[Step]:
    """What is done to add a host, in order.

    Args:
        snapshot: The cluster now.
        host: The host.
        planned: Partitions that get a copy there.
    """
    groups = snapshot.groups[host]
    what = " and ".join(f"as {text}" for group, text in MEMBERS.items() if group in groups)
    # Who asks brokers has their names in its settings.
    restarts = "the edge host's jobs restart once, to learn of the broker" if "kafka_broker" in groups else ""
    found = [
        Step(f"deploy the inventory: all hosts learn its name, HDFS lets it in, it starts {what}", restarts),
        Step("wait until all on it take part"),
    ]
    if "kafka_broker" in groups:
        found.append(
            Step(
                "give the broker its share of the partitions",
                members.moved(kafka_of(snapshot).partitions, planned),
            )
        )
    return found


def plan(snapshot: Snapshot, host: str, broker: int) -> Moves:
    """The partitions of which the broker gets a copy; none when the host runs no broker."""
    if "kafka_broker" not in snapshot.groups[host]:
        return {}
    kafka = kafka_of(snapshot)
    return moves.joining(kafka.partitions, members.taking_part(kafka), broker)


def words_of(cluster: Cluster, snapshot: Snapshot, host: str, planned: Moves) -> dict[str, Any]:
    """What the playbooks are told."""
    groups = snapshot.groups[host]
    broker = int(cluster.hosts[host].variables.get("node_id", 0)) if "kafka_broker" in groups else 0
    return members.words_of(cluster, snapshot, host, planned) | {"broker": broker, "kafka_joining": True}


def refuse_silence(snapshot: Snapshot, host: str) -> None:
    """A host that does not answer cannot be deployed.

    Raises:
        Problem: It does not.
    """
    if isinstance(found := snapshot.units[host], Silent):
        raise Problem(
            f"{host} does not answer ({found.why}). Make it reachable over SSH as the inventory says; a host of a lab "
            "is made by `make hosts`."
        )


def add(cluster: Cluster, host: str, yes: bool) -> None:
    """Add a host.

    Raises:
        Problem: It is not in the inventory or does not answer, another verb is under way, or the playbook failed.
    """
    host = known(cluster, host)
    with lock.held(cluster, f"make add HOST={host}") as descriptor:
        snapshot = gather(cluster)
        members.refuse_one_of_a_kind(snapshot, host, "add")
        refuse_silence(snapshot, host)
        planned = plan(snapshot, host, int(cluster.hosts[host].variables.get("node_id", 0)))
        words = words_of(cluster, snapshot, host, planned)
        members.show(steps(snapshot, host, planned))
        confirm(yes)
        if not play("add", words, descriptor):
            raise Problem("Stopped there. The same command goes on with what is left to do.")
        lacks = [str(one) for unit in words["units"] for one in settled(gather(cluster), host, unit).lacks]
        settle(cluster, snapshot)
    console.print(f"{host} takes part." if not lacks else " ".join(lacks), markup=False)
