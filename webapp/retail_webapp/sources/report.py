"""What a source says of itself, in the form that the API and the page show."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    """State of a source."""

    OFF = "off"  # not configured
    STARTING = "starting"  # the first read is under way
    EMPTY = "empty"  # reachable, holds nothing yet
    OK = "ok"
    QUIET = "quiet"  # reachable, but nothing new arrives where something should
    AWAY = "away"  # cannot be read


@dataclass(frozen=True)
class Report:
    """State of a source at one moment."""

    source: str
    """Where the data comes from: an address."""

    state: State

    computed_at: datetime | None
    """When the data was made (UTC), by the clock of the one who made it."""

    notice: str | None
    """A sentence for the reader when not all is well."""

    version: int = 0
    """Of the data: another number for other data."""

    @property
    def stale(self) -> bool:
        """Whether the data shown may be behind the truth."""
        return self.state in (State.AWAY, State.QUIET)

    def age_seconds(self, now: datetime) -> int | None:
        """Age of the data in whole seconds; None without data."""
        if self.computed_at is None:
            return None
        return max(0, int((now - self.computed_at).total_seconds()))


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime | None) -> str | None:
    """ISO-8601 in UTC with Z and whole seconds."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
