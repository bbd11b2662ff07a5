"""Asks the gate whether daemons of a host may stop, or waits until they take part again. What `make can-stop` asks."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.cluster import Cluster, Host
from tools.health.gate import can_stop, removal, systems_of
from tools.health.snapshot import Kafka, Silent, Snapshot, gather
from tools.health.verdicts import Purpose, Reason, Verdict, silence, worst
from tools.health.watch import POLL_SECONDS, settling

# By verdict, how long it may stand: what heals by itself takes its time, and who does not answer may just be starting.
# What moves off a host may take as long as it moves: the time begins again with every change.
PATIENCE = {Verdict.WAIT: 600.0, Verdict.UNKNOWN: 60.0}
LEFT = {
    "restart": "Nothing was stopped on this host, and the hosts after it were left as they are.",
    "remove": "Nothing was stopped on this host, and the hosts after it were left as they are. Let its group keep it "
    "until then.",
    "settled": "The hosts after it were left as they are: mend this one, then deploy again.",
    "drained": "Nothing was stopped on this host.",
    "voters": "Nothing was changed on this host, and the hosts after it were left as they are.",
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Takes `ask`, which is restart, remove, settled, drained or voters, names of `units`, and `host` if it is another.

    Drained is a host of which the others have everything: `remove`, and what moves is waited for as long as it moves.
    The answer to voters is `voters`, the controllers that decide about the metadata: host, id and directory of each.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask until the answer is final; any but yes fails, with its reasons."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        hosts = {name: Host(name, variables["hostvars"][name]) for name in variables["groups"]["all"]}
        cluster = Cluster(hosts, variables["groups"])
        ask, units = self._task.args["ask"], self._task.args.get("units", [])
        host = self._task.args.get("host", variables["inventory_hostname"])
        if ask == "voters":
            kafka = quorum(cluster)
            if isinstance(kafka, Kafka):
                return result | {"voters": kafka.quorum.named()}
            return result | {"failed": True, "msg": f"{silence('quorum', 'Kafka', kafka)} {LEFT[ask]}"}
        verdict, words, said = Verdict.YES, "", ""
        for reasons in looks(cluster, host, ask, units):
            verdict, words = worst(tuple(reasons)), " ".join(map(str, reasons))
            waits = " ".join(str(reason) for reason in reasons if reason.verdict is verdict)
            if verdict in PATIENCE and waits != said:
                Display().display(f"  {host} waits: {waits}")
                said = waits
        if verdict is Verdict.BUT:
            Display().display(f"  {host}: {words}")
        if verdict.exit_code:
            return result | {"failed": True, "msg": f"{verdict.words}: {words} {LEFT[ask]}"}
        return result | {"verdict": verdict.words}


def looks(cluster: Cluster, host: str, ask: str, units: Collection[str]) -> Iterator[list[Reason]]:
    """What stands against yes at each look; the last one is the answer."""
    if ask == "settled":
        lacks, before = list[Reason](), None
        while lacks != before:
            before = lacks
            for found in settling(cluster, host, units, PATIENCE[Verdict.WAIT]):
                lacks = [reason for one in found for reason in one.lacks]
                yield lacks
            if worst(tuple(lacks)) is not Verdict.WAIT:
                return
        return
    purpose = Purpose.RESTART if ask == "restart" else Purpose.REMOVE
    systems = {system for unit in units for system in systems_of(cluster.groups_of(host), unit, purpose)}
    began, last = time.monotonic(), list[Reason]()
    while True:
        snapshot = gather(cluster, systems=systems)
        if ask == "drained":
            reasons = draining(snapshot, host, units)
        else:
            reasons = list(can_stop(snapshot, host, purpose, units).reasons)
        began = time.monotonic() if purpose is Purpose.REMOVE and reasons != last else began
        last = reasons
        yield reasons
        if time.monotonic() - began >= PATIENCE.get(worst(tuple(reasons)), 0):
            return
        time.sleep(POLL_SECONDS)


def quorum(cluster: Cluster) -> Kafka | Silent:
    """Kafka, which may just be starting."""
    began = time.monotonic()
    while True:
        kafka = gather(cluster, systems={"kafka"}, blocks=False).kafka or Silent("no host is in the group kafka_broker")
        if isinstance(kafka, Kafka) or time.monotonic() - began >= PATIENCE[Verdict.UNKNOWN]:
            return kafka
        time.sleep(POLL_SECONDS)


def draining(snapshot: Snapshot, host: str, units: Collection[str]) -> list[Reason]:
    """What stands against the removal of a host, what is only to be waited for as such."""
    return [
        replace(reason, verdict=Verdict.WAIT, next_step="") if reason.rule == "drain" else reason
        for reason in removal(snapshot, host, units).reasons
    ]
