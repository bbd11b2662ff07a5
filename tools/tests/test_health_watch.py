from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tools import ROOT
from tools.cluster import Cluster, Host
from tools.health import watch
from tools.health.gate import Settled
from tools.health.snapshot import Hdfs, Snapshot, UnitState
from tools.health.verdicts import Verdict
from tools.tests.test_health import DOWN, GROUPS, HDFS, STARTING, WHOLE, partition, with_partitions, with_unit

LAB = Cluster(
    {host: Host(host) for host in GROUPS},
    {group: [host for host in GROUPS if group in GROUPS[host]] for group in frozenset().union(*GROUPS.values())},
)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Snapshot]:
    """What is seen at each look, to be filled by the test; the last one stays."""
    snapshots: list[Snapshot] = []

    def look(_cluster: Cluster, *, systems: object = (), blocks: bool = True) -> Snapshot:
        found = snapshots.pop(0) if len(snapshots) > 1 else snapshots[0]
        assert isinstance(found.hdfs, Hdfs)
        return found if blocks else replace(found, hdfs=replace(found.hdfs, placements=None))

    monkeypatch.setattr(watch, "gather", look)
    monkeypatch.setattr(watch, "TREND_SECONDS", 0)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)
    return snapshots


def verdicts(looks: Iterator[list[Settled]]) -> list[Verdict]:
    return [found[0].verdict for found in looks]


def test_what_heals_is_looked_at_twice_and_knows_how_it_was(seen: list[Snapshot]) -> None:
    many = with_partitions(partition("sales-0", (2,), replicas=(1, 2, 3)))
    seen += [many, with_partitions(partition("sales-0", (2, 3)))]
    answer = watch.may_stop_now(LAB, "worker1")
    assert (answer.reasons[0].was, answer.reasons[0].number) == (0, 1)
    seen[:] = [many, WHOLE]
    assert watch.may_stop_now(LAB, "worker1").verdict is Verdict.YES


def test_it_ends_when_the_unit_has_settled(seen: list[Snapshot]) -> None:
    seen += [with_unit(WHOLE, "worker1", "kafka", STARTING), with_partitions(partition(isr=(1, 3))), WHOLE]
    looks = verdicts(watch.settling(LAB, "worker1", ["kafka.service"], seconds=60))
    assert looks == [Verdict.WAIT, Verdict.WAIT, Verdict.YES]


def test_it_ends_at_once_when_the_unit_does_not_come_by_itself_and_when_the_time_is_over(seen: list[Snapshot]) -> None:
    seen += [with_unit(WHOLE, "worker1", "kafka", STARTING), with_unit(WHOLE, "worker1", "kafka", DOWN)]
    assert verdicts(watch.settling(LAB, "worker1", ["kafka"], seconds=60)) == [Verdict.WAIT, Verdict.NO]
    seen[:] = [with_unit(WHOLE, "worker1", "kafka", STARTING)]
    assert verdicts(watch.settling(LAB, "worker1", ["kafka"], seconds=0)) == [Verdict.WAIT]


def test_blocks_are_asked_for_when_copies_are_all_that_lacks(seen: list[Snapshot]) -> None:
    assert HDFS.placements
    # More copies than there are DataNodes: the NameNode counts them as lacking for ever.
    wide = replace(HDFS, under_replicated=30, placements=(replace(HDFS.placements[0], copies=3),))
    seen += [replace(with_unit(WHOLE, "worker1", "hdfs-datanode", UnitState(active=True, age=60)), hdfs=wide)]
    assert verdicts(watch.settling(LAB, "worker1", ["hdfs-datanode"], seconds=0)) == [Verdict.WAIT, Verdict.YES]


def test_an_unknown_host_or_unit_is_refused_with_the_nearest_name() -> None:
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "tools.health", "-i", "inventories/lab", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == Verdict.UNKNOWN.exit_code
        return done.stderr

    assert "There is no host 'wroker1'. Did you mean worker1?" in said("can-stop", "wroker1")
    assert "There is no unit 'kafak'. Did you mean kafka?" in said("settled", "worker1", "kafak")
