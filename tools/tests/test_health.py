from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import daemons
from tools.health import ask
from tools.health.gate import RULES, Answer, can_stop, lacks, leads, settled
from tools.health.snapshot import (
    Application,
    Broker,
    DataNode,
    Hdfs,
    Kafka,
    Partition,
    Placement,
    Quorum,
    Silent,
    Snapshot,
    Spark,
    UnitState,
    Voter,
    Worker,
)
from tools.health.verdicts import Purpose, Verdict

GROUPS = {
    "master1": frozenset({"namenode", "kafka_controller", "kafka_broker", "spark_master", "spark_history"}),
    "worker1": frozenset({"datanode", "kafka_broker", "spark_worker"}),
    "worker2": frozenset({"datanode", "kafka_broker", "spark_worker"}),
    "edge1": frozenset({"edge"}),
}
DOWN = UnitState(active=False, state="inactive")
STARTING = UnitState(active=False, state="activating (start-post)", coming=True)
BOTH = frozenset({"worker1", "worker2"})
GIB = 2**30


def units(groups: Mapping[str, frozenset[str]]) -> dict[str, dict[str, UnitState]]:
    return {
        host: {
            daemon.unit: UnitState(active=True, age=3600) for daemon in daemons.of_groups(members) if not daemon.timer
        }
        for host, members in groups.items()
    }


def partition(name: str = "sales-0", isr: tuple[int, ...] = (1, 2, 3), **changes: object) -> Partition:
    return replace(Partition(name, isr[0] if isr else -1, (1, 2, 3), isr, 2), **changes)  # type: ignore[arg-type]


SPREAD = Placement(BOTH, 2, blocks=30, example="/data/input/january.csv")
HDFS = Hdfs(
    datanodes=tuple(DataNode(host, blocks=30, used=GIB, remaining=9 * GIB) for host in ("worker1", "worker2")),
    placements=(SPREAD,),
    replication=2,
    blocks=30,
)
KAFKA = Kafka(
    tuple(Broker(number, host, room=GIB) for number, host in enumerate(("master1", "worker1", "worker2"), 1)),
    tuple(partition(f"sales-{number}") for number in range(3)),
    Quorum(1, (Voter(1, "master1"),)),
)
SPARK = Spark(
    tuple(Worker(host, cores=3, cores_used=1, memory_used=512, memory_free=1024) for host in ("worker1", "worker2")),
    (Application("retail-streaming", 2),),
)
WHOLE = Snapshot(GROUPS, units(GROUPS), HDFS, KAFKA, SPARK)


def with_unit(snapshot: Snapshot, host: str, unit: str, state: UnitState) -> Snapshot:
    known = snapshot.units[host]
    assert not isinstance(known, Silent)
    return replace(snapshot, units={**snapshot.units, host: {**known, unit: state}})


def with_partitions(*partitions: Partition, snapshot: Snapshot = WHOLE, **changes: object) -> Snapshot:
    return replace(snapshot, kafka=replace(KAFKA, partitions=partitions, **changes))  # type: ignore[arg-type]


def with_hdfs(snapshot: Snapshot = WHOLE, **changes: object) -> Snapshot:
    return replace(snapshot, hdfs=replace(HDFS, **changes))  # type: ignore[arg-type]


def quorum(*lags: float, leader: int = 1) -> Snapshot:
    """Three hosts with a controller each; `lags` in seconds."""
    groups = {f"master{number}": frozenset({"kafka_controller"}) for number in range(1, len(lags) + 1)}
    voters = tuple(Voter(number, f"master{number}", int(lag * 2), lag) for number, lag in enumerate(lags, 1))
    return Snapshot(groups, units(groups), kafka=Kafka(quorum=Quorum(leader, voters)))


def texts(answer: Answer) -> str:
    return " ".join(map(str, answer.reasons))


def test_a_worker_of_a_whole_cluster_may_stop_and_nothing_is_said() -> None:
    answer = can_stop(WHOLE, "worker1")
    assert (answer.verdict, answer.reasons, answer.notes) == (Verdict.YES, (), ())


def test_every_group_with_a_daemon_has_a_rule() -> None:
    assert set(RULES) == {daemon.group for daemon in daemons.table().values()}


def test_groups_of_other_people_are_none_of_the_gates_business() -> None:
    groups = {**GROUPS, "connect1": frozenset({"kafka_connect", "all"})}
    assert can_stop(Snapshot(groups, units(groups), HDFS, KAFKA, SPARK), "connect1").verdict is Verdict.YES


