"""Which copies of Kafka's partitions move when a broker leaves or comes. Pure functions over one snapshot.

Kafka cordons a broker and carries out a reassignment, but makes no plan for either. Racks do not matter here: the hosts
of such a cluster have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tools.health.snapshot import Partition

Moves = Mapping[str, tuple[int, ...]]
"""By partition, the brokers that are to have a copy, the preferred leader first."""


def leaving(partitions: Sequence[Partition], brokers: Collection[int], broker: int) -> Moves:
    """The moves after which a broker has no copy: of each partition, one copy goes to the broker with the fewest.

    A leader stays the leader; what the leaving broker led goes to the copy whose broker leads the fewest.

    Args:
        partitions: All of them. Those that move off the broker already are left alone.
        brokers: Ids of the brokers that stay and take part.
        broker: Id of the one that leaves.

    Raises:
        ValueError: A partition has as many copies as brokers stay, or more.
    """
    copies = _copies(partitions, brokers)
    leads = Counter(partition.leader for partition in partitions)
    moves = {}
    for partition in sorted(partitions, key=lambda one: one.name):
        if broker not in partition.replicas or broker in partition.moving:
            continue
        free = [other for other in brokers if other not in partition.replicas]
        if not free:
            raise ValueError(f"{partition.name} has {len(partition.replicas)} copies, and {len(brokers)} brokers stay")
        heir = min(free, key=lambda other: (copies[other], other))
        copies[heir] += 1
        kept = [other for other in partition.replicas if other != broker]
        if partition.replicas[0] == broker and partition.leader in kept:
            kept.sort(key=lambda other: other != partition.leader)
        elif partition.replicas[0] == broker and kept:
            first = min(kept, key=lambda other: (other not in partition.isr, leads[other], other))
            kept.sort(key=lambda other: other != first)
            leads[first] += 1
        moves[partition.name] = (*kept, heir)
    return moves


def joining(partitions: Sequence[Partition], brokers: Collection[int], broker: int) -> Moves:
    """The moves that give a broker its share of the copies, each from the broker that has the most.

    A broker gives away what it leads only as long as it leads more than its own share.

    Args:
        partitions: All of them. Those that move to the broker already count as its own.
        brokers: Ids of all brokers that take part, the new one among them or not yet.
        broker: Id of the new one.
    """
    members = {*brokers, broker}
    copies, leads = _copies(partitions, members), Counter(partition.leader for partition in partitions)
    share, lead_share = sum(copies.values()) // len(members), len(partitions) / len(members)
    open_ones = {one.name: one for one in partitions if broker not in (*one.replicas, *one.moving) and not one.moving}
    copies[broker] += sum(broker in one.moving and broker not in one.replicas for one in partitions)
    moves: dict[str, tuple[int, ...]] = {}
    while copies[broker] < share:
        candidates = [
            (copies[donor], not _loses_leader(one, donor, leads, lead_share), one.name, donor)
            for one in open_ones.values()
            for donor in one.replicas
            if donor in members and copies[donor] > copies[broker] + 1
        ]
        if not candidates:
            break
        most = max(candidate[0] for candidate in candidates)
        # Of the fullest broker's partitions one that costs no leader it should keep; then by name.
        _, _, name, donor = min(
            (candidate for candidate in candidates if candidate[0] == most),
            key=lambda candidate: (not candidate[1], candidate[2], candidate[3]),
        )
        partition = open_ones.pop(name)
        moves[name] = tuple(broker if other == donor else other for other in partition.replicas)
        copies[donor] -= 1
        copies[broker] += 1
        if partition.leader == donor:
            leads[donor] -= 1
            leads[broker] += 1
    return moves


def weight(partitions: Sequence[Partition], moves: Moves) -> int:
    """Bytes that are copied: of each partition its largest copy, for every broker that gets one."""
    by_name = {partition.name: partition for partition in partitions}
    return sum(
        max(by_name[name].sizes.values(), default=0) * len(set(to) - set(by_name[name].replicas))
        for name, to in moves.items()
    )


def _copies(partitions: Sequence[Partition], brokers: Collection[int]) -> Counter[int]:
    copies = Counter(dict.fromkeys(brokers, 0))
    copies.update(other for partition in partitions for other in partition.replicas if other in copies)
    return copies


def _loses_leader(partition: Partition, donor: int, leads: Counter[int], share: float) -> bool:
    """Whether the donor would give away a leadership that it should keep."""
    return partition.leader == donor and leads[donor] <= share
