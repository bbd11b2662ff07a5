"""May a host stop, and has a unit settled? Pure functions over one snapshot.

A rule looks only at what its host touches, and compares before with after: what is broken elsewhere already is told
as a note and blamed on nobody. Where nothing else is possible, as with one copy of everything on one host, the answer
is YES BUT with the interruption by name, and not no for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from tools.daemons import table, units_of
from tools.health.rules import edge, hdfs, kafka, spark
from tools.health.snapshot import Kafka, Silent, Snapshot
from tools.health.verdicts import Purpose, Reason, Verdict, not_yet, only, silence, worst

MayStop = Callable[[Snapshot, str, Purpose], Iterable[Reason]]
Settles = Callable[[Snapshot, str, Snapshot | None], Iterable[Reason]]


@dataclass(frozen=True)
class Row:
    """What stands for a group.

    Attributes:
        system: Which of HDFS, Kafka and Spark must be asked; empty when systemd knows enough.
        may_stop: What is said against stopping its daemon.
        settles: What it lacks when it has started.
        loss: What is lost with the last host of the group; empty when the rule itself asks what is left.
    """

    system: str
    may_stop: MayStop
    settles: Settles | None = None
    loss: str = ""


# The next daemon is a row here. A group whose daemon has none is never answered with yes.
RULES: dict[str, Row] = {
    "namenode": Row("hdfs", hdfs.namenode, hdfs.namenode_settled, loss="the names of all files are lost"),
    "datanode": Row("hdfs", hdfs.datanode, hdfs.datanode_settled),
    "kafka_controller": Row("kafka", kafka.controller, kafka.controller_settled),
    "kafka_broker": Row("kafka", kafka.broker, kafka.broker_settled, loss="all topics are lost"),
    "spark_master": Row("spark", spark.master, spark.master_settled, loss="no application can run"),
    "spark_worker": Row("spark", spark.worker, spark.worker_settled, loss="no application can run"),
    "spark_history": Row("", spark.history),
    "edge": Row("", edge.edge, loss="batch, stream, producer and dashboard have no host"),
}
SYSTEM_GROUPS = tuple(group for group, row in RULES.items() if row.system)


@dataclass(frozen=True)
class Answer:
    """Whether a host may stop.

    Attributes:
        host: Which one.
        purpose: What for.
        reasons: What is said against it, or will be interrupted; the worst first.
        notes: What is broken on other hosts already, with or without this one.
    """

    host: str
    purpose: Purpose
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst that a rule says."""
        return worst(self.reasons)


