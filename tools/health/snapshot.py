"""The state of a cluster at one moment, as its daemons and systemd tell it.

All is asked on the hosts themselves, through ssh: a control machine may reach nothing else of a cluster. What did
not answer is a `Silent` in its place, never a guess; what the cluster has no hosts for is None.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.cluster import Cluster, Host, UnreachableError
from tools.daemons import port
from tools.health.units import HostReport, Unit, look_at

ASK = (Path(__file__).parent / "ask.py").read_text(encoding="utf-8")
SUPERUSER = "hdfs"  # of HDFS: who runs the NameNode
SYSTEMS = ("hdfs", "kafka", "spark")
DEADLINE, BLOCKS_DEADLINE = 60.0, 330.0  # seconds for a question, and for the dearest one


@dataclass(frozen=True)
class Silent:
    """A host or a system that did not answer.

    Attributes:
        why: What was said instead of an answer.
    """

    why: str


@dataclass(frozen=True)
class UnitState:
    """A unit of systemd.

    Attributes:
        active: Whether it is up and has finished starting.
        state: In a few words, for instance `failed (exit-code 1)`.
        coming: Whether it is on its way from one state to another, as when it is starting.
        age: Seconds since its main process started; None when there is none.
    """

    active: bool
    state: str = "active"
    coming: bool = False
    age: float | None = None


@dataclass(frozen=True)
class DataNode:
    """A DataNode as the NameNode sees it.

    Attributes:
        host: Its name.
        live: Whether it counts as live: a DataNode that has ended does so for another minute.
        last_contact: Seconds since its last heartbeat.
        state: `In Service`, `Decommissioned`, `In Maintenance` or on the way there.
        blocks: How many it holds.
        used: Bytes that it holds.
        remaining: Bytes for which there is room.
    """

    host: str
    live: bool = True
    last_contact: float = 0
    state: str = "In Service"
    blocks: int = 0
    used: int = 0
    remaining: int = 0


@dataclass(frozen=True)
class Placement:
    """Blocks that are alike.

    Attributes:
        holders: Hosts of the DataNodes that hold them.
        copies: How many there are to be of each.
        blocks: How many blocks.
        open: Whether their files are being written.
        example: One of the files.
    """

    holders: frozenset[str]
    copies: int
    blocks: int = 1
    open: bool = False
    example: str = ""


@dataclass(frozen=True)
class Hdfs:
    """HDFS as its NameNode sees it.

    Attributes:
        safe_mode: What the NameNode says of its safe mode; empty when it has left it.
        replication: Copies of a file that asks for no other number.
        blocks: How many there are.
        missing: How many of them no DataNode has.
        under_replicated: How many of them have fewer copies than they should, copies being made included.
        stale_storages: Disks of DataNodes of which a report is still due.
        files_open: How many files are being written.
        datanodes: Those it knows, live or dead.
        placements: Where all blocks lie; None when that was not asked.
    """

    datanodes: tuple[DataNode, ...] = ()
    placements: tuple[Placement, ...] | None = ()
    safe_mode: str = ""
    state: str = "active"
    replication: int = 3
    blocks: int = 0
    missing: int = 0
    under_replicated: int = 0
    stale_storages: int = 0
    files_open: int = 0


@dataclass(frozen=True)
class Broker:
    """A broker that is registered.

    Attributes:
        id: Its node id.
        host: Its host's name.
        fenced: Whether it takes no part: it has ended, is starting, or recovers its logs.
        used: Bytes that its partitions take.
        room: Bytes that are free on its disks; None when it did not say.
    """

    id: int
    host: str
    fenced: bool = False
    used: int = 0
    room: int | None = None


@dataclass(frozen=True)
class Partition:
    """A partition of a topic.

    Attributes:
        name: Topic and number, `sales-2`.
        leader: Broker that leads it; -1 when none does.
        replicas: Brokers that are to have a copy.
        isr: Brokers whose copies are in sync.
        min_isr: Copies that must be in sync for producers to be served.
        moving: Brokers that a reassignment adds to it or takes from it.
        sizes: Bytes of the copy by broker, of those that said so.
    """

    name: str
    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    min_isr: int
    moving: tuple[int, ...] = ()
    sizes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Voter:
    """A controller of the quorum, or who follows it.

    Attributes:
        id: Its node id.
        host: Its host's name; empty of one that follows and is no broker.
        behind: Records of the metadata that it lacks.
        lag: Seconds since it had all that the leader had.
        directory: Id of its folder, by which the quorum knows it besides its number.
    """

    id: int
    host: str
    behind: int = 0
    lag: float = 0
    directory: str = ""


@dataclass(frozen=True)
class Quorum:
    """The controllers that decide about the metadata.

    Attributes:
        leader: Node id of the active controller; -1 when there is none.
        voters: All that vote.
        observers: Brokers, and controllers that do not vote yet: they follow the active one.
    """

    leader: int
    voters: tuple[Voter, ...]
    observers: tuple[Voter, ...] = ()

    def named(self) -> list[dict[str, Any]]:
        """The voters as Ansible takes them: host, node id and the id of the folder."""
        return [{"host": voter.host, "id": voter.id, "directory": voter.directory} for voter in self.voters]


@dataclass(frozen=True)
class Kafka:
    """Kafka as one of its brokers sees it.

    Attributes:
        metadata_written: Level of the feature metadata.version: in which form the metadata is written.
        metadata_newest: The newest level that this broker could write; its version before may not read it.
    """

    brokers: tuple[Broker, ...] = ()
    partitions: tuple[Partition, ...] = ()
    quorum: Quorum = Quorum(-1, ())
    metadata_written: int = 0
    metadata_newest: int = 0

    def broker_on(self, host: str) -> Broker | None:
        """The broker of a host, if one is registered."""
        return next((broker for broker in self.brokers if broker.host == host), None)


@dataclass(frozen=True)
class Worker:
    """A Spark worker as the master sees it; memory in MiB."""

    host: str
    state: str = "ALIVE"
    cores: int = 0
    cores_used: int = 0
    memory_free: int = 0
    memory_used: int = 0


@dataclass(frozen=True)
class Application:
    """A Spark application that has not ended, and the cores that it has."""

    name: str
    cores: int = 0
    state: str = "RUNNING"


@dataclass(frozen=True)
class Spark:
    """Spark as its master sees it.

    Attributes:
        state: `ALIVE`, `STANDBY` or `RECOVERING`.
        workers: Those it knows; former ones, as DEAD, too.
        applications: Those that wait or run.
        drivers: How many drivers run on workers.
    """

    workers: tuple[Worker, ...] = ()
    applications: tuple[Application, ...] = ()
    state: str = "ALIVE"
    drivers: int = 0


@dataclass(frozen=True)
class Snapshot:
    """All of it.

    Attributes:
        groups: Groups of each host, by its name.
        units: By host, its units by name without `.service`.
        hdfs: Of the NameNode.
        kafka: Of a broker that answers.
        spark: Of the master.
    """

    groups: Mapping[str, frozenset[str]]
    units: Mapping[str, Mapping[str, UnitState] | Silent]
    hdfs: Hdfs | Silent | None = None
    kafka: Kafka | Silent | None = None
    spark: Spark | Silent | None = None

    def hosts_in(self, group: str) -> list[str]:
        """Names of a group's hosts."""
        return [host for host, groups in self.groups.items() if group in groups]

    def unit(self, host: str, name: str) -> UnitState | Silent:
        """A unit of a host."""
        units = self.units.get(host, Silent("the inventory has no such host"))
        return units if isinstance(units, Silent) else units.get(name, UnitState(active=False, state="not installed"))


