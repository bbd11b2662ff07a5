"""`make restart`: daemons restart one after the other. What was interrupted goes on with the same command."""

from __future__ import annotations

import time
from collections.abc import Sequence

import yaml

from tools import ROOT
from tools.cluster import Cluster, Host
from tools.health import lock
from tools.health.snapshot import gather
from tools.terminal import Problem, console
from tools.verbs.plan import Step, begin, begun, begun_at, chosen, confirm, play, refuse, restart_plan, settle, show


def services() -> list[str]:
    """Units of all daemons, in the order in which ansible/restart.yml takes them."""
    plays = yaml.safe_load((ROOT / "ansible" / "restart.yml").read_text(encoding="utf-8"))
    return [play["vars"]["unit"] for play in plays]


def left(cluster: Cluster, plan: Sequence[Step], since: int) -> list[Step]:
    """The steps of a plan whose units have not started anew since a moment, in seconds since 1970."""

    def started(host: Host) -> dict[str, int]:
        units = [step.unit for step in plan if step.host == host.name]
        if not units:
            return {}
        shown = host.run(f"systemctl show --timestamp=unix --property=ExecMainStartTimestamp --value {' '.join(units)}")
        return dict(zip(units, (int(moment.strip("@\n") or 0) for moment in shown.out.split("\n\n")), strict=False))

    moments = cluster.on_all(started)
    return [step for step in plan if moments[step.host].get(step.unit, 0) <= since]


def restart(cluster: Cluster, host: str, service: str, yes: bool) -> None:
    """Restart daemons one after the other.

    Raises:
        Problem: The gate says no, a name is unknown, another verb is under way, or the playbook failed.
    """
    hosts = chosen(host, list(cluster.hosts), "host")
    units = chosen(service, services(), "service")
    verb = " ".join(["make restart", *([f"HOST={host}"] if host else []), *([f"SERVICE={service}"] if service else [])])
    with lock.held(cluster, verb) as descriptor:
        snapshot = gather(cluster)
        plan = restart_plan(snapshot, hosts, units)
        if not plan:
            raise Problem(
                f"{host or 'No host'} runs no {service or 'daemon'} now: `make status` shows what runs where. "
                "What is stopped is left so."
            )
        if since := begun_at(cluster, verb):
            console.print(f"  goes on with what was begun at {time.strftime('%X', time.localtime(since))}")
            plan = left(cluster, plan, since)
        show(plan)
        refuse(plan)
        confirm(yes)
        order: dict[str, list[str]] = {}
        for step in plan:
            order.setdefault(step.unit, []).append(step.host)
        begin(cluster, verb)
        if not play("restart", {"plan": order}, descriptor):
            raise Problem("Stopped there. The same command goes on with what has not restarted yet.")
        begun(cluster).unlink()
        settle(cluster, snapshot)
