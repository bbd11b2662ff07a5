"""The whole cluster, end to end, in a lab of its own. The tests stand in the order in which they run."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect

from tests.browser import browser
from tests.commands import run, wait_for
from tests.conftest import Cluster
from tests.labs import OUTPUT, ROOT, derive, only_one_changes_the_firewall
from tools import daemons
from tools.data.oracle import compare, daily_revenue
from tools.terminal import fetch

HOSTS = ("master1", "worker1", "worker2", "edge1")
GROUPS = yaml.safe_load((ROOT / "inventories" / "lab" / "hosts.yml").read_text())["all"]["children"]
# What is always active there: services, and the timers of jobs.
UNITS = {
    host: tuple(
        dict.fromkeys(
            f"{daemon.unit}.timer" if daemon.timer else daemon.unit
            for daemon in daemons.of_groups([group for group, row in GROUPS.items() if host in row["hosts"]])
        )
    )
    for host in HOSTS
}
LAB_MEMORY_GIB = 6.0


def fetch_json(url: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(fetch(url))


def windows(cluster: Cluster) -> dict[tuple[str, str], Decimal]:
    """Return the live windows as the dashboard shows them: revenue by start of the window and product."""
    rows = fetch_json(f"{cluster.lab.url('dashboard')}/api/windows")["rows"]
    return {(row["window_start"], row["product"]): Decimal(row["revenue"]) for row in rows}


def grows(cluster: Cluster, before: dict[tuple[str, str], Decimal]) -> bool:
    return sum(windows(cluster).values()) > sum(before.values())


def partitions(cluster: Cluster) -> dict[str, str]:
    """Return the folders of the batch's result in HDFS, each with the time its file was written."""
    listing = cluster.ssh("edge1", "hdfs dfs -ls -R /data/output/analysis_parquet").output
    files = [line.split() for line in listing.splitlines() if line.endswith(".parquet")]
    return {Path(words[-1]).parent.name: " ".join(words[5:7]) for words in files}


def published_csv(cluster: Cluster) -> Path:
    return cluster.lab.data / "output" / "analysis_csv" / "daily_revenue.csv"


def all_units_run(cluster: Cluster, host: str) -> bool:
    states = cluster.ssh(host, f"systemctl is-active {' '.join(UNITS[host])}", check=False).output.split()
    return states == ["active"] * len(UNITS[host])


def test_one_command_brings_the_running_pipeline_and_goes_on_where_it_was_interrupted(cluster: Cluster) -> None:
    assert "TASK [hdfs : " in cluster.interrupted.output and "TASK [spark : " not in cluster.interrupted.output
    assert cluster.lab.url("dashboard") in cluster.deployed.output
    assert cluster.interrupted.passwords == cluster.deployed.passwords == 1
    for host in HOSTS:
        assert all_units_run(cluster, host), host


def test_a_second_deploy_changes_nothing(cluster: Cluster) -> None:
    again = cluster.make("lab")
    assert again.changed == 0, again.output[-6000:]
    assert "nothing had to be changed" in again.output  # on this machine


def test_check_proves_that_data_flows(cluster: Cluster) -> None:
    cluster.make("check")


def test_the_result_equals_the_oracle_to_the_cent(cluster: Cluster) -> None:
    with published_csv(cluster).open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert compare(daily_revenue(cluster.lab.data / "input"), rows) == []


def test_uis_answer_on_localhost_with_their_content(cluster: Cluster) -> None:
    lab = cluster.lab
    assert "Shopfloor" in fetch(lab.url("dashboard"))
    assert fetch_json(f"{lab.url('dashboard')}/api/daily")["rows"]
    master = fetch_json(f"{lab.url('spark')}/json/")
    assert [worker["state"] for worker in master["workers"]] == ["ALIVE", "ALIVE"]
    assert "retail-streaming" in [app["name"] for app in master["activeapps"]]
    applications = wait_for(
        "the finished batch in the history", lambda: fetch_json(f"{lab.url('history')}/api/v1/applications")
    )
    assert any(app["name"] == "retail-batch" and app["attempts"][0]["completed"] for app in applications)
    assert "dfshealth.html" in fetch(f"{lab.url('namenode')}/")
    state = fetch_json(f"{lab.url('namenode')}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState")
    assert state["beans"][0]["NumLiveDataNodes"] == 2