def gather(
    cluster: Cluster, *, systems: Collection[str] = SYSTEMS, blocks: bool = True, units: bool = True
) -> Snapshot:
    """Ask everything, all at the same time.

    Args:
        cluster: The hosts and their groups.
        systems: Which of `hdfs`, `kafka` and `spark` to ask; the others count as silent.
        blocks: Whether to ask for the place of every block, which `can_stop` needs for a DataNode's host. It costs
            the NameNode a walk through the whole namespace.
        units: Whether to ask the hosts for their units; otherwise those count as silent.
    """
    masters, namenodes, brokers = (cluster.group(name) for name in ("spark_master", "namenode", "kafka_broker"))
    servers = ",".join(f"{host.name}:{port('broker', 'clients')}" for host in brokers)
    superuser = [SUPERUSER] if blocks else []
    with ThreadPoolExecutor(max_workers=len(cluster.hosts) + len(SYSTEMS)) as pool:
        asked_units = {host.name: pool.submit(look_at, cluster, host) for host in cluster.hosts.values() if units}

        def asked(system: str, hosts: Sequence[Host], *arguments: str) -> Future[Any] | None:
            if system not in systems or not hosts:
                return None
            return pool.submit(_first_answer, hosts, system, arguments)

        hdfs = asked("hdfs", namenodes, f"http://{{host}}:{port('namenode', 'http')}", *superuser)
        kafka = asked("kafka", brokers, servers)
        spark = asked("spark", masters, f"http://{{host}}:{port('master', 'ui')}")

    def answer(future: Future[Any] | None, hosts: Sequence[Host], system: str) -> Any:  # noqa: ANN401 - JSON
        if future is not None:
            return future.result()
        return Silent(f"{system} was not asked") if hosts else None

    return Snapshot(
        groups={host: frozenset(cluster.groups_of(host)) for host in cluster.hosts},
        units={host: states(future.result()) for host, future in asked_units.items()},
        hdfs=hdfs_from(answer(hdfs, namenodes, "HDFS")),
        kafka=kafka_from(answer(kafka, brokers, "Kafka")),
        spark=spark_from(answer(spark, masters, "Spark")),
    )


