"""Errors speak: what a batch meets on a whole cluster is told in the journal, in its report and on the dashboard.

Each test breaks something, reads the sentence, and mends it; the last one sees the batch succeed, exact to the cent.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import browser
from tests.commands import wait_for
from tests.conftest import Cluster
from tests.labs import ROOT
from tests.pages import run_page
from tests.test_cluster import fetch_json, published_csv
from tools.data.oracle import compare, daily_revenue

NAMENODE, DATANODES, EDGE = "master1", ("worker1", "worker2"), "edge1"
JOBS = "retail-batch.timer retail-streaming retail-producer"
NO_ATTEMPTS = "/run/systemd/system/retail-batch.service.d/attempts.conf"


def hdfs(cluster: Cluster, *commands: str) -> None:
    """Run commands of the tool `hdfs` as its superuser."""
    cluster.ssh(NAMENODE, " && ".join(f"sudo -u hdfs hdfs {command}" for command in commands))


def journal(cluster: Cluster) -> str:
    """What the last run of the batch said; after its sentence, Java may print all that called it."""
    run = "_SYSTEMD_INVOCATION_ID=$(systemctl show --property InvocationID --value retail-batch)"
    return cluster.ssh(EDGE, f"sudo journalctl --output cat --no-pager {run}").output


def sentence(cluster: Cluster) -> str:
    """Run the batch, which fails; what it says, which journal, report and dashboard agree on."""
    assert cluster.ssh(EDGE, "sudo systemctl start retail-batch", check=False).code
    report = json.loads(cluster.ssh(EDGE, "cat /var/lib/retail/output/last_run.json").output)
    assert report["result"] == "failed"
    said, message = journal(cluster), str(report["message"])
    assert f"ERROR the batch failed, nothing of it is published: {message}\n" in said
    assert "An error occurred while calling" not in said
    answer = wait_for("the dashboard has the report", lambda: shown(cluster, report["run_id"]), seconds=60)
    row = next(row for row in answer["rows"] if row["name"] == "batch")
    assert answer["last_batch"]["message"] == message and not row["good"] and row["result"] == "failed"
    return message


def shown(cluster: Cluster, run_id: str) -> Any:  # noqa: ANN401 - JSON
    """What the dashboard says of the jobs, as soon as it is about a run that is over."""
    answer = fetch_json(f"{cluster.lab.url('dashboard')}/api/jobs")
    ended = [row["ended"] for row in answer["rows"] if row["name"] == "batch"]
    # None is the last report while the one that a full disk left empty is what was looked at.
    last = answer["last_batch"] or {}
    return answer if last.get("run_id") == run_id and ended != [None] else None


def exit_code(cluster: Cluster) -> str:
    return cluster.show(EDGE, "retail-batch", "ExecMainStatus")


@pytest.fixture(scope="module", autouse=True)
def quiet(cluster: Cluster) -> Iterator[None]:
    """Nothing runs beside the tests, no attempt comes by itself, and none is refused; at the end all is as it was."""
    cluster.ssh(EDGE, f"sudo systemctl stop {JOBS}")
    # The timer may just have started it; what waits for its next attempt is stopped.
    wait_for("the end of a batch under way", lambda: cluster.show(EDGE, "retail-batch", "SubState") != "start")
    cluster.ssh(EDGE, "sudo systemctl stop retail-batch")
    settings = "[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nRestart=no\\n"
    no_attempts = f"printf '{settings}' | sudo tee {NO_ATTEMPTS}"
    cluster.ssh(EDGE, f"sudo mkdir -p $(dirname {NO_ATTEMPTS}) && {no_attempts} && sudo systemctl daemon-reload")
    yield
    attempts_again(cluster)
    cluster.ssh(EDGE, f"sudo systemctl start {JOBS}")


def attempts_again(cluster: Cluster) -> None:
    cluster.ssh(
        EDGE, f"sudo rm -f {NO_ATTEMPTS}; sudo systemctl daemon-reload; sudo systemctl reset-failed retail-batch"
    )


@contextmanager
def stopped(cluster: Cluster, unit: str, *hosts: str) -> Iterator[None]:
    for host in hosts:
        cluster.ssh(host, f"sudo systemctl stop {unit}")
    try:
        yield
    finally:
        for host in hosts:
            cluster.ssh(host, f"sudo systemctl start {unit}")


def test_settings_that_cannot_be_used_are_named(cluster: Cluster) -> None:
    file = "/etc/retail/jobs.env"
    cluster.ssh(EDGE, f"sudo cp -p {file} {file}.kept && echo WAIT_SECONDS=soon | sudo tee --append {file}")
    try:
        assert "WAIT_SECONDS=soon: Input should be a valid number" in sentence(cluster)
    finally:
        cluster.ssh(EDGE, f"sudo mv {file}.kept {file}")
    assert exit_code(cluster) == "2"


def test_a_spark_master_that_is_away_is_named(cluster: Cluster) -> None:
    with stopped(cluster, "spark-master", NAMENODE):
        said = sentence(cluster)
    assert said == f"The Spark master is not reachable ({NAMENODE}:7077): see `systemctl status spark-master` there"
    assert exit_code(cluster) == "1"


def test_a_missing_right_is_told_with_user_and_folder(cluster: Cluster) -> None:
    hdfs(cluster, "dfs -chmod 700 /data/input", "dfs -chown hdfs /data/input")
    try:
        said = sentence(cluster)
    finally:
        hdfs(cluster, "dfs -chown retail /data/input", "dfs -chmod 755 /data/input")
    assert said.startswith("The user retail lacks EXECUTE on /data/input. `hdfs dfs -ls -d /data/input`")
    assert "(AccessControlException: Permission denied: user=retail" in said and exit_code(cluster) == "2"


def test_a_quota_that_is_used_up_is_told_with_its_folder(cluster: Cluster) -> None:
    hdfs(cluster, "dfsadmin -setSpaceQuota 1 /data/state")
    try:
        said = sentence(cluster)
    finally:
        hdfs(cluster, "dfsadmin -clrSpaceQuota /data/state")
    assert said.startswith("The quota of /data/state is used up. `hdfs dfs -count -q -h -v /data/state`")
    assert "(DSQuotaExceededException: The DiskSpace quota" in said and exit_code(cluster) == "2"


def test_missing_datanodes_are_told_with_the_command_that_lists_them(cluster: Cluster) -> None:
    with stopped(cluster, "hdfs-datanode", *DATANODES):
        said = sentence(cluster)
    assert said.startswith("HDFS cannot be written: no DataNode takes a block") and "dfsadmin -report`" in said
    assert "could only be written to 0 of the 1 minReplication nodes" in said and exit_code(cluster) == "1"


def test_a_full_disk_of_the_edge_host_is_told_though_the_report_cannot_be_written(cluster: Cluster) -> None:
    folder = "/var/lib/retail/output"
    cluster.ssh(
        EDGE,
        f"sudo mount -t tmpfs -o size=4k,mode=755,uid=$(id -u retail) tmpfs {folder} && "
        f"sudo dd if=/dev/zero of={folder}/full bs=4k count=1",
    )
    try:
        assert cluster.ssh(EDGE, "sudo systemctl start retail-batch", check=False).code
        lines = journal(cluster)
    finally:
        cluster.ssh(EDGE, f"sudo umount {folder}")
    said = "A disk of this host is full. `df -h` says which one; free some space (OSError: [Errno 28]"
    assert f"ERROR the batch failed, nothing of it is published: {said}" in lines
    assert f"WARNING the report cannot be written: {said}" in lines

    def result() -> str | None:
        rows = fetch_json(f"{cluster.lab.url('dashboard')}/api/jobs")["rows"]
        found: str | None = next(row["result"] for row in rows if row["name"] == "batch")
        return found

    wait_for("the dashboard knows that the report is of an earlier run", lambda: result() is None, seconds=60)


def test_safe_mode_is_told_everywhere_and_passes_by_itself(cluster: Cluster) -> None:
    attempts_again(cluster)
    hdfs(cluster, "dfsadmin -safemode enter")
    try:
        said = sentence(cluster)
        assert said.startswith("HDFS is in safe mode and takes no changes.") and "(SafeModeException: Cannot " in said
        assert exit_code(cluster) == "1"
        with browser() as chromium:
            page = chromium.new_page()
            page.goto(cluster.lab.url("dashboard"))
            # The report is looked at every ten seconds.
            jobs = expect(page.locator("#jobs-list"))
            jobs.to_contain_text("HDFS is in safe mode and takes no changes.", timeout=60_000)
        failed = cluster.make("batch", check=False)
        assert failed.code and "HDFS is in safe mode and takes no changes." in failed.output
        cluster.ssh(EDGE, "sudo systemctl start retail-streaming")
        wait_for(
            "streaming says it, too",
            lambda: "ERROR streaming failed: HDFS is in safe mode and takes no changes." in cluster.ssh(
                EDGE, "sudo journalctl --unit retail-streaming --since -120s --output cat --no-pager"
            ).output,
        )  # fmt: skip
    finally:
        hdfs(cluster, "dfsadmin -safemode leave")
    assert cluster.show(EDGE, "retail-batch", "SubState") == "auto-restart"
    wait_for("the next attempt succeeds", lambda: cluster.show(EDGE, "retail-batch", "SubState") == "dead", seconds=240)
    assert cluster.show(EDGE, "retail-batch", "Result") == "success"


def test_input_that_hdfs_does_not_take_is_told_and_brought_later(cluster: Cluster) -> None:
    before = len(published_csv(cluster).read_text().splitlines())
    (cluster.lab.data / "input" / "another-day.csv").write_text(
        "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"
        "another-day-1,2025-12-24,S1,Bonn,Tea,2,1.50,3.00\n"
    )
    hdfs(cluster, "dfsadmin -safemode enter")
    try:
        refused = cluster.make("batch", check=False)
    finally:
        hdfs(cluster, "dfsadmin -safemode leave")
    assert refused.code and "HDFS does not take the input: put: Cannot create file" in refused.output
    assert "Traceback" not in refused.output
    cluster.make("batch")
    assert len(published_csv(cluster).read_text().splitlines()) == before + 1


def test_every_command_of_the_runbooks_that_looks_at_something_is_as_it_stands_there(
    cluster: Cluster, packages: Path, own_hosts: Path
) -> None:
    # The page speaks of a cluster at work: some of its commands wait for a new sale, and would wait for ever.
    cluster.ssh(EDGE, f"sudo systemctl start {JOBS}")
    run_page(cluster, ROOT / "docs" / "operations.md", own_hosts, packages)


def test_after_all_of_it_the_result_is_exact(cluster: Cluster) -> None:
    with published_csv(cluster).open() as file:
        assert compare(daily_revenue(cluster.lab.data / "input"), list(csv.DictReader(file))) == []
