"""A source that is looked at every few seconds; requests never wait for it."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypedDict, TypeVar, Unpack

from retail_webapp.sources.report import Report, State
from retail_webapp.sources.stores import Store
from retail_webapp.sources.trouble import NO_ANSWER, more, reason
from retail_webapp.sources.worker import Worker

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_READ_SECONDS = 3.0
"""How long the first request waits for the first read."""

HANG_SECONDS = 10.0
"""A look that gets no further for so long is given up, and another one begins with a client of its own."""

MOST_HANG_SECONDS = 320.0
"""Each look that is given up makes the patience with the next one twice as long, up to this."""


class How(TypedDict):
    """What all sources are told."""

    interval: float
    """Seconds between two looks."""

    product: str
    """What is away when it is away, for example "HDFS"."""

    how_to_fill: str
    """What the reader is told while there is nothing."""


class PolledSource(ABC, Generic[T]):
    """Keeps what the last good look found.

    A look that finds the same gives the same object again, so that answers made of it stay valid.
    """

    quiet_notice = ""
    """What the reader is told when nothing new comes."""

    def __init__(self, address: str, **how: Unpack[How]) -> None:
        """Make a source that has not looked yet.

        Args:
            address: where the data comes from, for the reader.
            how: see How.
        """
        self.address = address
        self._interval = how["interval"]
        self._product = how["product"]
        self._how_to_fill = how["how_to_fill"]
        self._held: tuple[int, T | None] = (0, None)
        self._state = State.STARTING
        self._error = ""
        self._looking_since: float | None = None
        self._patience = HANG_SECONDS
        self._turn = 0
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
        held = self._held
        return held[1], self._report(held)

    def snapshot(self) -> T | None:
        """See `current`."""
        return self.current()[0]

    def report(self) -> Report:
        """State of the source now; never waits."""
        return self._report(self._held)

    def _report(self, held: tuple[int, T | None]) -> Report:
        (version, found), state, error = held, self._state, self._error
        if state is State.OK and found is not None:
            state = self.liveliness(found)
        return Report(
            source=self.address,
            state=state,
            computed_at=self.computed_at(found) if found is not None else None,
            notice=self._notice(state, error, found),
            version=version,
        )

    def liveliness(self, found: T) -> State:
        """OK, or QUIET when something new should have come since."""
        return State.OK

    def progress(self) -> None:
        """Say that a look gets further; to be called by looks that may be long."""
        self._looking_since = time.monotonic()

    def refresh(self) -> None:
        """Look once; never raises, the report tells what happened."""
        turn = self._turn
        self.progress()
        try:
            found, error = self.look(), None
        # Whatever a store, Parquet or a network gives must end in a notice, never in the end of this thread.
        except Exception as raised:
            found, error = None, raised
        # One that was given up has nothing to say any more.
        if turn == self._turn:
            self._looking_since = None
            self._patience = HANG_SECONDS
            self._take(found, error)

    def _take(self, found: T | None, error: Exception | None) -> None:
        version, before = self._held
        if error is not None:
            self._become(State.AWAY, reason(error))
        elif found is not None:
            if found != before:
                self._held = version + 1, found
            self._become(State.OK)
        elif before is not None:
            self._become(State.AWAY, "it is gone")
        else:
            self._become(State.EMPTY)
        self._first_look.set()

    def forget(self) -> None:
        """Let go of what a look that hangs may hang on."""

    def _notice(self, state: State, error: str, found: T | None) -> str | None:
        match state:
            case State.STARTING:
                return f"Reading {self.address} for the first time."
            case State.EMPTY:
                return self._how_to_fill
            case State.QUIET:
                return self.quiet_notice
            case State.AWAY:
                shown = "nothing to show yet" if found is None else "showing the last good data"
                return f"{self._product} cannot be read ({error}): {shown}; trying again.{more(self._product, error)}"
            case _:
                return None

    def _run(self) -> None:
        """Let one thread look, and another one take its place when it hangs in a client that gives no answer."""
        while not self._worker.stopping.is_set():
            threading.Thread(target=self._look_on, args=(self._turn,), name=self.address, daemon=True).start()
            while not self._worker.stopping.wait(min(1.0, self._patience / 4)) and not self._hangs():
                pass
            if not self._worker.stopping.is_set():
                self._become(State.AWAY, f"{NO_ANSWER} for {self._patience:.0f} s")
                self._first_look.set()
                self._turn += 1
                self._looking_since = None
                self._patience = min(2 * self._patience, MOST_HANG_SECONDS)
                self.forget()

    def _look_on(self, turn: int) -> None:
        while turn == self._turn and not self._worker.stopping.is_set():
            self.refresh()
            self._worker.stopping.wait(self._interval)

    def _hangs(self) -> bool:
        since = self._looking_since
        return since is not None and time.monotonic() - since > self._patience

    def _become(self, state: State, error: str = "") -> None:
        if (state, error) != (self._state, self._error):
            level = logging.WARNING if state is State.AWAY else logging.INFO
            log.log(level, "%s: %s -> %s %s", self.address, self._state, state, error)
        self._state, self._error = state, error


class StoreSource(PolledSource[T]):
    """A source that looks at a folder."""

    def __init__(self, open_store: Callable[[], Store], address: str, **how: Unpack[How]) -> None:
        """Make a source that has not looked yet.

        Args:
            open_store: opens the folder; called in the serving process at the first look, and again while it fails.
            address: how the folder is called until it is open.
            how: see How.
        """
        super().__init__(address, **how)
        self._open_store = open_store
        self._store: Store | None = None

    def look(self) -> T | None:
        """See PolledSource."""
        store = self._store
        if store is None:
            store = self._store = self._open_store()
            self.address = store.address
        return self.look_into(store)

    def forget(self) -> None:
        """See PolledSource."""
        self._store = None

    @abstractmethod
    def look_into(self, store: Store) -> T | None:
        """Look once, see `PolledSource.look`."""
