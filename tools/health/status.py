"""`make status`: every unit on every host, the jobs, the addresses of the UIs, the memory it all takes.

python -m tools.health.status           # exit code 1 when something that should run does not
python -m tools.health.status --urls    # only the addresses, for the end of `make lab`
"""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import sys
import urllib.error
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools import cluster as clusters
from tools import daemons
from tools.cluster import Cluster, Host, UnreachableError
from tools.terminal import fetch, run

UI_NAMES = {
    "dashboard": "Dashboard",
    "spark": "Spark master",
    "history": "Spark history server",
    "namenode": "HDFS NameNode",
}
NEVER = ("", "0", "n/a")


@dataclass(frozen=True)
class Unit:
    """A unit as its host described it."""

    name: str
    properties: Mapping[str, Any]
    now: float
    """The host's clock."""

    def __getitem__(self, name: str) -> str:
        return str(self.properties.get(name, ""))

    @property
    def runs(self) -> bool:
        """Whether it is up, and has finished starting."""
        return self["ActiveState"] == "active"

    @property
    def state(self) -> str:
        """The state in a few words."""
        if self["LoadState"] == "not-found":
            return "not installed"
        if self["ActiveState"] == "active":
            return "active" if self["SubState"] in ("running", "waiting", "exited") else f"active ({self['SubState']})"
        if self["Result"] not in ("", "success"):
            code = f" {self['ExecMainStatus']}" if self["Result"] == "exit-code" else ""
            return f"{self['ActiveState']} ({self['Result']}{code})"
        if self["SubState"] in (self["ActiveState"], "dead", ""):
            return self["ActiveState"]
        return f"{self['ActiveState']} ({self['SubState']})"

    def seconds_since(self, name: str) -> float | None:
        """Seconds since a time that the unit remembers (negative: until); None when it has none."""
        value = self[name].lstrip("@")
        return None if value in NEVER else self.now - float(value)


@dataclass(frozen=True)
class HostReport:
    """What was found out about a host.

    Attributes:
        unreachable: What ssh said if it did not get in; then the rest is empty.
        units: The units that should run there.
        jobs: Services of the jobs there, each with its timer.
        failed: Other units that failed.
        memory: Bytes that all its processes use.
    """

    host: Host
    unreachable: str = ""
    units: list[Unit] = field(default_factory=list)
    jobs: list[tuple[Unit, Unit]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    memory: int = 0

    def troubles(self) -> list[str]:
        """What is not as it should be, each with the command that says more."""
        if self.unreachable:
            return [f"{self.host.name} cannot be reached ({self.unreachable}): try {shlex.join(self.host.ssh())}"]
        wrong = [unit for unit in self.units if not unit.runs]
        wrong += [timer for _, timer in self.jobs if not timer.runs]
        wrong += [job for job, _ in self.jobs if job["Result"] not in ("", "success")]
        found = {unit.name: unit.state for unit in wrong} | dict.fromkeys(self.failed, "failed")
        return [
            f"{name} on {self.host.name} is {state}: {self.host.journal_command(name)}" for name, state in found.items()
        ]


def expected_units(cluster: Cluster, host: Host) -> list[str]:
    """Names of the units that should run on a host, by the groups it is in."""
    found = daemons.of_groups(cluster.groups_of(host.name))
    return list(dict.fromkeys(daemon.service for daemon in found if not daemon.timer))


def expected_jobs(cluster: Cluster, host: Host) -> list[str]:
    """Names, without ending, of the jobs with a timer on a host."""
    return [daemon.unit for daemon in daemons.of_groups(cluster.groups_of(host.name)) if daemon.timer]


def look_at(cluster: Cluster, host: Host) -> HostReport:
    """Ask one host, in one go."""
    units, jobs = expected_units(cluster, host), expected_jobs(cluster, host)
    asked = [*units, *(f"{job}.{kind}" for job in jobs for kind in ("service", "timer"))]
    probe = (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")
    try:
        done = host.run(f"sudo -n python3 - {shlex.join(asked)}", stdin=probe, timeout=60)
    except UnreachableError as error:
        return HostReport(host, unreachable=str(error))
    if done.code != 0:
        return HostReport(host, unreachable=done.last_words.splitlines()[-1] if done.last_words else "no answer")
    return report_from(host, json.loads(done.out), units, jobs)


def report_from(host: Host, answer: Mapping[str, Any], units: Iterable[str], jobs: Iterable[str]) -> HostReport:
    """The report in a probe's answer."""
    now = float(answer["now"])

    def unit(name: str) -> Unit:
        return Unit(name, answer["units"].get(name, {"LoadState": "not-found"}), now)

    return HostReport(
        host,
        units=[unit(name) for name in units],
        jobs=[(unit(f"{job}.service"), unit(f"{job}.timer")) for job in jobs],
        failed=list(answer["failed"]),
        memory=int(answer["memory"]),
    )


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


def show(cluster: Cluster, console: Console) -> int:
    """Ask everything and print it; the number of troubles."""
    addresses = urls(cluster)
    with ThreadPoolExecutor(max_workers=max(1, len(addresses))) as pool:
        asked = {name: pool.submit(answers, url) for name, url in addresses.items()}
        reports = list(cluster.on_all(lambda host: look_at(cluster, host)).values())
        states = {name: future.result() for name, future in asked.items()}
    console.print(units_table(reports))
    console.print()
    console.print(jobs_table(reports))
    if addresses:
        console.print()
        console.print(urls_table(addresses, states))
    console.print(f"\nMemory of all hosts: {sum(report.memory for report in reports) / 2**30:.1f} GiB")
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