def _first_answer(hosts: Sequence[Host], system: str, arguments: Sequence[str]) -> dict[str, Any] | Silent:
    """The answer of the first host that gives one; else what all of them said."""
    silence: dict[str, list[str]] = {}
    for host in hosts:
        words = [system, *(argument.format(host=host.name) for argument in arguments)]
        command = f"env PYTHONPATH=/opt/kafka-client python3 - {shlex.join(words)}"
        try:
            done = host.run(command, stdin=ASK, timeout=BLOCKS_DEADLINE if SUPERUSER in arguments else DEADLINE)
        except UnreachableError as error:
            silence.setdefault(str(error), []).append(host.name)
            continue
        if done.code == 0:
            found: dict[str, Any] = json.loads(done.out)
            return found
        silence.setdefault(done.last_words, []).append(host.name)
    return Silent("; ".join(f"{', '.join(names)}: {said}" for said, names in silence.items()))


def states(report: HostReport) -> Mapping[str, UnitState] | Silent:
    """The units of a host that was looked at, by name without `.service`."""
    if report.unreachable:
        return Silent(report.unreachable)
    return {
        unit.name.removesuffix(".service"): unit_state(unit)
        for unit in (*report.units, *(part for job in report.jobs for part in job))
    }


def unit_state(unit: Unit) -> UnitState:
    """What the rules ask of a unit that a host has described."""
    age = unit.seconds_since("ExecMainStartTimestamp") if unit["ActiveState"] in ("active", "activating") else None
    coming = unit["ActiveState"] in ("activating", "reloading", "deactivating")
    return UnitState(active=unit.runs, state=unit.state, coming=coming, age=age)


def hdfs_from(answer: Mapping[str, Any] | Silent | None) -> Hdfs | Silent | None:
    """HDFS in the answer of `ask.hdfs`."""
    if answer is None or isinstance(answer, Silent):
        return answer
    datanodes = tuple(
        DataNode(**{key: value for key, value in row.items() if key != "address"}) for row in answer["datanodes"]
    )
    rows = answer["placements"]
    placements = (
        rows if rows is None else tuple(Placement(**{**row, "holders": frozenset(row["holders"])}) for row in rows)
    )
    return Hdfs(**{**answer, "datanodes": datanodes, "placements": placements})


def kafka_from(answer: Mapping[str, Any] | Silent | None) -> Kafka | Silent | None:
    """Kafka in the answer of `ask.kafka`."""
    if answer is None or isinstance(answer, Silent):
        return answer
    partitions = tuple(
        Partition(
            name=row["name"],
            leader=row["leader"],
            replicas=tuple(row["replicas"]),
            isr=tuple(row["isr"]),
            min_isr=row["min_isr"],
            moving=tuple(row["moving"]),
            sizes={int(broker): size for broker, size in row["sizes"].items()},
        )
        for row in answer["partitions"]
    )
    members = {kind: tuple(Voter(**row) for row in answer["quorum"][kind]) for kind in ("voters", "observers")}
    quorum = Quorum(answer["quorum"]["leader"], **members)
    brokers = tuple(Broker(**row) for row in answer["brokers"])
    return Kafka(
        partitions=partitions,
        brokers=brokers,
        quorum=quorum,
        metadata_written=answer["metadata"]["written"],
        metadata_newest=answer["metadata"]["newest"],
    )


def spark_from(answer: Mapping[str, Any] | Silent | None) -> Spark | Silent | None:
    """Spark in the answer of `ask.spark`."""
    if answer is None or isinstance(answer, Silent):
        return answer
    workers = tuple(Worker(**row) for row in answer["workers"])
    applications = tuple(Application(**row) for row in answer["applications"])
    return Spark(workers, applications, answer["state"], answer["drivers"])