def test_a_cluster_without_kafka_is_not_asked_about_it() -> None:
    groups = {host: members - {"kafka_broker", "kafka_controller"} for host, members in GROUPS.items()}
    assert can_stop(Snapshot(groups, units(groups), HDFS, None, SPARK), "worker1").verdict is Verdict.YES


@pytest.mark.parametrize("system", ["hdfs", "kafka", "spark"])
def test_a_system_that_did_not_answer_is_never_a_yes(system: str) -> None:
    snapshot = replace(WHOLE, **{system: Silent("Connection refused")})  # type: ignore[arg-type]
    answer = can_stop(snapshot, "worker1")
    assert answer.verdict is Verdict.UNKNOWN
    assert "did not answer (Connection refused)" in texts(answer)


def test_a_host_that_did_not_answer_is_never_a_yes() -> None:
    answer = can_stop(replace(WHOLE, units={**WHOLE.units, "worker1": Silent("No route to host")}), "worker1")
    assert answer.verdict is Verdict.UNKNOWN


def test_one_host_with_everything_may_restart_and_names_what_stands_still_meanwhile() -> None:
    groups = {"mini1": frozenset().union(*GROUPS.values())}
    one = (1,)
    mini = Snapshot(
        groups,
        units(groups),
        Hdfs((DataNode("mini1"),), (Placement(frozenset({"mini1"}), 1, blocks=9),), replication=1, blocks=9),
        Kafka((Broker(1, "mini1"),), (Partition("sales-0", 1, one, one, 1),), Quorum(1, (Voter(1, "mini1"),))),
        replace(SPARK, workers=(Worker("mini1", cores=3, cores_used=2),)),
    )
    answer = can_stop(mini, "mini1")
    assert answer.verdict is Verdict.BUT
    assert {reason.subject for reason in answer.reasons} >= {"HDFS", "sales-0", "quorum", "Spark", "pipeline"}
    removed = can_stop(mini, "mini1", Purpose.REMOVE)
    assert removed.verdict is Verdict.NO
    assert {reason.subject for reason in removed.reasons if reason.rule == "last"} == set(RULES) - {"spark_history"}


@pytest.mark.parametrize("unit", ["kafka", "hdfs-datanode"])
def test_a_daemon_that_runs_and_that_its_system_does_not_know_is_never_a_yes(unit: str) -> None:
    nodes = tuple(replace(node, host=f"{node.host}.example.org") for node in HDFS.datanodes)
    brokers = tuple(replace(broker, host=f"{broker.host}.example.org") for broker in KAFKA.brokers)
    snapshot = replace(WHOLE, hdfs=replace(HDFS, datanodes=nodes), kafka=replace(KAFKA, brokers=brokers))
    answer = can_stop(snapshot, "worker1", units={unit})
    assert answer.verdict is Verdict.UNKNOWN
    assert "by the name of worker1" in texts(answer)
    assert can_stop(with_unit(snapshot, "worker1", unit, DOWN), "worker1", units={unit}).verdict is Verdict.YES


def test_only_the_daemons_of_the_named_units_are_asked_about() -> None:
    assert can_stop(WHOLE, "master1", units={"kafka"}).verdict is Verdict.BUT
    assert can_stop(replace(WHOLE, hdfs=Silent("down")), "worker1", units={"kafka"}).verdict is Verdict.YES


# Kafka


def test_no_while_another_broker_is_down_and_the_last_copy_but_one_is_here() -> None:
    internal, two, one = (partition(name, (2, 3)) for name in ("__consumer_offsets-0", "sales-2", "sales-1"))
    snapshot = with_unit(with_partitions(internal, two, one), "master1", "kafka", DOWN)
    answer = can_stop(snapshot, "worker1", units={"kafka"})
    assert answer.verdict is Verdict.NO
    assert str(answer.reasons[0]) == (
        "stopping worker1 leaves sales-1 and 2 other partitions with 1 in-sync copy (2, 3 → 3); the producer needs 2. "
        "master1's broker does not run (inactive). "
        "Start it: `make ssh HOST=master1`, then `sudo systemctl start kafka`."
    )
    assert (answer.reasons[0].number, answer.reasons[0].bound) == (1, 2)


