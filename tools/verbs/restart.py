"""`make restart`: daemons restart one after the other. What was interrupted goes on with the same command."""

from __future__ import annotations

import yaml

from tools import ROOT
from tools.cluster import Cluster
from tools.health import lock
from tools.health.snapshot import gather
from tools.terminal import Problem
from tools.verbs.plan import begun, chosen, confirm, play, refuse, restart_plan, show, since


def services() -> list[str]:
    """Units of all daemons, in the order in which ansible/restart.yml takes them."""
    plays = yaml.safe_load((ROOT / "ansible" / "restart.yml").read_text(encoding="utf-8"))
    return [play["vars"]["unit"] for play in plays]


def restart(cluster: Cluster, host: str, service: str, yes: bool) -> None:
    """Restart daemons one after the other.

    Raises:
        Problem: The gate says no, a name is unknown, another verb is under way, or the playbook failed.
    """
    hosts = chosen(host, list(cluster.hosts), "host")
    units = chosen(service, services(), "service")
    verb = " ".join(["make restart", *([f"HOST={host}"] if host else []), *([f"SERVICE={service}"] if service else [])])
    with lock.held(cluster, verb) as descriptor:
        plan = restart_plan(gather(cluster), hosts, units)
        if not plan:
            raise Problem(f"{host or 'No host'} runs no {service or 'daemon'}: `make status` shows what runs where.")
        show(plan)
        refuse(plan)
        confirm(yes)
        order: dict[str, list[str]] = {}
        for step in plan:
            order.setdefault(step.unit, []).append(step.host)
        if not play("restart", {"plan": order, "since": since(cluster, verb)}, descriptor):
            raise Problem("Stopped there. The same command goes on with what has not restarted yet.")
        begun(cluster).unlink()
