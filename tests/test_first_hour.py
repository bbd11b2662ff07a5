"""What a user tries first on the cluster: docs/first-hour.md, the pages in a browser, and a shell that is forgotten."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import browser
from tests.conftest import Cluster, wait_for
from tests.labs import ROOT
from tests.pages import PROMPTS, Shell, Step, read, run_page

PAGE = ROOT / "docs" / "first-hour.md"
HOME = "/user/ops"


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
    return body.decode()


def applications(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the applications that the Spark master knows as running or waiting."""
    active: list[dict[str, Any]] = json.loads(fetch(f"{cluster.lab.url('spark')}/json/"))["activeapps"]
    return active


@contextmanager
def pyspark(cluster: Cluster, *options: str) -> Iterator[Shell]:
    """A shell on the edge host, until the window is closed."""
    config = ROOT / ".lab" / cluster.lab.name / "ssh_config"
    prompt = PROMPTS["pycon"][0]
    shell = Shell(["ssh", "-F", str(config), "-tt", "edge1", " ".join(("pyspark", *options))], prompt)
    try:
        shell.wait()
        yield shell
    finally:
        shell.close()
        wait_for("the shell has ended", lambda: "PySparkShell" not in [app["name"] for app in applications(cluster)])


def journal_of_batch(cluster: Cluster, since: str) -> str:
    return cluster.ssh("edge1", f"sudo journalctl --unit retail-batch --since '{since}' --output cat --no-pager").output


@pytest.fixture
def since(cluster: Cluster) -> str:
    """The time at the beginning of the test, on the host whose journal is read."""
    return cluster.ssh("edge1", "date '+%F %T'").output.strip()


def test_a_page_with_other_output_than_it_shows_is_found_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```console edge1\n$ seq 3\n1\n…\n> 4\n```\n```\nnot read\n```\n```console here\n$ a\n> b\nc\n```\n"
    )
    counted, joined = [block.steps[0] for block in read(page)]
    assert (counted.line, counted.command, counted.shown) == (2, "seq 3", "1\n…\n> 4\n")
    assert (joined.command, joined.shown) == ("a\nb", "c\n")
    Step(1, "seq 3", "1\n…\n3").check("1\n2\n3\n")
    with pytest.raises(AssertionError, match="line 2: seq 3"):
        counted.check("1\n2\n3\n")


def test_every_command_of_the_first_hour_does_what_the_page_shows(cluster: Cluster, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    known = Path("/etc/hosts").read_text().splitlines(keepends=True)
    hosts.write_text("".join(line for line in known if not re.search(r"\b(master|worker|edge)\d", line)))
    run_page(cluster, PAGE, hosts)


def test_files_are_put_shown_and_taken_in_the_browser(cluster: Cluster, tmp_path: Path) -> None:
    name, text = "weiß & bunt.txt", "".join(f"line {number}\n" for number in range(10_000))
    (tmp_path / name).write_text(text)
    try:
        with browser() as chromium:
            page = chromium.new_page()
            page.goto(f"{cluster.lab.url('namenode')}/explorer.html#{HOME}")
            page.locator("[data-target='#modal-upload-file']").click()
            page.locator("#modal-upload-file-input").set_input_files(tmp_path / name)
            page.locator("#modal-upload-file-button").click()
            file = page.locator(".explorer-browse-links", has_text=name)
            file.click(timeout=60_000)
            preview = page.locator("#file-info-preview-body")
            page.locator("#file-info-preview-head").click()
            expect(preview).to_have_value(re.compile("^line 0\n"))
            page.locator("#file-info-preview-tail").click()
            expect(preview).to_have_value(re.compile("line 9999\n$"))
            with page.expect_download() as download:
                page.locator("#file-info-download").click()
            assert download.value.path().read_text() == text
        assert f"ops ops {len(text)}" in cluster.ssh("edge1", f"hdfs dfs -stat '%u %g %b' '{HOME}/{name}'").output
    finally:
        cluster.ssh("edge1", f"hdfs dfs -rm -skipTrash '{HOME}/{name}'", check=False)


def test_the_logs_of_executors_are_there_when_the_application_has_ended(cluster: Cluster) -> None:
    history = cluster.lab.url("history")
    program = (
        "from pyspark.sql import SparkSession as S; print(S.builder.appName('ended').getOrCreate().range(9).count())"
    )
    cluster.ssh("edge1", f'echo "{program}" > /tmp/ended.py && spark-submit /tmp/ended.py; rm /tmp/ended.py')
    # A worker that has started again has another id than the one that the history remembers.
    for worker in ("worker1", "worker2"):
        cluster.ssh(worker, "sudo systemctl restart spark-worker")

    def ended() -> list[str]:
        listed = json.loads(fetch(f"{history}/api/v1/applications"))
        return [app["id"] for app in listed if app["name"] == "ended" and app["attempts"][0]["completed"]]

    [app, *_] = wait_for("the application in the history", ended)
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{history}/history/{app}/executors/")
        page.get_by_role("link", name="stderr").first.click()
        expect(page.locator(".log-content")).to_contain_text("Spark Executor Command")


def test_a_shell_that_does_nothing_makes_room_for_the_batch_which_says_who_has_it(cluster: Cluster, since: str) -> None:
    with pyspark(cluster, "--conf spark.cores.max=100") as shell:
        shell.type("spark.range(100000).repartition(8).count()")
        assert "100000" in shell.wait()
        cluster.ssh("edge1", "sudo systemctl start retail-batch")
    assert re.search(
        r"no executor after 1\d s, .*PySparkShell of user ops \(cores: \d", journal_of_batch(cluster, since)
    )


def test_a_shell_that_is_busy_lets_the_batch_fail_soon_and_with_its_reason(cluster: Cluster, since: str) -> None:
    folder = "/run/systemd/system/retail-batch.service.d"
    with pyspark(cluster, "--conf spark.cores.max=100") as shell:
        shell.type("import time; sc.parallelize(range(8), 8).foreach(lambda _: time.sleep(300))")
        wait_for(
            "the shell has everything",
            lambda: {app["name"]: app["cores"] for app in applications(cluster)}.get("PySparkShell", 0) > 2,
        )
        soon = "[Service]\\nEnvironment=EXECUTORS_WAIT_SECONDS=5\\n"
        cluster.ssh("edge1", f"sudo mkdir -p {folder} && printf '{soon}' | sudo tee {folder}/soon.conf")
        cluster.ssh("edge1", "sudo systemctl daemon-reload")
        try:
            assert cluster.ssh("edge1", "sudo systemctl start retail-batch", check=False).code != 0
        finally:
            cluster.ssh("edge1", f"sudo rm -r {folder} && sudo systemctl daemon-reload")
    assert re.search(r"ERROR no executor within 5 s: .*PySparkShell of user ops", journal_of_batch(cluster, since))
    cluster.ssh("edge1", "sudo systemctl start retail-batch")
