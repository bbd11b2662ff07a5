"""Plans of verbs, from made snapshots; tests/test_day_two.py carries them out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tools import daemons
from tools.cluster import Cluster
from tools.health import lock
from tools.health.snapshot import Quorum, Silent, UnitState, Voter
from tools.terminal import Problem
from tools.tests.test_health import GROUPS, KAFKA, WHOLE, with_unit
from tools.verbs import plan, restart

HOSTS = list(GROUPS)


def test_every_daemon_can_be_restarted() -> None:
    assert set(restart.services()) == {daemon.unit for daemon in daemons.table().values() if not daemon.timer}


def test_only_what_a_host_runs_is_restarted_there() -> None:
    steps = plan.restart_plan(WHOLE, ["worker1"], restart.services())
    assert [step.unit for step in steps] == ["hdfs-datanode", "kafka", "spark-worker"]


def test_what_somebody_has_stopped_is_not_started_and_what_failed_is() -> None:
    def restarted(state: str) -> list[str]:
        snapshot = with_unit(WHOLE, "worker1", "kafka", UnitState(active=False, state=state))
        return [step.unit for step in plan.restart_plan(snapshot, ["worker1"], restart.services())]

    assert restarted("inactive") == ["hdfs-datanode", "spark-worker"]
    assert restarted("failed (exit-code 1)") == ["hdfs-datanode", "kafka", "spark-worker"]


def test_the_active_controller_goes_last() -> None:
    voters = tuple(Voter(number, host) for number, host in enumerate(("master1", "worker1", "worker2"), 1))
    snapshot = replace(WHOLE, kafka=replace(KAFKA, quorum=Quorum(2, voters)))
    steps = plan.restart_plan(snapshot, HOSTS, ["kafka"])
    assert [step.host for step in steps] == ["master1", "worker2", "worker1"]


def test_one_word_means_all_daemons_of_a_product() -> None:
    assert plan.chosen("hdfs", restart.services(), "service") == ["hdfs-datanode", "hdfs-namenode"]


def test_a_misspelt_name_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(Problem, match="Did you mean worker1"):
        plan.chosen("worker11", HOSTS, "host")


def test_a_plan_with_a_no_touches_nothing() -> None:
    steps = plan.restart_plan(replace(WHOLE, kafka=Silent("worker1: no answer")), HOSTS, ["kafka"])
    with pytest.raises(Problem, match="kafka on master1 may not stop: UNKNOWN"):
        plan.refuse(steps)


def test_without_a_terminal_and_without_yes_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123 - it ends with the process
    with pytest.raises(Problem, match="YES=1"):
        plan.confirm(yes=False)
    plan.confirm(yes=True)


def test_what_was_interrupted_goes_on_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "NOTED", tmp_path)
    cluster = Cluster({}, {})
    assert plan.begun_at(cluster, "make restart") is None
    plan.begin(cluster, "make restart")
    begun = plan.begun_at(cluster, "make restart")
    assert begun
    plan.begun(cluster).write_text(json.dumps({"verb": "make restart", "since": begun - 60}))
    plan.begin(cluster, "make restart")
    assert plan.begun_at(cluster, "make restart") == begun - 60
    assert plan.begun_at(cluster, "make restart SERVICE=kafka") is None
    plan.begun(cluster).write_text(json.dumps({"verb": "make restart", "since": begun - 4000}))
    assert plan.begun_at(cluster, "make restart") is None
