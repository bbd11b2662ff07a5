"""The batch result, looked at every few seconds and read again only where it changed."""

import logging
import threading
import time
from collections.abc import Callable

import pyarrow as pa

from retail_webapp.sources.dataset import Snapshot, assemble, parse_file, published, version_of
from retail_webapp.sources.report import Report, State
from retail_webapp.sources.stores import FileEntry, Store
from retail_webapp.sources.worker import Worker

log = logging.getLogger(__name__)

FIRST_READ_SECONDS = 3.0
"""How long the first request waits for the first read."""

HANG_SECONDS = 10.0
"""A look that takes longer counts as a source that is away."""

ATTEMPTS = 5
"""Looks within one refresh while a publication changes the list."""


class PublicationMovesError(Exception):
    """The list of files changed during every attempt to read it."""


class BatchSource:
    """Keeps the last good snapshot of the batch result; requests never wait for the store."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        address: str,
        *,
        interval: float,
        product: str,
        how_to_fill: str,
    ) -> None:
        """Make a source that has not looked yet.

        Args:
            open_store: opens the store; called in the serving process at the first look.
            address: how the folder is called until the store is open.
            interval: seconds between two looks.
            product: what is away when it is away, for example "HDFS".
            how_to_fill: command that makes the first result.
        """
        self._open_store = open_store
        self._address = address
        self._interval = interval
        self._product = product
        self._how_to_fill = how_to_fill
        self._store: Store | None = None
        self._tables: dict[FileEntry, pa.Table] = {}
        self._snapshot: Snapshot | None = None
        self._state = State.STARTING
        self._error = ""
        self._looking_since: float | None = None
        self._first_look = threading.Event()
        self._started = 0.0
        self._worker = Worker("batch-source", self._run)

    def start(self) -> None:
        """Start looking, once."""
        if not self._started:
            self._started = time.monotonic()
        self._worker.start()

    def stop(self) -> None:
        """Stop looking."""
        self._worker.stop()

    def snapshot(self) -> Snapshot | None:
        """The last good snapshot; the first call waits a moment for it."""
        if not self._first_look.is_set() and self._started:
            self._first_look.wait(max(0.0, self._started + FIRST_READ_SECONDS - time.monotonic()))
        return self._snapshot

    def report(self) -> Report:
        """State of the source now."""
        snapshot, state = self._snapshot, self._state
        since = self._looking_since
        error = self._error
        if since is not None and time.monotonic() - since > HANG_SECONDS:
            state, error = State.AWAY, "no answer"
        return Report(
            source=self._address,
            state=state,
            computed_at=snapshot.computed_at if snapshot else None,
            notice=self._notice(state, error, snapshot),
        )

    def _notice(self, state: State, error: str, snapshot: Snapshot | None) -> str | None:
        match state:
            case State.STARTING:
                return f"Reading {self._address} for the first time."
            case State.EMPTY:
                return f"No batch has run yet: {self._how_to_fill}"
            case State.AWAY:
                shown = "showing the last good data" if snapshot else "nothing to show yet"
                return f"{self._product} cannot be read ({error}): {shown}; trying again."
            case _:
                return None

    def _run(self) -> None:
        while not self._worker.stopping.is_set():
            self.refresh()
            self._worker.stopping.wait(self._interval)

    def refresh(self) -> None:
        """Look once; never raises, the report tells what happened."""
        self._looking_since = time.monotonic()
        try:
            self._look()
        except FileNotFoundError:
            self._become(State.AWAY if self._snapshot else State.EMPTY, "the folder is gone")
        except PublicationMovesError:
            # A long publication: the last good data is still whole, the next look will see the new one.
            log.info("a publication is under way")
        # Whatever a store, Parquet or a network gives must end in a notice, never in the end of this thread.
        except Exception as error:
            self._become(State.AWAY, _reason(error))
        finally:
            self._looking_since = None
            self._first_look.set()

    def _look(self) -> None:
        if self._store is None:
            self._store = self._open_store()
            self._address = self._store.address
        for _ in range(ATTEMPTS):
            files = published(self._store.list_files())
            if not files:
                raise FileNotFoundError(self._address)
            if self._snapshot is not None and self._snapshot.version == version_of(files):
                self._become(State.OK)
                return
            if self._read(self._store, files):
                return
        raise PublicationMovesError

    def _read(self, store: Store, files: list[FileEntry]) -> bool:
        """Read what changed; False when the list changed meanwhile, so that a state is seen whole."""
        begin = time.monotonic()
        new = [entry for entry in files if entry not in self._tables]
        try:
            fresh = {entry: parse_file(entry.path, store.read(entry.path)) for entry in new}
        except FileNotFoundError:
            return False
        if published(store.list_files()) != files:
            return False
        known = {**self._tables, **fresh}
        self._tables = {entry: known[entry] for entry in files}
        self._snapshot = assemble(self._tables)
        log.info(
            "read %d of %d files, %d rows in all, in %.2f s",
            len(new),
            len(files),
            self._snapshot.table.num_rows,
            time.monotonic() - begin,
        )
        self._become(State.OK)
        return True

    def _become(self, state: State, error: str = "") -> None:
        if (state, error) != (self._state, self._error):
            level = logging.WARNING if state is State.AWAY else logging.INFO
            log.log(level, "%s: %s -> %s %s", self._address, self._state, state, error)
        self._state, self._error = state, error


def _reason(error: Exception) -> str:
    """The first line of an error, short enough for a notice."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
