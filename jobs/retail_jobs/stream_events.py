"""Events of the stream: from Kafka messages to what is new in them. Pure functions on DataFrames."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_jobs import cleaning, windows

# Clocks differ by seconds; an event from further ahead would drag the watermark past everybody else's.
FUTURE = "interval 10 minutes"


def read_records(messages: DataFrame) -> DataFrame:
    """Kafka messages as the records that `cleaning.clean` takes.

    Args:
        messages: value (binary), topic, partition, offset and timestamp, as Spark's Kafka source gives them.

    Returns:
        The text fields, raw and fault, with event_id, arrived (UTC), topic, partition and offset.
    """
    value = F.col("value").cast("string")
    # As in the CSVs: what is not UTF-8 is Latin-1.
    text = F.when(F.is_valid_utf8(value), value).otherwise(F.decode("value", "ISO-8859-1"))
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
        "arrived",
        "topic",
        "partition",
        "offset",
    )


def clean_events(messages: DataFrame) -> DataFrame:
    """Cleaned events of Kafka messages, with their reasons for the quarantine."""
    cleaned = cleaning.clean(read_records(messages))
    return cleaning.add_reason(cleaned, "future_event", F.col("order_time") > F.col("arrived") + F.expr(FUTURE))


def first_of_each(events: DataFrame, watermark: str) -> DataFrame:
    """What is new in a stream of cleaned events, as rows of three kinds, told apart by `is_order` and friends.

    An order is known by its order_id, else by the event's id; its content is all but its time, which the producer
    stamps. The order, and the order with its content, are two keys of one state: the first event of an order passes
    as an *order*; the first with each content of it passes as a *content*. So a repetition passes as nothing, and an
    order that comes again with other content passes as a content only. What cannot be used passes as it is, and
    without a time: it moves no watermark and is never late.

    Args:
        events: as `clean_events` gives them.
        watermark: how late an event may come, as a Spark interval; the state forgets an order after that.

    Returns:
        key, content (null for an order), says (content of an order, too), reasons, order_time, and for an order:
        product, amount; for the others: raw, topic, partition, offset.
    """
    good = cleaning.is_clean()
    order = F.coalesce("order_id", "event_id")
    says = F.xxhash64("store_id", "store_city", "product", "quantity", "unit_price", "amount")
    unusable = F.xxhash64("raw")
    keyed = events.select(
        F.when(good, F.xxhash64(order)).otherwise(F.xxhash64("topic", "partition", "offset")).alias("key"),
        F.explode(F.when(good, F.array(F.lit(None), says)).otherwise(F.array(unusable))).alias("content"),
        F.when(good, says).alias("says"),
        "reasons",
        F.when(good, F.col("order_time")).alias("order_time"),
        "product",
        "amount",
        "raw",
        "topic",
        "partition",
        "offset",
    )
    # Each kind carries only what is asked of it.
    lean = keyed.withColumns(
        {
            **{name: F.when(is_order(), F.col(name)) for name in ("product", "amount")},
            **{name: F.when(~is_order(), F.col(name)) for name in ("raw", "topic", "partition", "offset")},
        }
    )
    return lean.withWatermark("order_time", watermark).dropDuplicatesWithinWatermark(["key", "content"])


def is_order() -> Column:
    """Whether a row of `first_of_each` is the first event of an order."""
    return F.col("content").isNull()


def is_content() -> Column:
    """Whether a row of `first_of_each` is the first event of an order with this content."""
    return F.col("content").isNotNull() & cleaning.is_clean()


def conflicts(rows: DataFrame) -> DataFrame:
    """The contents of `first_of_each` whose order came before with another content, with their reason."""
    counted = rows.where(is_order()).select("key", "says")
    return (
        rows.where(is_content())
        .join(counted, ["key", "says"], "left_anti")
        .withColumn("reasons", F.array(F.lit("conflicting_duplicate")))
    )


def slots_of(rows: DataFrame) -> DataFrame:
    """Orders and revenue by product and slide of the windows, with the latest time among them."""
    return (
        rows.where(is_order())
        .groupBy(F.window("order_time", f"{windows.SLIDE.seconds} seconds").start.alias("start"), "product")
        .agg(
            F.count("*").alias("orders"),
            F.sum("amount").cast(cleaning.MONEY).alias("revenue"),
            F.max("order_time").alias("latest"),
        )
    )


def _value(name: str) -> Column:
    return F.try_element_at("event", F.lit(name))