def test_wait_while_the_other_broker_is_catching_up_and_how_much_it_lacks() -> None:
    snapshot = with_partitions(partition("sales-2", (1, 2), sizes={1: 5_000_000, 3: 900_000}))
    answer = can_stop(snapshot, "worker1")
    assert answer.verdict is Verdict.WAIT
    assert "worker2's broker lacks 4.1 MB and is catching up." in texts(answer)


def test_wait_while_the_other_broker_is_starting() -> None:
    brokers = (*KAFKA.brokers[:2], replace(KAFKA.brokers[2], fenced=True))
    fenced = with_partitions(partition(isr=(1, 2)), brokers=brokers)
    assert can_stop(fenced, "worker1").verdict is Verdict.WAIT
    assert can_stop(with_unit(fenced, "worker2", "kafka", STARTING), "worker1").verdict is Verdict.WAIT


def test_no_while_the_other_copy_is_on_a_broker_that_is_gone_for_good() -> None:
    snapshot = with_partitions(partition(isr=(1, 2)), brokers=KAFKA.brokers[:2])
    answer = can_stop(snapshot, "worker1")
    assert answer.verdict is Verdict.NO
    assert "Broker 3 is not registered" in texts(answer)


def test_a_broker_that_was_just_killed_does_not_count_though_kafka_still_has_it_in_sync() -> None:
    snapshot = with_unit(WHOLE, "worker2", "kafka", DOWN)
    assert can_stop(snapshot, "worker1", units={"kafka"}).verdict is Verdict.NO


def test_unknown_while_the_copy_that_is_needed_is_on_a_host_that_does_not_answer() -> None:
    snapshot = replace(WHOLE, units={**WHOLE.units, "worker2": Silent("timed out")})
    assert can_stop(snapshot, "worker1", units={"kafka"}).verdict is Verdict.UNKNOWN


def test_a_broker_without_a_copy_in_sync_takes_nothing_away() -> None:
    snapshot = with_partitions(partition("sales-2", (1, 3)), partition("sales-1", ()))
    assert can_stop(snapshot, "worker1", units={"kafka"}).verdict is Verdict.YES


def test_what_lacks_copies_elsewhere_is_told_and_not_blamed() -> None:
    elsewhere = partition("other-0", (3,), replicas=(1, 3))
    answer = can_stop(with_partitions(partition(), elsewhere), "worker1", units={"kafka"})
    assert answer.verdict is Verdict.YES
    assert answer.notes == ("other-0 lacks in-sync copies.",)


def test_a_single_copy_does_not_block_for_ever() -> None:
    answer = can_stop(with_partitions(partition("sales-0", (2,), replicas=(2,), min_isr=1)), "worker1")
    assert answer.verdict is Verdict.BUT
    assert "takes no records until worker1 is back" in texts(answer)


def test_wait_while_a_partition_of_this_broker_is_being_reassigned() -> None:
    assert can_stop(with_partitions(partition(moving=(3,))), "worker1").verdict is Verdict.WAIT
    elsewhere = partition(replicas=(1, 3), isr=(1, 3), moving=(3,))
    assert can_stop(with_partitions(elsewhere), "worker1", units={"kafka"}).verdict is Verdict.YES


def test_wait_while_another_broker_recovers_even_if_enough_copies_are_left() -> None:
    brokers = (*KAFKA.brokers, Broker(4, "worker3", fenced=True))
    groups = {**GROUPS, "worker3": frozenset({"kafka_broker"})}
    wide = partition(replicas=(1, 2, 3, 4), isr=(1, 2, 3))
    snapshot = with_partitions(wide, brokers=brokers, snapshot=Snapshot(groups, units(groups), HDFS, KAFKA, SPARK))
    assert can_stop(snapshot, "worker1").verdict is Verdict.WAIT
    assert can_stop(with_unit(snapshot, "worker3", "kafka", DOWN), "worker1", units={"kafka"}).verdict is Verdict.YES


