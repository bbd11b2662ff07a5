"""A source that is looked at every few seconds; requests never wait for it."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from retail_webapp.sources.report import Report, State
from retail_webapp.sources.stores import Store
from retail_webapp.sources.trouble import NO_ANSWER, more, reason
from retail_webapp.sources.worker import Worker

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_READ_SECONDS = 3.0
"""How long the first request waits for the first read."""

HANG_SECONDS = 10.0
"""A look that takes longer counts as a source that is away."""


class PolledSource(ABC, Generic[T]):
    """Keeps what the last good look found.

    A look that finds the same gives the same object again, so that answers made of it stay valid.
    """

    def __init__(self, address: str, *, interval: float, product: str, how_to_fill: str) -> None:
        """Make a source that has not looked yet.

        Args:
            address: where the data comes from, for the reader.
            interval: seconds between two looks.
            product: what is away when it is away, for example "HDFS".
            how_to_fill: what the reader is told while there is nothing.
        """
        self.address = address
        self._interval = interval
        self._product = product
        self._how_to_fill = how_to_fill
        self._found: T | None = None
        self._state = State.STARTING
        self._error = ""
        self._looking_since: float | None = None
        self._first_look = threading.Event()
        self._started = 0.0
        self._worker = Worker(type(self).__name__, self._run)

    @abstractmethod
    def look(self) -> T | None:
        """Look once.

        Returns:
            What is there; None when there is nothing yet.

        Raises:
            Exception: whatever keeps it from being read.
        """

    def computed_at(self, found: T) -> datetime | None:
        """When what was found was made (UTC)."""
        return None

    def start(self) -> None:
        """Start looking, once."""
        if not self._started:
            self._started = time.monotonic()
            self._worker.start()

    def stop(self) -> None:
        """Stop looking."""
        self._worker.stop()

    def current(self) -> tuple[T | None, Report]:
        """What the last good look found, and the state of the source; the first call waits a moment for it."""
        if not self._first_look.is_set() and self._started:
            self._first_look.wait(max(0.0, self._started + FIRST_READ_SECONDS - time.monotonic()))
        found = self._found
        return found, self._report(found)

    def snapshot(self) -> T | None:
        """See `current`."""
        return self.current()[0]

    def report(self) -> Report:
        """State of the source now; never waits."""
        return self._report(self._found)

    def _report(self, found: T | None) -> Report:
        state, error = self._state, self._error
        since = self._looking_since
        if since is not None and time.monotonic() - since > HANG_SECONDS:
            state, error = State.AWAY, NO_ANSWER
        return Report(
            source=self.address,
            state=state,
            computed_at=self.computed_at(found) if found is not None else None,
            notice=self._notice(state, error, found),
        )

    def refresh(self) -> None:
        """Look once; never raises, the report tells what happened."""
        self._looking_since = time.monotonic()
        try:
            found = self.look()
        # Whatever a store, Parquet or a network gives must end in a notice, never in the end of this thread.
        except Exception as error:
            self._become(State.AWAY, reason(error))
        else:
            if found is not None:
                self._found = self._found if found == self._found else found
                self._become(State.OK)
            elif self._found is not None:
                self._become(State.AWAY, "it is gone")
            else:
                self._become(State.EMPTY)
        finally:
            self._looking_since = None
            self._first_look.set()

    def _notice(self, state: State, error: str, found: T | None) -> str | None:
        match state:
            case State.STARTING:
                return f"Reading {self.address} for the first time."
            case State.EMPTY:
                return self._how_to_fill
            case State.AWAY:
                shown = "nothing to show yet" if found is None else "showing the last good data"
                return f"{self._product} cannot be read ({error}): {shown}; trying again.{more(self._product, error)}"
            case _:
                return None

    def _run(self) -> None:
        while not self._worker.stopping.is_set():
            self.refresh()
            self._worker.stopping.wait(self._interval)

    def _become(self, state: State, error: str = "") -> None:
        if (state, error) != (self._state, self._error):
            level = logging.WARNING if state is State.AWAY else logging.INFO
            log.log(level, "%s: %s -> %s %s", self.address, self._state, state, error)
        self._state, self._error = state, error


class StoreSource(PolledSource[T]):
    """A source that looks at a folder."""

    def __init__(
        self, open_store: Callable[[], Store], address: str, *, interval: float, product: str, how_to_fill: str
    ) -> None:
        """Make a source that has not looked yet.

        Args:
            open_store: opens the folder; called in the serving process at the first look, and again while it fails.
            address: how the folder is called until it is open.
            interval: see PolledSource, as the rest.
            product: see there.
            how_to_fill: see there.
        """
        super().__init__(address, interval=interval, product=product, how_to_fill=how_to_fill)
        self._open_store = open_store
        self._store: Store | None = None

    def look(self) -> T | None:
        """See PolledSource."""
        if self._store is None:
            self._store = self._open_store()
            self.address = self._store.address
        return self.look_into(self._store)

    @abstractmethod
    def look_into(self, store: Store) -> T | None:
        """Look once, see `PolledSource.look`."""
