"""What the API answers of the stream: how it is, what it has closed, and one day as batch and stream count it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from retail_webapp import answers, records
from retail_webapp.answers import MOST_ROWS, REST, UNKNOWN, Answer, Row, money
from retail_webapp.events import amount_of, day_of, read_event
from retail_webapp.filters import Filters
from retail_webapp.sources.jobs import LastRun
from retail_webapp.sources.quarantine import Quarantine
from retail_webapp.sources.report import iso
from retail_webapp.sources.stream import CLOSED, Minute, StreamStatus
from retail_webapp.sources.unread import Unread
from retail_webapp.sources.windows import Window

HOUR, MINUTES = timedelta(hours=1), 60

CLOSED_WINDOWS = 96
"""Closed windows that are shown: a day of them."""

ONLY_STREAM = ("late", "future_event", "too_many_products")
"""Reasons of the quarantine that the batch does not know: what they are about, the batch counts."""


def stream(status: StreamStatus | None) -> Answer:
    """Sums since the start of the job, how far it is behind, and the last hour by minute, the oldest first."""
    if status is None:
        return {"rows": [], "now": None}
    moments = {name: iso(getattr(status, name)) for name in ("since", "until", "last_batch", "watermark")}
    told = status.model_dump(mode="json", exclude={"history", "reasons", "position", "repeated_by_day", *moments})
    return {
        "rows": [_minute(minute) for minute in _every_minute(status)],
        "now": {**told, **moments, "late": status.late, "reasons": dict(status.reasons)},
    }


def _every_minute(status: StreamStatus) -> list[Minute]:
    """The last hour; a minute without an event is one with zeros, for that is what came."""
    last = status.until.replace(second=0, microsecond=0)
    known = {minute.minute: minute for minute in status.history}
    zeros = {"events": 0, "counted": 0, "repeated": 0, "late": 0, "quarantined": 0, "seconds": 0, "backlog": 0}
    moments = [last - timedelta(minutes=back) for back in reversed(range(MINUTES))]
    first = max(min(known, default=last), moments[0])
    return [known.get(moment) or Minute(minute=moment, **zeros) for moment in moments if moment >= first]


def _minute(minute: Minute) -> Row:
    return {**minute.model_dump(), "minute": iso(minute.minute)}


def closed(table: pa.Table, category_of: Mapping[str, str], filters: Filters) -> Answer:
    """The newest closed windows with their sums, the newest first.

    Args:
        table: `CLOSED`.
        category_of: see `answers.windows`.
        filters: category and product restrict, limit is a number of windows.
    """
    if filters.product is not None:
        table = table.filter(pc.field("product") == filters.product)
    if filters.category is not None:
        names = pc.unique(table["product"]).to_pylist()
        wanted = [name for name in names if category_of.get(name, UNKNOWN) == filters.category]
        table = table.filter(pc.is_in(table["product"], pa.array(wanted, pa.string())))
    sums = table.group_by(["window_start", "window_end"]).aggregate([("orders", "sum"), ("revenue", "sum")])
    sums = sums.sort_by([("window_start", "descending")]).slice(0, filters.limit or CLOSED_WINDOWS)
    return {
        "rows": [
            {
                "window_start": iso(row["window_start"]),
                "window_end": iso(row["window_end"]),
                "orders": row["orders_sum"],
                "revenue": money(row["revenue_sum"]),
            }
            for row in sums.to_pylist()
        ]
    }


@dataclass(frozen=True)
class Day:
    """What is known of the days; None is what is not there (yet)."""

    batch: pa.Table
    closed: pa.Table | None
    live: tuple[Window, ...]
    status: StreamStatus | None
    quarantine: Quarantine | None
    unread: Unread | None
    last_run: LastRun | None


def comparison(known: Day, filters: Filters) -> Answer:
    """One day by product, as the batch and as the stream count it, and what may make the difference.

    Of the stream, the windows that begin on a full hour count: every event is in exactly one of them.

    Args:
        known: what the sources hold.
        filters: day, else the newest one that both know, else the newest one of either; category and product.
    """
    table = known.closed if known.closed is not None else CLOSED.empty_table()
    closed_rows = table.filter(pc.equal(pc.minute(table["window_start"]), 0))
    ended = set(table["window_start"].to_pylist())
    open_windows = [w for w in known.live if w.window_start.minute == 0 and w.window_start not in ended]
    of_batch = set(pc.unique(known.batch["order_date"]).to_pylist())
    starts = [*closed_rows["window_start"].to_pylist(), *(window.window_start for window in open_windows)]
    of_stream = {start.date() for start in starts}
    days = sorted(of_stream | of_batch, reverse=True)
    day = filters.day or max(of_batch & of_stream, default=None) or max(days, default=None)
    if day is None:
        return {"rows": [], "day": None, "days": [], "totals": None, "reasons": [], "lesson": None}
    sides: dict[str, dict[str, Row]] = {
        "batch": _by_product(answers.group(answers.select(known.batch, Filters.of_day(day)), "product")),
        "closed": _by_product(_closed_of(closed_rows, day)),
        "open": _by_product(_sum_windows(window for window in open_windows if window.window_start.date() == day)),
    }
    rows = sorted(
        (_row(name, sides) for name in set().union(*sides.values())),
        key=lambda row: (-abs(row["difference"]), -row["batch"], row["product"]),
    )
    sums, reasons = _sum_rows(rows), _reasons(known, day, bool(sides["open"]))
    explained = sum((row["revenue"] for row in reasons if row["explains"]), Decimal(0))
    first, others = rows[:MOST_ROWS], rows[MOST_ROWS:]
    if others:
        first.append({"product": REST, "others": len(others), **_sum_rows(others)})
    return {
        "rows": [_shown(row) for row in first],
        "day": day.isoformat(),
        "days": [known_day.isoformat() for known_day in days[: answers.MOST_PERIODS]],
        "totals": _shown(
            {"products": len(rows), **sums, "explained": explained, "left": sums["difference"] - explained}
        ),
        "reasons": [_shown(row) for row in reasons],
        "lesson": _lesson(day in of_batch, day in of_stream),
    }


def _closed_of(table: pa.Table, day: date) -> list[Row]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    scalar = pa.scalar(begin, CLOSED.field("window_start").type)
    after = pa.scalar(begin + timedelta(days=1), scalar.type)
    chosen = table.filter((pc.field("window_start") >= scalar) & (pc.field("window_start") < after))
    sums = chosen.group_by("product").aggregate([("orders", "sum"), ("revenue", "sum")])
    found: list[Row] = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names]).to_pylist()
    return found


def _sum_windows(windows: Iterable[Window]) -> list[Row]:
    sums: dict[str, Row] = {}
    for window in windows:
        row = sums.setdefault(window.product, {"product": window.product, "orders": 0, "revenue": Decimal(0)})
        row["orders"] += window.orders
        row["revenue"] += window.revenue
    return list(sums.values())


def _by_product(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["product"]: row for row in rows}


def _row(name: str, sides: Mapping[str, Mapping[str, Row]]) -> Row:
    nothing = {"orders": 0, "revenue": Decimal(0)}
    of = {side: rows.get(name, nothing) for side, rows in sides.items()}
    revenue = {side: row["revenue"] for side, row in of.items()}
    return {
        "product": name,
        **revenue,
        "difference": revenue["batch"] - revenue["closed"] - revenue["open"],
        "batch_orders": of["batch"]["orders"],
        "stream_orders": of["closed"]["orders"] + of["open"]["orders"],
    }


def _sum_rows(rows: list[Row]) -> Row:
    sums: Row = {
        side: sum((row[side] for row in rows), Decimal(0)) for side in ("batch", "closed", "open", "difference")
    }
    return {**sums, **{name: sum(row[name] for row in rows) for name in ("batch_orders", "stream_orders")}}


def _shown(row: Row) -> Row:
    return {name: money(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def _lesson(in_batch: bool, in_stream: bool) -> str | None:
    if in_batch and in_stream:
        return None
    if in_batch:
        return (
            "The stream has no window of this day: the producer stamps its events with the present. With "
            "EVENT_TIME=original they keep the dates of their files, and both can be compared."
        )
    return (
        "The batch has no sale of this day: it takes the dates of the files in /data/input, and the producer stamps "
        "its events with the present. With EVENT_TIME=original both see the same days."
    )


def _reasons(known: Day, day: date, still_open: bool) -> list[Row]:
    """What may make the difference, with numbers; those of the day itself first.

    `explains` says that the batch counts what the stream does not, so that it is a part of the difference.
    """
    found: list[Row] = []
    for reason, (number, revenue) in sorted(_quarantined_events(known.quarantine, day).items()):
        found.append(_reason(reason, number, revenue, explains=reason in ONLY_STREAM))
    unread = known.unread.by_day.get(day) if known.unread else None
    if unread:
        found.append(_reason("not_yet_read", *unread, explains=True))
    if known.status is not None:
        found.append(_reason("repeated", known.status.repeated_by_day.get(day, 0)))
    if still_open:
        found.append(_reason("still_open"))
    if known.status is not None and known.status.backlog is not None and not (known.unread and known.unread.whole):
        found.append(_reason("not_yet_read", known.status.backlog, of_day=False))
    if known.last_run is not None:
        for reason in ("quarantined", "repeated", "corrected"):
            found.append(_reason(reason, getattr(known.last_run, reason), by="batch", of_day=False))
    return [row for row in found if row["records"] != 0]


def _reason(
    reason: str,
    records: int | None = None,
    revenue: Decimal | None = None,
    *,
    by: str = "streaming",
    of_day: bool = True,
    explains: bool = False,
) -> Row:
    return {
        "reason": reason,
        "by": by,
        "of_day": of_day,
        "records": records,
        "revenue": revenue,
        "explains": explains,
    }


def _quarantined_events(quarantine: Quarantine | None, day: date) -> dict[str, tuple[int, Decimal]]:
    """Events of the day that the stream has not counted, by their first reason: how many, and their amounts."""
    sums: dict[str, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    if quarantine is None:
        return sums
    for row in records.select(quarantine.records, Filters(job="streaming")).to_pylist():
        event = read_event(row["raw"])
        if day_of(event) == day:
            number, revenue = sums[row["reasons"][0]]
            sums[row["reasons"][0]] = number + 1, revenue + amount_of(event)
    return sums
