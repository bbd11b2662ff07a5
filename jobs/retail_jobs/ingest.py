"""New input files as cleaned rows: what Spark is for.

Of a few megabytes all rows come to the driver at once. Of more, Spark writes most rows straight into the files that are
published; only the few that need a second look, because they are not clean or their order comes again, come to the
driver, in parts that it can hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from retail_jobs import cleaning, stored, totals
from retail_jobs.csv_records import Group, read_order_ids, read_records
from retail_jobs.storage import FileInfo, Storage

log = logging.getLogger(__name__)

SMALL = 32_000_000
"""Bytes of input whose rows the driver holds at once."""
PACKED = 10
"""Bytes of text in a byte of a packed file, about."""
KEYS_BYTES = 8_000_000
"""Input whose orders one task counts."""
PART_ROWS = 300_000
"""Rows that the driver looks at together, about."""

ROWS = pa.schema(
    [
        *stored.TRANSACTIONS,
        ("lines", pa.bool_()),
        ("raw", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("block", pa.int64()),
        ("row", pa.int64()),
    ]
)
"""A cleaned row: `lines` tells that an order is all rows with its id, block and row give the order of the lines."""
PLACE, ASIDE = "place", "aside-"
ASIDE_FIELDS = pa.schema(map(ROWS.field, ("source", "lines", "raw", "reasons", "block", "row")))
"""What a row that is not written as it will count says in place of its source, as JSON."""


@dataclass(frozen=True)
class Ingested:
    """Rows of new files.

    Attributes:
        parts: Calls that give rows (`ROWS`) to look at in the driver; all orders of a number by `part_of` are in one.
        written: Files of rows that count as they are, with their months.
        by_product: Sums of the written rows.
        by_store: Likewise.
        rows: Written rows by source.
    """

    parts: list[Callable[[], pa.Table]]
    written: list[tuple[str, FileInfo]] = field(default_factory=list)
    by_product: pa.Table = field(default_factory=totals.BY_PRODUCT.empty_table)
    by_store: pa.Table = field(default_factory=totals.BY_STORE.empty_table)
    rows: Mapping[str, int] = field(default_factory=dict)


NOTHING = Ingested([ROWS.empty_table])
"""No new rows; those of files that leave may still bring others back."""


def part_of(order: str, parts: int) -> int:
    """The number of the part that an order belongs to."""
    return crc32(order.encode()) % parts


def is_small(files: list[FileInfo]) -> bool:
    """Whether the driver can hold all rows of the files."""
    return sum(file.length * (PACKED if file.name.lower().endswith(".gz") else 1) for file in files) <= SMALL


def read_at_once(spark: SparkSession, groups: dict[Group, list[FileInfo]]) -> Ingested:
    """All rows, in the driver."""
    cleaned = cleaning.clean(read_records(spark, groups))
    rows = cleaned.select(*ROWS.names).toArrow().cast(ROWS)
    return Ingested([lambda: rows])


def read_in_parts(
    spark: SparkSession,
    storage: Storage,
    groups: dict[Group, list[FileInfo]],
    known: list[FileInfo],
    staging: str,
) -> Ingested:
    """Rows that count written below `staging`, the others in parts.

    Args:
        spark: the session.
        storage: where the files are.
        groups: the files by layout.
        known: files of rows stored so far, whose orders may come again.
        staging: a folder for what is written.
    """
    began, size = time.monotonic(), sum(file.length for files in groups.values() for file in files)
    again = _orders_that_come_again(spark, storage, groups, known, max(8, size // KEYS_BYTES)).persist()
    # Counted, because their number must be known before the join with them is planned.
    found = again.count()
    log.info("looked for orders that come again: %d, in %.1f s", found, time.monotonic() - began)
    parts = 1 + (found * 2 + size // 10_000) // PART_ROWS
    began, folder = time.monotonic(), f"{staging}/rows"
    cleaned = cleaning.clean(read_records(spark, groups)).withColumn("key", _key())
    marked = cleaned.join(again.withColumn("again", F.lit(True)), "key", "left")
    plain = cleaning.is_clean() & F.col("again").isNull()
    part = F.coalesce(F.crc32(F.col("order_id").cast("binary")), F.col("row")) % parts
    marked.select(
        *(name for name in stored.TRANSACTIONS.names if name != "source"),
        # All files that Spark writes have the same columns; what only the other rows have must not be one of its own.
        F.when(plain, F.col("source")).otherwise(F.to_json(F.struct(*ASIDE_FIELDS.names))).alias("source"),
        F.when(plain, F.substring(F.col("order_date").cast("string"), 1, 7))
        .otherwise(F.concat(F.lit(ASIDE), part.cast("string")))
        .alias(PLACE),
    ).write.partitionBy(PLACE).parquet(folder)
    again.unpersist()

    staged = spark.read.parquet(folder)
    aside = F.col(PLACE).startswith(ASIDE)
    counting = staged.where(~aside).groupBy("source").count().toArrow()
    rows = dict(zip(counting["source"].to_pylist(), counting["count"].to_pylist(), strict=True))
    sums = _sums_of_lines if any(map(_is_lines, groups)) else _sums
    by_product, by_store = sums(staged.where(~aside))
    files = [(_place(file), file) for file in storage.files(folder, recursive=True)]
    log.info("read: %d rows to count as they are, in %.1f s", sum(rows.values()), time.monotonic() - began)
    return Ingested(
        parts=[partial(_second_look, storage, files, f"{ASIDE}{number}") for number in range(parts)],
        written=[(place, file) for place, file in files if not place.startswith(ASIDE)],
        by_product=by_product,
        by_store=by_store,
        rows=rows,
    )


def _key() -> Column:
    """A number that stands for the order_id, null without one; two orders may share it."""
    return F.when(F.col("order_id").isNotNull(), F.xxhash64("order_id"))


def _orders_that_come_again(
    spark: SparkSession,
    storage: Storage,
    groups: dict[Group, list[FileInfo]],
    known: list[FileInfo],
    partitions: int,
) -> DataFrame:
    """The keys of orders that come again, in the new rows or after stored ones."""
    counted, span = _count_orders(spark, groups, partitions)
    again = counted.where("count > 1").select("key")
    if not known:
        return again
    counted = counted.persist()
    log.info("found: %d orders", counted.where("count > 0").count())
    bounds = [one.get for one in span]
    first = min((b["first"] for b in bounds if b["first"] is not None), default="")
    last = max((b["last"] for b in bounds if b["last"] is not None), default="")
    paths = [file.path for file in known if stored.may_hold(storage, file.path, first, last)]
    if not paths:
        return again
    said = spark.read.parquet(*paths).where(F.col("order_id").between(F.lit(first), F.lit(last)))
    return said.withColumn("key", _key()).join(counted, "key", "left_semi").select("key").unionByName(again).distinct()


def _count_orders(
    spark: SparkSession, groups: dict[Group, list[FileInfo]], partitions: int
) -> tuple[DataFrame, list[Observation]]:
    """How many versions there are of every order (key, count), and the range of the orders."""
    counts, spans = [], []
    for lines in (False, True):
        chosen = {group: files for group, files in groups.items() if _is_lines(group) == lines}
        if not chosen:
            continue
        span = Observation()
        bounds = F.min("order_id").alias("first"), F.max("order_id").alias("last")
        # Rows without a key are left in: Spark would compute the keys once more to leave them out.
        orders = read_order_ids(spark, chosen).observe(span, *bounds)
        keys = orders.select(_key().alias("key"), *(["source"] if lines else []))
        # One row per key comes out of nearly every row that goes in: counting ahead of the shuffle would only cost.
        keys = keys.repartition(partitions, "key")
        counts.append(keys.distinct().select("key") if lines else keys)
        spans.append(span)
    both = reduce(DataFrame.unionByName, counts)
    return both.groupBy("key").agg(F.count("key").alias("count")), spans


def _sums(rows: DataFrame) -> tuple[pa.Table, pa.Table]:
    """Sums by product and by store of rows that are an order each."""
    keys = [F.col(name) for name in ("order_date", "product", "store_id", "store_city")]
    sets = [[keys[0], keys[1]], [keys[0], keys[2], keys[3]]]
    summed = (
        rows.groupingSets(sets, *keys)
        .agg(
            F.grouping("product").alias("is_by_store"),
            F.count("*").alias("rows"),
            F.count("*").alias("orders"),
            F.sum("quantity").alias("quantity"),
            F.sum("amount").alias("revenue"),
        )
        .toArrow()
    )
    by_store = pc.equal(summed["is_by_store"], 1)
    return (
        _as(summed.filter(pc.invert(by_store)), totals.BY_PRODUCT),
        _as(summed.filter(by_store), totals.BY_STORE),
    )


def _sums_of_lines(rows: DataFrame) -> tuple[pa.Table, pa.Table]:
    """The same of rows of which several may be one order."""
    sums = F.sum("quantity").alias("quantity"), F.sum("amount").alias("revenue")
    anonymous = F.count(F.when(F.col("order_id").isNull(), True))
    by_product = rows.groupBy("order_date", "product").agg(
        F.count("*").alias("rows"), (F.countDistinct("order_id") + anonymous).alias("orders"), *sums
    )
    store = F.struct("store_id", "store_city").alias("store")
    places = rows.where("order_id is not null").groupBy("order_date", "order_id").agg(F.min(store).alias("store"))
    nothing = F.lit(0).cast("decimal(18,3)").alias("quantity"), F.lit(0).cast("decimal(18,2)").alias("revenue")
    orders = places.select("order_date", "store.*", F.lit(0).alias("rows"), F.lit(1).alias("orders"), *nothing)
    amounts = rows.select(
        *("order_date", "store_id", "store_city"),
        F.lit(1).alias("rows"),
        F.when(F.col("order_id").isNull(), 1).otherwise(0).alias("orders"),
        "quantity",
        F.col("amount").alias("revenue"),
    )
    by_store = orders.unionByName(amounts).groupBy("order_date", "store_id", "store_city")
    summed = by_store.agg(*[F.sum(name).alias(name) for name in totals.MEASURES.names])
    return _as(by_product.toArrow(), totals.BY_PRODUCT), _as(summed.toArrow(), totals.BY_STORE)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    table = table.select(schema.names)
    index = schema.get_field_index("quantity")
    table = table.set_column(index, "quantity", pc.fill_null(table["quantity"], 0))
    return table.cast(schema)


def _is_lines(group: Group) -> bool:
    return group.rules.orders == "lines"


def _place(file: FileInfo) -> str:
    return file.folder.rsplit("/", 1)[-1].removeprefix(f"{PLACE}=")


def _second_look(storage: Storage, files: list[tuple[str, FileInfo]], place: str) -> pa.Table:
    parts = []
    for where, file in files:
        if where == place:
            table = stored.read_parquet(storage, file.path)
            assert table is not None
            told = _from_json(table["source"].to_pylist())
            table = table.drop_columns("source")
            for column in ASIDE_FIELDS:
                table = table.append_column(column, told[column.name])
            parts.append(table.select(ROWS.names))
    return pa.concat_tables([ROWS.empty_table(), *(part.cast(ROWS) for part in parts)])


def _from_json(rows: list[str]) -> pa.Table:
    lines = pa.BufferReader("\n".join(rows).encode())
    return pa.json.read_json(lines, parse_options=pa.json.ParseOptions(explicit_schema=ASIDE_FIELDS))
