"""Drills on a whole cluster: one is played by the commands that a student has."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import Cluster
from tools.drills import folders, game, prove, records

DROP_IN = "/etc/systemd/system/retail-batch.timer.d"
SEED = 3
"""Of the four drills that are proven here; `make prove-drills` proves all."""
SOME = random.Random(SEED).sample(sorted(folders.drills()), 4)


@pytest.fixture
def drill(cluster: Cluster) -> Iterator[str]:
    """The story of a drill that has been started; whatever the test does, it is taken back."""
    try:
        yield cluster.make("drill", "ID=batch-asleep", "SEED=1").output
    finally:
        cluster.make("reset", check=False)


@pytest.fixture
def desk(cluster: Cluster) -> Iterator[None]:
    """`drill` on edge1, as long as somebody does not press Ctrl-C."""
    inventory = cluster.lab.inventory.relative_to(cluster.checkout)
    # What a script has started in the background, as it may have pytest, ignores Ctrl-C; a terminal's command does not.
    words = ["env", "--default-signal=INT", *cluster.user.prefix, "make", "desk", f"INVENTORY={inventory}"]
    with subprocess.Popen(
        words, cwd=cluster.checkout, env=cluster.user.environment, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as opened:  # fmt: skip
        try:
            assert opened.stdout and "A desk is open on edge1" in opened.stdout.readline()
            yield
        finally:
            os.killpg(opened.pid, signal.SIGINT)
            try:
                opened.wait(60)
            finally:
                opened.kill()
    left = cluster.ssh("edge1", "ls /usr/local/bin/drill /run/shopfloor", check=False)
    assert left.output.count("No such file") == 2, left.output


def typed(cluster: Cluster, *words: str, code: int = 0) -> str:
    """What `drill` says on edge1, with its exit code."""
    done = cluster.ssh("edge1", f"drill {shlex.join(words)}", check=False)
    assert done.code == code, done.output
    return done.output


def said(cluster: Cluster, *words: str) -> str:
    """What a command says that is refused."""
    done = cluster.make(*words, check=False)
    assert done.code, done.output
    return done.output


def test_a_drill_is_told_diagnosed_mended_and_graded(cluster: Cluster, drill: str, desk: None) -> None:
    assert "Does the nightly job run at all?" in drill
    assert "batch-asleep is under way" in typed(cluster, "ID=page-hangs", code=1)
    assert "Did you mean schedule-wrong?" in typed(cluster, "diagnose", "CAUSE=schedul-wrong", code=1)
    assert "A desk is open on edge1" in said(cluster, "desk")

    # A wrong repair: the batch runs, and nothing starts it the next time.
    cluster.ssh("edge1", "sudo systemctl start retail-batch")
    assert "Nothing will start the batch by itself." in typed(cluster, "verify", code=1)

    words = ("HOST=edge1", "UNIT=retail-batch", "CAUSE=schedule-wrong")
    invented = cluster.make("diagnose", *words, "EVIDENCE=OnCalendar=*-13-13").output
    assert "cause: 40 of 40" in invented and "host and unit: 20 of 20" in invented and "evidence: 0 of 20" in invented
    lines = cluster.ssh("edge1", "systemctl cat retail-batch.timer").output.splitlines()
    real = next(line for line in reversed(lines) if re.match(r"OnCalendar=.+", line))
    asked = typed(cluster, "diagnose", f"EVIDENCE={real}")
    assert "evidence: 20 of 20" in asked and "found on edge1" in asked
    letters = dict(reversed(row) for row in re.findall(r"^  ([a-d])  (.+?)\s*$", asked, re.MULTILINE))
    order = ("a drop-in", "no day", "the timer", "new CSVs")
    chain = "".join(letter for link in order for text, letter in letters.items() if text.startswith(link))
    assert "chain: 20 of 20" in typed(cluster, "diagnose", f"CHAIN={chain}")

    cluster.ssh("edge1", f"sudo rm -r {DROP_IN} && sudo systemctl daemon-reload")
    cluster.ssh("edge1", "sudo systemctl restart retail-batch.timer")
    verdict = cluster.make("verify").output
    # A NO, and evidence that stood nowhere, cost five points each.
    assert "OK" in verdict.splitlines() and "Grade 90 of 100" in verdict
    result = next((cluster.checkout / ".cache" / "drills" / "results").glob("*-batch-asleep.json"))
    assert json.loads(result.read_text())["solved"]
    assert "batch-asleep" in typed(cluster, "report")


def test_a_drill_begins_on_a_healthy_cluster_only(cluster: Cluster) -> None:
    assert "No drill is under way" in said(cluster, "verify")
    assert "Did you mean page-hangs?" in said(cluster, "drill", "ID=page-hang")
    cluster.ssh("edge1", "sudo systemctl stop haproxy")
    try:
        assert "haproxy on edge1 is inactive" in said(cluster, "drill", "ID=page-hangs")
    finally:
        cluster.ssh("edge1", "sudo systemctl start haproxy")


@pytest.fixture
def nothing_broken(cluster: Cluster) -> Iterator[None]:
    """Whatever becomes of the proof of a drill, its fault does not stay."""
    yield
    if records.running(cluster.hosts):
        game.reset(cluster.hosts)


@pytest.mark.parametrize("name", SOME)
def test_a_drill_is_seen_and_found_and_only_its_solution_mends_it(
    cluster: Cluster, name: str, nothing_broken: None
) -> None:
    drill = game.named(name)
    proof = prove.prove(cluster.hosts, drill, prove.short(drill, SEED), first_seed=SEED)
    assert proof.no.keys() >= {prove.NOTHING} or drill.causes == [folders.NO_FAULT]
    assert len(proof.ok) == 1
