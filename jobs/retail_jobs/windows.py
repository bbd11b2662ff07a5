"""Windows of the stream: how orders fall into them, which are over, and the state that carries them on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel

WINDOW, SLIDE = timedelta(hours=1), timedelta(minutes=15)

OUTPUT = pa.schema(
    [
        ("window_start", pa.timestamp("us", "UTC")),
        ("window_end", pa.timestamp("us", "UTC")),
        ("product", pa.string()),
        ("orders", pa.int64()),
        ("revenue", pa.decimal128(18, 2)),
    ]
)
"""Columns of the closed windows."""
COLUMNS = "window_start timestamp, window_end timestamp, product string, orders bigint, revenue decimal(18,2)"
"""The same for Spark."""


class Key(NamedTuple):
    """Which window: its start (UTC) and its product."""

    start: datetime
    product: str


class Value(NamedTuple):
    """What was sold in a window."""

    orders: int
    revenue: Decimal


Windows = Mapping[Key, Value]
"""Windows by their key."""


class Slot(NamedTuple):
    """Orders of one product whose time is in the `SLIDE` that begins at `start` (UTC)."""

    start: datetime
    product: str
    orders: int
    revenue: Decimal


class State(BaseModel):
    """What a micro-batch hands to the next one; the file of batch N says how things are after batch N."""

    latest: datetime | None = None
    """Latest event time that was counted."""
    windows: list[tuple[datetime, str, int, Decimal]] = []
    """The open windows: start, product, orders, revenue."""
    quarantine_file: str = ""
    """Name of the quarantine's file that still grows."""
    quarantine_rows: int = 0
    """How many of its rows are from batches up to this one."""

    def open_windows(self) -> Windows:
        """The open windows by key."""
        return {Key(start, product): Value(orders, revenue) for start, product, orders, revenue in self.windows}

    def is_over(self, key: Key, delay: timedelta) -> bool:
        """Whether no event can come any more that falls into a window.

        Spark lets an event pass whose time is after the watermark of the batch before. That watermark is not
        earlier than the one of the batches up to this state, so this is a question about the state, not about
        the batch under way.
        """
        return self.latest is not None and key.start + WINDOW <= self.latest - delay


def add(windows: Windows, slots: Iterable[Slot]) -> tuple[dict[Key, Value], set[Key]]:
    """Put slots into all windows that hold them; the windows after that, and the keys of those that changed."""
    result, changed = dict(windows), set()
    for slot in slots:
        for back in range(WINDOW // SLIDE):
            key = Key(slot.start - back * SLIDE, slot.product)
            old = result.get(key, Value(0, Decimal(0)))
            result[key] = Value(old.orders + slot.orders, old.revenue + slot.revenue)
            changed.add(key)
    return result, changed


def by_day(windows: Windows) -> dict[str, dict[Key, Value]]:
    """Windows by the day (UTC, ISO) on which they start."""
    days: dict[str, dict[Key, Value]] = defaultdict(dict)
    for key, value in windows.items():
        days[key.start.date().isoformat()][key] = value
    return days


def to_table(windows: Windows) -> pa.Table:
    """Windows as rows of `OUTPUT`, sorted."""
    rows = [
        {"window_start": key.start, "window_end": key.start + WINDOW, "product": key.product, **value._asdict()}
        for key, value in sorted(windows.items())
    ]
    return pa.Table.from_pylist(rows, OUTPUT)


def from_table(table: pa.Table) -> dict[Key, Value]:
    """Windows of rows of `OUTPUT`."""
    return {Key(row["window_start"], row["product"]): Value(row["orders"], row["revenue"]) for row in table.to_pylist()}


def to_messages(windows: Windows, now: datetime) -> pa.Table:
    """Windows as Kafka messages (key and value, text) that replace each other by key."""
    rows = [
        {
            "key": f"{key.product}|{iso(key.start)}",
            "value": json.dumps(
                {
                    "window_start": iso(key.start),
                    "window_end": iso(key.start + WINDOW),
                    "product": key.product,
                    "orders": value.orders,
                    "revenue": str(value.revenue),
                    "updated_at": iso(now),
                },
                ensure_ascii=False,
            ),
        }
        for key, value in sorted(windows.items())
    ]
    return pa.Table.from_pylist(rows, pa.schema([("key", pa.string()), ("value", pa.string())]))


def iso(time: datetime) -> str:
    """A time as ISO-8601 in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
