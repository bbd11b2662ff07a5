"""The guides of docs/labs, typed as a student types them: what they show comes out, and the cluster is as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import wait_for
from tests.conftest import Cluster
from tests.labs import ROOT
from tests.pages import run_page
from tests.test_cluster import HOSTS, all_units_run, grows, windows
from tools.artefacts import __main__ as artefacts
from tools.artefacts.products import Checkout
from tools.drills import guards
from tools.guides import FOLDER, names

_, OLD_HADOOP = Checkout.at(ROOT).versions("hadoop")
LONG = ("partitions", "quality", "exactly-once", "hdfs", "upgrade")
GUIDES = [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in names()]
LISTED = {
    "homes": "hdfs dfs -ls -R /user/ops",
    "input": "hdfs dfs -ls -R -C /data/input",
    "days": "hdfs dfs -ls -C /data/output/analysis_parquet",
    "topics": "kafka-topics --bootstrap-server master1:9092 --list",
    "groups": "kafka-consumer-groups --bootstrap-server master1:9092 --list | grep -v ^console-consumer- || true",
    "files of ops": "ls",
    "versions": "realpath /opt/*",
}


def state(cluster: Cluster) -> dict[str, str]:
    """What a guide that cleans up leaves as it was."""
    return {name: cluster.ssh("edge1", command).output for name, command in LISTED.items()}


@pytest.fixture(scope="module")
def as_before(cluster: Cluster) -> Iterator[None]:
    """After the last guide, the cluster is as it was: files, topics, settings, units, and a stream that goes on."""
    before, facts = state(cluster), guards.facts(cluster.hosts)
    yield
    assert state(cluster) == before
    assert guards.differences(facts, facts, guards.facts(cluster.hosts), ("stream application",)) == []
    wait_for("all units run", lambda: all(all_units_run(cluster, host) for host in HOSTS))
    seen = wait_for("the dashboard has live windows", lambda: windows(cluster))
    wait_for("live windows grow", lambda: grows(cluster, seen))


@pytest.mark.parametrize("name", GUIDES)
def test_a_student_who_types_the_guide_sees_what_it_shows_and_leaves_the_cluster_as_it_was(
    cluster: Cluster, packages: Path, own_hosts: Path, as_before: None, name: str
) -> None:
    if name == "upgrade":  # the user's make packs that archive, and the user's proxy does not answer
        checkout = Checkout.at(cluster.checkout)
        artefacts.fetch(checkout, checkout.chosen({("hadoop", OLD_HADOOP)}), checkout.locked())
    run_page(cluster, FOLDER / f"{name}.md", own_hosts, packages)
