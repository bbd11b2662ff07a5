"""Looks that take more than one snapshot: whether something moves, and until it has settled."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace

from tools.cluster import Cluster
from tools.health.gate import RULES, Answer, Settled, can_stop, lacks, settled, systems_of
from tools.health.snapshot import Snapshot, gather
from tools.health.verdicts import Purpose, Verdict

TREND_SECONDS = 5
POLL_SECONDS = 0.5


def may_stop_now(
    cluster: Cluster, host: str, purpose: Purpose = Purpose.RESTART, units: Collection[str] | None = None
) -> Answer:
    """Ask the gate, and twice when something heals by itself, so that its reasons know what `was` some seconds before.

    Args:
        cluster: The hosts and their groups.
        host: Which one is to stop.
        purpose: Whether it comes back.
        units: Names of units that stop, without `.service`; None for the whole host.
    """
    answer = can_stop(gather(cluster), host, purpose, units)
    if answer.verdict is not Verdict.WAIT:
        return answer
    time.sleep(TREND_SECONDS)
    later = can_stop(gather(cluster), host, purpose, units)
    former = {(reason.rule, reason.subject): reason.number for reason in answer.reasons}
    return replace(
        later, reasons=tuple(replace(reason, was=former.get((reason.rule, reason.subject))) for reason in later.reasons)
    )


def settling(
    cluster: Cluster, host: str, units: Collection[str], seconds: float, before: Snapshot | None = None
) -> Iterator[list[Settled]]:
    """Look at units of a host until all have settled, one never will by itself, or the time is over.

    Args:
        cluster: The hosts and their groups.
        host: Where they run.
        units: Their names, with or without `.service`.
        seconds: How long to look; 0 for once.
        before: The cluster before they were stopped: what was missing then is not blamed on them.

    Yields:
        What was seen at each look; the last one is the result.
    """
    systems = set().union(*(systems_of(cluster.groups_of(host), unit) for unit in units))
    deadline, copies = time.monotonic() + seconds, False
    while True:
        # Whether a block can have more copies at all is a question to each block: only when nothing else is left.
        snapshot = gather(cluster, systems=systems, blocks=copies)
        found = [settled(snapshot, host, unit, before) for unit in units]
        yield found
        copies = any(reason.rule == "copies" for one in found for reason in one.lacks) and not copies
        over = time.monotonic() >= deadline and not copies
        if over or not any(one.lacks for one in found) or any(one.verdict is Verdict.NO for one in found):
            return
        time.sleep(POLL_SECONDS)


def whole(cluster: Cluster, seconds: float, but: Collection[str] = ()) -> list[str]:
    """Wait until all daemons and jobs of a cluster have settled.

    Args:
        cluster: The hosts and their groups.
        seconds: How long at most; 0 for one look.
        but: What it may lack, in the words that it was told in.

    Returns:
        What is lacking still when the time is over, as sentences; nothing when the cluster is whole.
    """
    deadline = time.monotonic() + seconds
    while True:
        lacking = [lack for lack in lacks(gather(cluster, blocks=False), RULES) if lack not in but]
        if not lacking or time.monotonic() >= deadline:
            return lacking
        time.sleep(POLL_SECONDS)
