"""An independent answer to what the jobs compute, from the raw CSVs, with DuckDB: daily revenue and revenue by window.

It shares no code with the jobs and follows the written rules only, so that two mistakes would have to agree.

    python -m tools.data.oracle data/input            # totals to stderr, rows as CSV to stdout
    python -m tools.data.oracle data/input --json     # both as one JSON object
    python -m tools.data.oracle data/input --windows  # windows instead of days, as streaming sees the rows' own times

Rules: those of DESIGN's "What the pipeline means" and of `dataset.toml` in the folder, read here anew. Only the list of
input files is that of the jobs. A window is one hour (UTC) and begins every 15 minutes; what counts in the days counts
in it.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import gzip
import json
import re
import sys
import tomllib
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import duckdb
from retail_dataset.files import input_files

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
LONGEST_LINE = 16_384  # bytes
SPACES = " \t\u00a0\u2009\u202f"
CURRENCY = "".join(filter(lambda sign: unicodedata.category(sign) == "Sc", map(chr, range(sys.maxunicode))))
# Spark's letters for dates, the longest first, and Python's.
DATE_LETTERS = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%m", "dd": "%d", "d": "%d",
    "HH": "%H", "H": "%H", "hh": "%I", "h": "%I", "mm": "%M", "m": "%M", "ss": "%S", "s": "%S", "a": "%p",
}  # fmt: skip
ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.]\d{1,9})?( ?([Zz]|[+-]\d\d(:?\d\d)?))?)?)?|\d{8}", re.ASCII)

codecs.register_error("undefined", lambda error: (chr(error.object[error.start]), error.start + 1))  # type: ignore[attr-defined]

SCHEMA = r"""
CREATE TABLE raw (file VARCHAR, line BIGINT, fault VARCHAR, day VARCHAR, lines BOOLEAN, subtract BOOLEAN,
    order_id VARCHAR, order_date VARCHAR, store_id VARCHAR, store_city VARCHAR, product VARCHAR,
    quantity VARCHAR, unit_price VARCHAR, amount VARCHAR);
CREATE TABLE products (key VARCHAR, product VARCHAR, category VARCHAR, brand VARCHAR);

CREATE MACRO to_time(value) AS CASE
    WHEN regexp_full_match(value, '\d{8}') THEN try_strptime(value, '%Y%m%d')
    WHEN regexp_full_match(value, '\d{4}-\d{2}-\d{2}') THEN TRY_CAST(value AS TIMESTAMP)
    WHEN NOT regexp_matches(value, '^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d+)?)?') THEN NULL
    WHEN regexp_matches(value, ':\d{2}([.]\d+)?$') AND NOT regexp_matches(value, '[+-]\d{2}:\d{2}$')
        THEN TRY_CAST(value AS TIMESTAMP)
    -- A cast to TIMESTAMP would forget the zone.
    WHEN regexp_matches(value, ':\d{2}:\d{2}([.]\d+)? ?(Z|[+-]\d{2}(:?\d{2})?)$')
        THEN make_timestamp(epoch_us(TRY_CAST(value AS TIMESTAMPTZ)))
    END;
CREATE MACRO to_number(value) AS
    CASE WHEN regexp_full_match(value, '[+-]?(\d+[.]?\d*|[.]\d+)([eE][+-]?\d+)?')
         THEN TRY_CAST(value AS DECIMAL(38,10)) END;
"""

CLEANING = """
CREATE TABLE typed AS
SELECT file, line, fault AS given, lines, subtract, nullif(trim(order_id), '') AS order_id,
       trim(order_date) AS date_text, trim(quantity) AS quantity_text, trim(amount) AS amount_text,
       to_time(date_text) AS moment, coalesce(day::DATE, moment::DATE) AS day,
       trim(store_id) AS store_id, trim(store_city) AS store_city,
       coalesce(nullif(trim(product), ''), 'UNKNOWN') AS product,
       to_number(quantity_text) AS exact_quantity,
       TRY_CAST(round(exact_quantity, 3) AS DECIMAL(18,3)) AS quantity,
       TRY_CAST(round(to_number(trim(unit_price)), 6) AS DECIMAL(18,6)) AS unit_price,
       -- DuckDB rounds decimals half away from zero, as money is.
       TRY_CAST(round(CASE WHEN coalesce(amount_text, '') = '' THEN TRY_CAST(round(exact_quantity, 3) AS DECIMAL(18,3))
                                * TRY_CAST(round(to_number(trim(unit_price)), 6) AS DECIMAL(18,6))
                           ELSE to_number(amount_text) END, 2) AS DECIMAL(18,2)) AS amount
