"""The plan of a verb: in which order, what will be interrupted, and whether it goes on with what was begun."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from tools import ROOT, daemons
from tools.cluster import Cluster
from tools.health import lock
from tools.health.gate import RULES, Answer, can_stop, lacks, leads
from tools.health.snapshot import Kafka, Silent, Snapshot
from tools.health.verdicts import Purpose, Verdict
from tools.health.watch import whole
from tools.terminal import Problem, console, nearest

SETTLING_SECONDS = 300
RESUMED_SECONDS = 3600  # after which the same words mean a new restart


@dataclass(frozen=True)
class Step:
    """A unit of a host that restarts, and what the gate says of it now."""

    host: str
    unit: str
    answer: Answer


def chosen(name: str, known: Sequence[str], what: str) -> list[str]:
    """The known names that are meant: one of them, or all that begin with a word of them such as `hdfs`.

    Raises:
        Problem: None is.
    """
    found = [one for one in known if not name or one == name or one.startswith(f"{name}-")]
    if not found:
        raise Problem(f"There is no {what} {name!r}. {nearest(name, known)}")
    return found


def restart_plan(snapshot: Snapshot, hosts: Sequence[str], units: Sequence[str]) -> list[Step]:
    """Which units restart on which hosts, in order: those that somebody has stopped stay so.

    Args:
        snapshot: The cluster now.
        hosts: Names of the hosts, in order.
        units: Units to restart where they run, in order.
    """
    return [
        Step(host, unit, can_stop(snapshot, host, Purpose.RESTART, [unit]))
        for unit in units
        for host in sorted(hosts, key=lambda host: leads(snapshot, host))
        if unit in {daemon.unit for daemon in daemons.of_groups(snapshot.groups[host]) if not daemon.timer}
        and not is_stopped(snapshot, host, unit)
    ]


def is_stopped(snapshot: Snapshot, host: str, unit: str) -> bool:
    """Whether a unit was stopped in order; one that failed was not."""
    found = snapshot.unit(host, unit)
    return not isinstance(found, Silent) and found.state == "inactive"


def show(plan: Sequence[Step]) -> None:
    """Print the plan."""
    table = Table("", "host", "unit", "meanwhile", box=None, pad_edge=False)
    for number, step in enumerate(plan, 1):
        words = " ".join(reason.text for reason in step.answer.reasons)
        table.add_row(str(number), step.host, step.unit, words or "nothing is interrupted")
    console.print(table)


def refuse(plan: Sequence[Step]) -> None:
    """Stop before anything is touched when the gate says no.

    Raises:
        Problem: It does, of one step at least.
    """
    for step in plan:
        if step.answer.verdict in (Verdict.NO, Verdict.UNKNOWN):
            reasons = " ".join(map(str, step.answer.reasons))
            raise Problem(f"{step.unit} on {step.host} may not stop: {step.answer.verdict.words}: {reasons}")


def confirm(yes: bool) -> None:
    """Ask whether to go on.

    Raises:
        Problem: Nobody says yes.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem("Nothing was touched. With YES=1 the plan is carried out without a question.")
    if console.input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Problem("Nothing was touched.")


def begin(cluster: Cluster, verb: str) -> None:
    """Note that a verb begins, unless it goes on with what was begun."""
    if begun_at(cluster, verb) is None:
        path = begun(cluster)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"verb": verb, "since": int(time.time())}), encoding="utf-8")


def begun_at(cluster: Cluster, verb: str) -> int | None:
    """Seconds since 1970 when this verb was begun and not ended within the last hour; None when it was not."""
    try:
        former = json.loads(begun(cluster).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    recent = former.get("verb") == verb and time.time() - former["since"] < RESUMED_SECONDS
    return int(former["since"]) if recent else None


def begun(cluster: Cluster) -> Path:
    """Where it is noted which verb has begun and not ended."""
    return lock.NOTED / lock.path_of(cluster).with_suffix(".json").name


def kafka_of(snapshot: Snapshot) -> Kafka:
    """Kafka, which must answer.

    Raises:
        Problem: It does not.
    """
    if isinstance(snapshot.kafka, Silent) or snapshot.kafka is None:
        raise Problem(f"Kafka did not answer ({snapshot.kafka.why if snapshot.kafka else 'no host'}): `make status`.")
    return snapshot.kafka


def play(playbook: str, words: Mapping[str, Any], descriptor: int) -> bool:
    """Let Ansible carry out a playbook of ansible/; whether all of it went well."""
    command = ["ansible-playbook", f"ansible/{playbook}.yml", "--extra-vars", json.dumps(words)]
    return subprocess.run(command, cwd=ROOT, pass_fds=[descriptor], check=False).returncode == 0


def settle(cluster: Cluster, before: Snapshot) -> None:
    """Wait until all that took part before a verb does so again: jobs begin anew when what they use was interrupted.

    Args:
        cluster: The hosts and their groups.
        before: The cluster before the verb: what was missing then is not waited for.
    """
    known = lacks(before, RULES)
    if lacking := whole(cluster, 0, known):
        console.print(f"  waits: {' '.join(lacking)}", markup=False)
        if lacking := whole(cluster, SETTLING_SECONDS, known):
            console.print(f"Not yet what it was: {' '.join(lacking)}", markup=False)
