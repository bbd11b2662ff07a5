"""What the API answers: functions from a snapshot and filters to rows; money stays decimal throughout."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retail_webapp.filters import Filters
from retail_webapp.sources.dataset import SCHEMA
from retail_webapp.sources.jobs import UNITS, Jobs, LastRun, Unit
from retail_webapp.sources.quarantine import Example, Quarantine
from retail_webapp.sources.report import iso
from retail_webapp.sources.windows import Window

Row = dict[str, Any]
Answer = dict[str, Any]

DEFAULT_PRODUCTS = 10
DEFAULT_EXAMPLES = 10
UNKNOWN = "UNKNOWN"
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
    """Sums of all measures by the keys; revenue as Decimal."""
    sums = table.group_by(list(keys)).aggregate([(name, "sum") for name in MEASURES])
    names = [name.removesuffix("_sum") for name in sums.column_names]
    rows: list[Row] = sums.rename_columns(names).to_pylist()
    return rows


def total(rows: Iterable[Row]) -> Row:
    """Sums of all measures over rows of `group`."""
    rows = list(rows)
    return {
        "orders": sum(row["orders"] for row in rows),
        "quantity": sum(row["quantity"] for row in rows),
        "revenue": money(sum((row["revenue"] for row in rows), Decimal(0))),
    }


def daily(table: pa.Table, filters: Filters) -> Answer:
    """Revenue by date and category, with the sums by date and over all; newest date first."""
    rows = group(select(table, filters), "order_date", "category")
    days = group(select(table, filters), "order_date")
    days.sort(key=lambda row: row["order_date"], reverse=True)
    if filters.limit:
        days = days[: filters.limit]
        oldest = days[-1]["order_date"] if days else None
        rows = [row for row in rows if row["order_date"] >= oldest]
    rows.sort(key=lambda row: row["category"])
    rows.sort(key=lambda row: row["order_date"], reverse=True)
    return {
        "rows": [_shown(row) for row in rows],
        "days": [_shown(row) for row in days],
        "totals": {"days": len(days), **total(days)},
    }


def products(table: pa.Table, filters: Filters) -> Answer:
    """Products by revenue, the highest first."""
    rows = _by_revenue(group(select(table, filters), "product", "category", "brand"), "product")
    return {
        "rows": _with_share(rows)[: filters.limit or DEFAULT_PRODUCTS],
        "totals": {"products": len(rows), **total(rows)},
    }


def categories(table: pa.Table, filters: Filters) -> Answer:
    """Categories by revenue, the highest first."""
    chosen = select(table, filters)
    rows = _by_revenue(group(chosen, "category"), "category")
    counted = chosen.group_by("category").aggregate([("product", "count_distinct")]).to_pylist()
    products_of = {row["category"]: row["product_count_distinct"] for row in counted}
    for row in rows:
        row["products"] = products_of[row["category"]]
    return {
        "rows": _with_share(rows)[: filters.limit],
        "totals": {"categories": len(rows), **total(rows)},
    }


def windows(live: Iterable[Window], category_of: Mapping[str, str], now: datetime, filters: Filters) -> Answer:
    """Live windows by product, with the sums by window; newest window first.

    Args:
        live: the windows, sorted newest first.
        category_of: category by product, from the batch result; a product it lacks is UNKNOWN.
        now: decides which windows are open (UTC).
        filters: category and product restrict rows, limit is a number of windows.
    """
    rows: list[Row] = []
    sums: dict[datetime, Row] = {}
    for window in live:
        category = category_of.get(window.product, UNKNOWN)
        if filters.category not in (None, category) or filters.product not in (None, window.product):
            continue
        if window.window_start not in sums:
            if filters.limit and len(sums) == filters.limit:
                break
            sums[window.window_start] = {
                "window_start": iso(window.window_start),
                "window_end": iso(window.window_end),
                "open": window.window_end > now,
                "orders": 0,
                "revenue": Decimal(0),
            }
        sums[window.window_start]["orders"] += window.orders
        sums[window.window_start]["revenue"] += window.revenue
        rows.append(
            {
                "window_start": iso(window.window_start),
                "window_end": iso(window.window_end),
                "product": window.product,
                "category": category,
                "orders": window.orders,
                "revenue": money(window.revenue),
                "updated_at": iso(window.updated_at),
                "open": window.window_end > now,
            }
        )
    return {"rows": rows, "windows": [_shown(row) for row in sums.values()]}


def choices(table: pa.Table | None) -> Answer:
    """What the filters can be set to: dates, categories, and products with their category."""
    if table is None or table.num_rows == 0:
        return {"from": None, "to": None, "categories": [], "products": []}
    dates = pc.min_max(table["order_date"]).as_py()
    pairs = table.group_by(["product", "category"]).aggregate([]).to_pylist()
    return {
        "from": dates["min"].isoformat(),
        "to": dates["max"].isoformat(),
        "categories": sorted({pair["category"] for pair in pairs}),
        "products": sorted(pairs, key=lambda pair: str(pair["product"])),
    }


def daily_csv(table: pa.Table, filters: Filters) -> str:
    """The filtered batch result with all its columns, sorted as the batch writes its own CSV."""
    order = [(name, "ascending") for name in ("order_date", "product", "category", "brand")]
    out = io.StringIO()
    writer = csv.DictWriter(out, SCHEMA.names, lineterminator="\n")
    writer.writeheader()
    for row in select(table, filters).sort_by(order).to_pylist():
        writer.writerow({**_shown(row)})
    return out.getvalue()


def quarantine(found: Quarantine | None, filters: Filters) -> Answer:
    """Reasons of the quarantine by job, the most frequent first, with the newest examples.

    Args:
        found: the quarantine; None while it is not known.
        filters: limit is a number of examples.
    """
    if found is None:
        return {"rows": [], "examples": [], "totals": None}
    rows = [
        {"job": job, "reason": reason, "records": records}
        for (job, reason), records in sorted(found.reasons.items(), key=lambda row: (-row[1], row[0]))
    ]
    examples = [
        {
            "job": example.job,
            "quarantined_at": iso(example.quarantined_at),
            "reasons": list(example.reasons),
            "origin": example.origin,
            "raw": example.raw,
        }
        for example in _varied(found.examples)[: filters.limit or DEFAULT_EXAMPLES]
    ]
    totals = {
        "records": sum(found.records.values()),
        **found.records,
        "counted": found.counted,
        "unread_files": found.unread,
    }
    return {"rows": rows, "examples": examples, "totals": totals}


def _varied(examples: Iterable[Example]) -> list[Example]:
    """Examples in an order that shows every combination of reasons once before any comes again."""
    seen: Counter[tuple[str, ...]] = Counter()
    turns = []
    for example in examples:
        turns.append((seen[example.reasons], example))
        seen[example.reasons] += 1
    return [example for _, example in sorted(turns, key=lambda turn: turn[0])]


def jobs(found: Jobs | None) -> Answer:
    """Last and next run of every job that is known, and what the last batch did."""
    if found is None:
        return {"rows": [], "last_batch": None, "without_systemd": None}
    rows = [
        _job(name, unit, found.last_run if name == "batch" else None, found.units.get(name))
        for name, unit in UNITS.items()
        if name in found.units or (name == "batch" and found.last_run)
    ]
    return {
        "rows": rows,
        "last_batch": found.last_run.model_dump(mode="json") if found.last_run else None,
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
    return sorted(rows, key=lambda row: (-row["revenue"], row[name]))


def _with_share(rows: list[Row]) -> list[Row]:
    """Rows as shown, with the share of the whole in percent."""
    whole = sum((row["revenue"] for row in rows), Decimal(0))
    return [{**_shown(row), "share": _percent(row["revenue"], whole)} for row in rows]


def _percent(part: Decimal, whole: Decimal) -> str:
    return str((part * 100 / whole).quantize(Decimal("0.1"))) if whole else "0.0"


def _shown(row: Row) -> Row:
    """A row for JSON: money as text, dates as ISO."""
    shown = dict(row)
    shown["revenue"] = money(row["revenue"])
    if "order_date" in row:
        shown["order_date"] = row["order_date"].isoformat()
    return shown
