"""What the API answers: functions from a snapshot and filters to rows; money stays decimal throughout."""

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retail_webapp.filters import Filters
from retail_webapp.sources.dataset import SCHEMA
from retail_webapp.sources.jobs import UNITS, Jobs, LastRun, Unit
from retail_webapp.sources.report import iso
from retail_webapp.sources.windows import Window

Row = dict[str, Any]
Answer = dict[str, Any]

DEFAULT_PRODUCTS = 10
UNKNOWN = "UNKNOWN"

REST = None
"""Name of the row that sums up all that have none of their own."""

MOST_ROWS = 25
"""Products of the live windows, and categories, that have rows of their own."""

MOST_CATEGORIES = 8
"""Categories that have a colour of their own in a chart."""

MOST_NAMES = 50
MOST_PERIODS = 120
"""Bars of a chart by date; more days than that become weeks, and more weeks months."""

CENT = Decimal("0.01")
MEASURES = ("orders", "quantity", "revenue")


def money(value: Decimal | None) -> str:
    """Two decimals as text; no sum is zero."""
    return str((value or Decimal(0)).quantize(CENT))


def select(table: pa.Table, filters: Filters) -> pa.Table:
    """The rows that the filters let through."""
    conditions = []
    if filters.from_:
        conditions.append(pc.field("order_date") >= pa.scalar(filters.from_, pa.date32()))
    if filters.to:
        conditions.append(pc.field("order_date") <= pa.scalar(filters.to, pa.date32()))
    if filters.category:
        conditions.append(pc.field("category") == filters.category)
    if filters.product:
        conditions.append(pc.field("product") == filters.product)
    for condition in conditions:
        table = table.filter(condition)
    return table


def group(table: pa.Table, *keys: str) -> list[Row]:
    """Sums of all measures by the keys; revenue and quantity as Decimal."""
    sums = table.group_by(list(keys)).aggregate([(name, "sum") for name in MEASURES])
    names = [name.removesuffix("_sum") for name in sums.column_names]
    rows: list[Row] = sums.rename_columns(names).to_pylist()
    return rows


def add_up(rows: Iterable[Row]) -> Row:
    """Sums of all measures over rows of `group`."""
    rows = list(rows)
    return {
        "orders": sum(row["orders"] for row in rows),
        "quantity": sum((row["quantity"] for row in rows), Decimal(0)),
        "revenue": sum((row["revenue"] for row in rows), Decimal(0)),
    }


def daily(table: pa.Table, filters: Filters, stores: pa.Table | None = None) -> Answer:
    """Revenue by date and category, the newest date first, and the time before for comparison.

    An order of several products counts under each of them, and once in all: so the orders of a date and of all dates
    come from the result by store, as long as no product or category is asked for.

    Many days are put together to weeks or months, so that the answer stays small and the chart readable. Every date of
    the range has a row; without sales its sums are zero.
    """
    span = span_of(table, filters)
    if span is None:
        nothing = {"days": 0, **_shown(add_up([]))}
        return {"rows": [], "days": [], "grain": "day", "totals": nothing, "before": None}
    first, last = span
    grain = grain_of(first, last)
    chosen = _in_periods(select(table, filters), grain)
    orders = _orders_of(stores, filters, grain)
    sums = {row["order_date"]: {**row, **orders.get(row["order_date"], {})} for row in group(chosen, "order_date")}
    starts = list(_starts(first, last, grain))
    days = [sums.get(start) or {"order_date": start, **add_up([])} for start in reversed(starts)]
    names = {row["category"] for row in _by_revenue(group(chosen, "category"), "category")[:MOST_CATEGORIES]}
    return {
        "rows": [_shown(row) for row in _with_rest(group(chosen, "order_date", "category"), names)],
        "days": [_shown(row) for row in days],
        "grain": grain,
        "totals": {"days": _count_days(select(table, filters)), **_shown(add_up(sums.values()))},
        "before": _before(table, filters, first, last, grain, stores),
    }


