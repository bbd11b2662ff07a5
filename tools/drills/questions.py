"""Whether the service is well: asked before every drill and before every verdict, whatever the drill.

They go through systemd, the network, HDFS, Kafka, Spark and the dashboard themselves. What is wrong they say as a
sentence, which does not say how to mend it.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from tools import daemons
from tools.cluster import Cluster, Host, UnreachableError
from tools.health.gate import lacks
from tools.health.snapshot import Silent, gather
from tools.terminal import Problem

# Runs on every host: do all names lead where they should, and does every port answer that hosts are to reach?
LOOK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reached(row):
    name, address, ports = row
    try:
        for port in ports:
            socket.create_connection((name, port), timeout=4).close()
        return socket.gethostbyname(name) == address
    except OSError:
        return False
with ThreadPoolExecutor() as pool:
    sys.exit(not all(pool.map(reached, json.loads(sys.argv[1]))))
"""
WATCH_SECONDS = 15  # three triggers of the stream
MOST_BEHIND = 200  # events, of which there are five a second

Question = Callable[[Cluster], Iterable[str]]


def units(cluster: Cluster) -> Iterator[str]:
    """Every unit runs, all daemons of HDFS, Kafka and Spark take part, and no copy of a partition is behind."""
    snapshot = gather(cluster, blocks=False)
    jobs = {daemon.unit for daemon in daemons.table().values() if daemon.timer}
    for host, found in snapshot.units.items():
        if isinstance(found, Silent):
            yield f"{host} cannot be reached."
            continue
        for unit, state in found.items():
            rests = unit in jobs and (state.coming or state.state == "inactive")
            if not state.active and not rests:
                yield f"{unit} on {host} is {state.state}."
    # The gate's sentences end with what to do, which is the player's part.
    yield from (sentence.split(" `")[0].rsplit(" Start it:")[0] for sentence in lacks(snapshot))


def network(cluster: Cluster) -> Iterator[str]:
    """All hosts know each other by name, and reach each other's daemons."""
    asked = json.dumps([(host.name, host.address, _ports(cluster, host)) for host in cluster.hosts.values()])

    def reaches(host: Host) -> bool:
        try:
            return host.run(f"python3 - {shlex.quote(asked)}", stdin=LOOK, timeout=60).code == 0
        except UnreachableError:
            return False

    for name, well in cluster.on_all(reaches).items():
        if not well:
            yield f"{name} does not reach everything on other hosts that it should."


def _ports(cluster: Cluster, host: Host) -> list[int]:
    """What hosts reach on a host, when its units run."""
    rows = [daemon for daemon in daemons.of_groups(cluster.groups_of(host.name)) if daemon.unit != "nginx"]
    return sorted(port.port for daemon in rows for port in daemon.ports.values() if port.open_to == "hosts")


def pipeline(cluster: Cluster) -> Iterator[str]:
    """Sales arrive, are counted within seconds and shown."""
    try:
        before, _ = _shown(cluster)
        time.sleep(WATCH_SECONDS)
        revenue, behind = _shown(cluster)
    except (Problem, UnreachableError, ValueError, KeyError) as error:
        yield f"The dashboard does not show the live windows: {error}."
        return
    if revenue <= before:
        yield f"The live windows stand at {revenue}."
    if behind > MOST_BEHIND:
        yield f"The stream is {behind:,} events behind."


def _shown(cluster: Cluster) -> tuple[Decimal, int]:
    """Revenue of the live windows, and how many events the stream is behind, as visitors of the dashboard see it.

    Raises:
        Problem: They see nothing.
        UnreachableError: Not even the host is there.
        ValueError: They see something else.
        KeyError: Likewise.
    """
    edge = cluster.one_of("edge")
    base = f"http://{edge.name}:{daemons.port('nginx', 'dashboard')}/api"
    command = f"curl --silent --show-error --fail --fail-early --max-time 8 {base}/windows {base}/stream"
    done = edge.run(command, timeout=30)
    if done.code:
        raise Problem((done.last_words or f"curl ended with {done.code}").splitlines()[-1])
    decoder = json.JSONDecoder()
    windows, end = decoder.raw_decode(done.out)
    stream, _ = decoder.raw_decode(done.out[end:].lstrip())
    revenue = sum((Decimal(row["revenue"]) for row in windows["rows"]), Decimal(0))
    return revenue, (stream["now"] or {}).get("backlog") or 0


QUESTIONS: Mapping[str, Question] = {function.__name__: function for function in (units, network, pipeline)}


def wrong(cluster: Cluster) -> list[str]:
    """What is wrong with the service now; nothing when it is well."""
    with ThreadPoolExecutor(max_workers=len(QUESTIONS)) as pool:
        answers = pool.map(lambda question: list(question(cluster)), QUESTIONS.values())
        return list(dict.fromkeys(sentence for answer in answers for sentence in answer))