def test_a_broker_is_removed_only_when_others_can_take_its_copies_and_have_them() -> None:
    full = can_stop(WHOLE, "worker1", Purpose.REMOVE, {"kafka"})
    assert full.verdict is Verdict.NO
    assert "sales-0 and 2 other partitions have 3 copies, and 2 brokers would remain." in texts(full)
    narrow = with_partitions(partition(replicas=(2, 3), isr=(2, 3)))
    assert [reason.rule for reason in can_stop(narrow, "worker1", Purpose.REMOVE, {"kafka"}).reasons] == ["drain"]
    drained = with_partitions(partition(replicas=(1, 3), isr=(1, 3)))
    assert can_stop(drained, "worker1", Purpose.REMOVE, {"kafka"}).verdict is Verdict.YES
    heavy = with_partitions(
        partition(replicas=(2, 3), isr=(2, 3)),
        brokers=tuple(replace(broker, used=3 * GIB) for broker in KAFKA.brokers),
    )
    assert [r.rule for r in can_stop(heavy, "worker1", Purpose.REMOVE, {"kafka"}).reasons] == ["room on disks"]


def test_a_controller_stops_only_when_a_majority_that_has_caught_up_is_left() -> None:
    assert can_stop(quorum(0, 0, 0), "master2").verdict is Verdict.YES
    lagging = can_stop(quorum(0, 0, 30), "master2")
    assert lagging.verdict is Verdict.WAIT
    assert "leaves 1 of 3 controllers caught up; 2 are needed. master3's controller is 60 records behind" in texts(
        lagging
    )
    assert can_stop(with_unit(quorum(0, 0, 0), "master3", "kafka", DOWN), "master2").verdict is Verdict.NO
    assert can_stop(quorum(0, 0, 30), "master3").verdict is Verdict.YES  # it is the one that does not count


def test_the_active_controller_comes_last() -> None:
    snapshot = quorum(0, 0, 0, leader=2)
    assert sorted(snapshot.groups, key=lambda host: leads(snapshot, host)) == ["master1", "master3", "master2"]


def test_the_only_controller_may_restart_and_is_not_removed() -> None:
    assert can_stop(quorum(0), "master1").verdict is Verdict.BUT
    assert can_stop(quorum(0), "master1", Purpose.REMOVE).verdict is Verdict.NO


def test_no_even_quorum_remains() -> None:
    answer = can_stop(quorum(0, 0, 0), "master2", Purpose.REMOVE)
    assert answer.verdict is Verdict.NO
    assert "2 controllers would remain" in texts(answer)
    snapshot = quorum(0, 0, 0)  # of which two have left the group
    groups = {"master1": frozenset({"kafka_controller"}), "worker1": frozenset({"kafka_broker"})}
    left = replace(snapshot, groups=groups | dict.fromkeys(("master2", "master3"), frozenset()))
    assert can_stop(left, "master2", Purpose.REMOVE, {"kafka"}).verdict is Verdict.YES


def test_a_controller_that_does_not_vote_yet_is_missed_by_nobody() -> None:
    snapshot = quorum(0)
    groups = {**snapshot.groups, "master2": frozenset({"kafka_controller"})}
    joining = replace(snapshot, groups=groups, units=units(groups))
    assert can_stop(joining, "master2").verdict is Verdict.YES
    elsewhere = Kafka(quorum=Quorum(1, (Voter(1, "10.0.0.1"),)))  # known by an address: who is it?
    assert can_stop(replace(joining, kafka=elsewhere), "master2").verdict is Verdict.UNKNOWN


def test_what_leaves_is_asked_about_although_its_host_has_left_the_group() -> None:
    groups = {**GROUPS, "worker1": frozenset({"spark_worker"})}
    snapshot = Snapshot(groups, units(GROUPS), HDFS, KAFKA, SPARK)
    for unit in ("kafka", "hdfs-datanode"):
        assert can_stop(snapshot, "worker1", Purpose.REMOVE, {unit}).verdict is Verdict.NO
    assert can_stop(replace(snapshot, kafka=Silent("no route")), "worker1", Purpose.REMOVE, {"kafka"}).verdict is (
        Verdict.UNKNOWN
    )
    unknown = replace(snapshot, kafka=replace(KAFKA, brokers=KAFKA.brokers[2:]))
    assert can_stop(unknown, "worker1", Purpose.REMOVE, {"kafka"}).verdict is Verdict.YES
    nobody = replace(snapshot, groups={host: members - {"namenode"} for host, members in GROUPS.items()})
    assert "the names of all files are lost" in texts(can_stop(nobody, "master1", Purpose.REMOVE, {"hdfs-namenode"}))


@st.composite
def partitions(draw: st.DrawFn) -> Partition:
    replicas = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True)))
    isr = tuple(number for number in replicas if draw(st.booleans()))
    return Partition("t-0", -1, replicas, isr, draw(st.integers(1, 3)))