def span_of(table: pa.Table, filters: Filters) -> tuple[date, date] | None:
    """First and last date that are shown: as asked for, but within the data; None when there is nothing."""
    if table.num_rows == 0:
        return None
    ends = pc.min_max(table["order_date"]).as_py()
    first, last = max(filters.from_ or ends["min"], ends["min"]), min(filters.to or ends["max"], ends["max"])
    return (first, last) if first <= last and select(table, filters).num_rows else None


def grain_of(first: date, last: date) -> str:
    """Which periods the dates are put together to."""
    days = (last - first).days + 1
    return "day" if days <= MOST_PERIODS else "week" if days <= 7 * MOST_PERIODS else "month"


def _orders_of(stores: pa.Table | None, filters: Filters, grain: str, shift: int = 0) -> dict[date, Row]:
    """Orders by period; none where the result by store cannot tell."""
    if stores is None or filters.product is not None or filters.category is not None:
        return {}
    rows = group(_in_periods(_shifted(select(stores, filters), shift), grain), "order_date")
    return {row["order_date"]: {"orders": row["orders"]} for row in rows}


def _before(
    table: pa.Table, filters: Filters, first: date, last: date, grain: str, stores: pa.Table | None
) -> Answer | None:
    """The time of the same length before, put on the same dates; None where the data does not reach."""
    length = last - first + timedelta(days=1)
    ends = pc.min_max(table["order_date"]).as_py()
    if first - length < ends["min"]:
        return None
    earlier = filters.model_copy(update={"from_": first - length, "to": first - timedelta(days=1)})
    chosen = select(table, earlier)
    orders = _orders_of(stores, earlier, grain, length.days)
    sums = {
        row["order_date"]: {**row, **orders.get(row["order_date"], {})}
        for row in group(_in_periods(_shifted(chosen, length.days), grain), "order_date")
    }
    starts = reversed(list(_starts(first, last, grain)))
    return {
        "from": (first - length).isoformat(),
        "to": (first - timedelta(days=1)).isoformat(),
        "days": [money(sums[start]["revenue"] if start in sums else None) for start in starts],
        "totals": {"days": _count_days(chosen), **_shown(add_up(sums.values()))},
    }


def _shifted(table: pa.Table, days: int) -> pa.Table:
    """The table with every date so many days later."""
    later = pc.add(pc.cast(table["order_date"], pa.int32()), pa.scalar(days, pa.int32()))
    return table.set_column(0, "order_date", pc.cast(later, pa.date32()))


def _count_days(table: pa.Table) -> int:
    return int(pc.count_distinct(table["order_date"]).as_py())


def _in_periods(table: pa.Table, grain: str) -> pa.Table:
    """The table with the first day of its period in place of each date."""
    return table.set_column(0, "order_date", pc.floor_temporal(table["order_date"], unit=grain).cast(pa.date32()))


def _starts(first: date, last: date, grain: str) -> Iterator[date]:
    """First days of all periods between two dates."""
    day = first
    while day <= last:
        start = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[grain]
        yield start
        day = {
            "day": start + timedelta(days=1),
            "week": start + timedelta(days=7),
            "month": (start + timedelta(days=31)).replace(day=1),
        }[grain]


def _with_rest(rows: Iterable[Row], kept: Collection[str]) -> list[Row]:
    """Rows of the categories that are kept, and the others of each date as one; newest date first."""
    found: list[Row] = []
    rest: dict[date, list[Row]] = defaultdict(list)
    for row in rows:
        if row["category"] in kept:
            found.append(row)
        else:
            rest[row["order_date"]].append(row)
    found += [{"order_date": day, "category": REST, **add_up(others)} for day, others in rest.items()]
    found.sort(key=lambda row: row["category"] or "")
    found.sort(key=lambda row: row["order_date"], reverse=True)
    return found


def products(table: pa.Table, filters: Filters) -> Answer:
    """Products by revenue, the highest first, and what all others sum to."""
    rows = _by_revenue(group(select(table, filters), "product", "category", "brand"), "product")
    return {"rows": _shown_with_share(rows, filters.limit or DEFAULT_PRODUCTS, "product"), **_totals(rows, "products")}


