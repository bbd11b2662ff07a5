"""Which version of an order counts, and what the sums say: whatever comes, is replaced or goes, in any order."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st
from retail_jobs import merging, totals
from retail_jobs.stored import TRANSACTIONS, one_of


class Line(NamedTuple):
    """A clean row: order, product, store, day."""

    order: str | None
    product: str
    store: str | None
    day: int


class Event(NamedTuple):
    """A file that comes, is replaced, or goes (no lines)."""

    file: str
    lines: list[Line]
    whole: bool
    """Whether an order is all rows with its id."""


lines = st.builds(
    Line,
    order=st.sampled_from(["1", "2", "3", None]),
    product=st.sampled_from(["Tea", "Cup"]),
    store=st.sampled_from(["S1", "S2", None]),
    day=st.integers(1, 2),
)
events = st.builds(Event, file=st.sampled_from("abc"), lines=st.lists(lines, max_size=6), whole=st.booleans())
NUMBERS = {"a": 1, "b": 2, "c": 3}


def table(event: Event) -> pa.Table:
    """The rows of a file as they come from the reader."""
    rows = [
        {
            "order_id": line.order,
            "order_time": datetime(2025, 9, line.day, tzinfo=UTC),
            "order_date": date(2025, 9, line.day),
            "store_id": line.store,
            "product": line.product,
            "quantity": Decimal("0.5"),
            "unit_price": Decimal("4.00"),
            "amount": Decimal("2.00"),
            "source": event.file,
            "lines": event.whole,
        }
        for line in event.lines
    ]
    return pa.Table.from_pylist(rows, schema=TRANSACTIONS.append(pa.field("lines", pa.bool_())))


def counting(files: dict[str, Event]) -> Counter[Line]:
    """What counts by the written rules."""
    counted: Counter[Line] = Counter()
    orders: dict[str, tuple[int, list[Line]]] = {}
    for name, event in files.items():
        versions: dict[str, list[Line]] = defaultdict(list)
        for line in event.lines:
            if line.order is None:
                counted[line] += 1
            elif event.whole or not versions[line.order]:
                versions[line.order].append(line)
        for order, version in versions.items():
            if order not in orders or orders[order][0] < NUMBERS[name]:
                orders[order] = NUMBERS[name], version
    for _, version in orders.values():
        counted.update(version)
    return counted


def taken(rows: pa.Table, orders: set[str], source: str) -> pa.Table:
    """Rows that are neither of these orders nor of this file."""
    gone = pc.or_(one_of(rows["order_id"], orders), one_of(rows["source"], {source}))
    return rows.filter(pc.invert(gone))


def said(rows: pa.Table) -> Counter[Line]:
    columns = [rows[name].to_pylist() for name in ("order_id", "product", "store_id", "order_date")]
    return Counter(Line(order, product, store, day.day) for order, product, store, day in zip(*columns, strict=True))


@settings(max_examples=80, deadline=None)
@given(st.lists(events, max_size=8))
def test_whatever_comes_or_goes_the_last_file_of_every_order_counts(history: list[Event]) -> None:
    files: dict[str, Event] = {}
    stored = aside = TRANSACTIONS.empty_table()
    by_product, by_store = totals.BY_PRODUCT.empty_table(), totals.BY_STORE.empty_table()
    for event in history:
        new = table(event)
        leaving = stored.filter(one_of(stored["source"], {event.file}))
        orders = {*new["order_id"].to_pylist(), *leaving["order_id"].to_pylist()} - {None}
        before = stored.filter(one_of(stored["order_id"], orders)).filter(pc.not_equal(pc.field("source"), event.file))
        waiting = aside.filter(one_of(aside["order_id"], orders)).filter(pc.not_equal(pc.field("source"), event.file))
        verdict = merging.judge(new, before, waiting, NUMBERS)
        replaced = before.filter(one_of(before["order_id"], verdict.replaced))
        stored = pa.concat_tables([taken(stored, set(verdict.replaced), event.file), verdict.counted])
        aside = pa.concat_tables([taken(aside, set(waiting["order_id"].to_pylist()), event.file), verdict.aside])
        gone = [totals.negative(totals.by_product(rows)) for rows in (leaving, replaced)]
        by_product = totals.add([by_product, *gone, totals.by_product(verdict.counted)], totals.BY_PRODUCT)
        gone = [totals.negative(totals.by_store(rows)) for rows in (leaving, replaced)]
        by_store = totals.add([by_store, *gone, totals.by_store(verdict.counted)], totals.BY_STORE)
        files[event.file] = event
        conflicts = [line for line in event.lines if line.order] if event.whole else []
        assert not conflicts or verdict.conflicts.num_rows == 0
        # Nothing is lost: a row counts, lies aside, repeats another of its file, or contradicts it.
        own = pa.concat_tables([stored, aside]).filter(pc.field("source") == event.file)
        assert own.num_rows + verdict.conflicts.num_rows <= len(event.lines)
    assert said(stored) == counting(files)
    # Sums that grew and shrank are the sums of what counts.
    assert by_product.equals(totals.by_product(stored)) and by_store.equals(totals.by_store(stored))
    orders_of_days = Counter(
        day for day, order in {(line.day, line.order) for line in counting(files)} if order is not None
    )
    for line, number in counting(files).items():
        orders_of_days[line.day] += number if line.order is None else 0
    for day, number in orders_of_days.items():
        rows = by_store.filter(pc.field("order_date") == pa.scalar(date(2025, 9, day)))
        assert pc.sum(rows["orders"]).as_py() == number


def test_a_row_that_an_earlier_one_of_its_file_contradicts_is_a_conflict() -> None:
    first, other = Line("1", "Tea", "S1", 1), Line("1", "Cup", "S1", 1)
    nothing = TRANSACTIONS.empty_table()
    verdict = merging.judge(table(Event("a", [first, first, other], whole=False)), nothing, nothing, NUMBERS)
    assert said(verdict.counted) == Counter([first])
    assert verdict.conflicts["product"].to_pylist() == ["Cup"]
    assert (verdict.repeated, verdict.corrected) == (1, 0)


def test_corrected_counts_orders_of_which_a_later_file_says_something_else() -> None:
    nothing = TRANSACTIONS.empty_table()
    before = table(Event("a", [Line("1", "Tea", "S1", 1), Line("2", "Tea", "S1", 1)], whole=False)).drop_columns(
        "lines"
    )
    new = table(Event("b", [Line("1", "Cup", "S1", 1), Line("2", "Tea", "S1", 1)], whole=False))
    verdict = merging.judge(new, before, nothing, NUMBERS)
    assert (verdict.corrected, verdict.repeated, set(verdict.replaced)) == (1, 1, {"1"})