@given(
    found=st.lists(partitions(), max_size=4),
    down=st.lists(st.sampled_from(["master1", "worker1", "worker2"]), max_size=2),
    host=st.sampled_from(["master1", "worker1", "worker2"]),
)
def test_never_yes_when_a_partition_that_takes_records_would_stop_to(
    found: list[Partition], down: list[str], host: str
) -> None:
    snapshot = with_partitions(*found)
    for name in down:
        snapshot = with_unit(snapshot, name, "kafka", DOWN)
    running = {broker.id for broker in KAFKA.brokers if broker.host not in down}
    me = next(broker.id for broker in KAFKA.brokers if broker.host == host)

    def takes_records(one: Partition, serving: set[int]) -> bool:
        return len(set(one.isr) & serving) >= one.min_isr

    stops = any(takes_records(one, running) and not takes_records(one, running - {me}) for one in found)
    verdict = can_stop(snapshot, host, units={"kafka"}).verdict
    if stops:
        assert verdict is not Verdict.YES
    if stops and all(len(one.replicas) > one.min_isr for one in found):
        assert verdict in (Verdict.NO, Verdict.WAIT)


# HDFS


def test_no_while_the_other_datanode_is_down_and_wait_while_it_starts() -> None:
    down = can_stop(with_unit(WHOLE, "worker2", "hdfs-datanode", DOWN), "worker1", units={"hdfs-datanode"})
    assert down.verdict is Verdict.NO
    assert "leaves 30 blocks (for example of /data/input/january.csv) with no copy on a DataNode" in texts(down)
    assert "worker2's DataNode does not run" in texts(down)
    assert can_stop(with_unit(WHOLE, "worker2", "hdfs-datanode", STARTING), "worker1").verdict is Verdict.WAIT


def test_a_datanode_that_was_just_killed_does_not_count_though_the_namenode_takes_it_for_live() -> None:
    nodes = (HDFS.datanodes[0], replace(HDFS.datanodes[1], last_contact=25))
    answer = can_stop(with_hdfs(datanodes=nodes), "worker1")
    assert answer.verdict is Verdict.WAIT
    assert "has not heard of it for 25 s" in texts(answer)


def test_wait_while_hdfs_makes_the_copies_that_blocks_lack() -> None:
    alone = Placement(frozenset({"worker1"}), 2, blocks=4, example="/data/new")
    answer = can_stop(with_hdfs(placements=(SPREAD, alone)), "worker1")
    assert answer.verdict is Verdict.WAIT
    assert answer.reasons[0].number == 4
    assert can_stop(with_hdfs(placements=(alone,)), "worker2").verdict is Verdict.YES  # it has none of them


def test_files_with_one_copy_do_not_block_for_ever() -> None:
    single = Placement(frozenset({"worker1"}), 1, example="/tmp/one")
    answer = can_stop(with_hdfs(placements=(single,)), "worker1")
    assert answer.verdict is Verdict.BUT
    assert "1 block (of /tmp/one) of files with replication 1 cannot be read until worker1 is back." in texts(answer)


def test_files_that_are_written_to_this_datanode_alone_are_named() -> None:
    written = Placement(frozenset({"worker1"}), 2, open=True, example="/spark-events/app")
    answer = can_stop(with_hdfs(placements=(written,)), "worker1")
    assert answer.verdict is Verdict.BUT
    assert "/spark-events/app" in texts(answer)


def test_the_only_datanode_may_restart_and_is_not_removed() -> None:
    groups = {"mini1": frozenset({"datanode"})}
    mini = Snapshot(groups, units(groups), Hdfs((DataNode("mini1"),), (Placement(frozenset({"mini1"}), 1),)))
    assert can_stop(mini, "mini1").verdict is Verdict.BUT
    assert can_stop(mini, "mini1", Purpose.REMOVE).verdict is Verdict.NO