def categories(table: pa.Table, filters: Filters) -> Answer:
    """Categories by revenue, the highest first, and what all others sum to."""
    chosen = select(table, filters)
    rows = _by_revenue(group(chosen, "category"), "category")
    counted = chosen.group_by("category").aggregate([("product", "count_distinct")]).to_pylist()
    products_of = {row["category"]: row["product_count_distinct"] for row in counted}
    for row in rows:
        row["products"] = products_of[row["category"]]
    return {"rows": _shown_with_share(rows, filters.limit or MOST_ROWS, "category"), **_totals(rows, "categories")}


def stores(table: pa.Table, filters: Filters) -> Answer:
    """Stores by revenue, the highest first, and what all others sum to."""
    rows = _by_revenue(group(select(table, filters), "store_id", "store_city"), "store_id")
    return {"rows": _shown_with_share(rows, filters.limit or DEFAULT_PRODUCTS, "store_id"), **_totals(rows, "stores")}


def _totals(rows: list[Row], name: str) -> Answer:
    return {"totals": {name: len(rows), **_shown(add_up(rows))}}


def windows(live: Iterable[Window], category_of: Mapping[str, str], now: datetime, filters: Filters) -> Answer:
    """Live windows by product, with the sums by window and by category; newest window first.

    Args:
        live: the windows, sorted newest first.
        category_of: category by product, from the batch result; a product it lacks is UNKNOWN.
        now: decides which windows are open (UTC).
        filters: category and product restrict rows, limit is a number of windows.
    """
    sums: dict[datetime, Row] = {}
    by_category: dict[tuple[datetime, str], Decimal] = defaultdict(Decimal)
    by_product: dict[str, Decimal] = defaultdict(Decimal)
    shown: list[tuple[Window, str]] = []
    for window in live:
        category = category_of.get(window.product, UNKNOWN)
        if filters.category not in (None, category) or filters.product not in (None, window.product):
            continue
        if window.window_start not in sums:
            if filters.limit and len(sums) == filters.limit:
                break
            sums[window.window_start] = {**_window(window, now), "orders": 0, "revenue": Decimal(0)}
        sums[window.window_start]["orders"] += window.orders
        sums[window.window_start]["revenue"] += window.revenue
        by_category[window.window_start, category] += window.revenue
        by_product[window.product] += window.revenue
        shown.append((window, category))
    kept = set(sorted(by_product, key=lambda product: (-by_product[product], product))[:MOST_ROWS])
    rows: list[Row] = []
    rest: dict[datetime, Row] = {}
    for window, category in shown:
        if window.product in kept:
            values = {"product": window.product, "category": category, "orders": window.orders}
            rows.append({**_window(window, now), **values, "revenue": money(window.revenue)})
            continue
        other = rest.setdefault(
            window.window_start,
            {**_window(window, now), "product": REST, "category": REST, "orders": 0, "revenue": Decimal(0)},
        )
        other["orders"] += window.orders
        other["revenue"] += window.revenue
    return {
        "rows": rows + [_shown(row) for row in rest.values()],
        "windows": [_shown(row) for row in sums.values()],
        "categories": _window_categories(by_category),
        "totals": {"products": len(by_product)},
    }


def _window(window: Window, now: datetime) -> Row:
    return {
        "window_start": iso(window.window_start),
        "window_end": iso(window.window_end),
        "open": window.window_end > now,
    }