FROM raw;

CREATE TABLE judged AS
SELECT *, CASE WHEN given IS NOT NULL THEN given
               WHEN coalesce(date_text, '') = '' THEN 'no_date'
               WHEN day IS NULL THEN 'unreadable_date'
               WHEN year(moment) NOT BETWEEN 1970 AND 2099 THEN 'date_out_of_range'
               WHEN quantity_text <> '' AND exact_quantity IS NULL THEN 'unreadable_quantity'
               WHEN quantity < 0 AND NOT subtract THEN 'negative_quantity'
               WHEN abs(exact_quantity) > 1000000000 THEN 'quantity_out_of_range'
               WHEN amount IS NULL AND coalesce(amount_text, '') = '' THEN 'no_amount'
               WHEN amount IS NULL THEN 'unreadable_amount'
               WHEN amount < 0 AND NOT subtract THEN 'negative_amount'
               WHEN abs(amount) > 1000000000 THEN 'amount_out_of_range'
               WHEN length(product) > 1000 THEN 'product_too_long' END AS fault,
       [day::VARCHAR, store_id, store_city, product, quantity::VARCHAR, round(unit_price, 2)::VARCHAR, amount::VARCHAR]
           AS content
FROM typed;

CREATE TABLE ordered AS
SELECT *, row_number() OVER one_file AS nth, first(content) OVER one_file AS first_content,
       max(file) OVER (PARTITION BY order_id) AS last_file
FROM judged WHERE fault IS NULL AND order_id IS NOT NULL
WINDOW one_file AS (PARTITION BY file, order_id ORDER BY line);

CREATE TABLE counted AS
SELECT order_id, moment, day, coalesce(p.product, sale.product) AS product, quantity, amount
FROM (SELECT * EXCLUDE (nth, first_content, last_file) FROM ordered WHERE file = last_file AND (lines OR nth = 1)
      UNION ALL
      SELECT * FROM judged WHERE fault IS NULL AND order_id IS NULL) AS sale
LEFT JOIN products p ON sale.product = p.key;
"""

REVENUE = """
SELECT day, product, coalesce(any_value(category), 'UNKNOWN'), coalesce(any_value(brand), 'UNKNOWN'),
       count(DISTINCT order_id) + count(*) FILTER (order_id IS NULL),
       coalesce(sum(quantity), 0)::DECIMAL(18,3), sum(amount)::DECIMAL(18,2)
FROM counted
-- Of several keys of one product the last one tells.
LEFT JOIN (SELECT product, arg_max(category, key) AS category, arg_max(brand, key) AS brand
           FROM products GROUP BY product) USING (product)
GROUP BY day, product ORDER BY ALL
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
           - (SELECT count(*) FROM ordered WHERE content <> first_content AND NOT lines),
       (SELECT count(DISTINCT order_id) + count(*) FILTER (order_id IS NULL) FROM counted)
"""

REASONS = """
SELECT fault, count(*) FROM judged WHERE fault IS NOT NULL GROUP BY fault
UNION ALL
SELECT 'conflicting_duplicate', count(*) FROM ordered WHERE content <> first_content AND NOT lines HAVING count(*) > 0
ORDER BY ALL
"""


class DailyRevenue(NamedTuple):
    """What one product brought in on one day (UTC)."""

    order_date: date
    product: str
    category: str
    brand: str
    orders: int
    quantity: Decimal
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
        Problem: There is nothing to read.
    """
    files = input_files(folder)
    if not files:
        raise Problem(f"no transaction CSV in {folder}: put at least one there (python -m tools.data.sample_data)")
    rules = tomllib.loads(_plain_text(folder / "dataset.toml")) if (folder / "dataset.toml").exists() else {}
    with duckdb.connect() as database:
        database.execute(SCHEMA)
        for name in files:
            _insert(database, name, _rows(folder / name, _rules_of(name, rules)))
        if (folder / PRODUCTS).exists():
            _load_products(database, folder / PRODUCTS, rules.get("products", {}))
        database.execute(CLEANING)
        rows = [
            row._replace(quantity=Decimal(f"{row.quantity.normalize():f}"))
            for row in map(DailyRevenue._make, database.execute(REVENUE).fetchall())
        ]
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


