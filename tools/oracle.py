"""An independent answer to what the jobs compute, from the raw CSVs, with DuckDB: daily revenue and revenue by window.

It shares no code with the jobs and follows the written rules only, so that two mistakes would have to agree.

    python -m tools.oracle data/input            # totals to stderr, rows as CSV to stdout
    python -m tools.oracle data/input --json     # both as one JSON object
    python -m tools.oracle data/input --windows  # windows instead of days, as streaming sees the rows' own times

Rules: column names without case and outer spaces, with aliases; dates as ISO date, ISO timestamp (no
zone means UTC) or yyyyMMdd; a blank amount is quantity times unit price; a blank product is UNKNOWN.
Quarantined are rows with another number of fields than the header, without usable date, with unusable or
negative amount, with a product of more than 1000 characters, and orders that say something else than an
earlier row of the same file. The same order again with the same content counts once; other content in a
later file (by name) replaces what the earlier file said. A window is one hour (UTC) and begins every 15
minutes; the same orders count in it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb

from tools.terminal import Problem, run

# Canonical name and the names that mean the same, in order of preference.
COLUMNS: dict[str, tuple[str, ...]] = {
    "order_id": ("order_id",),
    "order_date": ("order_date", "date", "order_time", "timestamp", "event_time"),
    "store_id": ("store_id",),
    "store_city": ("store_city",),
    "product": ("product", "item"),
    "quantity": ("quantity",),
    "unit_price": ("unit_price", "price"),
    "amount": ("amount", "total", "total_price"),
}
PRODUCTS = "products.csv"

SCHEMA = r"""
CREATE TABLE raw (file VARCHAR, line BIGINT, well_formed BOOLEAN,
    order_id VARCHAR, order_date VARCHAR, store_id VARCHAR, store_city VARCHAR, product VARCHAR,
    quantity VARCHAR, unit_price VARCHAR, amount VARCHAR);
CREATE TABLE products (product VARCHAR, category VARCHAR, brand VARCHAR);

-- A field: quoted with quotes doubled inside, or anything up to the next comma.
CREATE MACRO fields(text) AS regexp_extract_all(',' || text, ',("(?:[^"]|"")*"|[^,]*)', 1);
CREATE MACRO unquoted(value) AS
    CASE WHEN value LIKE '"%' THEN replace(value[2:-2], '""', '"') ELSE value END;
-- What is left of the line when its fields are put together again must be nothing.
CREATE MACRO readable(text) AS array_to_string(fields(text), ',') = text
    AND len(list_filter(fields(text), lambda f: f LIKE '"%' AND (length(f) < 2 OR f NOT LIKE '%"'))) = 0;
CREATE MACRO lines(content) AS TABLE
    SELECT * FROM (SELECT unnest(string_split_regex(content, '\r\n|\n|\r')) AS text,
                          generate_subscripts(string_split_regex(content, '\r\n|\n|\r'), 1) AS line)
    WHERE text <> '';

CREATE MACRO to_time(value) AS CASE
    WHEN regexp_full_match(value, '\d{8}') THEN try_strptime(value, '%Y%m%d')
    WHEN regexp_full_match(value, '\d{4}-\d{2}-\d{2}') THEN TRY_CAST(value AS TIMESTAMP)
    WHEN NOT regexp_matches(value, '^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d+)?)?') THEN NULL
    WHEN regexp_matches(value, ':\d{2}([.]\d+)?$') AND NOT regexp_matches(value, '[+-]\d{2}:\d{2}$')
        THEN TRY_CAST(value AS TIMESTAMP)
    -- A cast to TIMESTAMP would forget the zone.
    WHEN regexp_matches(value, ':\d{2}([.]\d+)? ?(Z|[+-]\d{2}(:?\d{2})?)$')
        THEN make_timestamp(epoch_us(TRY_CAST(value AS TIMESTAMPTZ)))
    END;
CREATE MACRO to_number(value) AS
    CASE WHEN regexp_full_match(value, '[+-]?(\d+[.]?\d*|[.]\d+)([eE][+-]?\d+)?')
         THEN TRY_CAST(value AS DECIMAL(38,10)) END;
