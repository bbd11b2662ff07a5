from __future__ import annotations

import pytest

from tests.commands import wait_for
from tests.conftest import Cluster
from tests.test_cluster import UNITS, all_units_run
from tools.faults import plan
from tools.faults.kinds import KINDS


@pytest.mark.parametrize(("count", "seed"), [(11, 6), pytest.param(len(KINDS), 1, marks=pytest.mark.long)])
def test_no_sale_is_lost_or_counted_twice_whatever_breaks(cluster: Cluster, count: int, seed: int) -> None:
    answer = cluster.make("faults", f"COUNT={count}", f"SEED={seed}", timeout=1500).output
    assert "0 lost, 0 double" in answer
    for fault in plan.make_plan(count, seed, {kind: ["somewhere"] for kind in KINDS}):
        assert f"{fault.kind} on " in answer
    for host in UNITS:
        wait_for(f"all units of {host}", lambda host=host: all_units_run(cluster, host))  # type: ignore[misc]
        left = "ls /etc/systemd/system /run/systemd/system /run /var/lib; sudo nft list tables; mount"
        assert "faults_" not in cluster.ssh(host, left).output
    assert "faults_" not in cluster.ssh("edge1", "hdfs dfs -ls /tmp; ls /var/lib/retail").output
    assert "faults_" not in cluster.ssh("master1", "kafka-topics --bootstrap-server master1:9092 --list").output
