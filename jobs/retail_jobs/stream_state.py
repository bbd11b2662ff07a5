"""What a micro-batch hands to the next one, in files: open windows and counts as JSON, orders that were seen as Arrow.

`batches/N.json` says how things are after batch N and names the files of orders that belong to it; it is written last.
A batch that is repeated begins with `N-1.json` and reads only what that names, so whatever an attempt at it left is
written over or cleared away.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from retail_jobs.errors import JobError
from retail_jobs.storage import Storage
from retail_jobs.stream_verdicts import EPOCH, FIRST, MICROSECOND, Keys, Seen
from retail_jobs.windows import Key, Value, Windows

VERSION: Final = 2
"""Of the files; a job reads no others."""


class LostDataError(JobError):
    """Events, a checkpoint or state are gone or cannot be read; a restart would not bring them back."""


MOST_DAYS = 14
"""Days of which it is known how many events were repeated, the newest ones."""


class Totals(BaseModel):
    """What became of events."""

    events: int = 0
    counted: int = 0
    repeated: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = {}
    """Quarantined events by their reasons, several of one event joined with `+`."""
    repeated_by_day: dict[str, int] = {}
    """Repeated events by the day that they tell (UTC), the oldest first."""

    def plus(self, other: Totals) -> Totals:
        """The sum of both."""
        return Totals(
            events=self.events + other.events,
            counted=self.counted + other.counted,
            repeated=self.repeated + other.repeated,
            quarantined=self.quarantined + other.quarantined,
            reasons=_added(self.reasons, other.reasons),
            repeated_by_day=dict(list(_added(self.repeated_by_day, other.repeated_by_day).items())[-MOST_DAYS:]),
        )


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


class State(BaseModel):
    """The file of batch N: how things are after it."""

    version: Literal[2]
    latest: datetime | None = None
    """Latest event time that was counted."""
    windows: list[tuple[datetime, str, int, Decimal]] = []
    """The open windows: start, product, orders, revenue."""
    orders: list[str] = []
    """Names of the files of orders that are remembered, from the oldest to the newest."""
    quarantine_file: str = ""
    """Name of the quarantine's file that still grows."""
    quarantine_rows: int = 0
    """How many of its rows are from batches up to this one."""
    totals: Totals = Totals()
    """What became of all events up to this batch."""

    def open_windows(self) -> Windows:
        """The open windows by key."""
        return {Key(start, product): Value(orders, revenue) for start, product, orders, revenue in self.windows}


class StateFiles:
    """The folder of the state.

    Args:
        storage: where.
        folder: its path.
        start_again: says how to begin anew, as the end of a sentence.
    """

    def __init__(self, storage: Storage, folder: str, start_again: str) -> None:
        self._storage, self._batches, self._orders = storage, f"{folder}/batches", f"{folder}/orders"
        self._start_again = start_again
        self._last: tuple[int, State, Seen] | None = None
        self._named: dict[int, set[str]] = {}

    def newest(self) -> str | None:
        """The path of the newest state; None when there is none."""
        files = self._storage.files(self._batches)
        return files[-1].path if files else None

    def tidy(self) -> None:
        """Clear away what no batch needs any more, and what killed attempts left.

        Raises:
            LostDataError: the state is of another version.
        """
        files = self._storage.files(self._batches)
        for old in files[:-2]:
            self._storage.delete(old.path)
        self._named = {int(file.name.split(".")[0]): set(self._read(file.path).orders) for file in files[-2:]}
        named = set().union(*self._named.values())
        for file in self._storage.files(self._orders):
            if file.name not in named:
                self._storage.delete(file.path)

    def after(self, batch: int) -> tuple[State, Seen]:
        """How things are after a batch; before the first one, there was nothing.

        Raises:
            LostDataError: that is not known any more.
        """
        if batch < 0:
            return State(version=VERSION), Seen()
        if self._last is None or self._last[0] != batch:
            state = self._read(self._file(batch))
            latest = FIRST if state.latest is None else (state.latest - EPOCH) // MICROSECOND
            products = frozenset(product for _, product, _, _ in state.windows)
            self._last = batch, state, Seen(latest, tuple(map(self._read_orders, state.orders)), products)
        return self._last[1:]

    def save(self, batch: int, state: State, seen: Seen) -> None:
        """Make a batch final: what it newly remembers, then the state, whose `orders` are set here."""
        before, seen_before = self.after(batch - 1)
        names = dict(zip(map(id, seen_before.keys), before.orders, strict=True))
        for keys in seen.keys:
            if id(keys) not in names:
                # A batch makes one new set at most.
                names[id(keys)] = f"{batch:012d}.arrow"
                self._storage.write_bytes(f"{self._orders}/{names[id(keys)]}", _to_bytes(keys))
        state = state.model_copy(update={"orders": [names[id(keys)] for keys in seen.keys]})
        self._storage.write_text(self._file(batch), state.model_dump_json())
        self._last = batch, state, seen
        self._named[batch] = set(state.orders)
        for old in [number for number in self._named if number < batch - 1]:
            self._storage.delete(self._file(old))
            for name in self._named.pop(old) - set().union(*self._named.values()):
                self._storage.delete(f"{self._orders}/{name}")

    def _file(self, batch: int) -> str:
        return f"{self._batches}/{batch:012d}.json"

    def _read(self, path: str) -> State:
        text = self._storage.read_text(path)
        if text is None:
            raise self._lost(path)
        try:
            return State.model_validate_json(text)
        except ValidationError as error:
            raise LostDataError(
                f"{path} was not written by this version of the job: take the version before, {self._start_again}"
            ) from error

    def _read_orders(self, name: str) -> Keys:
        path = f"{self._orders}/{name}"
        content = self._storage.read_bytes(path)
        if content is None:
            raise self._lost(path)
        table = pa.ipc.open_file(content).read_all()
        return Keys(*(table[name].to_numpy() for name in ("order", "content", "time")))

    def _lost(self, path: str) -> LostDataError:
        return LostDataError(f"{path}, what was known after a batch, is gone: bring it back; {self._start_again}")


def _to_bytes(keys: Keys) -> bytes:
    table = pa.table({"order": keys.order, "content": keys.content, "time": keys.time})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content
