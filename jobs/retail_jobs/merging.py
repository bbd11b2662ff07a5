"""Repeated orders: which of several rows with one order_id counts. Pure functions on DataFrames.

Inside one file the first row counts; a later row that says the same is a repeat, one that says something else is a
conflict. Between files the later one corrects the earlier. Rows without order_id cannot be compared and all count.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

CONTENT = ("order_date", "store_id", "store_city", "product", "quantity", "unit_price", "amount")
"""What two rows must have in common to say the same."""

KEPT, REPEAT, CONFLICT, CORRECTED = "kept", "repeat", "conflict", "corrected"


@dataclass(frozen=True)
class Resolved:
    """Clean rows of one batch: those that count, and the verdict on every row whose order came more than once."""

    kept: DataFrame
    verdicts: DataFrame


def resolve(rows: DataFrame, file_order: DataFrame) -> Resolved:
    """Find the rows that count among new ones.

    Args:
        rows: clean rows with source, block and row.
        file_order: source, and number that grows with the age of the file's arrival.
    """
    # Most orders come once, so only the others pay for sorting.
    keyed = rows.withColumn("key", F.when(F.col("order_id").isNotNull(), F.xxhash64("order_id")))
    repeated = keyed.where("key is not null").groupBy("key").count().where("count > 1").select("key")
    verdicts = judge(keyed.join(repeated, "key", "left_semi").drop("key"), file_order)
    single = keyed.join(repeated, "key", "left_anti").drop("key")
    winners = verdicts.where(F.col("verdict") == KEPT).select(*rows.columns)
    return Resolved(single.unionByName(winners), verdicts)


def judge(rows: DataFrame, file_order: DataFrame) -> DataFrame:
    """Rows with order_id, with a `verdict` each."""
    content = F.struct(*CONTENT)
    in_file = Window.partitionBy("order_id", "source").orderBy("block", "row")
    of_order = Window.partitionBy("order_id").orderBy(F.desc("number"), "block", "row")
    verdict = (
        F.when((F.col("place_in_file") > 1) & ~F.col("content").eqNullSafe(F.col("first_in_file")), CONFLICT)
        .when(F.col("place") == 1, KEPT)
        .when(F.col("content").eqNullSafe(F.col("winner")), REPEAT)
        .otherwise(CORRECTED)
    )
    return (
        rows.join(F.broadcast(file_order), "source")
        .withColumn("content", content)
        .withColumn("place_in_file", F.row_number().over(in_file))
        .withColumn("first_in_file", F.first("content").over(in_file))
        .withColumn("place", F.row_number().over(of_order))
        .withColumn("winner", F.first("content").over(of_order))
        .select(*rows.columns, verdict.alias("verdict"))
    )


def changes(new: DataFrame, stored: DataFrame) -> DataFrame:
    """New rows that the stored ones do not say already, with `old_date`: where the order stood so far, if anywhere.

    Args:
        new: the rows that count, at most one per order.
        stored: rows stored so far that may have the same orders.
    """
    said = stored.where("order_id is not null").select(
        F.col("order_id").alias("old_id"),
        F.col("order_date").alias("old_date"),
        F.struct(*CONTENT).alias("old_content"),
    )
    joined = new.join(said, new["order_id"] == said["old_id"], "left")
    differs = F.col("old_id").isNull() | ~F.struct(*CONTENT).eqNullSafe(F.col("old_content"))
    return joined.where(differs).select(*new.columns, "old_date")


def daily_revenue(transactions: DataFrame, products: DataFrame) -> DataFrame:
    """The aggregate that is published: one row per day and product.

    Args:
        transactions: clean rows, every order once.
        products: product, category, brand; each product once.
    """
    unknown = F.lit("UNKNOWN")
    daily = transactions.groupBy("order_date", "product").agg(
        F.count("*").alias("orders"),
        F.coalesce(F.sum("quantity"), F.lit(0)).cast("bigint").alias("quantity"),
        F.sum("amount").cast("decimal(18,2)").alias("revenue"),
    )
    return daily.join(F.broadcast(products), "product", "left").select(
        "order_date",
        "product",
        F.coalesce("category", unknown).alias("category"),
        F.coalesce("brand", unknown).alias("brand"),
        "orders",
        "quantity",
        "revenue",
    )