CREATE MACRO to_count(value) AS
    CASE WHEN to_number(value) = trunc(to_number(value)) THEN TRY_CAST(to_number(value) AS BIGINT) END;
"""

CLEANING = """
CREATE TABLE typed AS
SELECT file, line, well_formed, nullif(trim(order_id), '') AS order_id,
       to_time(trim(order_date)) AS moment, moment::DATE AS day,
       trim(store_id) AS store_id, trim(store_city) AS store_city,
       coalesce(nullif(trim(product), ''), 'UNKNOWN') AS product,
       to_count(trim(quantity)) AS quantity, to_number(trim(unit_price)) AS unit_price,
       coalesce(trim(amount), '') = '' AS computed,
       -- DuckDB rounds decimals half away from zero; on amounts that are not negative that is half up.
       TRY_CAST(round(CASE WHEN computed
                           THEN TRY_CAST(to_count(trim(quantity)) AS DECIMAL(18,0))
                                * TRY_CAST(to_number(trim(unit_price)) AS DECIMAL(20,10))
                           ELSE to_number(trim(amount)) END, 2) AS DECIMAL(18,2)) AS amount
FROM raw;

CREATE TABLE judged AS
SELECT *, CASE WHEN NOT well_formed THEN 'malformed'
               WHEN day IS NULL THEN 'no usable date'
               WHEN amount IS NULL THEN 'no usable amount'
               WHEN amount < 0 THEN 'negative amount'
               WHEN length(product) > 1000 THEN 'product too long' END AS fault,
       [day::VARCHAR, store_id, store_city, product, quantity::VARCHAR, unit_price::VARCHAR, amount::VARCHAR]
           AS content
FROM typed;

CREATE TABLE ordered AS
SELECT *, row_number() OVER one_file AS nth, first(content) OVER one_file AS first_content
FROM judged WHERE fault IS NULL AND order_id IS NOT NULL
WINDOW one_file AS (PARTITION BY file, order_id ORDER BY line);

CREATE TABLE counted AS
SELECT * FROM (
    SELECT moment, day, product, quantity, amount FROM ordered WHERE nth = 1
    QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY file DESC) = 1)
UNION ALL
SELECT moment, day, product, quantity, amount FROM judged WHERE fault IS NULL AND order_id IS NULL;
"""

REVENUE = """
SELECT day, product, coalesce(p.category, 'UNKNOWN'), coalesce(p.brand, 'UNKNOWN'),
       count(*), coalesce(sum(quantity), 0)::BIGINT, sum(amount)::DECIMAL(18,2)
FROM counted LEFT JOIN products p USING (product)
GROUP BY ALL ORDER BY ALL
"""

WINDOWS = """
SELECT time_bucket(INTERVAL 15 MINUTE, moment) - to_minutes(back) AS start, start + INTERVAL 1 HOUR, product,
       count(*), sum(amount)::DECIMAL(18,2)
FROM counted CROSS JOIN (SELECT unnest([0, 15, 30, 45]) AS back)
GROUP BY ALL ORDER BY ALL
"""

TOTALS = """
SELECT (SELECT count(*) FROM judged),
       (SELECT count(*) FROM judged WHERE fault IS NULL)
           - (SELECT count(*) FROM ordered WHERE content <> first_content),
       (SELECT count(*) FROM counted)
