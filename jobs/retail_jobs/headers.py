"""The headers of files that cannot be used: what each of their names was taken for, for whoever has to mend that."""

from __future__ import annotations

from pydantic import BaseModel
from retail_dataset.table import Layout

MOST_NAMES = 50
LONGEST_NAME = 60
"""Characters; what is no CSV at all may have a header of a megabyte."""


class Column(BaseModel):
    """A name of a header."""

    name: str
    means: str = ""
    """The canonical column that it was taken for; empty when no rule and no usual name knows it."""


class Header(BaseModel):
    """The header of a file of which no row can be used."""

    lacks: str
    """What would make the file usable, in words."""
    columns: list[Column] = []
    """The first of its names, in the order of the file; none of a file that cannot be read."""
    others: int = 0
    """How many names follow those."""


def describe(layout: Layout | None, lacks: str) -> Header:
    """Say what the names of a header were taken for.

    Args:
        layout: of the file; None when it cannot be read.
        lacks: what the file lacks to be used, in words.
    """
    if layout is None:
        return Header(lacks=lacks)
    means = {place: field for field, places in layout.places.items() for place in places}
    columns = [
        Column(name=name.strip("\ufeff")[:LONGEST_NAME], means=means.get(place, ""))
        for place, name in enumerate(layout.names[:MOST_NAMES])
    ]
    return Header(lacks=lacks, columns=columns, others=max(0, len(layout.names) - MOST_NAMES))
