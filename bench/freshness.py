"""Freshness: from the moment an event is produced until the dashboard's JSON counts it, at 200 events/s.

    python -m bench.freshness            # on the running lab; ANSIBLE_INVENTORY names another cluster

A product of its own is sold at a steady rate from the edge host while the dashboard's live windows are polled there:
when they count n orders, the n-th event has become visible.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench import Ratio, show
from tools import cluster as clusters
from tools.terminal import Problem, console, run

RATE, SECONDS = 200, 60
GRACE = 1.0  # seconds beyond the trigger interval


def measure() -> list[Ratio]:
    """Produce and poll; the ratio is that of the 95th percentile to what it may be.

    Raises:
        Problem: not all events became visible, or there is no cluster.
    """
    edge = clusters.from_inventory().one_of("edge")
    trigger = re.search(r'TRIGGER_SECONDS="?([\d.]+)', edge.run("cat /etc/retail/jobs.env").out)
    if not trigger:
        raise Problem(f"{edge.name} has no /etc/retail/jobs.env: deploy the jobs first")
    console.print(f"{RATE} events/s for {SECONDS} s on {edge.name} ...")
    probe = Path(__file__).with_name("freshness_probe.py").read_text(encoding="utf-8")
    command = f"sudo env PYTHONPATH=/opt/retail-producer:/opt/retail-dataset python3 - {RATE} {SECONDS}"
    done = edge.run(command, stdin=probe, timeout=SECONDS + 180)
    if done.code:
        raise Problem(f"{edge.name}: {done.last_words}")
    latencies = sorted(json.loads(done.out))
    if len(latencies) < RATE * SECONDS:
        raise Problem(f"only {len(latencies)} of {RATE * SECONDS} events became visible: see retail-streaming")
    p50, p95 = (latencies[int(len(latencies) * part)] for part in (0.5, 0.95))
    allowed = float(trigger[1]) + GRACE
    console.print(f"p50 {p50:.1f} s, p95 {p95:.1f} s, slowest {latencies[-1]:.1f} s; trigger {trigger[1]} s")
    return [Ratio(f"event to dashboard, p95, to the trigger interval + {GRACE:g} s", p95 / allowed, 1)]


if __name__ == "__main__":
    run(lambda: show(measure()))