@dataclass(frozen=True)
class Settled:
    """Whether a unit that has started takes part again.

    Attributes:
        host: Its host.
        unit: Its name.
        lacks: What is not yet so; nothing when it has settled.
    """

    host: str
    unit: str
    lacks: tuple[Reason, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """YES when it has; WAIT while it comes; NO when it does not come by itself."""
        return worst(self.lacks)


def can_stop(
    snapshot: Snapshot, host: str, purpose: Purpose = Purpose.RESTART, units: Collection[str] | None = None
) -> Answer:
    """Whether a host, or some units of it, may stop.

    Args:
        snapshot: The cluster now, with the places of the blocks.
        host: Its name.
        purpose: Whether it comes back.
        units: Names of units that stop, without `.service`, or leave, whatever the host's groups are by now; None for
            the whole host.
    """
    groups = snapshot.groups[host]
    concerned = [
        group
        for group in dict.fromkeys(daemon.group for daemon in table().values())
        if _is_concerned(group, groups, purpose, units)
    ]
    reasons: list[Reason] = []
    if isinstance(found := snapshot.units[host], Silent):
        reasons.append(silence("host", host, found))
    for group in concerned:
        row = RULES.get(group)
        if row and row.loss and purpose is Purpose.REMOVE and set(snapshot.hosts_in(group)) <= {host}:
            reasons.append(only(host, group, row.loss))
        elif row:
            # Of a host without a product, what is interrupted depends on the units alone.
            seen = snapshot if row.system else _with_units(snapshot, host, units)
            # A host that has left a group may never have been what its system does not know by its name.
            reasons += [
                reason for reason in row.may_stop(seen, host, purpose) if group in groups or reason.rule != "name"
            ]
        else:
            reasons.append(silence(group, group, Silent("there is no rule for it yet")))
    reasons.sort(key=lambda reason: -reason.verdict.gravity)
    notes = dict.fromkeys((*hdfs.notes(snapshot, host), *kafka.notes(snapshot, host)))
    said = " ".join(reason.text for reason in reasons)
    return Answer(host, purpose, tuple(reasons), tuple(note for note in notes if note not in said))


def removal(snapshot: Snapshot, host: str, units: Collection[str] | None = None) -> Answer:
    """Whether a host may leave for ever: of one that does not answer any more, as far as the others can tell.

    Args:
        snapshot: The cluster now, with the places of the blocks.
        host: Its name.
        units: Names of units that leave, without `.service`; None for the whole host.
    """
    answer = can_stop(snapshot, host, Purpose.REMOVE, units)
    if not isinstance(snapshot.units[host], Silent):
        return answer
    # Silence, and daemons that nobody knows any more, are what is left of it.
    return replace(answer, reasons=tuple(reason for reason in answer.reasons if reason.rule not in ("host", "name")))


def settled(snapshot: Snapshot, host: str, unit: str, before: Snapshot | None = None) -> Settled:
    """Whether a unit that was started takes part again, as its product means it.

    Args:
        snapshot: The cluster now.
        host: Where it runs.
        unit: Its name, with or without `.service`.
        before: The cluster before it was stopped: what was missing then is not blamed on it.
    """
    unit = unit.removesuffix(".service")
    state = snapshot.unit(host, unit)
    if isinstance(state, Silent):
        return Settled(host, unit, (silence("unit", host, state),))
    if not state.active:
        lack = not_yet("unit", host, f"{unit} on {host} is {state.state}.")
        if not state.coming:
            step = f"`make ssh HOST={host}`, then `journalctl -u {unit} -e` says why."
            lack = Reason(Verdict.NO, "unit", unit, f"{unit} on {host} does not run ({state.state}).", step)
        return Settled(host, unit, (lack,))
    lacks: list[Reason] = []
    for row in _rows(snapshot, host, unit):
        if row.settles:
            lacks += row.settles(snapshot, host, before)
    return Settled(host, unit, tuple(lacks))


def leads(snapshot: Snapshot, host: str) -> bool:
    """Whether the active controller is on a host: those come last when several are restarted."""
    if not isinstance(snapshot.kafka, Kafka):
        return False
    quorum = snapshot.kafka.quorum
    return any(voter.host == host and voter.id == quorum.leader for voter in quorum.voters)


def lacks(snapshot: Snapshot, groups: Iterable[str] = SYSTEM_GROUPS) -> list[str]:
    """What all daemons of some groups lack, as sentences; nothing when the cluster is whole.

    Copies that HDFS still makes are not among them: of a DataNode that was away for a moment, that takes minutes.

    Args:
        snapshot: The cluster now.
        groups: Groups whose daemons must have settled; those of HDFS, Kafka and Spark when nothing is said.
    """
    found = [
        str(reason)
        for group in groups
        for host in snapshot.hosts_in(group)
        for unit in units_of(group)
        for reason in settled(snapshot, host, unit).lacks
        if reason.rule != "copies"
    ]
    return list(dict.fromkeys(found))


def systems_of(groups: Collection[str], unit: str, purpose: Purpose = Purpose.RESTART) -> set[str]:
    """Which systems must be asked to tell whether a unit has settled, or may stop.

    Args:
        groups: Groups of its host.
        unit: Its name, with or without `.service`.
        purpose: Whether it comes back.
    """
    units = [unit.removesuffix(".service")]
    return {row.system for group, row in RULES.items() if _is_concerned(group, groups, purpose, units)} - {""}


def _is_concerned(group: str, groups: Collection[str], purpose: Purpose, units: Collection[str] | None) -> bool:
    if units is None:
        return group in groups
    return bool(set(units_of(group)) & set(units)) and (group in groups or purpose is Purpose.REMOVE)


def _with_units(snapshot: Snapshot, host: str, units: Collection[str] | None) -> Snapshot:
    """A snapshot in which a host has no other units than these."""
    found = snapshot.units[host]
    if units is None or isinstance(found, Silent):
        return snapshot
    kept = {name: unit for name, unit in found.items() if name in units}
    return replace(snapshot, units={**snapshot.units, host: kept})


def _rows(snapshot: Snapshot, host: str, unit: str) -> list[Row]:
    return [row for group, row in RULES.items() if group in snapshot.groups[host] and unit in units_of(group)]
