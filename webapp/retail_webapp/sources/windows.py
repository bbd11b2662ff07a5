"""Live windows: from the messages of the compacted topic to the state that is shown. Pure functions."""

import json
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any


@dataclass(frozen=True, order=True)
class Window:
    """Live value of one product in one window."""

    window_start: datetime
    window_end: datetime
    product: str
    orders: int
    revenue: Decimal
    updated_at: datetime


class BadMessageError(ValueError):
    """A message of the live topic that does not hold a window."""


def parse_window(value: bytes) -> Window:
    """One message as a window.

    Raises:
        BadMessageError: when a field is missing or cannot be read.
    """
    try:
        fields: dict[str, Any] = json.loads(value)
        window = Window(
            window_start=_moment(fields["window_start"]),
            window_end=_moment(fields["window_end"]),
            product=str(fields["product"]),
            orders=int(fields["orders"]),
            # From text only: a JSON number would already have been a float.
            revenue=Decimal(_text(fields["revenue"])),
            updated_at=_moment(fields["updated_at"]),
        )
    except (ValueError, KeyError, TypeError, InvalidOperation) as error:
        raise BadMessageError(f"{type(error).__name__}: {error}") from error
    if not window.revenue.is_finite() or window.window_end <= window.window_start:
        raise BadMessageError("no finite revenue, or a window that ends before it starts")
    return window


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(_text(text))
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text}")
    return moment.astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def apply_message(state: MutableMapping[bytes, Window], key: bytes, value: bytes | None) -> None:
    """Apply one message: the last value of a key wins, and no value removes it.

    Raises:
        BadMessageError: when the value holds no window; the state stays as it was.
    """
    if value is None:
        state.pop(key, None)
    else:
        state[key] = parse_window(value)


def drop_old(state: MutableMapping[bytes, Window], now: datetime, keep: timedelta) -> None:
    """Drop the windows that ended longer than `keep` before `now`."""
    for key in [key for key, window in state.items() if window.window_end + keep < now]:
        del state[key]


def newest_first(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Sorted as it is shown: newest window first, then the highest revenue."""
    return tuple(sorted(windows, key=lambda w: (-w.window_start.timestamp(), -w.revenue, w.product)))
