"""Endurance: what an application that never ends leaves behind, in half an hour at ten times the trigger rate.

    python -m bench.endurance [--minutes 30]      # on the running lab; ANSIBLE_INVENTORY names another one

The streaming job is started with a tenth of its trigger interval and an event log that is not compressed, so that the
log is rolled every few minutes instead of every few hours, and afterwards as it was. Meanwhile three curves are looked
at, which are to be flat: what the event logs, state and checkpoint take in HDFS, what the workers keep on their disks,
and the heap of the driver. A heap has the shape of a saw, so of each part of the time its lowest value counts.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from statistics import median

from bench import Ratio, show
from tools import cluster as clusters
from tools.cluster import Cluster, Host
from tools.terminal import Problem, console, run

EVERY = 20.0
"""Seconds from one look to the next."""

FLAT = 1.1
"""The last third of the time against the middle third, at most; the first one fills what is bounded."""

UNIT = "retail-streaming"
HISTORY = "spark-history-server"
# The history server compresses what it compacts as its own settings say, and reads it as the log's name says.
PLAIN_HISTORY = "Environment=SPARK_HISTORY_OPTS=-Dspark.eventLog.compress=false"
FOLDERS = ("/spark-events", "/data/state/streaming")
UIS = range(4040, 4050)


@dataclass(frozen=True)
class Look:
    """Bytes at one moment."""

    hdfs: int
    disk: int
    heap: int


@contextmanager
def changed(host: Host, unit: str, lines: str) -> Iterator[None]:
    """Let a unit run with other lines, until the block ends; then it runs as before, or not.

    Raises:
        Problem: it does not start.
    """
    folder = f"/run/systemd/system/{unit}.service.d"
    drop_in = f"{folder}/endurance.conf"
    reload = "sudo systemctl daemon-reload"
    before = "restart" if host.run(f"systemctl is-active --quiet {unit}").code == 0 else "stop"
    try:
        put = f"sudo mkdir --parents {folder} && sudo tee {drop_in}"
        if (
            done := host.run(f"{put} && {reload} && sudo systemctl restart {unit}", stdin=f"[Service]\n{lines}\n")
        ).code:
            raise Problem(f"{unit} does not start on {host.name}: {done.last_words}")
        yield
    finally:
        gone = f"sudo rm --force {drop_in}; sudo rmdir --ignore-fail-on-non-empty {folder}"
        host.run(f"{gone}; {reload}; sudo systemctl {before} {unit}")


def faster(edge: Host) -> str:
    """Lines of the streaming unit: a tenth of its trigger interval, and an event log as it is.

    Raises:
        Problem: the job is not deployed.
    """
    trigger = re.search(r'TRIGGER_SECONDS="?([\d.]+)', edge.run("cat /etc/retail/jobs.env").out)
    start = edge.run(f"sed --quiet s/^ExecStart=//p /etc/systemd/system/{UNIT}.service").out.strip()
    if not trigger or not start:
        raise Problem(f"{edge.name} has no {UNIT}: deploy the jobs first")
    program, options = start.split(" ", 1)
    plain = f"{program} --conf spark.eventLog.compress=false {options}"
    return f"ExecStart=\nExecStart=/usr/bin/env TRIGGER_SECONDS={float(trigger[1]) / 10:g} {plain}"


def look(cluster: Cluster, ui: int) -> Look:
    """Measure once."""
    namenode, edge = cluster.one_of("namenode"), cluster.one_of("edge")
    port = cluster.variable("hdfs_namenode_http_port", 9870)
    hdfs = 0
    for folder in FOLDERS:
        address = f"http://{namenode.name}:{port}/webhdfs/v1{folder}?op=GETCONTENTSUMMARY&user.name=hdfs"
        hdfs += int(json.loads(_ask(namenode, address))["ContentSummary"]["length"])
    disk = sum(
        int(worker.run("sudo du --summarize --bytes /var/lib/spark/work").out.split()[0])
        for worker in cluster.group("spark_worker")
    )
    gauges = json.loads(_ask(edge, f"http://{edge.name}:{ui}/metrics/json/"))["gauges"]
    heap = next(
        gauge["value"] for name, gauge in gauges.items() if name.endswith("driver.ExecutorMetrics.JVMHeapMemory")
    )
    return Look(hdfs, disk, int(heap))


def find_ui(edge: Host, patience: float = 180) -> int:
    """The port of the driver's UI.

    Raises:
        Problem: there is none.
    """
    until = time.monotonic() + patience
    while time.monotonic() < until:
        for port in UIS:
            if '"retail-streaming"' in edge.run(f"curl --silent http://{edge.name}:{port}/api/v1/applications").out:
                return port
        time.sleep(2)
    raise Problem(f"no UI of {UNIT} on {edge.name}: see `journalctl -eu {UNIT}` there")


def _ask(host: Host, address: str) -> str:
    done = host.run(f"curl --silent --show-error --fail '{address}'")
    if done.code:
        raise Problem(f"{host.name}: {done.last_words}")
    return done.out


def measure(minutes: float) -> list[Ratio]:
    """Look at the lab for so long.

    Raises:
        Problem: there is no cluster, or no streaming job.
    """
    cluster = clusters.from_inventory()
    edge, history = cluster.one_of("edge"), cluster.one_of("spark_history")
    looks: list[Look] = []
    with changed(history, HISTORY, PLAIN_HISTORY), changed(edge, UNIT, faster(edge)):
        ui = find_ui(edge)
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < minutes * 60:
            looks.append(look(cluster, ui))
            hdfs, disk, heap = (value / 1e6 for value in astuple(looks[-1]))
            console.print(f"{passed / 60:5.1f} min  HDFS {hdfs:7.1f} MB  workers {disk:7.1f} MB  heap {heap:6.1f} MB")
            time.sleep(EVERY)
        journal = f"sudo journalctl --unit {UNIT} --since -{minutes * 60:.0f}s --output cat --no-pager"
        batches = edge.run(f"{journal} | grep --count '^.*batch [0-9]*: '").out.strip()
    third = len(looks) // 3
    if not third:
        raise Problem("there were fewer than three looks: take more minutes")
    middle, last = looks[third:-third], looks[-third:]
    console.print(f"{batches} micro-batches in {minutes:g} minutes")
    return [
        _flat("bytes of event logs and state in HDFS", [one.hdfs for one in middle], [one.hdfs for one in last]),
        _flat("bytes on the workers' disks", [one.disk for one in middle], [one.disk for one in last]),
        Ratio(
            "heap of the streaming driver, last third / middle third",
            min(one.heap for one in last) / min(one.heap for one in middle),
            FLAT,
        ),
    ]


def _flat(what: str, middle: list[int], last: list[int]) -> Ratio:
    return Ratio(f"{what}, last third / middle third", median(last) / max(1, median(middle)), FLAT)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Is what an endless application leaves behind bounded?")
    parser.add_argument("--minutes", type=float, default=30)
    show(measure(parser.parse_args().minutes))


if __name__ == "__main__":
    run(main)