def test_links_lead_to_datanodes_workers_and_jobs(cluster: Cluster) -> None:
    lab = cluster.lab
    nodes = fetch_json(f"{lab.url('namenode')}/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo")
    for node in json.loads(nodes["beans"][0]["LiveNodes"]).values():
        assert "DataNode" in fetch(f"http://{node['infoAddr']}/datanode.html")
    page = fetch(lab.url("spark"))
    master = fetch_json(f"{lab.url('spark')}/json/")
    for worker in master["workers"]:
        assert f"/proxy/{worker['id']}" in page
        assert "Spark Worker" in fetch(f"{lab.url('spark')}/proxy/{worker['id']}/")
    for app in master["activeapps"]:
        assert "Spark" in fetch(f"{lab.url('spark')}/proxy/{app['id']}/jobs/")


def test_units_are_hardened(cluster: Cluster) -> None:
    for host, units in UNITS.items():
        services = [unit for unit in units if not unit.endswith(".timer")] + ["retail-batch"] * (host == "edge1")
        for unit in services:
            answer = cluster.ssh(host, f"systemd-analyze security --json=short --no-pager {unit}.service | tail -c 100")
            score = cluster.ssh(host, f"systemd-analyze security --no-pager {unit}.service | tail -n 1").output
            exposure = float(score.split(":")[1].split()[0])
            assert exposure < 5.0, f"{unit} on {host}: {exposure} {answer.output}"


def test_the_lab_stays_within_its_memory(cluster: Cluster) -> None:
    found = re.search(r"Memory of all hosts: ([\d.]+) GiB", cluster.make("status").output)
    assert found
    print(f"the processes of the lab use {found[1]} GiB")
    assert float(found[1]) < LAB_MEMORY_GIB


def test_the_dashboard_shows_it_all_in_a_browser(cluster: Cluster) -> None:
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(cluster.lab.url("dashboard"))
        for table in ("daily", "products", "categories", "windows", "heat", "quarantine"):
            expect(page.locator(f"#{table}-table tbody tr").first).to_be_visible(timeout=60_000)
        before = page.locator("#windows-table tbody").inner_text()
        # They grow while one looks.
        expect(page.locator("#windows-table tbody")).not_to_have_text(before, timeout=60_000)
        page.screenshot(path=OUTPUT / "e2e" / "dashboard.png", full_page=True)
        lines = page.get_by_label("Copy pyarrow: Top products").get_attribute("data-copy")
        told = page.locator("#products .yourself .aside", has_text="pyarrow, in ").text_content()
    shell = re.fullmatch(r"pyarrow, in (.+ python3) on the dashboard's host:", told or "")
    assert lines and shell
    printed = cluster.ssh("edge1", f"{shell[1]} -c {shlex.quote(f'{lines}; print(sum(rows[-1].to_pylist()))')}").output
    shown = fetch_json(f"{cluster.lab.url('dashboard')}/api/products")["totals"]["revenue"]
    assert printed.strip() == shown, "what one computes on the edge host is what the page shows"


def test_another_lab_runs_beside_it(cluster: Cluster, packages: Path, own_hosts: Path) -> None:
    beside = derive("mini", "beside", "192.168.62", 12000, checkout=cluster.checkout)
    other = Cluster(cluster.user, beside)
    other.make("hosts")
    try:
        assert other.ssh("mini1", "hostname").output.strip() == "mini1"
        # What a deployment would do can be asked before there is anything.
        looked = other.shell("ansible-playbook ansible/site.yml --check --diff", own_hosts, packages)
        assert "/etc/hadoop/hdfs-site.xml" in looked.output
        assert other.ssh("mini1", "ls /opt").output == ""
        before = windows(cluster)
        wait_for("live windows of the first lab grow", lambda: grows(cluster, before))
    finally:
        other.make("destroy")
    assert cluster.ssh("master1", "hostname").output.strip() == "master1"


@pytest.fixture
def shut_out(cluster: Cluster) -> Iterator[None]:
    """What Docker does to a machine that it is installed on: what it did not start, it does not let through.

    Labs of tests that run beside are let through.
    """
    network = cluster.hosts.hosts["edge1"].address.rpartition(".")[0] + ".0/24"
    with only_one_changes_the_firewall():
        listing = run("nft", "list", "chain", "ip", "filter", "FORWARD", check=False)
        assert listing.code, "this machine has forward rules of its own, which the test would change"
        run("nft", "add table ip filter; "
            "add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }; "
            f"add rule ip filter FORWARD ip saddr != {network} ip daddr != {network} accept")  # fmt: skip
        yield
        run("nft", "delete", "table", "ip", "filter")


