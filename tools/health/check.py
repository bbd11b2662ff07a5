"""Proves that data flows: each check goes through the service itself and says OK, or what is wrong and where to look.

python -m tools.health.check [hdfs kafka spark batch streaming uis memory]     # no name: all
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from retail_dataset.files import input_files, is_input
from rich.console import Console

from tools import ROOT, daemons
from tools import cluster as clusters
from tools.cluster import Cluster, Host
from tools.data.oracle import compare, daily_revenue
from tools.health import support
from tools.health.gate import lacks
from tools.health.snapshot import gather
from tools.health.units import look_at
from tools.terminal import Problem, fetch, run

INPUT = "/var/lib/retail/input"
RESULT = "/var/lib/retail/output/analysis_csv/daily_revenue.csv"
SETTLE_SECONDS = 30  # a broker that was slow for a moment is soon in sync again
PYSPARK = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("check").config("spark.cores.max", "1").getOrCreate()
print("sum", spark.range(1000, numPartitions=4).selectExpr("sum(id)").first()[0])
"""


@dataclass(frozen=True)
class Check:
    """A check: what it proves, how, and the unit to look at when it fails (by the group of its host)."""

    proves: str
    prove: Callable[[Cluster], None]
    group: str
    unit: str


def _on(host: Host, command: str, stdin: str = "") -> str:
    done = host.run(command, stdin=stdin, timeout=300)
    if done.code != 0:
        raise Problem(f"{host.name}: {command}: {done.last_words}")
    return done.out


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Problem(otherwise)


