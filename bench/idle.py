"""What the idle lab costs: seconds of a micro-batch, and the share of its cores that all of it takes.

    python -m bench.idle         # on the running lab, which nothing else uses; ANSIBLE_INVENTORY names another one

Idle is what the deployment does by itself: five events a second. The seconds are those of the lines that
retail-streaming writes to the journal; the share is the time that all processes of all hosts had on a core.
"""

from __future__ import annotations

import re
import time
from statistics import median

from bench import Ratio, show
from tools import cluster as clusters
from tools.cluster import Host
from tools.terminal import Problem, console, run

SECONDS = 300
LINE = re.compile(r"batch \d+: (\d+) events = .* in ([\d.]+) s;")
TICKS = "getconf CLK_TCK; sudo cat /proc/[0-9]*/stat 2>/dev/null"


def busy(host: Host) -> float:
    """Seconds that the processes of a host, with those that they have waited for, have had on a core."""
    per_second, *lines = host.run(TICKS).out.splitlines()
    return sum(sum(map(int, line.rsplit(")", 1)[1].split()[11:15])) for line in lines) / int(per_second)


def measure() -> list[Ratio]:
    """Look at the lab for a while.

    Raises:
        Problem: the streaming job wrote nothing meanwhile.
    """
    cluster = clusters.from_inventory()
    edge = cluster.one_of("edge")
    cores = int(edge.run("nproc").out)
    console.print(f"looking at {len(cluster.hosts)} hosts for {SECONDS} s ...")
    before = sum(cluster.on_all(busy).values())
    time.sleep(SECONDS)
    spent = sum(cluster.on_all(busy).values()) - before
    journal = edge.run(f"sudo journalctl --unit retail-streaming --since -{SECONDS}s --output cat --no-pager").out
    batches = [(int(found[1]), float(found[2])) for found in LINE.finditer(journal)]
    if not batches:
        raise Problem(
            f"retail-streaming wrote of no micro-batch: see `systemctl status retail-streaming` on {edge.name}"
        )
    events, seconds = (median(values) for values in zip(*batches, strict=True))
    console.print(f"{len(batches)} micro-batches, median {events:.0f} events; {spent:.0f} s on a core in {SECONDS} s")
    return [
        Ratio("seconds of a micro-batch on the idle lab, median", seconds, 1.0),
        Ratio("share of the cores that the idle lab takes", spent / SECONDS / cores, 0.25),
    ]


if __name__ == "__main__":
    run(lambda: show(measure()))
