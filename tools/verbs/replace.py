"""`make replace`: a host that was rebuilt with empty disks under its old name becomes again what it was."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tools.cluster import Cluster
from tools.health import lock
from tools.health.snapshot import Hdfs, Silent, Snapshot, gather
from tools.health.verdicts import Reason, Verdict, count, silence, size
from tools.terminal import Problem, console
from tools.verbs import add, members
from tools.verbs.members import MEMBERS, Step
from tools.verbs.plan import confirm, kafka_of, play, settle

# What a host holds that has not been replaced; the last one is there while a replacement is under way.
LOOK = """
for path in /var/lib/hdfs/data/current /var/lib/kafka/data/meta.properties /etc/shopfloor-replaced; do
  ! sudo test -e $path || echo $path
done
"""
MARK = "/etc/shopfloor-replaced"
REBUILD = (
    "Rebuild the machine first, with empty disks, the same name and the same address (a host of a lab: "
    "`make renew HOST={host}`), then `make replace HOST={host}`."
)


def may_be_deleted(cluster: Cluster, host: str) -> None:
    """Refuse to delete the disks of a host that hold what is nowhere else.

    Raises:
        Problem: They do, that is not known, or the host cannot be replaced at all.
    """
    host = members.one(cluster, host, "renew")
    snapshot = gather(cluster)
    members.refuse_one_of_a_kind(snapshot, host, "renew")
    if found := losses(snapshot, host):
        raise Problem(
            f"{host} was not deleted: {' '.join(reason.text for reason in found)} Wait until the others have copies, "
            f"or lose that with `make renew HOST={host} FORCE=1`."
        )


def losses(snapshot: Snapshot, host: str) -> list[Reason]:
    """What is, or was, on a host and nowhere else.

    Args:
        snapshot: The cluster now, without the host's data.
        host: Its name.
    """
    found: list[Reason] = []
    if "datanode" in snapshot.groups[host]:
        hdfs = snapshot.hdfs
        if not isinstance(hdfs, Hdfs):
            found.append(silence("blocks", "HDFS", hdfs or Silent("no host")))
        else:
            found += _blocks(hdfs, host)
    kafka = kafka_of(snapshot)
    broker = kafka.broker_on(host)
    alone = [one for one in kafka.partitions if broker and broker.id in one.replicas and not set(one.isr) - {broker.id}]
    if broker and alone:
        text = f"{alone[0].name} ({len(alone)} in all) was in sync on {host} only."
        step = f"Bring the disks of {host} back, or delete the topic."
        found.append(Reason(Verdict.NO, "last copy", alone[0].name, text, step, len(alone), 0))
    if kafka.quorum.leader < 0:
        found.append(Reason(Verdict.NO, "quorum", "quorum", "the controllers have no majority without it."))
    return found


def _blocks(hdfs: Hdfs, host: str) -> Iterator[Reason]:
    """Blocks that are, or were, on a host and nowhere else."""
    alone = [one for one in hdfs.placements or () if one.holders == {host}]
    written = [one for one in alone if one.open]
    if lost := hdfs.missing + sum(one.blocks for one in alone if not one.open):
        text = f"{count(lost, 'block')} of HDFS {'has' if lost == 1 else 'have'} no copy on another DataNode."
        step = f"Bring the disks of {host} back, or delete those files: `hdfs fsck / -list-corruptfileblocks`."
        yield Reason(Verdict.NO, "last copy", "HDFS", text, step, lost, 0)
    if written:
        # A writer goes on with the copies that are left, and HDFS makes no others before it closes the file.
        text = (
            f"{written[0].example} ({len(written)} in all) is being written, with its only copy on {host}: its writer "
            "must close it or begin anew, as the stream does with `make restart SERVICE=retail-streaming`."
        )
        yield Reason(Verdict.NO, "files being written", written[0].example, text, "", len(written), 0)


def steps(snapshot: Snapshot, host: str) -> list[Step]:
    """What is done to replace a host, in order.

    Args:
        snapshot: The cluster now.
        host: The host.
    """
    kafka = kafka_of(snapshot)
    groups = snapshot.groups[host]
    broker = kafka.broker_on(host)
    found = []
    if any(voter.host == host for voter in kafka.quorum.voters):
        found.append(Step("take its lost controller out of the quorum, which still counts it"))
    what = " and ".join(f"as {text}" for group, text in MEMBERS.items() if group in groups)
    found.append(Step(f"deploy the inventory: it starts {what}"))
    if broker:
        mine = [one for one in kafka.partitions if broker.id in one.replicas]
        much = sum(max(one.sizes.values(), default=0) for one in mine)
        found.append(Step(f"its broker copies {count(len(mine), 'partition')} with {size(much)} from the others"))
    if "datanode" in groups and isinstance(snapshot.hdfs, Hdfs):
        holders = [one.holders for one in snapshot.hdfs.placements or () if host in one.holders]
        lacking = snapshot.hdfs.under_replicated + _believed(snapshot.hdfs, holders)
        found.append(Step(f"HDFS makes {count(lacking, 'copy', 'copies')} that are lacking"))
    return found


def _believed(hdfs: Hdfs, holders: Sequence[Collection[str]]) -> int:
    """Blocks that the NameNode takes to be on just these hosts: it notices after a minute that one is gone."""
    return sum(one.blocks for one in hdfs.placements or () if one.holders in holders)


def on_disk(cluster: Cluster, host: str) -> list[str]:
    """What is on the host of what it had before, or of a replacement that has begun."""
    return cluster.hosts[host].run(LOOK).out.split()


def replace(cluster: Cluster, host: str, yes: bool) -> None:
    """Let a rebuilt host take part again.

    Raises:
        Problem: It has not been rebuilt, what it held is nowhere else, another verb is under way, or the playbook
            failed.
    """
    host = members.one(cluster, host, "replace")
    with lock.held(cluster, f"make replace HOST={host}") as descriptor:
        snapshot = gather(cluster)
        members.refuse_one_of_a_kind(snapshot, host, "replace")
        if isinstance(found := snapshot.units[host], Silent):
            raise Problem(f"{host} does not answer ({found.why}). {REBUILD.format(host=host)}")
        held = on_disk(cluster, host)
        if held and MARK not in held:
            raise Problem(f"{host} has {held[0]}: it has not been replaced. {REBUILD.format(host=host)}")
        if not held:
            members.refuse(host, "replaced", losses(snapshot, host))
        members.show(steps(snapshot, host))
        confirm(yes)
        words = add.words_of(cluster, snapshot, host, {})
        if not held:  # what votes later is the new one
            words["voters"] = [voter for voter in kafka_of(snapshot).quorum.named() if voter["host"] == host]
        if not play("replace", words, descriptor):
            raise Problem("Stopped there. The same command goes on with what is left to do.")
        settle(cluster, snapshot)
    console.print(f"{host} takes part again.", markup=False)
