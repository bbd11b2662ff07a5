"""`make remove`: a host gives what it holds to the others, stops, and is forgotten. What was interrupted goes on.

What has been begun is in the cluster itself: the DataNode is decommissioned, the broker cordoned, partitions move.
"""

from __future__ import annotations

import sys
from typing import Any

from tools import daemons
from tools.cluster import Cluster
from tools.health import lock
from tools.health.gate import removal
from tools.health.snapshot import Silent, Snapshot, UnitState, gather
from tools.health.verdicts import Reason, Verdict, count
from tools.terminal import Problem, console
from tools.verbs import members, moves
from tools.verbs.members import Step
from tools.verbs.moves import Moves
from tools.verbs.plan import confirm, kafka_of, play


def steps(snapshot: Snapshot, host: str, planned: Moves, reasons: list[Reason]) -> list[Step]:
    """What is done to remove a host, in order.

    Args:
        snapshot: The cluster now.
        host: The host.
        planned: Partitions that move.
        reasons: What the gate says of the removal.
    """
    groups = snapshot.groups[host]
    answers = not isinstance(snapshot.units[host], Silent)
    by_rule = {reason.rule: reason for reason in reasons}
    found = []
    if "datanode" in groups:
        drain = next((one for one in reasons if one.rule == "drain" and one.subject == "HDFS"), None)
        blocks = f"{int(drain.number or 0):,} blocks are copied" if drain else "no block is copied"
        found.append(Step("decommission the DataNode", blocks))
    if "kafka_broker" in groups:
        cordon = "cordon the broker, and move its copies" if answers else "move the copies of the broker"
        found.append(Step(cordon, members.moved(kafka_of(snapshot).partitions, planned)))
    if "spark_worker" in groups and answers:
        busy = by_rule.get("cores")
        found.append(
            Step("drain the Spark worker", busy.text if busy else "its executors end, others take their place")
        )
    if answers:
        units = ", ".join(dict.fromkeys(daemon.unit for daemon in daemons.of_groups(groups)))
        written = by_rule.get("files being written")
        found.append(Step(f"stop {units}, remove the units; data stays on the disks", written.text if written else ""))
    found.append(Step(f"HDFS and Kafka forget {host}"))
    return found


def typed(cluster_name: str, given: str) -> None:
    """Ask for the name of the cluster: a removal is not begun by habit.

    Raises:
        Problem: It is another one.
    """
    if not given and sys.stdin.isatty():
        given = console.input(f"A host leaves for good. The cluster's name, to go on: [{cluster_name}] ").strip()
    if given != cluster_name:
        said = f"NAME={given} is not it" if given else "nothing was typed"
        raise Problem(f"Nothing was touched: {said}. The cluster's name is {cluster_name}: NAME={cluster_name}.")


def words_of(cluster: Cluster, snapshot: Snapshot, host: str, planned: Moves) -> dict[str, Any]:
    """What the playbooks are told."""
    answers = not isinstance(snapshot.units[host], Silent)
    broker = kafka_of(snapshot).broker_on(host)
    drained = snapshot.unit(host, "spark-worker")
    return members.words_of(cluster, snapshot, host, planned) | {
        "present": [host] if answers else [],
        "worker": [host] if isinstance(drained, UnitState) and drained.active else [],
        "broker": broker.id if broker else 0,
        "cordoned": {str(broker.id): True} if broker and answers and not broker.fenced else {},
    }


def remove(cluster: Cluster, name: str, host: str, given: str, yes: bool) -> None:
    """Remove a host.

    Args:
        cluster: The hosts and their groups.
        name: The cluster's name, which must be typed.
        host: The host's name.
        given: What was given for the cluster's name.
        yes: Whether to go on without a question.

    Raises:
        Problem: The gate says no, the name is another one, another verb is under way, or a playbook failed.
    """
    host = members.one(cluster, host, "remove")
    verb = f"make remove HOST={host}"
    with lock.held(cluster, verb) as descriptor:
        snapshot = gather(cluster)
        members.refuse_one_of_a_kind(snapshot, host, "remove")
        reasons = list(removal(snapshot, host).reasons)
        members.refuse(host, "removed", [reason for reason in reasons if reason.rule != "drain"])
        planned = plan(snapshot, host)
        members.show(steps(snapshot, host, planned, reasons))
        for reason in reasons:
            if reason.verdict is Verdict.WAIT:
                console.print(f"  waits: {reason.text}", markup=False)
        typed(name, given)
        confirm(yes)
        words = words_of(cluster, snapshot, host, planned)
        if not play("drain", words, descriptor):
            play("take_back", words, descriptor)
            raise Problem(f"{host} was not removed, and is what it was: the messages above say why.")
        if not play("leave", words, descriptor):
            raise Problem("Stopped there. The same command goes on with what is left to do.")
    groups = ", ".join(sorted(group for group in snapshot.groups[host] if group not in ("all", "ungrouped")))
    console.print(
        f"{host} has left. Take it out of hosts.yml: its line below `hosts:`, and its name in {groups}. Until then a "
        f"deployment is refused; after it, `make deploy` or `make lab` lets all other hosts forget it.",
        markup=False,
    )


def plan(snapshot: Snapshot, host: str) -> Moves:
    """The partitions that move off a host.

    Raises:
        Problem: A partition has no place to go.
    """
    kafka = kafka_of(snapshot)
    broker = kafka.broker_on(host)
    if broker is None:
        return {}
    others = [other for other in members.taking_part(kafka) if other != broker.id]
    # What only the lost host had in sync cannot be copied from anywhere.
    sources = others if isinstance(snapshot.units[host], Silent) else [*others, broker.id]
    lost = [one for one in kafka.partitions if broker.id in one.replicas and not set(one.isr) & set(sources)]
    if lost:
        raise Problem(
            f"{host} cannot be removed: NO: {lost[0].name}"
            + (f" and {count(len(lost) - 1, 'other partition')}" if len(lost) > 1 else "")
            + f" {'has' if len(lost) == 1 else 'have'} an in-sync copy nowhere else. Bring {host}, or its copies, back."
        )
    try:
        return moves.leaving(kafka.partitions, others, broker.id)
    except ValueError as error:
        raise Problem(f"{host} cannot be removed: NO: {error}. Add a broker first.") from error