def _window_categories(revenue: Mapping[tuple[datetime, str], Decimal]) -> list[Row]:
    """Revenue by window and category, the smaller categories as one."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for (_, category), value in revenue.items():
        sums[category] += value
    kept = sorted(sums, key=lambda category: (-sums[category], category))[:MOST_CATEGORIES]
    rows: dict[tuple[datetime, str | None], Decimal] = defaultdict(Decimal)
    for (start, category), value in revenue.items():
        rows[start, category if category in kept else REST] += value
    return [
        {"window_start": iso(start), "category": category, "revenue": money(value)}
        for (start, category), value in rows.items()
    ]


def choices(table: pa.Table | None) -> Answer:
    """What the filters can be set to: dates and categories; products are found by `names`."""
    if table is None or table.num_rows == 0:
        return {"from": None, "to": None, "categories": []}
    dates = pc.min_max(table["order_date"]).as_py()
    return {
        "from": dates["min"].isoformat(),
        "to": dates["max"].isoformat(),
        "categories": sorted(pc.unique(table["category"]).to_pylist()),
    }


def names(table: pa.Table, filters: Filters) -> Answer:
    """Products whose name holds a text, whatever its case, by revenue."""
    chosen = table.filter(pc.match_substring(table["product"], filters.like or "", ignore_case=True))
    chosen = select(chosen, Filters(category=filters.category))
    rows = _by_revenue(group(chosen, "product"), "product")
    return {"rows": [row["product"] for row in rows[: filters.limit or MOST_NAMES]]}


def daily_csv(table: pa.Table, filters: Filters) -> str:
    """The filtered batch result with all its columns, sorted as the batch writes its own CSV."""
    order = [(name, "ascending") for name in ("order_date", "product", "category", "brand")]
    out = io.StringIO()
    writer = csv.DictWriter(out, SCHEMA.names, lineterminator="\n")
    writer.writeheader()
    for row in select(table, filters).sort_by(order).to_pylist():
        writer.writerow({**_shown(row)})
    return out.getvalue()


def jobs(found: Jobs | None) -> Answer:
    """Last and next run of every job that is known, and what the last batch did."""
    if found is None:
        return {"rows": [], "last_batch": None, "runs": [], "without_systemd": None}
    rows = [
        _job(name, unit, found.last_run if name == "batch" else None, found.units.get(name))
        for name, unit in UNITS.items()
        if name in found.units or (name == "batch" and found.last_run)
    ]
    return {
        "rows": rows,
        "last_batch": found.last_run.model_dump(mode="json", exclude={"headers"}) if found.last_run else None,
        "runs": [run.model_dump(mode="json") for run in reversed(found.runs)],
        "without_systemd": found.without_systemd,
    }


def _job(name: str, unit_name: str, run: LastRun | None, unit: Unit | None) -> Row:
    started = unit.started if unit and unit.started else run.started if run else None
    ended = unit.ended if unit and unit.started else run.finished if run else None
    # A run that was killed leaves no report: then the report is of an earlier run than the unit.
    reported = run if run and started and ended and run.finished >= started else None
    good = (unit is None or unit.good) and (reported is None or reported.result not in ("failed", "partial"))
    seconds = round((ended - started).total_seconds(), 1) if started and ended else None
    return {
        "name": name,
        "unit": f"{unit_name}.service" if unit else None,
        "state": unit.state if unit else None,
        "result": reported.result if reported else None,
        "good": good,
        "started": iso(started),
        "ended": iso(ended),
        "seconds": seconds,
        "next_run": iso(unit.next_run) if unit else None,
        "journal": f"journalctl -eu {unit_name}" if unit else None,
    }


def _by_revenue(rows: list[Row], name: str) -> list[Row]:
    return sorted(rows, key=lambda row: (-row["revenue"], row[name] or ""))


def _shown_with_share(rows: list[Row], limit: int, name: str) -> list[Row]:
    """The first rows as shown, then the others as one without a name; with the share of the whole in percent."""
    whole = sum((row["revenue"] for row in rows), Decimal(0))
    first, others = rows[:limit], rows[limit:]
    if others:
        first = [*first, {name: REST, "others": len(others), **add_up(others)}]
    return [{**_shown(row), "share": _percent(row["revenue"], whole)} for row in first]


def _percent(part: Decimal, whole: Decimal) -> str:
    return str((part * 100 / whole).quantize(Decimal("0.1"))) if whole else "0.0"


def plain(quantity: Decimal) -> str:
    """A quantity without trailing zeros."""
    return format(quantity.normalize(), "f") if quantity else "0"


def _shown(row: Row) -> Row:
    """A row for JSON: money and quantities as text, dates as ISO."""
    shown = dict(row)
    shown["revenue"] = money(row["revenue"])
    if "quantity" in row:
        shown["quantity"] = plain(row["quantity"])
    if "order_date" in row:
        shown["order_date"] = row["order_date"].isoformat()
    return shown
