"""Events of the stream: from Kafka messages to what is new in them. Pure functions on DataFrames."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_jobs import cleaning

# Clocks differ by seconds; an event from further ahead would drag the watermark past everybody else's.
FUTURE = "interval 10 minutes"
# Bytes of text that the driver takes of an event at once; longer ones are fetched when they are few enough.
SHORT = 400


def read_records(messages: DataFrame) -> DataFrame:
    """Kafka messages as the records that `cleaning.clean` takes.

    Args:
        messages: value (binary), topic, partition, offset and timestamp, as Spark's Kafka source gives them.

    Returns:
        The text fields, raw and fault, with event_id, lines (whether an order has several), subtract (whether negative
        amounts count), arrived (UTC), topic, partition and offset.
    """
    text = cleaning.decoded(F.col("value").cast("string"))
    parsed = F.from_json(text, "map<string,string>")
    events = messages.select(
        text.alias("text"),
        F.transform_keys(parsed, lambda key, _: F.lower(F.trim(key))).alias("event"),
        F.col("timestamp").alias("arrived"),
        "topic",
        "partition",
        "offset",
    )
    names = sorted(cleaning.KNOWN_NAMES)
    position = F.concat_ws("/", "topic", "partition", "offset")
    return events.select(
        *cleaning.canonical_fields((name, _value(name)) for name in names),
        F.coalesce(_value("_raw"), "text", F.lit("")).alias("raw"),
        F.when(F.col("event").isNull(), "bad_json").when(_value("_raw").isNotNull(), "malformed_row").alias("fault"),
        # An event without an id is itself: nothing tells that it came before.
        F.coalesce(_value("event_id"), position).alias("event_id"),
        F.coalesce(_value("orders") == "lines", F.lit(False)).alias("lines"),
        F.coalesce(_value("returns") == "subtract", F.lit(False)).alias("subtract"),
        "arrived",
        "topic",
        "partition",
        "offset",
    )


def clean_events(messages: DataFrame) -> DataFrame:
    """Cleaned events of Kafka messages, with their reasons for the quarantine."""
    cleaned = cleaning.clean(read_records(messages))
    return cleaning.add_reason(cleaned, "future_event", F.col("order_time") > F.col("arrived") + F.expr(FUTURE))


def lean(events: DataFrame) -> DataFrame:
    """What the driver takes of cleaned events, and their text.

    An order is known by its order_id, else by the event's id; with orders of several lines, a line is known by the
    event's id. Its content is all but its time, which the producer stamps.

    Args:
        events: as `clean_events` gives them.

    Returns:
        order and content (hashes), time (microseconds since 1970), product, amount (in hundredths), all of clean events
        only, else 0 or null; partition, offset; size (bytes of raw); reasons (null for clean events); text (raw of
        what is not clean and no longer than `SHORT`); raw.
    """
    good = cleaning.is_clean()
    order = F.when(F.col("lines"), F.col("event_id")).otherwise(F.coalesce("order_id", "event_id"))
    says = F.xxhash64("store_id", "store_city", "product", "quantity", "unit_price", "amount")
    size = F.octet_length("raw")
    return events.select(
        F.when(good, F.xxhash64(order)).otherwise(F.lit(0)).alias("order"),
        F.when(good, says).otherwise(F.lit(0)).alias("content"),
        F.when(good, F.unix_micros("order_time")).otherwise(F.lit(0)).alias("time"),
        F.when(good, F.col("product")).alias("product"),
        F.when(good, (F.col("amount") * 100).cast("bigint")).otherwise(F.lit(0)).alias("amount"),
        "partition",
        "offset",
        size.alias("size"),
        F.when(~good, F.col("reasons")).alias("reasons"),
        F.when(~good & (size <= SHORT), F.col("raw")).alias("text"),
        "raw",
    )


def _value(name: str) -> Column:
    return F.try_element_at("event", F.lit(name))
