"""What a clean transaction is: pure functions on DataFrames, shared by batch and streaming.

A reader (CSV or Kafka) gives a DataFrame with the `FIELDS` as text, `raw` (the text of the record) and `fault`
(a reason when the record could not be taken apart, else null). `clean` adds the typed columns and `reasons`; a
record without reasons is clean, every other one goes to the quarantine. Nothing here raises on any record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

UNKNOWN = "UNKNOWN"

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
"""Canonical column: the names it comes under, in lower case; the first one that is not blank counts."""

FIELDS = tuple(ALIASES)
KNOWN_NAMES = frozenset(name for names in ALIASES.values() for name in names)

MONEY = "decimal(18,2)"
# One line of a receipt above a thousand million is a slip, and a few of them would overflow the sums.
LARGEST = 1_000_000_000
FIRST_YEAR, LAST_YEAR = 1970, 2099
# Bytes. No transaction is that long; of a longer line only so many characters are kept.
LONGEST_LINE = 16_384
# Characters. A product with its window must fit into one message of the live topic.
LONGEST_PRODUCT = 1_000

REASONS = {
    "malformed_row": "the number of fields is not that of the header",
    "line_too_long": f"the line has more than {LONGEST_LINE} bytes; so much of it is kept",
    "unknown_header": "the file has no column that we know",
    "bad_json": "the event is not a JSON object",
    "no_date": "the date is blank",
    "unreadable_date": "the date is none of the forms that we read",
    "date_out_of_range": f"the date is not between {FIRST_YEAR} and {LAST_YEAR}",
    "future_event": "the event says that it happened after it arrived",
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

TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)? ?([Zz]|[+-]\d{2}(:?\d{2})?)?$"


def normalise_name(name: str) -> str:
    """A column's name as the alias table has it."""
    return name.strip().strip("\ufeff").strip().lower()


def canonical_fields(columns: Iterable[tuple[str, Column]]) -> list[Column]:
    """The `FIELDS` as text columns, blank ones null.

    Args:
        columns: names as they were found, with their values; a name may come more than once.
    """
    found = [(normalise_name(name), column) for name, column in columns]
    return [
        first_filled([column for alias in aliases for name, column in found if name == alias]).alias(field)
        for field, aliases in ALIASES.items()
    ]


def clean(records: DataFrame) -> DataFrame:
    """Typed columns and `reasons` in place of the text `FIELDS`; other columns stay.

    Records with a true `subtract` may have negative amounts, which are returns.

    The result has order_id, order_time (UTC), order_date, store_id, store_city, product, quantity (bigint),
    unit_price, amount (`MONEY`), `reasons` (empty for a clean record), and what the reader added.
    """
    carried = [name for name in records.columns if name not in (*FIELDS, "fault")]
    typed = records.select(
        "order_id",
        _timestamp(F.col("order_date")).alias("order_time"),
        "store_id",
        "store_city",
        F.coalesce("product", F.lit(UNKNOWN)).alias("product"),
        F.col("quantity").try_cast("bigint").alias("quantity"),
        F.col("unit_price").try_cast(MONEY).alias("unit_price"),
        F.col("amount").try_cast(MONEY).alias("stated_amount"),
        F.col("order_date").alias("date_text"),
        F.col("amount").alias("amount_text"),
        "fault",
        *carried,
    )
    computed = F.try_multiply("quantity", "unit_price").try_cast(MONEY)
    amounts = typed.withColumn(
        "amount", F.when(F.col("amount_text").isNull(), computed).otherwise(F.col("stated_amount"))
    )
    return amounts.select(
        "order_id",
        "order_time",
        F.to_date("order_time").alias("order_date"),
        "store_id",
        "store_city",
        "product",
        "quantity",
        "unit_price",
        "amount",
        _reasons(F.col("subtract") if "subtract" in carried else F.lit(False)).alias("reasons"),
        *carried,
    )


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


def _timestamp(text: Column) -> Column:
    """Time in UTC of a date in one of the forms that we read, else null."""
    compact = F.concat_ws("-", F.substring(text, 1, 4), F.substring(text, 5, 2), F.substring(text, 7, 2))
    length = F.octet_length(text)
    return (
        F.when((length == 10) & (F.substring(text, 5, 1) == "-") & (F.substring(text, 8, 1) == "-"), text)
        .when(length == 8, compact)
        .when(text.rlike(TIMESTAMP), text)
        .try_cast("timestamp")
    )


def _reasons(subtract: Column) -> Column:
    fault, amount = F.col("fault"), F.col("amount")
    no_date, no_amount = F.col("date_text").isNull(), F.col("amount_text").isNull()
    in_range = F.col("order_time").between(
        F.lit(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)),
        F.lit(datetime(LAST_YEAR, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    )
    # Bytes are at hand, characters are to be counted.
    short = (F.octet_length("product") <= LONGEST_PRODUCT) | (F.length("product") <= LONGEST_PRODUCT)
    checks = [
        ("no_date", no_date),
        ("unreadable_date", ~no_date & F.col("order_time").isNull()),
        ("date_out_of_range", ~in_range),
        ("no_amount", no_amount & amount.isNull()),
        ("unreadable_amount", ~no_amount & amount.isNull()),
        ("negative_amount", (amount < 0) & ~subtract),
        ("amount_out_of_range", (amount > LARGEST) | (amount < -LARGEST) & subtract),
        ("product_too_long", ~short),
    ]
    least = F.when(subtract, F.lit(-LARGEST)).otherwise(F.lit(0))
    usable = F.col("order_time").isNotNull() & in_range & amount.between(least, LARGEST) & short & fault.isNull()
    none = F.array().cast("array<string>")
    # Not array_compact, which Spark does not compile.
    found = F.concat(*[F.when(condition, F.array(F.lit(reason))).otherwise(none) for reason, condition in checks])
    return F.when(usable, none).when(fault.isNotNull(), F.array(fault)).otherwise(found)