def test_a_datanode_is_removed_only_when_enough_remain_with_room_and_the_copies() -> None:
    few = can_stop(WHOLE, "worker1", Purpose.REMOVE, {"hdfs-datanode"})
    assert few.verdict is Verdict.NO
    assert "files ask for 2 copies and 1 DataNode would remain" in texts(few)
    groups = {**GROUPS, "worker3": frozenset({"datanode"})}
    three = Snapshot(groups, units(groups), replace(HDFS, datanodes=(*HDFS.datanodes, DataNode("worker3"))), KAFKA)
    assert [r.rule for r in can_stop(three, "worker1", Purpose.REMOVE, {"hdfs-datanode"}).reasons] == ["drain"]
    assert isinstance(three.hdfs, Hdfs)
    gone = replace(three.hdfs.datanodes[0], state="Decommissioned")
    moving = replace(gone, state="Decommission In Progress")
    draining = replace(three, hdfs=replace(three.hdfs, datanodes=(moving, *three.hdfs.datanodes[1:])))
    assert can_stop(draining, "worker1", Purpose.REMOVE, {"hdfs-datanode"}).verdict is Verdict.WAIT
    drained = replace(three, hdfs=replace(three.hdfs, datanodes=(gone, *three.hdfs.datanodes[1:])))
    assert can_stop(drained, "worker1", Purpose.REMOVE, {"hdfs-datanode"}).verdict is Verdict.YES
    small = tuple(replace(node, used=20 * GIB) for node in three.hdfs.datanodes)
    heavy = replace(three, hdfs=replace(three.hdfs, datanodes=small))
    assert [r.rule for r in can_stop(heavy, "worker1", Purpose.REMOVE, {"hdfs-datanode"}).reasons] == ["room on disks"]


def test_the_only_namenode_may_restart_unless_it_would_stay_in_safe_mode() -> None:
    assert can_stop(WHOLE, "master1", units={"hdfs-namenode"}).verdict is Verdict.BUT
    both = with_unit(with_unit(WHOLE, "worker1", "hdfs-datanode", DOWN), "worker2", "hdfs-datanode", DOWN)
    stuck = can_stop(both, "master1", units={"hdfs-namenode"})
    assert stuck.verdict is Verdict.NO
    assert "30 blocks of 30 on no DataNode that answers" in texts(stuck)
    starting = with_unit(both, "worker1", "hdfs-datanode", STARTING)
    assert can_stop(starting, "master1", units={"hdfs-namenode"}).verdict is Verdict.WAIT
    lost = with_hdfs(placements=(SPREAD, Placement(frozenset(), 2, blocks=3, example="/data/lost")))
    assert "fsck / -list-corruptfileblocks" in texts(can_stop(lost, "master1", units={"hdfs-namenode"}))
    assert can_stop(WHOLE, "master1", Purpose.REMOVE, {"hdfs-namenode"}).verdict is Verdict.NO


FSCK = """\
Connecting to namenode via http://master1:9870/fsck?ugi=hdfs&files=1&path=%2F
FSCK started by hdfs (auth:SIMPLE) from /192.168.56.11 for path / at Thu Nov 26 23:00:00 UTC 2026

/ <dir>
/data/input/a, b.csv 12 bytes, replicated: replication=2, 1 block(s):  OK
0. BP-1-192.168.56.11-1:blk_1073741825_1001 len=12 Live_repl=2  \
[DatanodeInfoWithStorage[192.168.56.12:9866,DS-1,DISK], DatanodeInfoWithStorage[192.168.56.13:9866,DS-2,DISK]]

/data/output/.snapshot/s1/a.parquet 12 bytes, replicated: replication=2, 1 block(s):  OK
0. BP-1-192.168.56.11-1:blk_1073741825_1001 len=12 Live_repl=2  \
[DatanodeInfoWithStorage[192.168.56.12:9866,DS-1,DISK], DatanodeInfoWithStorage[192.168.56.13:9866,DS-2,DISK]]

 Total files:	2
FSCK ended at Thu Nov 26 23:00:01 UTC 2026 in 12 milliseconds


The filesystem under path '/' is HEALTHY
"""
NODES = [
    {"host": "worker1", "address": "192.168.56.12:9866"},
    {"host": "worker2", "address": "192.168.56.13:9866"},
]


def test_fsck_is_counted_by_hosts_and_a_block_that_snapshots_share_once() -> None:
    assert ask.placements(FSCK.splitlines(keepends=True), NODES) == [
        {
            "holders": ("worker1", "worker2"),
            "copies": 2,
            "open": False,
            "blocks": 1,
            "example": "/data/input/a, b.csv",
        }
    ]


def test_half_a_report_of_fsck_is_none() -> None:
    half = FSCK.splitlines(keepends=True)[:5]
    with pytest.raises(ValueError, match="fsck ended early"):
        ask.placements([*half, "Fsck on path '/' FAILED\n"], NODES)
    with pytest.raises(ValueError, match="fsck ended early"):
        ask.placements([], NODES)


