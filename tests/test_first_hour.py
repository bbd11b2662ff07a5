"""What a user tries first on the cluster: docs/first-hour.md, the pages in a browser, and a shell that is forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import browser
from tests.commands import Result, wait_for
from tests.conftest import Cluster
from tests.labs import ROOT
from tests.pages import PROMPTS, Shell, Step, read, run_page
from tools.terminal import fetch

PAGE = ROOT / "docs" / "first-hour.md"
HOME = "/user/ops"


def applications(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the applications that the Spark master knows as running or waiting."""
    active: list[dict[str, Any]] = json.loads(fetch(f"{cluster.lab.url('spark')}/json/"))["activeapps"]
    return active


@contextmanager
def pyspark(cluster: Cluster, *options: str) -> Iterator[Shell]:
    """A shell on the edge host, until the window is closed."""
    shell = Shell(cluster.ssh_words("-tt", "edge1", " ".join(("pyspark", *options))), PROMPTS["pycon"][0])
    try:
        shell.wait()
        yield shell
    finally:
        shell.close()
        wait_for("the shell has ended", lambda: "PySparkShell" not in [app["name"] for app in applications(cluster)])


def rebuild(cluster: Cluster, *settings: str, check: bool = True) -> Result:
    """Run the batch with something to do for Spark, as docs/operations.md says it."""
    properties = ("User=retail", "EnvironmentFile=/etc/retail/jobs.env", *(f"Environment={row}" for row in settings))
    command = "spark-submit /opt/retail-jobs/retail_jobs/batch.py --full-refresh"
    options = " ".join(f"--property={row}" for row in properties)
    return cluster.ssh("edge1", f"sudo systemd-run --wait --pipe --quiet {options} {command}", check=check, timeout=600)


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


def test_every_command_of_the_first_hour_does_what_the_page_shows(
    cluster: Cluster, packages: Path, own_hosts: Path
) -> None:
    run_page(cluster, PAGE, own_hosts, packages)


def test_files_are_put_shown_and_taken_in_the_browser(cluster: Cluster, tmp_path: Path) -> None:
    name, text = "weiß & bunt.txt", "".join(f"line {number}\n" for number in range(10_000))
    (tmp_path / name).write_text(text)
    try:
        with browser() as chromium:
            page = chromium.new_page()
            page.goto(f"{cluster.lab.url('namenode')}/explorer.html#{HOME}")
            # Until the page has shown a folder, it does not know where to put a file.
            expect(page.locator("#directory")).to_have_value(HOME, timeout=60_000)
            page.locator("[data-target='#modal-upload-file']").click()
            page.locator("#modal-upload-file-input").set_input_files(tmp_path / name)
            page.locator("#modal-upload-file-button").click()
            file = page.locator(".explorer-browse-links", has_text=name)
            file.click(timeout=60_000)
            preview = page.locator("#file-info-preview-body")
            page.locator("#file-info-preview-head").click()
            expect(preview).to_have_value(re.compile("^line 0\n"), timeout=60_000)
            page.locator("#file-info-preview-tail").click()
            expect(preview).to_have_value(re.compile("line 9999\n$"), timeout=60_000)
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


def test_a_shell_that_does_nothing_makes_room_for_the_batch_which_says_who_has_it(cluster: Cluster) -> None:
    with pyspark(cluster, "--conf spark.cores.max=100") as shell:
        shell.type("spark.range(100000).repartition(8).count()")
        assert "100000" in shell.wait()
        said = rebuild(cluster).output
    assert re.search(r"no executor after 1\d s, .*PySparkShell of user ops \(cores: \d", said)


def test_a_shell_that_is_busy_lets_the_batch_fail_soon_and_with_its_reason(cluster: Cluster) -> None:
    with pyspark(cluster, "--conf spark.cores.max=100") as shell:
        shell.type("import time; sc.parallelize(range(8), 8).foreach(lambda _: time.sleep(300))")
        wait_for(
            "the shell has everything",
            lambda: {app["name"]: app["cores"] for app in applications(cluster)}.get("PySparkShell", 0) > 2,
        )
        failed = rebuild(cluster, "EXECUTORS_WAIT_SECONDS=5", check=False)
    assert failed.code == 1  # a later attempt may find room
    assert re.search(r"ERROR the batch failed, .*: no executor within 5 s: .*PySparkShell of user ops", failed.output)