def said_of_firewall(cluster: Cluster) -> str:
    lines = cluster.make("status", check=False).output.splitlines()
    return "".join(line for line in lines if "firewall drops what the hosts send" in line)


def test_a_firewall_that_shuts_the_hosts_out_is_named_and_mended(cluster: Cluster, shut_out: None) -> None:
    assert "run `make hosts`" in wait_for("status names it", lambda: said_of_firewall(cluster))
    cluster.make("hosts")
    wait_for("status is content", lambda: cluster.make("status", check=False).code == 0)


def test_the_timer_shows_its_next_run_and_the_batch_runs_by_hand(cluster: Cluster) -> None:
    timers = cluster.ssh("edge1", "systemctl list-timers --no-pager retail-batch.timer").output
    assert re.search(r"\d\d:\d\d:\d\d UTC .*retail-batch.timer", timers)
    cluster.ssh("edge1", "sudo systemctl start retail-batch")
    assert cluster.show("edge1", "retail-batch", "Result") == "success"
    # As the README says it: without sudo.
    journal = cluster.ssh("edge1", "journalctl -u retail-batch --output cat --no-pager").output
    assert "clean" in journal and "quarantine" in journal


def test_another_month_adds_days_and_leaves_the_others(cluster: Cluster) -> None:
    before = partitions(cluster)
    month = cluster.lab.data / "month"
    cluster.python("tools.data.sample_data", "--month", "2025-10", "--rows", "400", "--seed", "7", "--out", str(month))
    for file in month.glob("*.csv"):
        if file.name != "products.csv":
            shutil.copy(file, cluster.lab.data / "input" / f"october-{file.name}")
    # The timer may start it at any moment; such a run need not see the new files.
    cluster.ssh("edge1", "sudo systemctl start --no-block retail-batch")
    cluster.make("batch")
    after = partitions(cluster)
    new = set(after) - set(before)
    assert new and all(name.startswith("order_date=2025-1") for name in new)
    assert {name: after[name] for name in before if not name.startswith("order_date=2025-1")} == {
        name: before[name] for name in before if not name.startswith("order_date=2025-1")
    }
    test_the_result_equals_the_oracle_to_the_cent(cluster)


def test_input_that_cannot_be_used_is_refused_and_changes_nothing(cluster: Cluster) -> None:
    stray = cluster.lab.data / "input" / "stray.csv"
    stray.write_text("colour,weight\nred,3\n")
    try:
        refused = cluster.make("batch", check=False)
    finally:
        stray.unlink()
    assert refused.code and "stray.csv lacks a date and an amount" in refused.output
    assert "stray.csv" not in cluster.ssh("edge1", "hdfs dfs -ls /data/input").output


def test_a_file_without_known_column_in_hdfs_goes_to_the_quarantine(cluster: Cluster) -> None:
    before = published_csv(cluster).read_text()
    cluster.ssh("edge1", "echo -e 'colour,weight\\nred,3' | sudo -u retail hdfs dfs -put - /data/input/stray.csv")
    cluster.ssh("edge1", "sudo systemctl start retail-batch")
    journal = cluster.ssh("edge1", "sudo journalctl --unit retail-batch --lines 20 --output cat --no-pager").output
    assert "no row of stray.csv could be used" in journal
    assert "quarantined 2" in journal  # what would be its header, too
    assert "partial: no row of stray.csv could be used" in cluster.make("batch").output
    quarantine = f"{cluster.lab.url('dashboard')}/api/quarantine"
    (header,) = wait_for("the page lists the header of stray.csv", lambda: fetch_json(quarantine)["headers"])
    assert (header["file"], [column["name"] for column in header["columns"]]) == ("stray.csv", ["colour", "weight"])
    assert published_csv(cluster).read_text() == before
    assert "partial" not in cluster.make("batch", "FORGET=stray.csv").output
    assert "stray.csv" not in cluster.ssh("edge1", "hdfs dfs -ls /data/input").output


def test_a_file_that_is_renamed_counts_twice_only_until_it_is_forgotten(cluster: Cluster) -> None:
    october = next((cluster.lab.data / "input").glob("october-*.csv"))
    october.rename(october.with_name("Größe 100% (1).csv"))
    said = cluster.make("batch").output
    assert f"{october.name} is not in" in said and "its sales still count" in said
    refused = cluster.make("batch", "FORGET=Größe 100% (1).csv", check=False)
    assert refused.code and "take it away there" in refused.output
    cluster.make("batch", f"FORGET={october.name}")
    assert october.name not in cluster.ssh("edge1", "hdfs dfs -ls /data/input").output
    test_the_result_equals_the_oracle_to_the_cent(cluster)


