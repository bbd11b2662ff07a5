"""What may not change while somebody repairs something: facts before the fault, with it, and now.

Facts are settings and identities of all hosts, owners, modes and quotas in HDFS and the copies that files ask for,
topics with their copies and settings, and the stream's checkpoint and application. Each has to be as it was before the
fault, or still as the fault made it: whether that is mended the service's questions tell, and guards do not give it
away. A drill names those that a good repair may leave otherwise (`may_change`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from tools.cluster import Cluster, Host, UnreachableError
from tools.daemons import port
from tools.health.snapshot import ASK, SUPERUSER
from tools.terminal import Problem

FACTS = (Path(__file__).parent / "facts.py").read_text(encoding="utf-8")

Told = dict[str, str | int]
Facts = Mapping[str, Mapping[str, str | int]]
"""By who told them, a host or a system; then by their names."""


def facts(cluster: Cluster, unless: Facts | None = None) -> Facts:
    """All that is guarded, as it is now.

    Args:
        cluster: The hosts.
        unless: What to take for those who do not tell.

    Raises:
        Problem: Somebody does not tell, and `unless` has nothing for it.
    """
    broker, namenode, master = (cluster.one_of(name) for name in ("kafka_broker", "namenode", "spark_master"))
    servers = ",".join(f"{host.name}:{port('broker', 'clients')}" for host in cluster.group("kafka_broker"))
    page = f"http://{namenode.name}:{port('namenode', 'http')}"
    asked: dict[str, Callable[[], Told]] = {host.name: partial(_ask, host, "host") for host in cluster.hosts.values()}
    asked |= {
        "HDFS": partial(_ask, namenode, "hdfs", page),
        "files in HDFS": partial(_copies, namenode, page),
        "Kafka": partial(_ask, broker, "kafka", servers),
        "Spark": partial(_ask, master, "spark", f"http://{master.name}:{port('master', 'ui')}"),
    }

    def told(name: str) -> Mapping[str, str | int]:
        try:
            return asked[name]()
        except Problem:
            if unless is None:
                raise
            return unless[name]

    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        return dict(zip(asked, pool.map(told, asked), strict=True))


def _copies(host: Host, url: str) -> Told:
    """Which numbers of copies files in HDFS ask for."""
    placements = _run(host, ASK, "hdfs", url, SUPERUSER)["placements"]
    return {"copies that files in HDFS ask for": ", ".join(sorted({str(row["copies"]) for row in placements}))}


def _ask(host: Host, *words: str) -> Told:
    found: Told = _run(host, FACTS, *words)
    return {f"{host.name}:{name}" if name.startswith("/") else name: value for name, value in found.items()}


def _run(host: Host, program: str, *words: str) -> Any:  # noqa: ANN401 - JSON
    try:
        command = f"sudo -n env PYTHONPATH=/opt/kafka-client python3 - {shlex.join(words)}"
        done = host.run(command, stdin=program, timeout=120)
    except UnreachableError as error:
        raise Problem(f"{host.name} cannot be reached: {error}") from error
    if done.code:
        raise Problem(f"{host.name} does not tell what it has: {done.last_words}")
    return json.loads(done.out)


def differences(before: Facts, fault: Facts, now: Facts, may_change: Sequence[str] = ()) -> list[str]:
    """What is neither as it was before nor as the fault made it, as sentences.

    A number may grow. What is new is told only of files and of settings; folders of HDFS and topics may come.

    Args:
        before: Facts before the fault.
        fault: Facts with the fault.
        now: Facts after the repair.
        may_change: Patterns of names of facts that may differ.
    """
    was, broken, found = (_flat(one) for one in (before, fault, now))
    return [
        sentence
        for name in dict.fromkeys((*was, *found))
        if found.get(name) != broken.get(name)
        and not any(fnmatchcase(name, pattern) for pattern in may_change)
        and (sentence := _difference(name, was, found))
    ]


def _flat(one: Facts) -> dict[str, str | int]:
    return {name: value for told in one.values() for name, value in told.items()}


def _difference(name: str, before: Mapping[str, str | int], after: Mapping[str, str | int]) -> str:
    was, now = before.get(name), after.get(name)
    if was is None:
        return f"{name} is new." if _counts_when_new(name, before) else ""
    if now is None:
        return f"{name} is gone."
    if isinstance(was, int) and isinstance(now, int):
        return f"{name} was {was}, is {now}." if now < was else ""
    if was == now:
        return ""
    is_file = ":/" in name and " " not in name
    return f"{name} has changed." if is_file else f"{name} was {was}, is {now}."


def _counts_when_new(name: str, before: Mapping[str, str | int]) -> bool:
    """Whether it is a file of a host, a setting of a broker, or one of a topic that was there."""
    kind, _, rest = name.partition(" ")
    return ":/" in kind or kind == "broker" or (kind == "topic" and f"topic {rest.split()[0]} id" in before)
