"""The canonical columns, the names they come under, and which columns of a file they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

ALIASES: dict[str, tuple[str, ...]] = {
    "order_id": ("order_id",),
    "order_date": ("order_date", "date", "order_time", "timestamp", "event_time"),
    "store_id": ("store_id",),
    "store_city": ("store_city",),
    "product": ("product", "item"),
    "quantity": ("quantity",),
    "unit_price": ("unit_price", "price"),
    "amount": ("amount", "total", "total_price"),
}
"""Canonical column: the names it comes under; the first one that is not blank counts."""

FIELDS = tuple(ALIASES)
EXAMPLE = ",".join(FIELDS)
"""A header that has everything."""

_JOINTS = re.compile(r"[\s_\-\ufeff]+")


def name_key(name: str) -> str:
    """What two spellings of a column's name have in common: `Order Date`, `order-date` and `OrderDate` are one."""
    return _JOINTS.sub("", name).lower()


def places(names: Sequence[str], own: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """Where each canonical column stands in a header; a column that is not there has no place.

    Args:
        names: the header.
        own: canonical column: the file's own names for it. Where one of them is there, only they count.
    """
    keys = [name_key(name) for name in names]

    def found(wanted: Sequence[str]) -> tuple[int, ...]:
        return tuple(place for name in wanted for place, key in enumerate(keys) if key == name_key(name))

    return {field: found(own.get(field, ())) or found(aliases) for field, aliases in ALIASES.items()}


def missing(present: Mapping[str, Sequence[int]]) -> str:
    """What a file with these `places` lacks to be used, in words; empty when it lacks nothing."""
    lacks = [] if present["order_date"] else ["a date"]
    if not present["amount"] and not (present["quantity"] and present["unit_price"]):
        lacks.append("an amount (or quantity and unit price)")
    return " and ".join(lacks)