def test_restarting_streaming_restarts_nothing_else_and_loses_no_window(cluster: Cluster) -> None:
    others = [
        (host, unit) for host in HOSTS for unit in UNITS[host] if unit not in ("retail-streaming", "retail-producer")
    ]
    ids = {row: cluster.show(*row, "InvocationID") for row in others}
    rows = fetch_json(f"{cluster.lab.url('dashboard')}/api/windows")["rows"]
    before = windows(cluster)
    cluster.make("streaming")
    assert {row: cluster.show(*row, "InvocationID") for row in others} == ids
    wait_for("live windows grow again", lambda: grows(cluster, before))
    after = windows(cluster)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ends = {(row["window_start"], row["product"]): row["window_end"] for row in rows}
    still_open = [key for key in before if ends[key] > now]
    assert still_open and not [key for key in still_open if after.get(key, Decimal(-1)) < before[key]]


def test_the_producer_waits_for_kafka_and_says_so(cluster: Cluster) -> None:
    brokers = HOSTS[:3]
    # The controller last: brokers ask it before they stop, and wait two minutes for one that is gone.
    for host in reversed(brokers):
        cluster.ssh(host, "sudo systemctl stop kafka")
    try:
        # Its start is over when Kafka has acknowledged an event.
        cluster.ssh("edge1", "sudo systemctl restart --no-block retail-producer")
        wait_for(
            "the journal names the brokers",
            lambda: "9092" in cluster.ssh(
                "edge1", "sudo journalctl --unit retail-producer --since -60s --output cat --no-pager"
            ).output,
        )  # fmt: skip
    finally:
        for host in brokers:
            cluster.ssh(host, "sudo systemctl start --no-block kafka")
    wait_for("brokers are back", lambda: all(all_units_run(cluster, host) for host in brokers))
    before = windows(cluster)
    wait_for("live windows grow again", lambda: grows(cluster, before), seconds=300)


def test_the_batch_says_that_hdfs_is_down(cluster: Cluster) -> None:
    before = published_csv(cluster).read_text()
    cluster.ssh("master1", "sudo systemctl stop hdfs-namenode")
    try:
        failed = cluster.ssh("edge1", "sudo systemctl start retail-batch", check=False)
        assert failed.code != 0
        journal = cluster.ssh(
            "edge1", "sudo journalctl --unit retail-batch --since -300s --output cat --no-pager"
        ).output
        assert "hdfs-namenode" in journal or "HDFS" in journal
    finally:
        cluster.ssh("master1", "sudo systemctl start hdfs-namenode")
    wait_for(
        "the NameNode leaves safe mode",
        lambda: "OFF" in cluster.ssh("edge1", "hdfs dfsadmin -safemode get", check=False).output,
    )
    cluster.make("batch")
    assert published_csv(cluster).read_text() == before


def test_a_rebooted_host_comes_back_by_itself(cluster: Cluster) -> None:
    for host in ("worker1", "edge1"):
        boot = cluster.ssh(
            host, "cat /proc/sys/kernel/random/boot_id; systemctl show --property UserspaceTimestamp"
        ).output
        cluster.ssh(host, "sudo systemctl reboot", check=False)
        wait_for(
            f"{host} booted anew",
            lambda host=host, boot=boot: cluster.ssh(  # type: ignore[misc]
                host, "cat /proc/sys/kernel/random/boot_id; systemctl show --property UserspaceTimestamp", check=False
            ).output not in (boot, ""),
        )  # fmt: skip
        wait_for(f"all units of {host}", lambda host=host: all_units_run(cluster, host))  # type: ignore[misc]
    before = wait_for("the dashboard has live windows", lambda: windows(cluster))
    wait_for("live windows grow", lambda: grows(cluster, before), seconds=300)


def test_down_and_lab_bring_all_hosts_back_with_their_data(cluster: Cluster) -> None:
    before = partitions(cluster)
    cluster.make("down")
    cluster.make("lab")
    for host in HOSTS:
        wait_for(f"all units of {host}", lambda host=host: all_units_run(cluster, host))  # type: ignore[misc]
    assert partitions(cluster) == before
    cluster.make("check")
