"""Repeated orders: which of several rows with one order_id counts. Pure functions on tables in memory.

Inside one file, an order is one row (the first one counts; a later row that says the same is a repeat, one that says
something else is a conflict), or, where the rules of the file say so, all rows with its id. What one file says of an
order is a version of it. Between files the later one corrects the earlier: its version counts, and the others are kept
aside, because they count again when the later file is taken away. Rows without order_id cannot be compared and all
count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

CONTENT = ("order_date", "store_id", "store_city", "product", "quantity", "unit_price", "amount")
"""What two rows must have in common to say the same."""


@dataclass(frozen=True)
class Verdict:
    """What is to be done with rows of orders; the tables have the columns of those that were judged."""

    counted: pa.Table
    """New rows that count from now on, and those that had been aside."""
    aside: pa.Table
    """All rows of these orders that are to lie aside from now on."""
    conflicts: pa.Table
    """New rows that an earlier row of the same file contradicts."""
    replaced: frozenset[str]
    """Orders whose rows that counted so far do not count any more."""
    repeated: int
    """New rows that say again what others say."""
    corrected: int
    """Orders of which a later file says something else than an earlier one."""


@dataclass
class _Version:
    """What one file says of an order: its rows, as numbers in the table of all rows."""

    is_stored: bool
    is_new: bool
    rows: list[int] = field(default_factory=list)
    content: Counter[tuple[object, ...]] = field(default_factory=Counter)

    def add(self, row: int, content: tuple[object, ...]) -> None:
        self.rows.append(row)
        self.content[content] += 1


def judge(new: pa.Table, stored: pa.Table, aside: pa.Table, numbers: Mapping[str, int]) -> Verdict:
    """Find out which version of every order counts.

    Args:
        new: clean rows in the order of their lines, with source, and `lines`: whether all rows of an order count.
        stored: all rows that count so far of orders that are among the new ones or aside.
        aside: all rows that lie aside of such orders.
        numbers: the place of every file (source) in the order of arrival.
    """
    rows, repeated = pa.concat_tables([new.select(stored.column_names), stored, aside]), 0
    again = _orders_that_come_again(new, pa.concat_tables([stored, aside]))
    judged = pc.is_in(rows["order_id"], value_set=again)
    simple = new.filter(pc.invert(pc.is_in(new["order_id"], value_set=again)))
    places = pc.indices_nonzero(judged)
    chosen = rows.take(places)
    contents = list(zip(*(chosen[name].to_pylist() for name in CONTENT), strict=True))
    whole = new["lines"]
    versions: dict[str, dict[int, _Version]] = defaultdict(dict)
    conflicts: list[int] = []
    keys = zip(places.to_pylist(), chosen["order_id"].to_pylist(), chosen["source"].to_pylist(), contents, strict=True)
    for place, order, source, content in keys:
        is_new = place < new.num_rows
        is_stored = not is_new and place < new.num_rows + stored.num_rows
        version = versions[order].setdefault(numbers[source], _Version(is_stored, is_new))
        if not is_new or not version.rows or whole[place].as_py():
            version.add(place, content)
        elif content in version.content:
            repeated += 1
        else:
            conflicts.append(place)

    counted, left, replaced, corrected = [], [], set(), 0
    for order, by_number in versions.items():
        last = by_number[max(by_number)]
        # What is published already stays where it is if it says the same.
        same = [one for one in by_number.values() if one.is_stored and one.content == last.content]
        winner = same[0] if same else last
        if not winner.is_stored:
            counted += winner.rows
        for version in by_number.values():
            if version is winner:
                continue
            left += version.rows
            if version.is_stored:
                replaced.add(order)
            differs = version.content != winner.content
            corrected += differs and (version.is_new or winner.is_new)
            repeated += len(version.rows) if version.is_new and not differs else 0
    return Verdict(
        counted=pa.concat_tables([simple.select(stored.column_names), rows.take(pa.array(counted, pa.int64()))]),
        aside=rows.take(pa.array(left, pa.int64())),
        conflicts=new.take(pa.array(conflicts, pa.int64())),
        replaced=frozenset(replaced),
        repeated=repeated,
        corrected=corrected,
    )


def _orders_that_come_again(new: pa.Table, others: pa.Table) -> pa.Array:
    """Orders with several versions, or with several rows where one row is an order."""
    known = new.filter(pc.is_valid(new["order_id"])).select(["order_id", "source", "lines"])
    keys = ["order_id", "source", "lines"]
    files = known.group_by(keys).aggregate([([], "count_all")])
    several = files.filter(pc.and_(pc.greater(files["count_all"], 1), pc.invert(files["lines"])))["order_id"]
    counts = files.group_by("order_id").aggregate([([], "count_all")])
    in_files = counts.filter(pc.greater(counts["count_all"], 1))["order_id"]
    return pc.unique(pa.chunked_array([*several.chunks, *in_files.chunks, *others["order_id"].chunks], pa.string()))
