"""Rules of Kafka: brokers with their partitions, and the controllers' quorum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.health.snapshot import Broker, Kafka, Partition, Quorum, Silent, Snapshot, Voter
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

UNIT = "kafka"
CAUGHT_UP_SECONDS = 2  # controller.quorum.fetch.timeout.ms: a voter that lags longer is not counted on


def broker(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """Every partition that a broker has in sync must keep as many copies in sync as its producers need."""
    kafka = snapshot.kafka
    if kafka is None or isinstance(kafka, Silent):
        if may_run(snapshot, host, UNIT) or purpose is Purpose.REMOVE:
            yield silence("in-sync copies", "Kafka", kafka or Silent("no host"))
        return
    me = kafka.broker_on(host)
    if me is None:
        yield from nameless(snapshot, host, UNIT, "broker", "Kafka")
        return
    mine = sorted((one for one in kafka.partitions if me.id in one.replicas), key=_familiar)
    yield from _moves(me, kafka)
    if purpose is Purpose.REMOVE:
        yield from _room(kafka, me, mine)
        return
    if may_run(snapshot, host, UNIT):
        in_sync = list(_in_sync(snapshot, kafka, me, mine))
        yield from in_sync or _recovery(snapshot, kafka, me, mine)


def _moves(me: Broker, kafka: Kafka) -> Iterator[Reason]:
    moving = [
        partition for partition in kafka.partitions
        if partition.moving and me.id in (*partition.replicas, *partition.moving)
    ]  # fmt: skip
    if moving:
        text = f"{_named(moving)} {_is(moving)} being reassigned, with a copy on {me.host}."
        yield Reason(Verdict.WAIT, "reassignment", moving[0].name, text, AGAIN, len(moving), 0)


def _in_sync(snapshot: Snapshot, kafka: Kafka, me: Broker, mine: Sequence[Partition]) -> Iterator[Reason]:
    doubts = {other.id: _doubt(snapshot, other) for other in kafka.brokers if other != me}
    counted = {number for number, doubt in doubts.items() if doubt is None}
    by_verdict: dict[Verdict, list[tuple[int, Partition, Doubt | None]]] = {}
    for partition in mine:
        # Kafka takes a broker that was killed for alive until its session has ended: systemd knows it at once.
        kept = [other for other in partition.isr if other in counted]
        if me.id not in partition.isr or len(kept) >= partition.min_isr:
            continue
        absent = [other for other in partition.replicas if other != me.id and other not in kept]
        if len(partition.replicas) <= partition.min_isr and not absent:
            by_verdict.setdefault(Verdict.BUT, []).append((len(kept), partition, None))
            continue
        best = _best([doubts.get(other) or _behind(kafka, partition, other) for other in absent])
        by_verdict.setdefault(best.verdict, []).append((len(kept), partition, best))
    for verdict, found in by_verdict.items():
        after, partition, doubt = min(found, key=lambda row: (row[0] - row[1].min_isr, _familiar(row[1])))
        others = f" and {count(len(found) - 1, 'other partition')}" if len(found) > 1 else ""
        change = f"{_listed(partition.isr)} → {_listed([other for other in partition.isr if other in counted])}"
        text = (
            f"stopping {me.host} leaves {partition.name}{others} with {count(after, 'in-sync copy', 'in-sync copies')} "
            f"({change}); the producer needs {partition.min_isr}."
        )
        if doubt is None:
            copies = count(len(partition.replicas), "copy", "copies")
            text += f" It has {copies}, so nothing else is possible: it takes no records until {me.host} is back."
        else:
            text += f" {doubt.text}"
        yield Reason(
            verdict,
            "in-sync copies",
            partition.name,
            text,
            doubt.next_step if doubt else "",
            after,
            partition.min_isr,
        )


def _recovery(snapshot: Snapshot, kafka: Kafka, me: Broker, mine: Sequence[Partition]) -> Iterator[Reason]:
    shared = {other for partition in mine for other in partition.replicas}
    for other in kafka.brokers:
        if other != me and other.id in shared and other.fenced and _runs_surely(snapshot, other.host):
            text = (
                f"{other.host}'s broker has started and does not take part yet; it shares partitions with {me.host}'s."
            )
            yield Reason(Verdict.WAIT, "recovery", f"broker {other.id}", text, AGAIN, 1, 0)


def _room(kafka: Kafka, me: Broker, mine: Sequence[Partition]) -> Iterator[Reason]:
    others = [other for other in kafka.brokers if other != me and not other.fenced]
    wide = [partition for partition in mine if len(partition.replicas) > len(others)]
    if wide:
        yield Reason(
            Verdict.NO,
            "room for copies",
            wide[0].name,
            f"{_named(wide)} {'has' if len(wide) == 1 else 'have'} {len(wide[0].replicas)} copies, "
            f"and {count(len(others), 'broker')} would remain.",
            "Add a host to the group kafka_broker first, or give these topics fewer copies.",
            len(others),
            len(wide[0].replicas),
        )
        return
    room = sum(other.room or 0 for other in others)
    if me.used > room:
        yield Reason(
            Verdict.NO,
            "room on disks",
            me.host,
            f"the partitions on {me.host} take {size(me.used)}, and the other brokers have room for {size(room)}.",
            "Free some, or add a host to the group kafka_broker first.",
            me.used,
            room,
        )
        return
    if mine:
        yield Reason(
            Verdict.NO,
            "drain",
            "Kafka",
            f"{_named(mine)} {'has' if len(mine) == 1 else 'have'} a copy on {me.host}.",
            REMOVES.format(host=me.host),
            len(mine),
            0,
        )


def controller(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """Without a controller the voters that have caught up must be a majority."""
    kafka = snapshot.kafka
    if kafka is None or isinstance(kafka, Silent):
        if may_run(snapshot, host, UNIT) or purpose is Purpose.REMOVE:
            yield silence("quorum", "Kafka", kafka or Silent("no host is in the group kafka_broker"))
        return
    voters = kafka.quorum.voters
    me = next((voter for voter in voters if voter.host == host), None)
    if me is None:
        # One that does not vote yet is missed by nobody; one that the quorum knows by another name would be.
        if purpose is not Purpose.REMOVE and not {voter.host for voter in voters} <= snapshot.groups.keys():
            yield from nameless(snapshot, host, UNIT, "voting controller", "Kafka")
        return
    if purpose is Purpose.REMOVE:
        if len(voters) == 1:
            yield only(host, "kafka_controller", "the metadata of all topics are lost")
            return
        left = len(set(snapshot.hosts_in("kafka_controller")) - {host})
        if left % 2 == 0:
            text = f"{left} controllers would remain, which bear no more failures than {left - 1} would."
            step = "Take two hosts out of the group kafka_controller, and `make kafka` lets them vote no more."
            yield Reason(Verdict.NO, "odd quorum", "quorum", text, step, left, left - 1)
            return
    elif len(voters) == 1:
        text = f"{host} has the only controller: until it is back no topic, leader or setting can change."
        yield Reason(Verdict.BUT, "quorum", "quorum", text, number=0, bound=1)
        return
    yield from _majority(snapshot, kafka.quorum, me)


def _majority(snapshot: Snapshot, quorum: Quorum, me: Voter) -> Iterator[Reason]:
    doubts = {voter: _lag(snapshot, voter) for voter in quorum.voters if voter != me}
    left, needed = sum(doubt is None for doubt in doubts.values()), len(quorum.voters) // 2 + 1
    if left >= needed or _lag(snapshot, me):
        return
    doubt = _best([doubt for doubt in doubts.values() if doubt])
    text = (
        f"stopping {me.host} leaves {left} of {len(quorum.voters)} controllers caught up; "
        f"{needed} are needed. {doubt.text}"
    )
    yield Reason(doubt.verdict, "quorum", "quorum", text, doubt.next_step, left, needed)


def broker_settled(snapshot: Snapshot, host: str, _before: Snapshot | None) -> Iterator[Reason]:
    """Registered, unfenced, and in sync in every partition of which it has a copy."""
    kafka = snapshot.kafka
    if kafka is None or isinstance(kafka, Silent):
        yield silence("broker", "Kafka", kafka or Silent("no host"))
        return
    me = kafka.broker_on(host)
    if me is None or me.fenced:
        state = "not registered" if me is None else "fenced"
        yield not_yet("broker", host, f"{host}'s broker is {state}.")
        return
    behind = [p for p in kafka.partitions if me.id in p.replicas and me.id not in p.isr]
    if behind:
        lacking = sum(_lacking(partition, me.id) or 0 for partition in behind)
        text = f"{host}'s broker is not in sync in {_named(behind)}: {size(lacking)} to go."
        yield not_yet("in-sync copies", host, text, len(behind))


def controller_settled(snapshot: Snapshot, host: str, _before: Snapshot | None) -> Iterator[Reason]:
    """There is an active controller, and this one has caught up with it, whether it votes already or not."""
    kafka = snapshot.kafka
    if kafka is None or isinstance(kafka, Silent):
        yield silence("quorum", "Kafka", kafka or Silent("no host is in the group kafka_broker"))
        return
    known = [voter for voter in (*kafka.quorum.voters, *kafka.quorum.observers) if voter.host in (host, "")]
    me = min(known, key=lambda voter: (not voter.host, -voter.lag), default=None)
    if me is None or kafka.quorum.leader < 0:
        text = "there is no active controller." if me else f"{host}'s controller does not follow the active one yet."
        yield not_yet("quorum", host, text)
    elif me.lag > CAUGHT_UP_SECONDS:
        text = f"{host}'s controller is {count(me.behind, 'record')} behind, for {me.lag:.0f} s."
        yield not_yet("quorum", host, text, me.lag, CAUGHT_UP_SECONDS)


def notes(snapshot: Snapshot, host: str) -> Iterator[str]:
    """What is broken on other hosts already."""
    if not isinstance(snapshot.kafka, Kafka):
        return
    kafka, me = snapshot.kafka, snapshot.kafka.broker_on(host)
    for other in kafka.brokers:
        if other != me and (doubt := _doubt(snapshot, other)):
            yield doubt.text
    short = [p for p in kafka.partitions if len(p.isr) < len(p.replicas) and (me is None or me.id not in p.replicas)]
    if short:
        yield f"{_named(short)} {'lacks' if len(short) == 1 else 'lack'} in-sync copies."


def _doubt(snapshot: Snapshot, broker: Broker) -> Doubt | None:
    """Why a broker does not count, whatever it holds; None when it takes part."""
    if doubt := doubt_about(snapshot, broker.host, UNIT, "broker"):
        return doubt
    if broker.fenced:
        return Doubt(Verdict.WAIT, f"{broker.host}'s broker has started and does not take part yet.", AGAIN)
    return None


def _behind(kafka: Kafka, partition: Partition, number: int) -> Doubt:
    """Why the copy of a broker that takes part is not in sync."""
    broker = next((broker for broker in kafka.brokers if broker.id == number), None)
    if broker is None:
        step = f"Bring its host back, or move its copies: `kafka-reassign-partitions` for {partition.name}."
        return Doubt(Verdict.NO, f"Broker {number} is not registered.", step)
    lacking = _lacking(partition, number)
    much = f"lacks {size(lacking)} and is" if lacking else "is"
    return Doubt(Verdict.WAIT, f"{broker.host}'s broker {much} catching up.", AGAIN)


def _lacking(partition: Partition, number: int) -> int | None:
    """Bytes that a broker's copy has less than the leader's; None when one of them is not known."""
    if number not in partition.sizes or partition.leader not in partition.sizes:
        return None
    return max(0, partition.sizes[partition.leader] - partition.sizes[number])


def _lag(snapshot: Snapshot, voter: Voter) -> Doubt | None:
    if doubt := doubt_about(snapshot, voter.host, UNIT, "controller"):
        return doubt
    if voter.lag <= CAUGHT_UP_SECONDS:
        return None
    text = f"{voter.host}'s controller is {count(voter.behind, 'record')} behind, for {voter.lag:.0f} s."
    return Doubt(Verdict.WAIT, text, AGAIN)


def _best(doubts: Sequence[Doubt]) -> Doubt:
    """One that comes back is enough."""
    return min(doubts, key=lambda doubt: doubt.verdict.gravity)


def _runs_surely(snapshot: Snapshot, host: str) -> bool:
    state = snapshot.unit(host, UNIT)
    return not isinstance(state, Silent) and (state.active or state.coming)


def _familiar(partition: Partition) -> tuple[bool, str]:
    """Order of partitions: those of Kafka's own topics come last, nobody made them."""
    return partition.name.startswith("__"), partition.name


def _named(partitions: Sequence[Partition]) -> str:
    more = len(partitions) - 1
    return partitions[0].name + (f" and {count(more, 'other partition')}" if more else "")


def _is(partitions: Sequence[Partition]) -> str:
    return "is" if len(partitions) == 1 else "are"


def _listed(brokers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(brokers))) or "none"