"""

REASONS = """
SELECT fault, count(*) FROM judged WHERE fault IS NOT NULL GROUP BY fault
UNION ALL
SELECT 'conflicting order', count(*) FROM ordered WHERE content <> first_content HAVING count(*) > 0
ORDER BY ALL
"""


class DailyRevenue(NamedTuple):
    """What one product brought in on one day (UTC)."""

    order_date: date
    product: str
    category: str
    brand: str
    orders: int
    quantity: int
    revenue: Decimal


class WindowRevenue(NamedTuple):
    """What one product brought in in one window (UTC)."""

    window_start: datetime
    window_end: datetime
    product: str
    orders: int
    revenue: Decimal


Row = TypeVar("Row", DailyRevenue, WindowRevenue)


@dataclass(frozen=True)
class Answer:
    """The rows, and how many input rows led to them.

    Attributes:
        rows: Daily revenue, sorted.
        windows: Revenue by window, sorted.
        read: Data rows of all files.
        clean: Rows that could be used; repetitions and rows that a later file corrected are among them.
        quarantined: The others.
        counted: Orders that the revenue is made of.
        reasons: Quarantined rows by (first) reason.
    """

    rows: list[DailyRevenue]
    windows: list[WindowRevenue]
    read: int
    clean: int
    quarantined: int
    counted: int
    reasons: dict[str, int] = field(default_factory=dict)


def compute(folder: Path) -> Answer:
    """Read all transaction CSVs of a folder and compute.

    Raises:
        Problem: There is nothing to read, or a file has no known column.
    """
    files = sorted(path for path in folder.glob("*.csv") if path.name != PRODUCTS)
    if not files:
        raise Problem(f"no transaction CSV in {folder}: put at least one there (python -m tools.sample_data)")
    with duckdb.connect() as database:
        database.execute(SCHEMA)
        for path in files:
            _load(database, path)
        if (folder / PRODUCTS).exists():
            _load_products(database, folder / PRODUCTS)
        database.execute(CLEANING)
        rows = [DailyRevenue(*row) for row in database.execute(REVENUE).fetchall()]
        windows = [
            WindowRevenue(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC), *rest)
            for start, end, *rest in database.execute(WINDOWS).fetchall()
        ]
        [(read, clean, counted)] = database.execute(TOTALS).fetchall()
        reasons = dict(database.execute(REASONS).fetchall())
    return Answer(rows, windows, read, clean, read - clean, counted, reasons)


def daily_revenue(folder: Path) -> list[DailyRevenue]:
    """Only the rows of `compute`."""
    return compute(folder).rows


def _content(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", errors="replace")


def _header(content: str) -> list[str]:
    first = next(iter(content.splitlines()), "")
    return [name.strip().lower() for name in next(csv.reader([first]), [])]


def _load(database: duckdb.DuckDBPyConnection, path: Path) -> None:
    content = _content(path)
    header = _header(content)
    if not header:
        return
    if not any(name in header for names in COLUMNS.values() for name in names):
        raise Problem(f"{path} has no known column in its first line: correct it or move it away")
    selected = [_column(header, names) for names in COLUMNS.values()]
    database.execute(
        f"""
        INSERT INTO raw
        SELECT ?, line, readable(text) AND len(fields(text)) = {len(header)} AS ok, {", ".join(selected)}
        FROM lines(?) WHERE line > 1
        """,
        [path.name, content],
    )


def _column(header: list[str], names: Iterable[str]) -> str:
    """SQL for the first of the columns that is there and not blank; NULL for a malformed row."""
    positions = [position for name in names for position, other in enumerate(header, start=1) if other == name]
    values = [f"nullif(trim(unquoted(fields(text)[{position}])), '')" for position in positions]
    return f"CASE WHEN ok THEN coalesce({', '.join(values)}, '') END" if values else "''"


def _load_products(database: duckdb.DuckDBPyConnection, path: Path) -> None:
    rows = csv.DictReader(_content(path).splitlines())
    seen: dict[str, list[str]] = {}
    for row in rows:
        named = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
        values = [named.get(name, "") for name in ("product", "category", "brand")]
        seen.setdefault(values[0], [values[0], *(value or "UNKNOWN" for value in values[1:])])
    if seen:
        database.executemany("INSERT INTO products VALUES (?, ?, ?)", list(seen.values()))


def typed(row: DailyRevenue | Mapping[str, object]) -> DailyRevenue:
    """A row of another source (a CSV, JSON, Parquet) in the oracle's types.

    Raises:
        ValueError: A column is missing or cannot be read.
    """
    if isinstance(row, DailyRevenue):
        return row
    try:
        return DailyRevenue(
            order_date=date.fromisoformat(str(row["order_date"])),
            product=str(row["product"]),
            category=str(row["category"]),
            brand=str(row["brand"]),
            orders=int(str(row["orders"])),
            quantity=int(str(row["quantity"])),
            revenue=Decimal(str(row["revenue"])),
        )
    except (KeyError, ArithmeticError, ValueError) as error:
        raise ValueError(f"not a row of daily revenue ({error!r}): {dict(row)!r}") from error


def typed_window(row: WindowRevenue | Mapping[str, object]) -> WindowRevenue:
    """A row of another source, times as datetime or ISO text (UTC), in the oracle's types.

    Raises:
        ValueError: A column is missing or cannot be read.
    """
    if isinstance(row, WindowRevenue):
        return row
    try:
        start, end = (datetime.fromisoformat(str(row[name])) for name in ("window_start", "window_end"))
        return WindowRevenue(
            window_start=start if start.tzinfo else start.replace(tzinfo=UTC),
            window_end=end if end.tzinfo else end.replace(tzinfo=UTC),
            product=str(row["product"]),
            orders=int(str(row["orders"])),
            revenue=Decimal(str(row["revenue"])),
        )
    except (KeyError, ArithmeticError, ValueError) as error:
        raise ValueError(f"not a row of revenue by window ({error!r}): {dict(row)!r}") from error


def compare(
    expected: Iterable[DailyRevenue | Mapping[str, object]],
    got: Iterable[DailyRevenue | Mapping[str, object]],
) -> list[str]:
    """Differences in words, to the cent; empty when both say the same. The order of rows does not matter."""
    return _differences(map(typed, expected), map(typed, got), lambda row: (str(row.order_date), row.product))


def compare_windows(
    expected: Iterable[WindowRevenue | Mapping[str, object]],
    got: Iterable[WindowRevenue | Mapping[str, object]],
) -> list[str]:
    """The same for windows."""

    def key(row: WindowRevenue) -> tuple[str, str]:
        return f"{row.window_start:%Y-%m-%dT%H:%MZ}", row.product

    return _differences(map(typed_window, expected), map(typed_window, got), key)


def _differences(expected: Iterable[Row], got: Iterable[Row], key_of: Callable[[Row], tuple[str, str]]) -> list[str]:
    differences = []
    wanted = {key_of(row): row for row in expected}
    found: dict[tuple[str, str], Row] = {}
    for row in got:
        if key_of(row) in found:
            differences.append(f"{' '.join(key_of(row))}: more than one row")
        found[key_of(row)] = row
    for key in sorted(wanted.keys() | found.keys()):
        name = " ".join(key)
        if key not in found:
            differences.append(f"{name}: missing, expected revenue {wanted[key].revenue}")
        elif key not in wanted:
            differences.append(f"{name}: not expected, revenue {found[key].revenue}")
        else:
            differences.extend(
                f"{name}: {column} is {got_value}, expected {wanted_value}"
                for column, wanted_value, got_value in zip(wanted[key]._fields, wanted[key], found[key], strict=True)
                if wanted_value != got_value
            )
    return differences


def _print(answer: Answer, as_json: bool, by_window: bool) -> None:
    rows: list[DailyRevenue] | list[WindowRevenue] = answer.windows if by_window else answer.rows
    totals = {name: getattr(answer, name) for name in ("read", "clean", "quarantined", "counted", "reasons")}
    if as_json:
        json.dump(
            totals | {"rows": [row._asdict() for row in rows]}, sys.stdout, indent=1, ensure_ascii=False, default=str
        )
        print()
        return
    print(", ".join(f"{name} {value}" for name, value in totals.items()), file=sys.stderr)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow((WindowRevenue if by_window else DailyRevenue)._fields)
    writer.writerows(rows)


def main(argv: list[str] | None = None) -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description="Revenue by product from raw CSVs, with DuckDB.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/input"))
    parser.add_argument("--json", action="store_true", help="totals and rows as one JSON object")
    parser.add_argument("--windows", action="store_true", help="revenue by window instead of by day")
    options = parser.parse_args(argv)
    run(lambda: _print(compute(options.folder), options.json, options.windows))


if __name__ == "__main__":
    main()
