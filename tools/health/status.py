"""`make status`: every unit on every host, the jobs, the addresses of the UIs, the memory it all takes.

python -m tools.health.status           # exit code 1 when something that should run does not
python -m tools.health.status --urls    # only the addresses, for the end of `make lab`
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import urllib.error
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools import cluster as clusters
from tools import daemons
from tools.cluster import Cluster
from tools.health.snapshot import Kafka, Silent, gather
from tools.health.units import HostReport, Unit, look_at
from tools.terminal import fetch, run

UI_NAMES = {
    "dashboard": "Dashboard",
    "spark": "Spark master",
    "history": "Spark history server",
    "namenode": "HDFS NameNode",
}


def urls(cluster: Cluster) -> dict[str, str]:
    """Addresses of the UIs on this machine, by name."""
    published = cluster.variable("lab_publish", dict[str, dict[str, Any]]())
    return {name: f"http://localhost:{row['port']}" for name, row in published.items()}


def network_troubles(cluster: Cluster) -> list[str]:
    """What the keeper of a lab on this machine found of this machine's firewall, which only root may read."""
    home = cluster.variable("lab_home", "")
    state = Path(home) / "state.json"
    if home and state.exists() and json.loads(state.read_text(encoding="utf-8")).get("shut_out"):
        return ["this machine's firewall drops what the hosts send (chain FORWARD, as by Docker): run `make hosts`"]
    return []


def answers(url: str) -> str:
    """What a URL answers: a code like `200`, or why it does not."""
    try:
        fetch(url, timeout=5)
        return "200"
    except urllib.error.HTTPError as error:
        return f"error {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def age(seconds: float) -> str:
    """A duration as one reads it: `12 s`, `5 min`, `3 h`, `2 days`."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if abs(seconds) < limit:
            return f"{abs(seconds) / size:.0f} {unit}"
    return f"{abs(seconds) / 86_400:.0f} days"


def mebibytes(size: float) -> str:
    """A size as one reads it; nothing for none."""
    if size < 1:
        return ""
    return f"{size / 2**20:.0f} MiB" if size < 10 * 2**30 else f"{size / 2**30:.1f} GiB"


def _when(unit: Unit, name: str) -> str:
    seconds = unit.seconds_since(name)
    if seconds is None:
        return "never"
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(seconds)}"


def _coloured(text: str, good: bool) -> Text:
    return Text(text, style="green" if good else "bold red")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column == "memory" else "left", overflow="fold")
    return table


def units_table(reports: Iterable[HostReport]) -> Table:
    """Every unit on every host."""
    table = _table("Units", "host", "unit", "state", "since", "memory")
    for report in reports:
        name = report.host.name
        if report.unreachable:
            table.add_row(name, "", _coloured("not reachable", False), "", "")
        for unit in report.units:
            since = unit.seconds_since("ActiveEnterTimestamp" if unit.runs else "StateChangeTimestamp")
            table.add_row(
                name,
                unit.name.removesuffix(".service"),
                _coloured(unit.state, unit.runs),
                "" if since is None else age(since),
                mebibytes(float(unit["memory"] or 0)),
            )
            name = ""
        for failed in report.failed:
            if failed not in {unit.name for unit in report.units}:
                table.add_row(name, failed, _coloured("failed", False), "", "")
                name = ""
    return table


def job_result(job: Unit) -> tuple[str, bool]:
    """How the last run of a job ended, and whether that is well."""
    if job["LoadState"] == "not-found":
        return "not installed", False
    if job["ActiveState"] == "activating":
        return "running now", True
    if job["Result"] not in ("", "success"):
        return f"{job['Result']} {job['ExecMainStatus']}", False
    if job.seconds_since("ExecMainExitTimestamp") is None:
        return "not run since the host started", True
    return "success", True


def jobs_table(reports: Iterable[HostReport]) -> Table:
    """Every job with a timer."""
    table = _table("Jobs", "host", "job", "last result", "last run", "took", "next run")
    for report in reports:
        for job, timer in report.jobs:
            started = job.seconds_since("ExecMainStartTimestamp")
            ended = job.seconds_since("ExecMainExitTimestamp")
            took = started - ended if started is not None and ended is not None else -1
            table.add_row(
                report.host.name,
                job.name.removesuffix(".service"),
                _coloured(*job_result(job)),
                _when(job, "ExecMainStartTimestamp"),
                age(took) if took >= 0 else "",
                _when(timer, "NextElapseUSecRealtime") if timer.runs else _coloured(f"timer {timer.state}", False),
            )
    return table


def urls_table(found: Mapping[str, str], states: Mapping[str, str] | None = None) -> Table:
    """The UIs; with what they answer, if that is known."""
    table = _table("In your browser", "what", "address", *(["answers"] if states else []))
    for name, url in found.items():
        state = [_coloured(states[name], states[name] == "200")] if states else []
        table.add_row(UI_NAMES.get(name, name), url, *state)
    return table


def hosts_command(cluster: Cluster) -> str:
    """The command by which this machine learns the hosts' names, which HDFS, Kafka and Spark call them by.

    Returns:
        Nothing when it knows them, or when there is no way from here to the cluster's network.
    """
    hosts = cluster.hosts.values()
    if all(_resolve(host.name) == host.address for host in hosts) or not _leads_to_a_broker(cluster):
        return ""
    lines = "\\n".join(f"{host.address} {host.name}" for host in hosts)
    return f"printf '{lines}\\n' | sudo tee --append /etc/hosts"


def _resolve(name: str) -> str:
    try:
        return socket.gethostbyname(name)
    except OSError:
        return ""


def _leads_to_a_broker(cluster: Cluster) -> bool:
    try:
        address = cluster.one_of("kafka_broker").address
        socket.create_connection((address, daemons.port("broker", "clients")), timeout=2).close()
    except OSError:
        return False
    return True


def versions(reports: Iterable[HostReport]) -> dict[str, dict[str, list[str]]]:
    """Names of hosts, by product and the version that they run; of products that have versions."""
    found: dict[str, dict[str, list[str]]] = {}
    for report in reports:
        for daemon in daemons.table().values():
            if daemon.product in report.products:
                hosts = found.setdefault(daemon.product, {}).setdefault(report.products[daemon.product].runs, [])
                hosts += [report.host.name] if report.host.name not in hosts else []
    return found


def versions_line(found: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The same in a line; hosts are named where they differ."""
    texts = []
    for product, hosts_of in found.items():
        whose = [
            f"{version} on {', '.join(hosts)}" if len(hosts_of) > 1 else version for version, hosts in hosts_of.items()
        ]
        texts.append(f"{product} {' and '.join(whose)}")
    return "; ".join(texts)


