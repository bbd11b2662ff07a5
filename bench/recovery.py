"""Recovery: how long what breaks or restarts is away, against the setting or the bare restart that bounds it.

    python -m bench.recovery      # on the running lab; ANSIBLE_INVENTORY names another one

From the edge host a partition is produced to, or files are written to HDFS, many times a second; what counts is the
longest time without a success. Meanwhile the sales of `make faults` run through a pipeline of their own, and at the
end its oracle says whether one was lost or counted twice. The cluster's own jobs pause, and go on afterwards.
"""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import Ratio, show
from tools.cluster import Host, from_inventory
from tools.faults import plan
from tools.faults.pipeline import Pipeline, on
from tools.faults.verdict import finish
from tools.health import lock
from tools.health.snapshot import gather
from tools.terminal import Problem, console, run
from tools.verbs.plan import restart_plan
from tools.verbs.restart import restart, services

PROBE = Path(__file__).with_name("recovery_probe.py").read_text(encoding="utf-8")
LIBRARIES = "/opt/retail-producer:/opt/retail-dataset:/opt/retail-dashboard"
AROUND = 5.0
"""Seconds for which is produced or written before something happens and, at least, after it."""
LONGEST = 2400
"""Seconds that all of it takes, at most."""


class Bench:
    """What is measured, on one cluster."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.cluster, self.pipeline, self.edge = pipeline.cluster, pipeline, pipeline.edge
        self.topic = f"{pipeline.name}_probe"

    def ask(self, *words: str, timeout: float = 900) -> Any:  # noqa: ANN401 - JSON
        """Let the probe do something on the edge host, and return its answer.

        Raises:
            Problem: it failed.
        """
        command = f"env PYTHONPATH={LIBRARIES} HADOOP_CONF_DIR=/etc/hadoop HADOOP_USER_NAME=retail python3 -"
        words = (self.pipeline.servers, *words)
        done = self.edge.run(f"{command} {shlex.join(words)}", stdin=PROBE, timeout=timeout)
        if done.code:
            raise Problem(f"{self.edge.name}: {done.last_words}")
        return json.loads(done.out)

    def outage(self, words: tuple[str, ...], happens: Callable[[], object], what: str) -> float:
        """Seconds for which the probe had no success while something happened, and until the cluster is whole again."""
        over = f"over/{secrets.token_hex(3)}"
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(self.ask, *words, f"{self.pipeline.home}/{over}")
            try:
                time.sleep(AROUND)
                happens()
                time.sleep(AROUND)
            finally:
                self.pipeline.upload(over, "")
            away: float = probe.result()
        console.print(f"{what}: {away:.2f} s without a success", markup=False)
        self.pipeline.wait_until_settled()
        return away

    def led(self) -> tuple[str, Host]:
        """A partition whose leader's host has no controller, which would take the election away with it.

        Raises:
            Problem: there is none.
        """
        controllers = {host.name for host in self.cluster.group("kafka_controller")}
        for partition, host in self.ask("leaders", self.topic).items():
            if host not in controllers:
                return partition, self.cluster.hosts[host]
        raise Problem("every broker is a controller, too: this cannot tell the two apart")

    def of_leader(self, command: str, what: str) -> float:
        """Seconds for which a partition takes no record while a command runs on its leader's host."""
        partition, host = self.led()
        return self.outage(("produce", self.topic, partition), lambda: on(host, command), f"{what} on {host.name}")

    def bare(self) -> dict[str, float]:
        """Seconds that systemd needs to restart each unit, by host and unit; between two the cluster becomes whole."""
        seconds = {}
        for step in restart_plan(gather(self.cluster), list(self.cluster.hosts), services()):
            began = time.monotonic()
            on(self.cluster.hosts[step.host], f"sudo systemctl restart {step.unit}")
            seconds[f"{step.host} {step.unit}"] = time.monotonic() - began
            self.pipeline.wait_until_settled()
        return seconds

    @contextmanager
    def probed(self) -> Iterator[None]:
        """There is a topic like that of the sales, and a folder in HDFS."""
        self.pipeline.ask("create", self.pipeline.servers, "sales", self.topic)
        try:
            self.pipeline.ask("make_folder", f"{self.pipeline.hdfs}/probe")
            yield
        finally:
            self.pipeline.ask("delete", self.pipeline.servers, self.topic)


def measure() -> list[Ratio]:
    """Break and restart, one after the other.

    Raises:
        Problem: the cluster does not become whole again, or cannot be asked.
    """
    cluster = from_inventory()
    pipeline = Pipeline(cluster, f"recovery_{secrets.token_hex(3)}", seed=1)
    bench = Bench(pipeline)
    namenode = cluster.one_of("namenode")
    with pipeline.running(int(plan.RATE * LONGEST), batch_files=1), bench.probed():
        session: float = bench.ask("session")
        with lock.held(cluster, "python -m bench.recovery"):
            killed = bench.of_leader("sudo systemctl kill --signal=KILL kafka", "broker killed")
            restarted = bench.of_leader("sudo systemctl restart kafka", "broker restarted")
            bare = bench.bare()
        written = bench.outage(
            ("write", f"{pipeline.hdfs}/probe"),
            lambda: restart(cluster, namenode.name, "hdfs-namenode", yes=True),
            "NameNode restarted",
        )
        began = time.monotonic()
        restart(cluster, "", "", yes=True)
        rolling = time.monotonic() - began
        pipeline.wait_until_whole()
        differences = finish(pipeline)
    for name, seconds in bare.items():
        console.print(f"bare restart of {name}: {seconds:.1f} s", markup=False)
    console.print(f"rolling restart: {rolling:.0f} s, bare restarts: {sum(bare.values()):.0f} s; session {session:g} s")
    for difference in differences:
        console.print(f"WRONG  {difference}", markup=False)
    return [
        Ratio("partition leader's broker killed: produces again / broker session timeout", killed / session, 1.5),
        Ratio("orderly restart of a broker: longest produce gap / broker session timeout", restarted / session, 0.1),
        Ratio(
            "NameNode restarted in order: writes again / its bare restart",
            written / bare[f"{namenode.name} hdfs-namenode"],
            1.3,
        ),
        Ratio("rolling restart of everything / sum of the bare restarts", rolling / sum(bare.values()), 1.5),
        Ratio("differences from the oracle over all of it: sales lost or counted twice", len(differences), 0),
    ]


if __name__ == "__main__":
    run(lambda: show(measure()))