# Spark and the edge host


def test_what_runs_on_a_worker_waits_when_the_others_have_no_room() -> None:
    full = replace(SPARK, workers=tuple(replace(worker, cores_used=3) for worker in SPARK.workers))
    answer = can_stop(replace(WHOLE, spark=full), "worker1")
    assert answer.verdict is Verdict.BUT
    assert "applications use 3 cores and 512 MiB on worker1" in texts(answer)
    large = replace(SPARK, workers=tuple(replace(worker, memory_used=1200) for worker in SPARK.workers))
    assert can_stop(replace(WHOLE, spark=large), "worker1").verdict is Verdict.BUT


def test_the_only_spark_master_interrupts_the_applications_that_run() -> None:
    answer = can_stop(WHOLE, "master1", units={"spark-master"})
    assert answer.verdict is Verdict.BUT
    assert "retail-streaming" in texts(answer)
    assert can_stop(WHOLE, "master1", Purpose.REMOVE, {"spark-master"}).verdict is Verdict.NO


def test_a_worker_is_not_removed_when_the_rest_is_too_small_for_what_runs() -> None:
    busy = replace(SPARK, applications=(Application("big", 5),))
    answer = can_stop(replace(WHOLE, spark=busy), "worker1", Purpose.REMOVE, {"spark-worker"})
    assert answer.verdict is Verdict.NO
    assert "big runs with 5 cores, and the other workers have 3." in texts(answer)


def test_the_edge_host_pauses_what_runs_there_by_name() -> None:
    answer = can_stop(WHOLE, "edge1")
    assert answer.verdict is Verdict.BUT
    assert "the stream pauses" in texts(answer) and "batch" not in texts(answer)
    one = can_stop(WHOLE, "edge1", units={"retail-dashboard"})
    assert "the dashboard is away" in texts(one) and "the stream" not in texts(one)
    with_batch = with_unit(WHOLE, "edge1", "retail-batch", STARTING)
    assert "the batch that runs breaks off" in texts(can_stop(with_batch, "edge1"))
    assert can_stop(WHOLE, "edge1", Purpose.REMOVE).verdict is Verdict.NO


# Settled


@pytest.mark.parametrize("host", GROUPS)
def test_all_units_of_a_whole_cluster_have_settled(host: str) -> None:
    known = WHOLE.units[host]
    assert not isinstance(known, Silent)
    assert [settled(WHOLE, host, unit).lacks for unit in known] == [()] * len(known)


def test_a_unit_that_starts_is_waited_for_and_one_that_failed_is_not() -> None:
    assert settled(with_unit(WHOLE, "worker1", "kafka", STARTING), "worker1", "kafka.service").verdict is Verdict.WAIT
    failed = UnitState(active=False, state="failed (exit-code 1)")
    answer = settled(with_unit(WHOLE, "worker1", "kafka", failed), "worker1", "kafka")
    assert answer.verdict is Verdict.NO
    assert "journalctl -u kafka" in str(answer.lacks[0])


def test_a_broker_has_settled_when_it_is_unfenced_and_in_sync_everywhere() -> None:
    assert settled(with_partitions(partition(isr=(1, 3))), "worker1", "kafka").verdict is Verdict.WAIT
    assert settled(with_partitions(partition(isr=(1, 2))), "worker1", "kafka").verdict is Verdict.YES
    brokers = (KAFKA.brokers[0], replace(KAFKA.brokers[1], fenced=True), KAFKA.brokers[2])
    assert settled(with_partitions(brokers=brokers), "worker1", "kafka").verdict is Verdict.WAIT
    assert settled(with_partitions(brokers=KAFKA.brokers[:1]), "worker1", "kafka").verdict is Verdict.WAIT


def test_a_controller_has_settled_when_it_has_caught_up_with_an_active_one() -> None:
    assert settled(quorum(0, 0, 0), "master2", "kafka").verdict is Verdict.YES
    assert settled(quorum(0, 9, 0), "master2", "kafka").verdict is Verdict.WAIT
    assert settled(quorum(0, 0, 0, leader=-1), "master2", "kafka").verdict is Verdict.WAIT
    three = quorum(0, 0, 0)
    for name in ("master2", ""):  # of a follower that is no broker, only the number is known
        for lag, verdict in ((0, Verdict.YES), (9, Verdict.WAIT)):
            follows = Quorum(1, (Voter(1, "master1"),), (Voter(2, name, lag=lag),))
            assert settled(replace(three, kafka=Kafka(quorum=follows)), "master2", "kafka").verdict is verdict
    alone = replace(three, kafka=Kafka(quorum=Quorum(1, (Voter(1, "master1"),))))
    assert settled(alone, "master2", "kafka").verdict is Verdict.WAIT