def window(kafka: Kafka | Silent | None) -> str:
    """What is still open after an upgrade of Kafka; empty when nothing is."""
    if not isinstance(kafka, Kafka) or kafka.metadata_written >= kafka.metadata_newest:
        return ""
    return (
        "Kafka's metadata is written as its version before wrote it: `make rollback PRODUCT=kafka` goes back, and "
        "`make finalize PRODUCT=kafka` ends that."
    )


def show(cluster: Cluster, console: Console) -> int:
    """Ask everything and print it; the number of troubles."""
    addresses = urls(cluster)
    with ThreadPoolExecutor(max_workers=len(addresses) + 1) as pool:
        asked = {name: pool.submit(answers, url) for name, url in addresses.items()}
        kafka = pool.submit(lambda: gather(cluster, systems={"kafka"}, blocks=False, units=False).kafka)
        reports = list(cluster.on_all(lambda host: look_at(cluster, host)).values())
        states = {name: future.result() for name, future in asked.items()}
    console.print(units_table(reports))
    console.print()
    console.print(jobs_table(reports))
    if addresses:
        console.print()
        console.print(urls_table(addresses, states))
    console.print(f"\nMemory of all hosts: {sum(report.memory for report in reports) / 2**30:.1f} GiB")
    if line := versions_line(versions(reports)):
        console.print(f"Versions: {line}", soft_wrap=True)
    if line := window(kafka.result()):
        console.print(line, soft_wrap=True)
    if command := hosts_command(cluster):
        console.print(
            "\nClients of HDFS, Kafka and Spark on this machine need the hosts' names (docs/first-hour.md):",
            soft_wrap=True,
        )
        console.print(f"  {command}", markup=False, soft_wrap=True)
    troubles = [trouble for report in reports for trouble in report.troubles()] + network_troubles(cluster)
    troubles += [f"{addresses[name]} does not answer: {state}" for name, state in states.items() if state != "200"]
    if troubles:
        console.print("\nNot as it should be:", style="bold red")
        for trouble in troubles:
            console.print(f"  {trouble}", markup=False, soft_wrap=True)
    return len(troubles)


def main(argv: list[str] | None = None) -> None:
    """Print the status; exit code 1 when something that should run does not."""
    parser = argparse.ArgumentParser(description="State of every unit, job and UI of the cluster.")
    parser.add_argument("-i", "--inventory", action="append", default=[], help="instead of ANSIBLE_INVENTORY")
    parser.add_argument("--urls", action="store_true", help="only the addresses of the UIs")
    options = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 80)

    def command() -> None:
        cluster = clusters.from_inventory(options.inventory)
        if options.urls:
            console.print(urls_table(urls(cluster)))
        elif show(cluster, console):
            raise SystemExit(1)

    run(command)


if __name__ == "__main__":
    main()
