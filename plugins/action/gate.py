"""Asks the gate whether daemons of a host may stop, or waits until they take part again. What `make can-stop` asks."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.cluster import Cluster, Host
from tools.health.gate import can_stop, settled, systems_of
from tools.health.snapshot import Snapshot, gather
from tools.health.verdicts import Purpose, Reason, Verdict, worst

# By verdict, how long it may stand: what heals by itself takes its time, and who does not answer may just be starting.
PATIENCE = {Verdict.WAIT: 600.0, Verdict.UNKNOWN: 60.0}
PAUSE_SECONDS = 2.0


class ActionModule(ActionBase):  # type: ignore[misc]
    """Takes `ask`, which is restart, remove or settled, and the names of `units` that the host runs."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask until the answer is final; any but yes fails, with its reasons."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        hosts = {name: Host(name, variables["hostvars"][name]) for name in variables["groups"]["all"]}
        cluster = Cluster(hosts, variables["groups"])
        host, ask, units = variables["inventory_hostname"], self._task.args["ask"], self._task.args["units"]
        began, said = time.monotonic(), ""
        while True:
            reasons = reasons_of(look(cluster, host, units), host, ask, units)
            verdict = worst(tuple(reasons))
            words = " ".join(map(str, reasons))
            if time.monotonic() - began >= PATIENCE.get(verdict, 0):
                break
            if words != said:
                Display().display(f"  {host} waits: {words}")
                said = words
            time.sleep(PAUSE_SECONDS)
        if verdict is Verdict.BUT:
            Display().display(f"  {host}: {words}")
        if verdict.exit_code:
            return result | {"failed": True, "msg": f"{verdict.words}: {words} {LEFT[ask]}"}
        return result | {"verdict": verdict.words}


LEFT = {
    "restart": "Nothing was stopped on this host, and the hosts after it were left as they are.",
    "remove": "Nothing was stopped on this host, and the hosts after it were left as they are.",
    "settled": "The hosts after it were left as they are: mend this one, then deploy again.",
}


def look(cluster: Cluster, host: str, units: Collection[str]) -> Snapshot:
    """What must be known of the cluster to answer for these units."""
    systems = {system for unit in units for system in systems_of(cluster.groups_of(host), unit)}
    return gather(cluster, systems=systems, blocks="hdfs-datanode" in units)


def reasons_of(snapshot: Snapshot, host: str, ask: str, units: Iterable[str]) -> list[Reason]:
    """What stands against yes."""
    if ask == "settled":
        return [reason for unit in units for reason in settled(snapshot, host, unit).lacks]
    return list(can_stop(snapshot, host, Purpose(ask), list(units)).reasons)
