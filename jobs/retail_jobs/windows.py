"""Windows of the stream: how orders fall into them, and how they are written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

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


class Key(NamedTuple):
    """Which window: its start (UTC) and its product."""

    start: datetime
    product: str

    @property
    def end(self) -> datetime:
        """When it ends (UTC)."""
        return self.start + WINDOW


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
        {"window_start": key.start, "window_end": key.end, "product": key.product, **value._asdict()}
        for key, value in sorted(windows.items())
    ]
    return pa.Table.from_pylist(rows, OUTPUT)


def to_messages(windows: Windows, now: datetime) -> Iterator[tuple[str, str]]:
    """Windows as Kafka messages (key and value) that replace each other by key."""
    for key, value in sorted(windows.items()):
        fields = {
            "window_start": iso(key.start),
            "window_end": iso(key.end),
            "product": key.product,
            "orders": value.orders,
            "revenue": str(value.revenue),
            "updated_at": iso(now),
        }
        yield f"{key.product}|{iso(key.start)}", json.dumps(fields, ensure_ascii=False)


def iso(time: datetime) -> str:
    """A time as ISO-8601 in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
