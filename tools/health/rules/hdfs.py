"""Rules of HDFS: the NameNode, and the DataNodes with their blocks."""

from __future__ import annotations

from collections.abc import Iterator

from tools.health.snapshot import DataNode, Hdfs, Placement, Silent, Snapshot
from tools.health.verdicts import (
    AGAIN,
    REMOVES,
    Doubt,
    Purpose,
    Reason,
    Verdict,
    count,
    doubt_about,
    may_run,
    nameless,
    not_yet,
    only,
    silence,
    size,
)

SILENT_SECONDS = 10  # ten heartbeats: less could be a busy host
REPORTED = 0.999  # dfs.namenode.safemode.threshold-pct: with fewer blocks a NameNode does not leave safe mode


def namenode(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """A NameNode must come back by itself, and somebody must know where the blocks are."""
    hdfs = snapshot.hdfs
    if hdfs is None or isinstance(hdfs, Silent):
        # Nothing is taken away from those who cannot use it now.
        if may_run(snapshot, host, "hdfs-namenode"):
            yield silence("safe mode", "HDFS", hdfs or Silent("no host"))
        return
    yield from _safe_mode(snapshot, hdfs)
    yield Reason(
        Verdict.BUT,
        "NameNode",
        "HDFS",
        f"HDFS answers nobody until {host}'s NameNode is back: it is the only one. Batch and stream wait for it.",
        number=1,
        bound=2,
    )


def _safe_mode(snapshot: Snapshot, hdfs: Hdfs) -> Iterator[Reason]:
    """A NameNode that starts waits in safe mode for blocks that nobody has."""
    doubts = {node.host: _doubt(snapshot, node) for node in hdfs.datanodes}
    serving = {name for name, doubt in doubts.items() if doubt is None}
    away, bound = hdfs.missing, hdfs.blocks * (1 - REPORTED)
    if hdfs.placements is not None:
        away = sum(row.blocks for row in hdfs.placements if not row.open and not row.holders & serving)
    if away <= bound:
        return
    step = "`sudo -u hdfs hdfs fsck / -list-corruptfileblocks` names the files: bring their disks back, or delete them."
    doubt = _best(doubts) or Doubt(Verdict.NO, "", step)
    text = (
        f"{count(away, 'block')} of {hdfs.blocks:,} on no DataNode that answers; a NameNode that starts stays in safe "
        f"mode while more than {1 - REPORTED:.1%} are away. {doubt.text}"
    )
    yield Reason(doubt.verdict, "safe mode", "NameNode", text.strip(), doubt.next_step, away, bound)


def datanode(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """Of every block that a DataNode holds there must be a copy on another one."""
    hdfs = snapshot.hdfs
    if hdfs is None or isinstance(hdfs, Silent):
        yield silence("blocks", "HDFS", hdfs or Silent("no host is in the group namenode"))
        return
    node = _datanode_on(hdfs, host)
    if node is None:
        yield from nameless(snapshot, host, "hdfs-datanode", "DataNode", "HDFS")
        return
    if hdfs.placements is None:
        yield silence("blocks", "HDFS", Silent("it was not asked where the blocks lie"))
        return
    held = [placement for placement in hdfs.placements if host in placement.holders]
    if purpose is Purpose.REMOVE:
        yield from _room(snapshot, hdfs, node, held)
    elif may_run(snapshot, host, "hdfs-datanode"):
        yield from _stop(snapshot, hdfs, host, held)


def _stop(snapshot: Snapshot, hdfs: Hdfs, host: str, held: list[Placement]) -> Iterator[Reason]:
    doubts = {node.host: _doubt(snapshot, node) for node in hdfs.datanodes if node.host != host}
    others = {name for name, doubt in doubts.items() if doubt is None}
    if not doubts:
        yield Reason(
            Verdict.BUT,
            "blocks",
            "HDFS",
            f"HDFS can neither be read nor written until {host} is back: it has the only DataNode, "
            f"with {count(sum(placement.blocks for placement in held), 'block')}.",
            number=0,
            bound=1,
        )
        return
    alone = [placement for placement in held if not placement.holders & others]
    written = [placement for placement in alone if placement.open]
    single = [placement for placement in alone if not placement.open and placement.copies == 1]
    lacking = [placement for placement in alone if not placement.open and placement.copies > 1]
    if written:
        yield Reason(
            Verdict.BUT,
            "files being written",
            written[0].example,
            f"{_blocks(written)} of files that are being written "
            f"{_have(written)} no copy elsewhere: their writers fail and must begin anew.",
            number=0,
            bound=1,
        )
    if single:
        yield Reason(
            Verdict.BUT,
            "single copies",
            single[0].example,
            f"{_blocks(single)} of files with replication 1 cannot be read until {host} is back.",
            number=0,
            bound=1,
        )
    if lacking or not others:
        what = f"{_blocks(lacking)} with no copy" if lacking else "HDFS with no DataNode to write to"
        doubt = _best(doubts) if not others else None
        making = Doubt(Verdict.WAIT, "HDFS is making the copies that they lack.", AGAIN)
        doubt = doubt or making
        yield Reason(
            doubt.verdict,
            "blocks",
            lacking[0].example if lacking else "HDFS",
            f"stopping {host} leaves {what} on a DataNode that answers; 1 is needed. {doubt.text}",
            doubt.next_step,
            sum(placement.blocks for placement in lacking),
            0,
        )


def _room(snapshot: Snapshot, hdfs: Hdfs, node: DataNode, held: list[Placement]) -> Iterator[Reason]:
    others = [
        other for other in hdfs.datanodes
        if other != node and other.state == "In Service" and _doubt(snapshot, other) is None
    ]  # fmt: skip
    wanted = max([hdfs.replication, *(placement.copies for placement in hdfs.placements or ())])
    if not others:
        yield only(node.host, "datanode", "all files are lost")
        return
    if wanted > len(others):
        yield Reason(
            Verdict.NO,
            "room for copies",
            "HDFS",
            f"files ask for {count(wanted, 'copy', 'copies')} and {count(len(others), 'DataNode')} would remain.",
            "Add a host to the group datanode first, or lower hdfs_replication and `hdfs dfs -setrep` the files.",
            len(others),
            wanted,
        )
        return
    if node.used > (remaining := sum(other.remaining for other in others)):
        yield Reason(
            Verdict.NO,
            "room on disks",
            "HDFS",
            f"{node.host}'s DataNode holds {size(node.used)} and the others have room for {size(remaining)}.",
            "Free some, or add a host to the group datanode first.",
            node.used,
            remaining,
        )
        return
    if written := [placement for placement in held if placement.open]:
        yield Reason(
            Verdict.BUT,
            "files being written",
            written[0].example,
            f"{_blocks(written)} of files that are being written {_have(written)} a copy on {node.host}: their writers "
            "go on with the other copies, and those with none begin anew.",
        )
    if node.state != "Decommissioned" and held:
        names = {other.host for other in others}
        left = sum(one.blocks for one in held if not one.open and len(one.holders & names) < one.copies)
        alone = sum(placement.blocks for placement in held if placement.holders == {node.host})
        moves = node.state == "Decommission In Progress"
        yield Reason(
            Verdict.WAIT if moves else Verdict.NO,
            "drain",
            "HDFS",
            f"{node.host}'s DataNode holds {count(sum(placement.blocks for placement in held), 'block')}; "
            f"{left:,} of them still lack a copy on the others, {alone:,} are nowhere else.",
            AGAIN if moves else REMOVES.format(host=node.host),
            left,
            0,
        )


def namenode_settled(snapshot: Snapshot, host: str, before: Snapshot | None) -> Iterator[Reason]:
    """Out of safe mode, all DataNodes that run are registered and have reported, nothing is missing that was there."""
    hdfs = snapshot.hdfs
    if hdfs is None or isinstance(hdfs, Silent):
        yield silence("safe mode", "HDFS", hdfs or Silent("no host"))
        return
    if hdfs.safe_mode:
        yield not_yet("safe mode", host, f"{host}'s NameNode is in safe mode: {hdfs.safe_mode.strip()}")
    running = {name for name in snapshot.hosts_in("datanode") if may_run(snapshot, name, "hdfs-datanode")}
    live = {node.host for node in hdfs.datanodes if node.live}
    if absent := sorted(running - live):
        text = f"{', '.join(absent)} not registered with {host}'s NameNode, of {count(len(running), 'DataNode')}."
        yield not_yet("DataNodes", host, text, len(absent))
    if hdfs.stale_storages:
        text = f"{host}'s NameNode waits for the blocks of {count(hdfs.stale_storages, 'disk')}."
        yield not_yet("reports", host, text, hdfs.stale_storages)
    allowed = _before(before).missing
    if hdfs.missing > allowed:
        text = f"{count(hdfs.missing, 'block')} of {hdfs.blocks:,} without a DataNode; before it were {allowed}."
        yield not_yet("missing blocks", host, text, hdfs.missing, allowed)


def datanode_settled(snapshot: Snapshot, host: str, before: Snapshot | None) -> Iterator[Reason]:
    """Registered since it started, and no block lacks a copy because of it."""
    hdfs = snapshot.hdfs
    if hdfs is None or isinstance(hdfs, Silent):
        yield silence("DataNodes", "HDFS", hdfs or Silent("no host is in the group namenode"))
        return
    node, unit = _datanode_on(hdfs, host), snapshot.unit(host, "hdfs-datanode")
    age = unit.age if not isinstance(unit, Silent) and unit.age is not None else float("inf")
    # The NameNode counts a DataNode that has ended as live for a minute: only what it heard since the start counts.
    if node is None or not node.live or node.last_contact + 1 > min(age, SILENT_SECONDS):
        yield not_yet("DataNodes", host, f"the NameNode has not heard of {host}'s DataNode since it started.")
        return
    if hdfs.safe_mode:
        yield not_yet("safe mode", host, "the NameNode is in safe mode, and does not count copies yet.")
        return
    absent = [other for other in hdfs.datanodes if other.host != host and _doubt(snapshot, other)]
    allowed = hdfs.under_replicated if absent and before is None else _before(before).under_replicated
    lacking = _lacking(hdfs)
    if lacking > allowed:
        text = f"{count(lacking, 'block')} of HDFS {'lacks' if lacking == 1 else 'lack'} a copy."
        yield not_yet("copies", host, text, lacking, allowed)


def notes(snapshot: Snapshot, host: str) -> Iterator[str]:
    """What is broken on other hosts already."""
    if isinstance(snapshot.hdfs, Hdfs):
        for node in snapshot.hdfs.datanodes:
            if node.host != host and (doubt := _doubt(snapshot, node)):
                yield doubt.text
        if snapshot.hdfs.missing:
            yield f"{count(snapshot.hdfs.missing, 'block')} of HDFS on no DataNode."


def _doubt(snapshot: Snapshot, node: DataNode) -> Doubt | None:
    """Why a DataNode does not count; None when it serves."""
    if doubt := doubt_about(snapshot, node.host, "hdfs-datanode", "DataNode"):
        return doubt
    if node.live and node.last_contact <= SILENT_SECONDS:
        return None
    text = f"{node.host}'s DataNode runs, and the NameNode has not heard of it for {node.last_contact:.0f} s."
    return Doubt(Verdict.WAIT, text, f"{AGAIN} If it stays so: `journalctl -u hdfs-datanode` there.")


def _lacking(hdfs: Hdfs) -> int:
    """How many blocks lack a copy: of those that are more than there are DataNodes, nobody can make one."""
    if hdfs.placements is None:
        return hdfs.under_replicated
    most = len(hdfs.datanodes)
    return sum(
        placement.blocks
        for placement in hdfs.placements
        if not placement.open and len(placement.holders) < min(placement.copies, most)
    )


def _best(doubts: dict[str, Doubt | None]) -> Doubt | None:
    return min((doubt for doubt in doubts.values() if doubt), key=lambda doubt: doubt.verdict.gravity, default=None)


def _datanode_on(hdfs: Hdfs, host: str) -> DataNode | None:
    return next((node for node in hdfs.datanodes if node.host == host), None)


def _before(before: Snapshot | None) -> Hdfs:
    return before.hdfs if before and isinstance(before.hdfs, Hdfs) else Hdfs()


def _blocks(placements: list[Placement]) -> str:
    blocks = sum(placement.blocks for placement in placements)
    return f"{count(blocks, 'block')} ({'of' if blocks == 1 else 'for example of'} {placements[0].example})"


def _have(placements: list[Placement]) -> str:
    return "has" if sum(placement.blocks for placement in placements) == 1 else "have"
