"""Repeated orders: which of several rows with one order_id counts. Pure functions on DataFrames.

Inside one file the first row counts; a later row that says the same is a repeat, one that says something else is a
conflict. Between files the later one corrects the earlier. Rows without order_id cannot be compared and all count.
"""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_jobs.cleaning import MONEY, QUANTITY, add_reason, is_clean

CONTENT = ("order_date", "store_id", "store_city", "product", "quantity", "unit_price", "amount")
"""What two rows must have in common to say the same."""

KEPT, REPEAT, CONFLICT, CORRECTED = "kept", "repeat", "conflict", "corrected"


def order_key() -> Column:
    """A number that stands for the order_id, null without one; two orders may share it."""
    return F.when(F.col("order_id").isNotNull(), F.xxhash64("order_id"))


def count_orders(new: DataFrame, partitions: int) -> DataFrame:
    """How many rows there are of every order: key (`order_key`) and count; 0 for the key null of rows without one.

    Args:
        new: rows with order_id.
        partitions: how many parts to count in.
    """
    # Rows without a key are left in: Spark would compute the keys once more to leave them out.
    keys = new.select(order_key().alias("key"))
    # One row per key comes out of nearly every row that goes in: counting ahead of the shuffle would only cost.
    return keys.repartition(partitions, "key").groupBy("key").agg(F.count("key").alias("count"))


def judge(rows: DataFrame, file_order: DataFrame) -> DataFrame:
    """The rows with a `verdict` each (null for one that is not clean); a conflict is a reason for the quarantine.

    Args:
        rows: cleaned rows with source, block and row: those that are not clean, and all clean rows of some orders.
        file_order: source, and number that grows with the age of the file's arrival.
    """
    in_file = Window.partitionBy("order_id", "source").orderBy("block", "row")
    of_order = Window.partitionBy("order_id").orderBy(F.desc("number"), "block", "row")
    verdict = (
        F.when((F.col("place_in_file") > 1) & ~F.col("content").eqNullSafe(F.col("first_in_file")), CONFLICT)
        .when(F.col("place") == 1, KEPT)
        .when(F.col("content").eqNullSafe(F.col("winner")), REPEAT)
        .otherwise(CORRECTED)
    )
    # A file that is not among them must not make its rows vanish.
    number = F.coalesce("number", F.raise_error(F.concat(F.lit("rows of a file that was not to be read: "), "source")))
    judged = (
        rows.where(is_clean())
        .join(F.broadcast(file_order), "source", "left")
        .withColumn("number", number)
        .withColumn("content", F.struct(*CONTENT))
        .withColumn("place_in_file", F.row_number().over(in_file))
        .withColumn("first_in_file", F.first("content").over(in_file))
        .withColumn("place", F.row_number().over(of_order))
        .withColumn("winner", F.first("content").over(of_order))
        .select(*rows.columns, verdict.alias("verdict"))
    )
    others = rows.where(~is_clean()).withColumn("verdict", F.lit(None).cast("string"))
    return add_reason(judged, "conflicting_duplicate", F.col("verdict") == CONFLICT).unionByName(others)


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


def sum_up(transactions: DataFrame) -> DataFrame:
    """Orders, quantity and revenue by order_date and product.

    Args:
        transactions: clean rows, every order once.
    """
    return transactions.groupBy("order_date", "product").agg(
        F.count("*").alias("orders"), F.sum("quantity").alias("quantity"), F.sum("amount").alias("revenue")
    )


def daily_revenue(sums: DataFrame, products: DataFrame) -> DataFrame:
    """The aggregate that is published: one row per day and product.

    Args:
        sums: `sum_up` of all transactions of the days, or of several parts of them.
        products: key (what the sales name, each once), product, category, brand.
    """
    unknown = F.lit("UNKNOWN")
    named = sums.withColumnRenamed("product", "key").join(F.broadcast(products), "key", "left")
    daily = named.groupBy("order_date", F.coalesce("product", "key").alias("product")).agg(
        # Of two keys of one product any may tell, but always the same.
        F.coalesce(F.min("category"), unknown).alias("category"),
        F.coalesce(F.min("brand"), unknown).alias("brand"),
        F.sum("orders").alias("orders"),
        F.coalesce(F.sum("quantity"), F.lit(0)).cast(QUANTITY).alias("quantity"),
        F.sum("revenue").cast(MONEY).alias("revenue"),
    )
    return daily.select("order_date", "product", "category", "brand", "orders", "quantity", "revenue")


def plain(quantity: Decimal) -> str:
    """A quantity without trailing zeros."""
    return f"{quantity.normalize():f}"
