"""Verbs: what other versions, hosts that come and go, and a lab switched off cost in sales. Nothing, it is meant.

    python -m bench.verbs

Makes a lab of its own beside one that runs. It begins with the versions before of Hadoop, Kafka and Spark. Sales run
through a pipeline of their own all the time, and at the end its oracle says whether one was lost or counted twice. How
long each verb took is printed, too. Takes root and half an hour; everything is taken away at the end.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from bench import Ratio, show
from bench.deploy import timed
from tests.labs import ROOT, TestLab, clone, derive, with_worker
from tools.artefacts.products import Checkout
from tools.cluster import Cluster, from_inventory
from tools.faults import plan
from tools.faults.pipeline import Pipeline
from tools.faults.verdict import finish
from tools.health.watch import whole
from tools.terminal import Problem, console, run

PRODUCTS = ("hadoop", "kafka", "spark")
MEMBER, REBUILT = "worker3", "worker1"
LONGEST = 3600
"""Seconds that all verbs take, at most."""
BROKEN = {"java_options": ["-XX:NoSuchOption"]}


class Bench:
    """A lab, and what one types to change it."""

    def __init__(self, lab: TestLab) -> None:
        self._lab = lab

    def make(self, *words: str) -> None:
        """Carry out a verb, and print how long it took.

        Raises:
            Problem: it failed.
        """
        timed(f"make {' '.join(words)}", "make", *words, f"INVENTORY={self._lab.inventory}", folder=self._lab.checkout)

    def goes_well(self, *words: str) -> bool:
        """Carry out a verb that may fail; whether it did not."""
        try:
            self.make(*words)
        except Problem as problem:
            console.print(str(problem), markup=False)
            return False
        return True

    def cluster(self) -> Cluster:
        """The hosts as they are in the inventory now."""
        return from_inventory(self._lab.inventories)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a file of the inventory."""
        (self._lab.inventory / name).write_text(yaml.safe_dump(content))

    def read(self, name: str) -> Any:  # noqa: ANN401 - YAML
        """Read a file of the inventory."""
        return yaml.safe_load((self._lab.inventory / name).read_text())

    def reached(self) -> int:
        """Deploy a broken setting; how many brokers it reaches.

        Raises:
            Problem: it does not fail.
        """
        brokers = self.cluster().group("kafka_broker")

        def started() -> list[str]:
            return [host.run("systemctl show --property InvocationID --value kafka").out for host in brokers]

        before, settings = started(), self.read("group_vars/all.yml")
        self.write("group_vars/all.yml", settings | BROKEN)
        went_well = self.goes_well("kafka")
        self.write("group_vars/all.yml", settings)
        if went_well:
            raise Problem("a broken setting was deployed, and nothing failed")
        return sum(one != other for one, other in zip(before, started(), strict=True))

    def change_hosts(self) -> None:
        """Add a host and remove it, and let another one be rebuilt.

        Raises:
            Problem: a verb failed, or the cluster does not become whole.
        """
        hosts = self.read("hosts.yml")
        self.write("hosts.yml", with_worker(hosts, MEMBER))
        self.make("add", f"HOST={MEMBER}", "YES=1")
        self.make("remove", f"HOST={MEMBER}", f"NAME={self._lab.name}", "YES=1")
        self.write("hosts.yml", hosts)
        # A block may have one copy for a moment after the removal: its host is not made anew until there is another.
        if lacking := whole(self.cluster(), 300):
            raise Problem(" ".join(lacking))
        self.make("renew", f"HOST={REBUILT}")
        self.make("replace", f"HOST={REBUILT}", "YES=1")


def measure(checkout: Path) -> list[Ratio]:
    """Let sales run, and change everything below them.

    Raises:
        Problem: a verb failed.
    """
    lab = derive("lab", "verbs", "192.168.64", 14000, checkout=checkout)
    versions = {product: Checkout.at(ROOT).versions(product)[:2] for product in PRODUCTS}
    bench = Bench(lab)
    bench.write(
        "versions.yml", {"all": {"vars": {"product_versions": {name: old for name, (_, old) in versions.items()}}}}
    )
    try:
        bench.make("lab")
        pipeline = Pipeline(bench.cluster(), "verbs", seed=1)
        with pipeline.running(int(plan.RATE * LONGEST), batch_files=1):
            reached = bench.reached()
            bench.make("kafka")
            for name, (new, _) in versions.items():
                bench.make("upgrade", f"PRODUCT={name}", f"VERSION={new}", "YES=1")
            bench.make("rollback", "PRODUCT=kafka", "YES=1")
            bench.change_hosts()
            bench.make("restart", "YES=1")
            differences = finish(pipeline)
        for difference in differences:
            console.print(f"WRONG  {difference}", markup=False)
        bench.make("down")
        bench.make("lab")
        by_hand = not bench.goes_well("check")
    finally:
        subprocess.run(["make", "destroy", f"INVENTORY={lab.inventory}"], cwd=checkout, check=True)
    verbs = "upgrades of Hadoop, Kafka and Spark, rollback, restart of everything, a host added, removed, replaced"
    return [
        Ratio("a broken setting: brokers that it reaches", reached, 1),
        Ratio(f"{verbs}: sales lost or counted twice", len(differences), 0),
        Ratio("the whole lab off and on, then make check: steps by hand", by_hand, 0),
    ]


def main() -> None:
    """Measure, and print the table."""
    if os.geteuid():
        raise Problem("Hosts are made as root: sudo .venv/bin/python -m bench.verbs")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".cache") as name:
        show(measure(clone(Path(name))))


if __name__ == "__main__":
    run(main)