def test_a_namenode_has_settled_out_of_safe_mode_with_its_datanodes_and_their_reports() -> None:
    for changes in (
        {"safe_mode": "Safe mode is ON."},
        {"datanodes": HDFS.datanodes[:1]},
        {"stale_storages": 1},
        {"missing": 2},
    ):
        assert settled(with_hdfs(**changes), "master1", "hdfs-namenode").verdict is Verdict.WAIT, changes
    assert settled(with_hdfs(missing=2), "master1", "hdfs-namenode", with_hdfs(missing=2)).verdict is Verdict.YES
    one_down = with_unit(with_hdfs(datanodes=HDFS.datanodes[:1]), "worker2", "hdfs-datanode", DOWN)
    assert settled(one_down, "master1", "hdfs-namenode").verdict is Verdict.YES


def test_a_datanode_has_settled_when_it_was_heard_since_it_started_and_no_copy_lacks() -> None:
    wide = replace(SPREAD, copies=3)  # than which there are fewer DataNodes
    assert settled(with_hdfs(placements=(wide,), under_replicated=30), "worker1", "hdfs-datanode").lacks == ()
    single = replace(SPREAD, holders=frozenset({"worker2"}))
    assert settled(with_hdfs(placements=(single,)), "worker1", "hdfs-datanode").lacks[0].number == 30
    young = with_unit(WHOLE, "worker1", "hdfs-datanode", UnitState(active=True, age=2))
    assert settled(young, "worker1", "hdfs-datanode").verdict is Verdict.YES
    nodes = (replace(HDFS.datanodes[0], last_contact=5), HDFS.datanodes[1])
    assert settled(with_hdfs(young, datanodes=nodes), "worker1", "hdfs-datanode").verdict is Verdict.WAIT
    starting = with_hdfs(safe_mode="Safe mode is ON.", placements=None)  # it has no idea yet what lacks
    assert settled(starting, "worker1", "hdfs-datanode").verdict is Verdict.WAIT
    lacking = with_hdfs(under_replicated=4, placements=None)
    assert settled(lacking, "worker1", "hdfs-datanode").verdict is Verdict.WAIT
    assert settled(lacking, "worker1", "hdfs-datanode", before=lacking).verdict is Verdict.YES


def test_a_whole_cluster_lacks_nothing_and_one_with_a_broker_down_says_so_once() -> None:
    assert lacks(WHOLE) == lacks(with_hdfs(under_replicated=4, placements=None)) == []
    (said,) = lacks(with_unit(WHOLE, "worker1", "kafka", DOWN), ["kafka_broker"])
    assert "kafka on worker1 does not run (inactive)" in said


def test_a_spark_master_has_settled_with_its_workers_and_a_worker_when_it_is_alive() -> None:
    one = replace(SPARK, workers=(replace(SPARK.workers[0], state="DEAD"), SPARK.workers[1]))
    snapshot = replace(WHOLE, spark=one)
    assert settled(snapshot, "master1", "spark-master").verdict is Verdict.WAIT
    assert settled(snapshot, "worker1", "spark-worker").verdict is Verdict.WAIT
    assert settled(snapshot, "worker2", "spark-worker").verdict is Verdict.YES
    recovering = replace(WHOLE, spark=replace(SPARK, state="RECOVERING"))
    assert settled(recovering, "master1", "spark-master").verdict is Verdict.WAIT


@pytest.mark.parametrize(("host", "unit"), [("worker1", "kafka"), ("worker1", "hdfs-datanode"), ("master1", "kafka")])
def test_nothing_has_settled_of_which_nobody_knows(host: str, unit: str) -> None:
    silent = replace(WHOLE, hdfs=Silent("down"), kafka=Silent("down"))
    assert settled(silent, host, unit).verdict is Verdict.UNKNOWN
    assert settled(replace(WHOLE, units={host: Silent("down")}), host, unit).verdict is Verdict.UNKNOWN
