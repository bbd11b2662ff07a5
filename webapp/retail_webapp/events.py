"""Events of the topic of sales, as far as the page looks into them: the day, and the amount."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

AMOUNTS, PRICES = ("amount", "total", "total_price"), ("unit_price", "price")
TIMES = ("event_time", "order_date", "date", "order_time", "timestamp")
"""Names under which an event has them."""

CENT = Decimal("0.01")

Event = Mapping[str, object]


def read_event(raw: str | bytes | None) -> Event:
    """The fields of an event; none when it is no JSON object."""
    try:
        event = json.loads(raw or "")
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def day_of(event: Event) -> date | None:
    """The day that an event tells (UTC); None when it tells none as ISO."""
    try:
        return date.fromisoformat(_text(event, TIMES)[:10])
    except ValueError:
        return None


def amount_of(event: Event) -> Decimal:
    """Its amount, else quantity by unit price, to the cent; zero when neither can be read."""
    try:
        amount = _text(event, AMOUNTS)
        exact = Decimal(amount) if amount else Decimal(_text(event, ("quantity",))) * Decimal(_text(event, PRICES))
        return exact.quantize(CENT, ROUND_HALF_UP)
    except InvalidOperation:
        return Decimal(0)


def _text(event: Event, names: Iterable[str]) -> str:
    return next((str(event[name]) for name in names if event.get(name)), "")
