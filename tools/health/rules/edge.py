"""Rules of the edge host: producer, stream, batch and pages bear a pause."""

from __future__ import annotations

from collections.abc import Iterator

from tools.health.snapshot import Silent, Snapshot
from tools.health.verdicts import Purpose, Reason, Verdict, silence

PAUSES = {
    "retail-streaming": "the stream pauses and goes on from its checkpoint",
    "retail-producer": "no sales are sent meanwhile",
    "retail-batch": "the batch that runs breaks off and runs again with its timer",
    "retail-dashboard": "the dashboard is away",
    "nginx": "the pages are away",
    "haproxy": "files of HDFS cannot be looked at in the browser",
}


def edge(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """What is interrupted, of what runs now."""
    units = snapshot.units.get(host, {})
    if isinstance(units, Silent):
        yield silence("pipeline", host, units)
        return
    # A job is `activating` for as long as it runs.
    running = {name for name, unit in units.items() if unit.active or unit.coming}
    if pauses := [text for name, text in PAUSES.items() if name in running]:
        yield Reason(Verdict.BUT, "pipeline", "pipeline", f"{'; '.join(pauses)}, until {host} is back.")