def _expect_settled(cluster: Cluster, system: str, *groups: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while lacking := lacks(gather(cluster, systems=(system,), blocks=False), groups):
        _expect(time.monotonic() < deadline, " ".join(lacking))
        time.sleep(2)


def _get(cluster: Cluster, ui: str, path: str = "/") -> str:
    published: dict[str, Any] = cluster.variable("lab_publish", {})
    return fetch(f"http://localhost:{published[ui]['port']}{path}")


def hdfs(cluster: Cluster) -> None:
    """Put, read and remove a file; ask whether all DataNodes serve and have all blocks."""
    host, text, path = cluster.one_of("edge", "namenode"), secrets.token_hex(16), f"/tmp/check-{secrets.token_hex(4)}"
    _on(host, f"hdfs dfs -put - {path}", stdin=text)
    read = _on(host, f"hdfs dfs -cat {path} && hdfs dfs -rm -skipTrash {path} >&2")
    _expect(read == text, f"{path} came back as {read!r} instead of {text!r}")
    _expect_settled(cluster, "hdfs", "namenode", "datanode")


def kafka(cluster: Cluster) -> None:
    """Produce and consume a message on a topic of its own; ask whether all brokers are in sync."""
    host, topic, text = cluster.one_of("kafka_broker"), f"check-{secrets.token_hex(4)}", secrets.token_hex(16)
    server = f"--bootstrap-server {host.name}:{daemons.port('broker', 'clients')}"
    _on(host, f"kafka-topics {server} --create --topic {topic} --partitions 1")
    try:
        _on(host, f"kafka-console-producer {server} --topic {topic}", stdin=f"{text}\n")
        read = _on(host, f"kafka-console-consumer {server} --topic {topic} --from-beginning --max-messages 1")
        _expect(text in read, f"the message came back as {read!r} instead of {text!r}")
    finally:
        _on(host, f"kafka-topics {server} --delete --topic {topic}")
    _expect_settled(cluster, "kafka", "kafka_controller", "kafka_broker")


def spark(cluster: Cluster) -> None:
    """Run an application on the workers."""
    host = cluster.one_of("edge", "spark_master")
    printed = _on(host, "f=$(mktemp --suffix .py) && cat > $f && spark-submit $f; e=$?; rm $f; exit $e", stdin=PYSPARK)
    _expect("sum 499500" in printed, f"the application printed {printed!r}")


def batch(cluster: Cluster) -> None:
    """Compare the published CSV with an independent computation over the same input."""
    text = _on(cluster.one_of("edge"), f"sudo cat {RESULT}")
    source = Path(cluster.variable("jobs_source", str(ROOT / "data" / "input")))
    there = _on(cluster.one_of("edge"), f"cd {INPUT} && sudo find . -type f -printf '%P\\n'").splitlines()
    for name in sorted(filter(is_input, set(there) - set(input_files(source)))):
        raise Problem(
            f"{name} is not in {source} any more, and its sales still count: bring it back, or take them out with "
            f"`make batch FORGET={shlex.quote(name)}`"
        )
    differences = compare(daily_revenue(source), list(csv.DictReader(io.StringIO(text))))
    _expect(not differences, f"{len(differences)} differences from the oracle over {source}: {differences[:3]}")


def streaming(cluster: Cluster) -> None:
    """Watch the revenue of the live windows grow."""

    def revenue() -> Decimal:
        rows = json.loads(_get(cluster, "dashboard", "/api/windows"))["rows"]
        return sum((Decimal(row["revenue"]) for row in rows), Decimal(0))

    before, deadline = revenue(), time.monotonic() + 180
    while revenue() <= before:
        _expect(time.monotonic() < deadline, f"live windows stand at {before} for three minutes")
        time.sleep(2)


def uis(cluster: Cluster) -> None:
    """Ask every published UI for what only it shows."""
    for ui, path, content in (
        ("dashboard", "/", "Shopfloor"),
        ("spark", "/", "Spark Master"),
        ("history", "/", "History Server"),
        ("namenode", "/dfshealth.html", "Namenode"),
    ):
        _expect(content.lower() in _get(cluster, ui, path).lower(), f"the {ui} UI does not show {content}")


def memory(cluster: Cluster) -> None:
    """Compare what the processes of every host use with what the inventory gives it."""
    for report in cluster.on_all(lambda host: look_at(cluster, host)).values():
        used, given = report.memory >> 20, report.host.variables.get("memory_mib")
        _expect(not report.unreachable, report.unreachable)
        if given:
            _expect(used <= int(given), f"{report.host.name} uses {used} MiB, and memory_mib gives it {given}")


CHECKS = {
    "hdfs": Check("HDFS stores and returns a file, all DataNodes live", hdfs, "namenode", "hdfs-namenode"),
    "kafka": Check("Kafka carries a message, all copies in sync", kafka, "kafka_broker", "kafka"),
    "spark": Check("Spark runs an application on the workers", spark, "spark_master", "spark-master"),
    "batch": Check("the batch's result equals the oracle to the cent", batch, "edge", "retail-batch"),
    "streaming": Check("live windows grow", streaming, "edge", "retail-streaming"),
    "uis": Check("the UIs answer on localhost", uis, "edge", "retail-dashboard"),
    "memory": Check("every host stays within its memory", memory, "edge", "retail-streaming"),
}


def passes(cluster: Cluster, check: Check, console: Console) -> bool:
    """Carry out a check and print how it ended."""
    started = time.monotonic()
    try:
        check.prove(cluster)
    except (Problem, OSError, ValueError, KeyError) as error:
        host = cluster.one_of(check.group)
        console.print(f"[bold red]WRONG[/]  {check.proves}")
        console.print(f"       {error}", markup=False)
        console.print(f"       look at: {host.journal_command(check.unit)}", markup=False, soft_wrap=True)
        journal = host.run(f"sudo journalctl --unit {check.unit} --lines 10 --output cat --no-pager", timeout=30)
        console.print(journal.out, markup=False)
        return False
    console.print(f"[bold green]OK[/]     {check.proves} ({time.monotonic() - started:.1f} s)")
    return True


def main() -> None:
    """Carry out the checks; exit code 1 when one of them fails."""
    parser = argparse.ArgumentParser(description="Prove that data flows.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; none: all")
    names = parser.parse_args().checks or list(CHECKS)
    if unknown := set(names) - set(CHECKS):
        parser.error(f"there is no check {', '.join(sorted(unknown))}")
    console = Console(highlight=False)

    def command() -> None:
        cluster = clusters.from_inventory()
        results = [passes(cluster, CHECKS[name], console) for name in names]
        if not all(results):
            support.say(support.make(cluster))
            raise SystemExit(1)

    run(command)


if __name__ == "__main__":
    main()
