"""What the stream says of itself for those who look on: sums since its start, the last hour by minute, how far behind.

`status.json` is written after each micro-batch that had events, and while there is nothing to do every ten seconds, so
that who reads it can tell a quiet topic from a job that hangs.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from pydantic import BaseModel

from retail_jobs.stream_state import Totals
from retail_jobs.windows import iso

MINUTES = 60


class Minute(BaseModel):
    """What became of the events whose micro-batches ended in one minute."""

    minute: str
    """Its beginning (UTC, ISO-8601)."""
    events: int = 0
    counted: int = 0
    repeated: int = 0
    late: int = 0
    quarantined: int = 0
    """Late ones included."""
    batches: int = 0
    seconds: float = 0
    """Of the longest micro-batch."""
    backlog: int = 0
    """The most events that were in the topic and not read."""


@dataclass(frozen=True)
class Progress:
    """How far the stream is after a micro-batch.

    Attributes:
        seconds: How long the batch took.
        watermark: ISO-8601, or `none`.
        backlog: Events that are in the topic and not read.
        position: The next offset to be read, by partition.
        repeated_by_day: Repeated events of all batches since the beginning, by the day that they tell.
    """

    seconds: float = 0.0
    watermark: str = "none"
    backlog: int = 0
    position: Mapping[str, int] = field(default_factory=dict)
    repeated_by_day: Mapping[str, int] = field(default_factory=dict)


class Status:
    """Grows with each micro-batch; of the past, it keeps an hour.

    Args:
        since: start of the job.
        trigger_seconds: from the beginning of a micro-batch to that of the next one.
    """

    def __init__(self, since: datetime, trigger_seconds: float) -> None:
        self._since, self._trigger_seconds = since, trigger_seconds
        self._totals = Totals()
        self._history: deque[Minute] = deque(maxlen=MINUTES)
        self._last_batch: datetime | None = None
        self._progress = Progress()

    def take(self, counts: Totals, now: datetime, progress: Progress) -> None:
        """Add a micro-batch.

        Args:
            counts: what became of its events.
            now: its end.
            progress: how far the stream is after it.
        """
        self._totals = self._totals.plus(counts)
        self._last_batch, self._progress = now, progress
        beginning = iso(now.replace(second=0, microsecond=0))
        if not self._history or self._history[-1].minute != beginning:
            self._history.append(Minute(minute=beginning))
        minute = self._history[-1]
        minute.events += counts.events
        minute.counted += counts.counted
        minute.repeated += counts.repeated
        minute.late += sum(number for reasons, number in counts.reasons.items() if "late" in reasons.split("+"))
        minute.quarantined += counts.quarantined
        minute.batches += 1
        minute.seconds = max(minute.seconds, progress.seconds)
        minute.backlog = max(minute.backlog, progress.backlog)

    def rest(self) -> None:
        """Say that there is nothing to do: all that is in the topic has been read."""
        self._progress = replace(self._progress, backlog=0)

    def to_json(self, now: datetime) -> str:
        """The content of `status.json` at a moment."""
        status = {
            "since": iso(self._since),
            "until": iso(now),
            "trigger_seconds": self._trigger_seconds,
            "last_batch": iso(self._last_batch) if self._last_batch else None,
            **self._totals.model_dump(exclude={"repeated_by_day"}),
            **asdict(self._progress),
            "history": [minute.model_dump() for minute in self._history],
        }
        return json.dumps(status)


def position(end: str) -> dict[str, int]:
    """The next offset to be read of each partition.

    Args:
        end: where a batch ended, `{topic: {partition: offset}}` of one topic as JSON.
    """
    (offsets,) = json.loads(end).values()
    return dict(offsets)


UNKNOWN = "None"
"""What PySpark gives for an offset that Spark does not know, as after a restart for a batch that was planned before."""


def backlog(end: str, latest: str) -> int:
    """How many events a topic has beyond the end of a micro-batch.

    Args:
        end: where the batch ended, `{topic: {partition: offset}}` as JSON.
        latest: where the topic ended when the batch began, likewise; `UNKNOWN`, or empty while no broker
            answers, counts as nothing more.
    """
    if latest in (UNKNOWN, ""):
        return 0
    read: Mapping[str, Mapping[str, int]] = json.loads(end)
    there: Mapping[str, Mapping[str, int]] = json.loads(latest)
    return sum(
        max(0, offset - read.get(topic, {}).get(partition, 0))
        for topic, partitions in there.items()
        for partition, offset in partitions.items()
    )
