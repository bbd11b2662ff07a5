"""A job that waits for executors or loses them, on a real Spark master with a worker, or without one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyspark
import pytest
from retail_jobs import executors

from tools import JOBS_PATH

SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
JOB = """
import sys
from retail_jobs.executors import wait_for_executors
from retail_jobs.explain import explain
from retail_jobs.session import open_session
from retail_jobs.settings import Settings
spark = open_session(sys.argv[1], {"spark.cores.max": "1", "spark.executor.memory": "512m"})
wait_for_executors(spark, Settings(use_hdfs=False, spark_uis=sys.argv[2], executors_wait_seconds=float(sys.argv[3])))
print("has an executor", flush=True)
try:
    while sys.argv[4:] == ["working"]:
        spark.range(10).count()
except Exception as error:
    print(explain(error))
    sys.exit(explain(error).exit_code)
sys.stdin.read()
"""
Start = Callable[..., "subprocess.Popen[str]"]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """Start a program; what still runs at the end is killed."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", JOBS_PATH)
    started: list[subprocess.Popen[str]] = []

    def run(*words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(word) for word in words], cwd=tmp_path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in reversed(started):
        process.kill()
        process.communicate()


def asked(ui: str) -> dict[str, Any]:
    """What a master knows."""
    with urllib.request.urlopen(f"{ui}/json/", timeout=5) as answer:
        known: dict[str, Any] = json.load(answer)
    return known


def start_master(start: Start, port: int, ui: int) -> subprocess.Popen[str]:
    """A master, as soon as it answers."""
    process = start(
        SPARK_CLASS, "org.apache.spark.deploy.master.Master",
        "--host", "127.0.0.1", "--port", port, "--webui-port", ui,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while True:
        try:
            asked(f"http://127.0.0.1:{ui}")
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return process


def start_worker(start: Start, address: str) -> None:
    """A worker with a core, and room for one executor."""
    start(
        SPARK_CLASS, "org.apache.spark.deploy.worker.Worker",
        "--host", "127.0.0.1", "--cores", 1, "--memory", "600m", "--webui-port", 0, address,
    )  # fmt: skip


def test_a_job_without_executors_says_who_holds_them_and_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    port, ui_port = free_ports(2)
    address, ui = f"spark://127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
    start_master(start, port, ui_port)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"--master {address} pyspark-shell")
    assert "no worker is alive: see `systemctl status spark-worker`" in executors.ask_master(ui)
    start_worker(start, address)

    shell = start(sys.executable, "-c", JOB, "forgotten", ui, 60)
    assert shell.stdout
    assert "has an executor\n" in iter(shell.stdout.readline, "")
    job = start(sys.executable, "-c", JOB, "job", ui, 2)
    said, _ = job.communicate(timeout=240)
    assert job.returncode == 1
    assert (
        "TemporaryError: no executor within 2 s: free are 0 of 1 cores and 88 of 600 MiB on 127.0.0.1; held by " in said
    )
    assert "held by forgotten of user " in said and "(cores: 1, 512 MiB per executor, since 20" in said


@pytest.mark.parametrize("cores", [0, 1])
def test_a_job_that_a_new_master_does_not_know_ends_to_begin_anew(
    start: Start, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    port, ui_port = free_ports(2)
    address, ui = f"spark://127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"--master {address} pyspark-shell")
    master = start_master(start, port, ui_port)
    for _ in range(cores):
        start_worker(start, address)
    job = start(sys.executable, "-c", JOB, "job", ui, 200, "working")
    deadline = time.monotonic() + 120
    while [app["cores"] for app in asked(ui)["activeapps"]] != [cores]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    master.kill()
    master.wait()
    start_master(start, port, ui_port)
    said, _ = job.communicate(timeout=240)
    assert job.returncode == 1
    assert "The Spark master no longer knows this application" in said


def test_a_master_that_does_not_answer_is_named() -> None:
    [port] = free_ports(1)
    assert "see on the Spark master's page" in executors.ask_master(f"http://127.0.0.1:{port}")
