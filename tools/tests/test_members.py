"""What `make add`, `make remove` and `make replace` would do, from made snapshots; tests/test_members.py does it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.__main__ import without
from plugins.action.gate import draining
from plugins.modules.hdfs_hosts import parse, wanted, written
from plugins.modules.kafka_moves import split
from tools.cluster import Cluster, Host
from tools.health.gate import removal
from tools.health.snapshot import Broker, DataNode, Hdfs, Placement, Quorum, Silent, Snapshot, Voter
from tools.health.verdicts import Verdict
from tools.terminal import Problem
from tools.tests.test_health import GIB, GROUPS, HDFS, KAFKA, SPARK, SPREAD, partition, units
from tools.verbs import add, members, remove
from tools.verbs import replace as verb

FIVE = {**GROUPS, "worker3": frozenset({"datanode", "kafka_broker", "spark_worker"})}
BROKERS = (*KAFKA.brokers, Broker(4, "worker3", room=GIB))
SPREAD_OUT = tuple(partition(f"sales-{number}", (1, 2, 4), replicas=(1, 2, 4), sizes={4: 500}) for number in range(3))
SOME = Placement(frozenset({"worker1", "worker3"}), 2, blocks=8, example="/data/input/may.csv")
GROWN = Snapshot(
    FIVE,
    units(FIVE),
    replace(
        HDFS,
        datanodes=(*HDFS.datanodes, DataNode("worker3", blocks=8, remaining=9 * GIB)),
        placements=(SPREAD, SOME),
    ),
    replace(KAFKA, brokers=BROKERS, partitions=SPREAD_OUT),
    SPARK,
)
CLUSTER = Cluster(
    {host: Host(host, {"node_id": number}) for number, host in enumerate(FIVE, 1)},
    {group: [host for host, groups in FIVE.items() if group in groups] for group in set().union(*FIVE.values())},
)


def texts(steps: list[members.Step]) -> str:
    return "; ".join(f"{step.what}: {step.meanwhile}" for step in steps)


def silent(snapshot: Snapshot, host: str) -> Snapshot:
    return replace(snapshot, units={**snapshot.units, host: Silent("no route to host")})


# The hosts file of HDFS


def test_new_datanodes_are_let_in_and_a_decommissioning_under_way_goes_on() -> None:
    found = {"worker1": "DECOMMISSIONED", "worker2": "NORMAL"}
    assert wanted(found, ["worker1", "worker2", "worker3"], {}) == {
        "worker1": "DECOMMISSIONED",
        "worker2": "NORMAL",
        "worker3": "NORMAL",
    }


def test_a_host_that_left_the_inventory_is_decommissioned_and_not_shut_out_with_its_blocks() -> None:
    assert wanted({"worker1": "NORMAL", "worker3": "NORMAL"}, ["worker1"], {})["worker3"] == "DECOMMISSIONED"


def test_a_verb_decommissions_takes_back_and_strikes_off() -> None:
    found = {"worker1": "NORMAL", "worker2": "DECOMMISSIONED", "worker3": "DECOMMISSIONED"}
    states = {"worker1": "DECOMMISSIONED", "worker2": "NORMAL", "worker3": "absent"}
    assert wanted(found, list(found), states) == {"worker1": "DECOMMISSIONED", "worker2": "NORMAL"}


def test_a_second_deployment_finds_the_file_as_it_is() -> None:
    text = written(wanted({}, ["worker2", "worker1"], {}))
    assert written(wanted(parse(text), ["worker1", "worker2"], {})) == text
    assert parse("") == {}


def test_a_topic_may_have_hyphens() -> None:
    assert split("daily-sales-12") == ("daily-sales", 12)


# Remove


def test_a_host_that_has_data_is_drained_before_it_stops() -> None:
    reasons = list(removal(GROWN, "worker3").reasons)
    assert {reason.rule for reason in reasons} == {"drain"}
    said = texts(remove.steps(GROWN, "worker3", remove.plan(GROWN, "worker3"), reasons))
    assert "8 blocks are copied" in said and "3 partitions move with 1.5 kB" in said
    order = ["decommission", "cordon", "drain the Spark worker", "stop hdfs-datanode, kafka, spark-worker", "forget"]
    assert [said.index(word) for word in order] == sorted(said.index(word) for word in order)


def test_what_moves_is_waited_for_and_a_no_is_a_no() -> None:
    assert {reason.verdict for reason in draining(GROWN, "worker3", ["kafka", "hdfs-datanode"])} == {Verdict.WAIT}
    assert isinstance(GROWN.hdfs, Hdfs)
    more = replace(GROWN, hdfs=replace(GROWN.hdfs, replication=3))
    assert Verdict.NO in {reason.verdict for reason in draining(more, "worker3", ["kafka", "hdfs-datanode"])}


def test_blocks_that_the_others_have_are_not_waited_for() -> None:
    (drain,) = (one for one in removal(GROWN, "worker3", ["hdfs-datanode"]).reasons if one.rule == "drain")
    assert (drain.number, drain.bound) == (8, 0)
    there = replace(SOME, holders=frozenset({"worker1", "worker2", "worker3"}))
    assert isinstance(GROWN.hdfs, Hdfs)
    copied = replace(GROWN, hdfs=replace(GROWN.hdfs, placements=(SPREAD, there)))
    (drain,) = (one for one in removal(copied, "worker3", ["hdfs-datanode"]).reasons if one.rule == "drain")
    assert drain.number == 0


def test_fewer_datanodes_than_copies_and_fewer_brokers_are_refused() -> None:
    with pytest.raises(Problem, match="files ask for 2 copies and 1 DataNode would remain"):
        small = replace(GROWN, hdfs=HDFS)
        members.refuse("worker1", "removed", [r for r in removal(small, "worker1").reasons if r.rule != "drain"])
    with pytest.raises(Problem, match="3 copies, and 2 brokers would remain"):
        few = replace(GROWN, kafka=KAFKA)
        members.refuse("worker1", "removed", [r for r in removal(few, "worker1").reasons if r.rule != "drain"])


def test_the_last_copy_is_not_removed_with_its_host() -> None:
    alone = partition("alone-0", (4,), replicas=(4,))
    with pytest.raises(Problem, match="alone-0 has an in-sync copy nowhere else"):
        remove.plan(
            silent(replace(GROWN, kafka=replace(KAFKA, brokers=BROKERS, partitions=(alone,))), "worker3"), "worker3"
        )


def test_the_only_copy_of_a_broker_that_runs_moves_like_any_other() -> None:
    alone = partition("alone-0", (4,), replicas=(4,))
    grown = replace(GROWN, kafka=replace(KAFKA, brokers=BROKERS, partitions=(alone,)))
    assert remove.plan(grown, "worker3") == {"alone-0": (1,)}


def test_a_dead_host_is_forgotten_when_the_others_have_its_copies() -> None:
    brokers = (*KAFKA.brokers, Broker(4, "worker3", fenced=True))
    left = tuple(replace(one, isr=(1, 2)) for one in SPREAD_OUT)
    dead = silent(replace(GROWN, kafka=replace(KAFKA, brokers=brokers, partitions=left), hdfs=HDFS), "worker3")
    reasons = list(removal(dead, "worker3").reasons)
    members.refuse("worker3", "removed", [reason for reason in reasons if reason.rule != "drain"])
    said = texts(remove.steps(dead, "worker3", remove.plan(dead, "worker3"), reasons))
    assert "stop" not in said and "3 partitions move" in said and "forget worker3" in said
    assert remove.words_of(CLUSTER, dead, "worker3", {})["present"] == []


def test_no_even_number_of_controllers_remains() -> None:
    groups = {f"control{number}": frozenset({"kafka_controller"}) for number in (1, 2, 3)}
    voters = tuple(Voter(number, host) for number, host in enumerate(groups, 1))
    snapshot = Snapshot(groups, units(groups), kafka=replace(KAFKA, quorum=Quorum(1, voters)))
    with pytest.raises(Problem, match="2 controllers would remain"):
        members.refuse("control2", "removed", removal(snapshot, "control2").reasons)


@pytest.mark.parametrize("host", ["master1", "edge1"])
def test_hosts_that_are_one_of_a_kind_are_refused(host: str) -> None:
    with pytest.raises(Problem, match="one host that cannot be swapped"):
        members.refuse_one_of_a_kind(GROWN, host, "remove")


def test_a_removal_asks_for_the_name_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123 - it ends with the process
    remove.typed("lab", "lab")
    with pytest.raises(Problem, match="NAME=lab"):
        remove.typed("lab", "")
    with pytest.raises(Problem, match="NAME=mini is not it"):
        remove.typed("lab", "mini")


def test_a_misspelt_host_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Problem, match="Did you mean worker3"):
        members.one(CLUSTER, "wroker3", "remove")
    with pytest.raises(Problem, match="make remove HOST=worker3"):
        members.one(CLUSTER, "", "remove")


# Add


def test_a_host_that_is_not_in_the_inventory_is_told_how_it_gets_there() -> None:
    with pytest.raises(Problem, match="only list of hosts: write it there first"):
        add.known(CLUSTER, "worker9")


def test_a_host_that_does_not_answer_is_not_deployed() -> None:
    with pytest.raises(Problem, match="worker3 does not answer"):
        add.refuse_silence(silent(GROWN, "worker3"), "worker3")


def test_a_new_broker_gets_its_share_and_it_is_said_what_restarts() -> None:
    new = replace(GROWN, kafka=replace(KAFKA, partitions=tuple(partition(f"sales-{n}") for n in range(8))))
    planned = add.plan(new, "worker3", 4)
    assert len(planned) == 6
    said = texts(add.steps(new, "worker3", planned))
    assert "a DataNode and as a broker and as a Spark worker" in said and "jobs restart once" in said
    words = add.words_of(CLUSTER, new, "worker3", planned)
    assert words["helper"] == "master1" and set(words["moves"]) == set(planned)


def test_a_host_without_a_broker_moves_no_partitions() -> None:
    plain = replace(GROWN, groups={**FIVE, "worker3": frozenset({"datanode"})})
    assert add.plan(plain, "worker3", 0) == {}
    assert "restart" not in texts(add.steps(plain, "worker3", {}))


# Replace


def test_what_only_the_lost_host_had_is_not_given_up_in_silence() -> None:
    gone = replace(GROWN, hdfs=replace(HDFS, missing=3), kafka=replace(KAFKA, partitions=(partition("a-0", (2,)),)))
    with pytest.raises(Problem, match="3 blocks of HDFS have no copy") as raised:
        members.refuse("worker1", "replaced", verb.losses(gone, "worker1"))
    assert "a-0 (1 in all) was in sync on worker1 only" in str(raised.value)
    assert verb.losses(GROWN, "worker1") == []


def test_blocks_that_the_namenode_still_takes_to_be_on_the_lost_host_are_lost() -> None:
    alone = Placement(frozenset({"worker1"}), 1, blocks=2, example="/tmp/single")
    snapshot = replace(GROWN, hdfs=replace(HDFS, placements=(SPREAD, alone)))
    with pytest.raises(Problem, match="2 blocks of HDFS have no copy"):
        members.refuse("worker1", "replaced", verb.losses(snapshot, "worker1"))
    assert "HDFS makes 32 copies" in texts(verb.steps(snapshot, "worker1"))


def test_disks_with_what_is_nowhere_else_are_not_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "gather", lambda _: GROWN)
    verb.may_be_deleted(CLUSTER, "worker1")
    with pytest.raises(Problem, match="cannot be swapped"):
        verb.may_be_deleted(CLUSTER, "master1")
    alone = Placement(frozenset({"worker1"}), 2, blocks=1, example="/tmp/fresh")
    monkeypatch.setattr(verb, "gather", lambda _: replace(GROWN, hdfs=replace(HDFS, placements=(SPREAD, alone))))
    with pytest.raises(Problem, match=r"worker1 was not deleted: 1 block .* FORCE=1"):
        verb.may_be_deleted(CLUSTER, "worker1")
    log = replace(alone, open=True, example="/spark-events/app")
    monkeypatch.setattr(verb, "gather", lambda _: replace(GROWN, hdfs=replace(HDFS, placements=(SPREAD, log))))
    with pytest.raises(Problem, match=r"/spark-events/app .* is being written, .* `make restart SERVICE=retail-"):
        verb.may_be_deleted(CLUSTER, "worker1")


def test_a_lost_controller_is_taken_out_of_the_quorum_first() -> None:
    voters = (Voter(1, "master1"), Voter(2, "worker1"), Voter(3, "worker2"))
    snapshot = replace(GROWN, kafka=replace(KAFKA, quorum=Quorum(1, voters)))
    assert "controller out of the quorum" in verb.steps(snapshot, "worker1")[0].what
    assert "quorum" not in texts(verb.steps(GROWN, "worker1"))


def test_a_lab_without_a_host_keeps_the_others_as_they_are() -> None:
    lab = {"hosts": [{"name": "a"}, {"name": "b"}], "publish": {"ui": {"host": "b"}}, "name": "lab"}
    assert without(lab, "b") == {"hosts": [{"name": "a"}], "publish": {}, "name": "lab"}
    with pytest.raises(Problem, match="no host 'c'"):
        without(lab, "c")
