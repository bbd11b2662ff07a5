from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import ROOT
from tools.cluster import Cluster, Host
from tools.health import lock
from tools.health.lock import held
from tools.terminal import Problem

LAB = Cluster({"test1": Host("test1", {"ansible_host": f"192.0.2.{os.getpid() % 250}"})}, {})
OTHER = Cluster({"test1": Host("test1", {"ansible_host": "198.51.100.1"})}, {})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SHARED", tmp_path)
    monkeypatch.setattr(lock, "NOTED", tmp_path / "verbs")


def test_the_second_verb_is_told_whose_the_first_is_and_since_when() -> None:
    said = rf"`make restart` of .* \(process {os.getpid()}\) is changing this cluster since"
    with held(LAB, "make restart"), pytest.raises(Problem, match=said), held(LAB, "make upgrade"):
        pass


def test_what_has_held_it_is_noted_in_order() -> None:
    assert lock.history(LAB) == []
    for verb in ("make restart", "make rewind NAME=healthy"):
        with held(LAB, verb):
            pass
    assert [row["verb"] for row in lock.history(LAB)] == ["make restart", "make rewind NAME=healthy"]
    assert lock.history(OTHER) == []


def test_it_is_free_again_when_the_verb_is_over_and_other_clusters_have_their_own() -> None:
    with held(LAB, "make restart"), held(OTHER, "make restart"):
        pass
    with held(LAB, "make restart"):
        pass


def test_a_verb_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from tools.cluster import Cluster, Host
from tools.health import lock
LAB = Cluster({{"test1": Host("test1", {{"ansible_host": {LAB.hosts["test1"].address!r}}})}}, {{}})
lock.SHARED = lock.NOTED = Path({str(tmp_path)!r})
with lock.held(LAB, "make restart"):
    print("held", flush=True)
    input()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as verb:  # fmt: skip
        assert verb.stdout and verb.stdout.readline() == "held\n"
        with pytest.raises(Problem, match=rf"process {verb.pid}"), held(LAB, "make upgrade"):
            pass
        verb.kill()
    with held(LAB, "make upgrade"):
        pass


def test_what_a_verb_has_started_keeps_the_lock_when_it_got_it() -> None:
    with held(LAB, "make restart") as descriptor:
        playbook = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    try:
        with pytest.raises(Problem), held(LAB, "make upgrade"):
            pass
    finally:
        playbook.kill()
        playbook.wait()
    with held(LAB, "make upgrade"):
        pass


def test_a_command_holds_the_lock_under_the_verbs_name_until_it_ends(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(f"all: {{hosts: {{test1: {{ansible_host: {LAB.hosts['test1'].address}}}}}}}\n")
    script = f"""
from pathlib import Path
from tools.health import lock
lock.SHARED = lock.NOTED = Path({str(tmp_path)!r})
lock.main(["make deploy", "sh", "-c", "echo held; exec sleep 60"])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ANSIBLE_INVENTORY": str(inventory)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as command:
        assert command.stdout and command.stdout.readline() == "held\n"
        said = rf"`make deploy` of .* \(process {command.pid}\)"
        with pytest.raises(Problem, match=said), held(LAB, "make rewind NAME=healthy"):
            pass
        command.kill()
    with held(LAB, "make rewind NAME=healthy"):
        pass