def _rules_of(name: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Rules of one file."""
    found = dict(rules)
    for entry in rules.get("files", []):
        if fnmatchcase(name if "/" in entry["match"] else name.rsplit("/", 1)[-1], entry["match"]):
            found |= entry | {"columns": found.get("columns", {}) | entry.get("columns", {})}
    return found


def _rows(path: Path, rules: Mapping[str, Any]) -> Iterator[list[object]]:
    """Rows of a file as the table `raw` has them, from its second column on."""
    constant = [rules.get("orders") == "lines", rules.get("returns") == "subtract"]
    nothing = [None] * len(COLUMNS)
    try:
        lines = _lines(path)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield [0, "unreadable_file", None, *constant, *nothing]
        return
    first = rules.get("header_line", next((number for number, line in enumerate(lines, 1) if line.strip(" ,;\t|")), 0))
    if not 0 < first <= len(lines):
        return
    header = lines[first - 1]
    own = {name: [names] if isinstance(names, str) else names for name, names in rules.get("columns", {}).items()}
    ways = {mark: _places(_fields(header, mark) or [], own) for mark in ",;\t|"}
    mark = max(ways, key=lambda mark: sum(map(bool, ways[mark].values())))
    places, width = ways[mark], len(_fields(header, mark) or [])
    usable = places["order_date"] and (places["amount"] or (places["quantity"] and places["unit_price"]))
    if not any(places.values()):
        yield [first, "unknown_header", None, *constant, *nothing]
    for number, text, fields in _records(lines, first, mark, width):
        if not text.strip(f" {mark}") or text in (header, f"\ufeff{header}"):
            continue
        fault = None if usable else "unknown_header"
        if usable and len(text.encode()) > LONGEST_LINE:
            fault = "line_too_long"
        elif usable and (fields is None or len(fields) != width):
            fault = "malformed_row"
        if fault or not fields:
            yield [number, fault, None, *constant, *nothing]
            continue
        values = {
            name: next((fields[at] for at in found if fields[at].strip(" ")), "") for name, found in places.items()
        }
        values["order_date"], day = _date(values["order_date"].strip(" "), rules)
        for name in ("quantity", "unit_price", "amount"):
            values[name] = _number(values[name], rules.get("decimal", "."))
        yield [number, None, day, *constant, *values.values()]


def _records(lines: list[str], first: int, mark: str, width: int) -> Iterator[tuple[int, str, list[str] | None]]:
    """Number, text and fields of what follows the header; a record may go on while its quotes are open."""
    number = first
    while number < len(lines):
        text = lines[number]
        number += 1
        taken, fields = number, _fields(text, mark)
        if fields is None and text.count('"') % 2:
            longer = text
            while taken < len(lines) and len(longer.encode()) <= LONGEST_LINE and _state(longer, mark) == "open":
                longer, taken = f"{longer}\n{lines[taken]}", taken + 1
            found = _fields(longer, mark)
            if found and len(found) == width:
                yield number, longer, found
                number = taken
                continue
        yield number, text, fields


def _state(text: str, mark: str) -> str:
    """Whether a text ends in quotes: `open`, or else `closed`; `wrong` when more than a separator follows a quote."""
    state = "start"
    for character in text:
        if state == "quoted":
            state = "closing" if character == '"' else state
        elif state == "closing":
            state = {'"': "quoted", mark: "start"}.get(character, "wrong")
        elif character == mark:
            state = "start" if state != "wrong" else state
        elif state == "start":
            state = "quoted" if character == '"' else "bare"
        if state == "wrong":
            return state
    return "open" if state == "quoted" else "closed"


def _fields(text: str, mark: str) -> list[str] | None:
    """Fields of a record; None when its quotes are not in order."""
    if '"' not in text:
        return text.split(mark)
    if _state(text, mark) != "closed":
        return None
    inside = re.escape(mark)
    found = re.findall(rf'{inside}(?:"((?:[^"]|"")*)"|([^{inside}]*))', mark + text)
    return [quoted.replace('""', '"') or bare for quoted, bare in found]


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.decompress(content)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return re.split("\r\n|\n|\r", content.decode("utf-16", "replace").removesuffix("\n"))
    return [_decoded(line) for line in re.split(b"\r\n|\n|\r", content.removeprefix(codecs.BOM_UTF8))]


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "undefined")


def _plain_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


def _places(header: list[str], own: Mapping[str, list[str]]) -> dict[str, list[int]]:
    """Where the columns are: the data set's own names, or else the usual ones."""
    names = [_name(name) for name in header]

    def found(wanted: Iterable[str]) -> list[int]:
        return [at for name in wanted for at, other in enumerate(names) if other == _name(name)]

    return {column: found(own.get(column, [])) or found(usual) for column, usual in COLUMNS.items()}


def _name(text: str) -> str:
    return re.sub(r"[\s_\-\ufeff]", "", text).lower()


def _date(text: str, rules: Mapping[str, Any]) -> tuple[str, str | None]:
    """A date as ISO in UTC, and its day where the shop is; as it stands, without a day, when no rule is needed."""
    patterns, zone = rules.get("dates", []), rules.get("time_zone", "UTC")
    if not patterns and zone == "UTC":
        return text, None
    moment = _iso_moment(text)
    for pattern in patterns:
        moment = moment or _pattern_moment(text, pattern)
    if moment is None:
        return text, None
    local = moment.astimezone(ZoneInfo(zone)) if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    in_utc = local.astimezone(UTC)
    return f"{in_utc:%Y-%m-%d %H:%M:%S.%f}", f"{in_utc.astimezone(ZoneInfo(zone)):%Y-%m-%d}"


def _iso_moment(text: str) -> datetime | None:
    if not ISO.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z").upper())
    except ValueError:
        return None


def _pattern_moment(text: str, pattern: str) -> datetime | None:
    form = shape = ""
    for part in re.findall("|".join([*DATE_LETTERS, "."]), pattern):
        form += DATE_LETTERS.get(part, part)
        # Two letters want two digits, which Python does not ask for.
        digits = {1: r"\d{1,2}", 2: r"\d\d", 4: r"\d{4}"}.get(len(part), "")
        words = part in ("MMMM", "MMM", "a")
        shape += ("[A-Za-z]+" if words else digits) if part in DATE_LETTERS else re.escape(part)
    try:
        return datetime.strptime(text, form) if re.fullmatch(shape, text, re.ASCII) else None
    except ValueError:
        return None


def _number(text: str, decimal: str) -> str:
    """A number as SQL reads it; what its rule does not read is made unreadable."""
    point, group = (r"[.]", ",") if decimal == "." else (",", "[.]")
    groups = "|".join(rf"\d{{1,3}}(?:{mark}\d{{3}})+" for mark in (group, f"[{SPACES}]"))
    beside = f"[{SPACES}{CURRENCY}]*"
    form = rf"{beside}[+-]?{beside}(?:\d+|{groups})?(?:{point}\d*)?(?:[eE][+-]?\d+)?{beside}"
    if not re.fullmatch(form, text, re.ASCII):
        return f"no number: {text}"
    return re.sub(f"{group}|[{SPACES}{CURRENCY}]", "", text).replace(",", ".")


def _insert(database: duckdb.DuckDBPyConnection, file: str, rows: Iterable[list[object]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        kinds = ["BIGINT", *["VARCHAR"] * 2, "BOOLEAN", "BOOLEAN", *["VARCHAR"] * len(COLUMNS)]
        values = ", ".join(f"unnest(?::{kind}[])" for kind in kinds)
        database.execute(f"INSERT INTO raw SELECT ?, {values}", [file, *columns])


def _load_products(database: duckdb.DuckDBPyConnection, path: Path, rules: Mapping[str, str]) -> None:
    lines = [line for line in _lines(path) if line.strip()]
    mark = max(",;\t|", key=lambda mark: lines[0].count(mark)) if lines else ","
    names = [_name(name) for name in _fields(lines[0], mark) or []] if lines else []
    product = rules.get("product", "product" if "product" in names else "item")
    seen: dict[str, list[str]] = {}
    for _, _, fields in _records(lines, 1, mark, len(names)):
        row = {name: value.strip() for name, value in zip(names, fields or [], strict=False)}
        key = row.get(_name(rules.get("key", product)), "")
        shown = row.get(_name(product), "") or key
        kinds = [row.get(_name(rules.get(name, name)), "") or "UNKNOWN" for name in ("category", "brand")]
        if key:
            seen.setdefault(key, [key, shown, *kinds])
    if seen:
        database.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", list(seen.values()))


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
            quantity=Decimal(str(row["quantity"])),
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
