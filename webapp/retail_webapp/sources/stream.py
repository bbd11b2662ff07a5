"""How the stream is: what the job says of itself after each micro-batch, and the windows that it has closed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Unpack

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from retail_webapp.sources.dataset import MONEY, moment_of
from retail_webapp.sources.polled import How, StoreSource
from retail_webapp.sources.report import State, utc_now
from retail_webapp.sources.stores import FileEntry, Store

STATUS = "status.json"
CLOSED_NAME = re.compile(r"day-(\d{4}-\d{2}-\d{2})(-\d+)?\.parquet", re.ASCII)

CLOSED_DAYS = 14
"""Days of closed windows that are kept, the newest that there are."""

CLOSED = pa.schema(
    [
        ("window_start", pa.timestamp("us", "UTC")),
        ("window_end", pa.timestamp("us", "UTC")),
        ("product", pa.string()),
        ("orders", pa.int64()),
        ("revenue", MONEY),
    ]
)


class Minute(BaseModel):
    """What became of the events of one minute."""

    model_config = ConfigDict(frozen=True)

    minute: datetime
    events: int
    counted: int
    repeated: int
    late: int
    quarantined: int
    """Late ones included."""

    seconds: float
    """Of the longest micro-batch."""

    backlog: int
    """Events in the topic that had not been read, at most."""


class StreamStatus(BaseModel):
    """The job's own account; it may write more than is shown."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    """Start of the job; the counts begin there."""

    until: datetime
    """When it last said something, also that there was nothing to do."""

    last_batch: datetime | None = None
    """End of the last micro-batch that had events."""

    watermark: Annotated[datetime | None, BeforeValidator(lambda text: None if text == "none" else text)] = None
    seconds: float
    """Of the last micro-batch."""

    trigger_seconds: float | None = None
    backlog: int | None = None
    """Events in the topic that have not been read."""

    position: Mapping[int, int] | None = None
    """The next offset that it reads, by partition."""

    repeated_by_day: Mapping[date, int] = Field(default_factory=dict)
    """Repeated events since the beginning, by the day that they tell."""

    events: int
    counted: int
    repeated: int
    quarantined: int
    reasons: Mapping[str, int] = Field(default_factory=dict)
    """Quarantined events by their reasons, several of one event joined with `+`."""

    history: tuple[Minute, ...] = ()
    """The last hour, oldest first; a minute without an event has no row."""

    @property
    def late(self) -> int:
        """Events that came when their windows were closed."""
        return sum(number for reasons, number in self.reasons.items() if "late" in reasons.split("+"))


class StreamSource(StoreSource[StreamStatus]):
    """Reads what the job wrote last."""

    quiet_notice = "The job has said nothing for a while: journalctl -eu retail-streaming"

    def __init__(self, open_store: Callable[[], Store], address: str, quiet_seconds: float, **how: Unpack[How]) -> None:
        """Make a source that is quiet when the job has said nothing for so many seconds; see StoreSource."""
        super().__init__(open_store, address, **how)
        self._quiet_seconds = quiet_seconds

    def computed_at(self, found: StreamStatus) -> datetime | None:
        """When the job wrote it."""
        return found.until

    def liveliness(self, found: StreamStatus) -> State:
        """QUIET when the job says nothing any more."""
        quiet = (utc_now() - found.until).total_seconds() > self._quiet_seconds
        return State.QUIET if quiet else State.OK

    def look_into(self, store: Store) -> StreamStatus | None:
        """The status; None before the first micro-batch."""
        try:
            return StreamStatus.model_validate_json(store.read(STATUS))
        except FileNotFoundError:
            return None


@dataclass(frozen=True, eq=False)
class Closed:
    """The closed windows of the newest days."""

    table: pa.Table
    """`CLOSED`, sorted by start."""

    files: frozenset[FileEntry]
    written_at: datetime
    """When the newest file was written (UTC)."""


class ClosedSource(StoreSource[Closed]):
    """Reads the files that are new; one never changes once it is there."""

    _tables: Mapping[FileEntry, pa.Table] = MappingProxyType({})

    def computed_at(self, found: Closed) -> datetime | None:
        """When the newest file was written."""
        return found.written_at

    def look_into(self, store: Store) -> Closed | None:
        """The windows; None before the first one is closed."""
        files = _newest_days(_files(store))
        held = self._held[1]
        if not files or (held is not None and held.files == files):
            return held if files else None
        tables = {}
        for entry in files:
            known = self._tables.get(entry)
            if known is None:
                known = pq.ParquetFile(pa.BufferReader(store.read(entry.path))).read().select(CLOSED.names).cast(CLOSED)
                self.progress()
            tables[entry] = known
        self._tables = tables
        table = pa.concat_tables(tables.values()).sort_by("window_start")
        return Closed(table, frozenset(files), moment_of(max(entry.modified_ns for entry in files)))


def _files(store: Store) -> list[FileEntry]:
    try:
        return [entry for entry in store.files("") if CLOSED_NAME.fullmatch(entry.path)]
    except FileNotFoundError:
        return []


def _newest_days(files: list[FileEntry]) -> set[FileEntry]:
    days = {entry: date.fromisoformat(entry.path[4:14]) for entry in files}
    kept = set(sorted(set(days.values()))[-CLOSED_DAYS:])
    return {entry for entry, day in days.items() if day in kept}
