"""What each host says of its units and products, asked of all of them through one probe."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import daemons
from tools.cluster import Cluster, Host, UnreachableError

PROBE = (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")
NEVER = ("", "0", "n/a")


@dataclass(frozen=True)
class Installed:
    """A product as it lies in /opt of a host.

    Attributes:
        runs: The version that its link leads to.
        kept: Others beside it, to which there is a way back.
    """

    runs: str
    kept: frozenset[str] = frozenset()


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
        products: What lies in /opt, by product.
    """

    host: Host
    unreachable: str = ""
    units: list[Unit] = field(default_factory=list)
    jobs: list[tuple[Unit, Unit]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    memory: int = 0
    products: Mapping[str, Installed] = field(default_factory=dict)

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
    try:
        done = host.run(f"sudo -n python3 - {shlex.join(asked)}", stdin=PROBE, timeout=60)
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
        products={name: Installed(row["runs"], frozenset(row["kept"])) for name, row in answer["products"].items()},
    )
