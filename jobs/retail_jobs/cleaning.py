"""What a clean transaction is: pure functions on DataFrames, shared by batch and streaming.

A reader (CSV or Kafka) gives a DataFrame with the `FIELDS` as text, `raw` (the text of the record) and `fault`
(a reason when the record could not be taken apart, else null). `clean` adds the typed columns and `reasons`; a
record without reasons is clean, every other one goes to the quarantine. Nothing here raises on any record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from retail_dataset.columns import ALIASES, FIELDS, places
from retail_dataset.text import LONGEST_LINE, WINDOWS_1252
from retail_dataset.values import CURRENCY, GROUP_MARKS, REFUSED, SPACES

UNKNOWN = "UNKNOWN"

KNOWN_NAMES = frozenset(name for names in ALIASES.values() for name in names)

MONEY = "decimal(18,2)"
QUANTITY = "decimal(18,3)"
# Of a single piece; shops have prices of fractions of a cent.
PRICE = "decimal(18,6)"
# One line of a receipt above a thousand million, in money or pieces, is a slip, and a few of them would overflow the
# sums.
LARGEST = 1_000_000_000
FIRST_YEAR, LAST_YEAR = 1970, 2099
# Characters. A product with its window must fit into one message of the live topic.
LONGEST_PRODUCT = 1_000

REASONS = {
    "malformed_row": "the number of fields is not that of the header",
    "line_too_long": f"the line has more than {LONGEST_LINE} bytes; so much of it is kept",
    "unknown_header": "the file has no date, or no amount and nothing to compute it from",
    "unreadable_file": "the file cannot be read to its end",
    "bad_json": "the event is not a JSON object",
    "no_date": "the date is blank",
    "unreadable_date": "the date is none of the forms that we read",
    "date_out_of_range": f"the date is not between {FIRST_YEAR} and {LAST_YEAR}",
    "future_event": "the event says that it happened after it arrived",
    "unreadable_quantity": "the quantity is not a number",
    "negative_quantity": "the quantity is negative",
    "quantity_out_of_range": f"the quantity is above {LARGEST}",
    "no_amount": "the amount is blank, and quantity or unit price does not replace it",
    "unreadable_amount": "the amount is not a number",
    "negative_amount": "the amount is negative",
    "amount_out_of_range": f"the amount is above {LARGEST}",
    "product_too_long": f"the product's name has more than {LONGEST_PRODUCT} characters",
    "conflicting_duplicate": "an earlier row of the same file, or an earlier event, says something else of this order",
    "late": "the event is further behind the latest one than the watermark allows",
    "too_many_products": "the open windows have as many product names as they may",
}
"""Why a record is in the quarantine."""

QUARANTINE_SCHEMA = (
    "raw string, reasons array<string>, source string, topic string, partition int, offset bigint, "
    "run_id string, quarantined_at timestamp"
)
QUARANTINE_ARROW = pa.schema(
    [
        ("raw", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("source", pa.string()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("run_id", pa.string()),
        ("quarantined_at", pa.timestamp("us", "UTC")),
    ]
)
"""The same for what is written without Spark."""

NUMBERS = {
    decimal: rf"^[{CURRENCY}{SPACES}]*[+-]?[{CURRENCY}{SPACES}]*"
    rf"([0-9]+|[0-9]{{1,3}}(([{group}][0-9]{{3}})+|([{SPACES}][0-9]{{3}})+))?"
    rf"([{decimal}][0-9]*)?([eE][+-]?[0-9]+)?[{CURRENCY}{SPACES}]*\z"
    for decimal, group in GROUP_MARKS.items()
}
"""Decimal mark: what a number may look like, for Java."""
BESIDE_DIGITS = SPACES + "".join(chr(code) for code in range(0x110000) if re.match(f"[{CURRENCY}]", chr(code)))

TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?( ?([Zz]|[+-]\d{2}(:?\d{2})?))?)?$"


def decoded(text: Column) -> Column:
    """A text column whose bytes are UTF-8, or Windows-1252 when they are not, as what they say."""
    latin = F.decode(text.cast("binary"), "ISO-8859-1")
    windows = F.translate(latin, "".join(map(chr, WINDOWS_1252)), "".join(WINDOWS_1252.values()))
    return F.when(F.is_valid_utf8(text), text).otherwise(windows)


def canonical_fields(
    columns: Iterable[tuple[str, Column]], own: Mapping[str, Sequence[str]] | None = None
) -> list[Column]:
    """The `FIELDS` as text columns, blank ones null.

    Args:
        columns: names as they were found, with their values; a name may come more than once.
        own: canonical column: the data set's own names for it.
    """
    names, values = zip(*columns, strict=True)
    found = places(names, own or {})
    return [first_filled([values[place] for place in found[field]]).alias(field) for field in FIELDS]


def bare_number(text: Column, decimal: str = ".") -> Column:
    """A number with a decimal point and nothing around it, null when it is none.

    Args:
        text: as it stands in the file.
        decimal: the decimal mark there.
    """
    # Not regexp_replace, whose code is so long that Java would not compile the method around it.
    bare = F.translate(text, decimal + GROUP_MARKS[decimal] + BESIDE_DIGITS, ".")
    return F.when(text.rlike(NUMBERS[decimal]), bare)


def canonical_number(text: Column, decimal: str) -> Column:
    """A number of a decimal mark in canonical form; one that others than its rule would read is made unreadable."""
    bare, any_number = bare_number(text, decimal), "decimal(38,6)"
    readable = F.when(bare.try_cast(any_number).isNotNull(), bare)
    elsewhere = F.coalesce(text.try_cast(any_number), bare_number(text).try_cast(any_number))
    return F.coalesce(readable, F.when(elsewhere.isNotNull(), F.concat(F.lit(REFUSED), text)), text)


def clean(records: DataFrame) -> DataFrame:
    """Typed columns and `reasons` in place of the text `FIELDS`; other columns stay.

    A reader whose data set has such rules adds `subtract` (whether a negative quantity or amount is a return that
    counts) and `time_zone` (where the days are; null: UTC). The result has order_id, order_time (UTC), order_date,
    store_id, store_city, product, quantity (`QUANTITY`), unit_price, amount (`MONEY`), `reasons` (empty for a clean
    record), and what the reader added besides.
    """
    rules = [name for name in ("subtract", "time_zone") if name in records.columns]
    carried = [name for name in records.columns if name not in (*FIELDS, "fault", *rules)]
    typed = records.select(
        "order_id",
        timestamp(F.col("order_date")).alias("order_time"),
        "store_id",
        "store_city",
        F.coalesce("product", F.lit(UNKNOWN)).alias("product"),
        # Wide enough to tell what is no number from what is a large one.
        _number(F.col("quantity"), "decimal(28,3)").alias("wide"),
        _number(F.col("unit_price"), PRICE).alias("price"),
        _number(F.col("amount"), MONEY).alias("stated"),
        F.col("order_date").isNull().alias("no_date"),
        F.col("quantity").isNull().alias("no_quantity"),
        F.col("amount").isNull().alias("no_amount"),
        "fault",
        *rules,
        *carried,
    )
    typed = typed.withColumn("quantity", F.col("wide").try_cast(QUANTITY))
    computed = F.try_multiply("quantity", "price").try_cast(MONEY)
    amounts = typed.withColumn("amount", F.when(F.col("no_amount"), computed).otherwise(F.col("stated")))
    day: Column = F.col("order_time")
    if "time_zone" in rules:
        day = F.when(F.col("time_zone").isNull(), day).otherwise(F.from_utc_timestamp(day, F.col("time_zone")))
    judged = amounts.select(
        "order_id",
        "order_time",
        F.to_date(day).alias("order_date"),
        "store_id",
        "store_city",
        "product",
        "quantity",
        F.col("price").try_cast(MONEY).alias("unit_price"),
        "amount",
        _reasons(F.col("subtract") if "subtract" in rules else F.lit(False)).alias("reasons"),
        *carried,
    )
    none = F.array().cast("array<string>")
    return judged.withColumn("reasons", F.when(F.col("reasons") == "", none).otherwise(F.split("reasons", ",")))


def is_clean() -> Column:
    """Whether a record of `clean` has no reason for the quarantine."""
    return F.size("reasons") == 0


def add_reason(cleaned: DataFrame, reason: str, condition: Column) -> DataFrame:
    """`cleaned` with one more reason where the condition holds."""
    more = F.when(condition, F.array_append("reasons", F.lit(reason))).otherwise(F.col("reasons"))
    return cleaned.withColumn("reasons", more)


def quarantined(records: DataFrame, run_id: str) -> DataFrame:
    """Records in the layout of the quarantine (`QUARANTINE_SCHEMA`).

    Args:
        records: with raw, reasons, and source, or topic, partition and offset.
        run_id: the run that found them.
    """
    provenance = {"source": "string", "topic": "string", "partition": "int", "offset": "bigint"}
    return records.select(
        "raw",
        "reasons",
        *[
            (F.col(name) if name in records.columns else F.lit(None)).cast(kind).alias(name)
            for name, kind in provenance.items()
        ],
        F.lit(run_id).alias("run_id"),
        F.current_timestamp().alias("quarantined_at"),
    )


def first_filled(columns: Sequence[Column]) -> Column:
    """The first of some texts that is not blank, without the blanks around it; null when there is none."""
    filled = [F.nullif(F.trim(column), F.lit("")) for column in columns]
    return F.coalesce(*filled) if filled else F.lit(None).cast("string")


def timestamp(text: Column) -> Column:
    """Time in UTC of a date in one of the forms that we read, else null."""
    compact = F.concat_ws("-", F.substring(text, 1, 4), F.substring(text, 5, 2), F.substring(text, 7, 2))
    length = F.octet_length(text)
    return (
        F.when((length == 10) & (F.substring(text, 5, 1) == "-") & (F.substring(text, 8, 1) == "-"), text)
        .when(length == 8, compact)
        .when(text.rlike(TIMESTAMP), text)
        .try_cast("timestamp")
    )


def _number(text: Column, kind: str) -> Column:
    # Nearly all numbers are plain, and the first look tells.
    return F.coalesce(text.try_cast(kind), bare_number(text).try_cast(kind))


def _reasons(subtract: Column) -> Column:
    """Why records are not clean, with commas between; empty for a clean one.

    Args:
        subtract: whether negative quantities and amounts count.
    """
    moment, amount, wide = F.col("order_time"), F.col("amount"), F.col("wide")
    in_range = moment.between(
        F.lit(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)),
        F.lit(datetime(LAST_YEAR, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    )
    # Bytes are at hand, characters are to be counted.
    short = (F.octet_length("product") <= LONGEST_PRODUCT) | (F.length("product") <= LONGEST_PRODUCT)
    found = [
        F.when(moment.isNull(), F.when(F.col("no_date"), "no_date").otherwise("unreadable_date")),
        F.when(~in_range, "date_out_of_range"),
        F.when(wide.isNull() & ~F.col("no_quantity"), "unreadable_quantity"),
        F.when((wide < 0) & ~subtract, "negative_quantity"),
        F.when(F.abs(wide) > LARGEST, "quantity_out_of_range"),
        F.when(amount.isNull(), F.when(F.col("no_amount"), "no_amount").otherwise("unreadable_amount")),
        F.when((amount < 0) & ~subtract, "negative_amount"),
        F.when(F.abs(amount) > LARGEST, "amount_out_of_range"),
        F.when(~short, "product_too_long"),
    ]
    # One text instead of an array for each, which would be more code than Java compiles.
    return F.coalesce("fault", F.concat_ws(",", *found))
