"""Breaks the cluster again and again while sales run through it, and proves that none is lost or counted twice.

    python -m tools.faults --count 50 --seed 1

A pipeline of the test's own runs on the cluster, and the cluster's own jobs pause meanwhile. Faults follow each other,
each mended and overcome before the next. At the end an oracle computes from the raw input what the topics, the closed
and the live windows, the quarantines and the batch's result must hold. Exit code 1 when they hold anything else.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import time
from collections import defaultdict
from dataclasses import replace
from types import FrameType

from rich.table import Table

from tools import cluster as clusters
from tools.cluster import Cluster
from tools.faults import plan
from tools.faults.kinds import KINDS, SUSPENDED
from tools.faults.pipeline import Pipeline
from tools.faults.plan import Fault
from tools.faults.verdict import finish
from tools.health import lock
from tools.terminal import Problem, console, run

SHOWN = 20
STOPS = (signal.SIGINT, signal.SIGTERM)


def places(cluster: Cluster) -> dict[str, list[str]]:
    """The hosts where each kind of fault can happen.

    Raises:
        Problem: One fault would take away all there is of something.
    """
    for group in ("datanode", "spark_worker", "kafka_broker"):
        if len(cluster.group(group)) < 2:
            raise Problem(f"the inventory has fewer than two hosts in {group}: one fault would take all of them away")
    return {name: [host.name for host in cluster.group(kind.group)] for name, kind in KINDS.items()}


def carry_out(pipeline: Pipeline, fault: Fault) -> float:
    """Let a fault happen and wait until it is overcome; the seconds that took from the moment it was mended."""
    if fault.batch:
        pipeline.run_batch()
    with KINDS[fault.kind].happens(pipeline, fault) as what:
        console.print(f"{time.strftime('%X')} {fault.kind} on {fault.host}: {what}", markup=False, end=" ")
        time.sleep(fault.hold)
    mended = time.monotonic()
    pipeline.wait_until_whole()
    recovery = time.monotonic() - mended
    console.print(f"for {fault.hold:.0f} s, overcome {recovery:.0f} s later", markup=False)
    return recovery


def summary(recoveries: dict[str, list[float]]) -> Table:
    """How often each kind happened, and how long it took to be overcome at most."""
    table = Table("fault", "times", "longest recovery (s)")
    for kind, seconds in recoveries.items():
        table.add_row(kind, str(len(seconds)), f"{max(seconds):.0f}")
    return table


def command(cluster: Cluster, count: int, seed: int, suspended: float) -> None:
    """Carry out the whole test.

    Args:
        cluster: Where.
        count: How many faults.
        seed: Which.
        suspended: Seconds for which the whole lab stands still, when it does.

    Raises:
        Problem: The cluster did not overcome a fault.
        SystemExit: The result is not the oracle's.
    """
    faults = plan.make_plan(count, seed, places(cluster))
    faults = [replace(fault, hold=suspended) if fault.kind == SUSPENDED else fault for fault in faults]
    pipeline = Pipeline(cluster, f"faults_{secrets.token_hex(3)}", seed)
    recoveries: dict[str, list[float]] = defaultdict(list)
    console.print(f"{count} faults with seed {seed}; run {pipeline.name}", markup=False)
    rows = int(plan.RATE * (plan.LONGEST * (count + 2) + sum(fault.hold for fault in faults)))
    with pipeline.running(rows, batch_files=count):
        for fault in faults:
            recoveries[fault.kind].append(carry_out(pipeline, fault))
        console.print(f"{time.strftime('%X')} all faults are over; comparing with the oracle")
        differences = finish(pipeline)
    console.print(summary(recoveries))
    batches = f"the batch was started {pipeline.batch_starts} times, {pipeline.batch_failures} of its runs broke off"
    console.print(batches, markup=False)
    for difference in differences[:SHOWN]:
        console.print(f"WRONG  {difference}", markup=False)
    if differences:
        console.print(f"{len(differences)} differences from the oracle", style="bold red")
        raise SystemExit(1)
    console.print("0 lost, 0 double", style="bold green")


def stop(_number: int, _frame: FrameType | None) -> None:
    """End the command; while it mends and cleans up it is not interrupted again."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    console.print("\nInterrupted: mending what is broken, cleaning up ...")
    raise SystemExit(130)


def main() -> None:
    """Read the command line and carry out the test."""
    parser = argparse.ArgumentParser(
        description="Break the cluster while sales run through it; prove that none is lost."
    )
    parser.add_argument("--count", type=int, default=50, help="how many faults (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed breaks the same things (default %(default)s)"
    )
    parser.add_argument(
        "--suspended",
        type=float,
        default=30,
        metavar="SECONDS",
        help="for so long the whole lab stands still, when it does (default %(default)s)",
    )
    options = parser.parse_args()

    def locked() -> None:
        cluster = clusters.from_inventory()
        with lock.held(cluster, "make faults"):
            command(cluster, options.count, options.seed, options.suspended)

    for number in STOPS:
        signal.signal(number, stop)
    run(locked)


if __name__ == "__main__":
    main()
