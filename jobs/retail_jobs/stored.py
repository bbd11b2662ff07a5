"""Rows kept as Parquet files: written, found by order or by input file, and taken out again, without a Spark session.

Shops number their orders, so few files hold orders of the same range: a file's footer tells which ones to read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retail_jobs.storage import Storage

MONEY, QUANTITY = pa.decimal128(18, 2), pa.decimal128(18, 3)
TRANSACTIONS = pa.schema(
    [
        ("order_id", pa.string()),
        ("order_time", pa.timestamp("us", tz="UTC")),
        ("order_date", pa.date32()),
        ("store_id", pa.string()),
        ("store_city", pa.string()),
        ("product", pa.string()),
        ("quantity", QUANTITY),
        ("unit_price", MONEY),
        ("amount", MONEY),
        ("source", pa.string()),
    ]
)
"""A clean row; `source` is the input file it came from, as Spark writes it."""

SOLD = pa.schema([TRANSACTIONS.field(name) for name in ("order_date", "product", "order_id")])
"""What of a row tells the orders of a product on a day."""


def to_parquet(table: pa.Table) -> bytes:
    """A table as a Parquet file, with numbers in the form that Spark writes."""
    sink = pa.BufferOutputStream()
    dictionary = [name for name in table.column_names if name not in ("order_id", "order_time", "raw")]
    pq.write_table(table, sink, use_dictionary=dictionary, store_decimal_as_integer=True)
    return bytes(sink.getvalue())


def read_parquet(storage: Storage, path: str) -> pa.Table | None:
    """A whole Parquet file, or None when it is not there."""
    content = storage.read_bytes(path)
    return None if content is None else pq.ParquetFile(pa.BufferReader(content)).read()


def one_of(column: Any, values: Collection[str]) -> Any:  # noqa: ANN401 - arrays of Arrow
    """Which values of a column are among some; null is not."""
    return pc.is_in(column, value_set=pa.array(sorted(values), pa.string()))


def find(storage: Storage, path: str, orders: Collection[str], sources: Collection[str]) -> pa.Table | None:
    """The rows in a file that are of some orders or come from some input files; None when there are none."""
    with storage.open(path) as file:
        # Everything in the calling thread, see `Storage.open`.
        parquet = pq.ParquetFile(file, pre_buffer=False)
        parts = []
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            if not (_may_hold(group, "order_id", orders) or _may_hold(group, "source", sources)):
                continue
            columns = [name for name, values in (("order_id", orders), ("source", sources)) if values]
            keys = parquet.read_row_group(number, columns=columns, use_threads=False)
            hits = _hits(keys, orders, sources)
            if pc.any(hits).as_py():
                parts.append(parquet.read_row_group(number, use_threads=False).filter(hits))
    return pa.concat_tables(parts) if parts else None


def sold(storage: Storage, path: str, products: Collection[str]) -> pa.Table:
    """The rows (`SOLD`) in a file that are of some products."""
    with storage.open(path) as file:
        parquet, names = pq.ParquetFile(file, pre_buffer=False), SOLD.names
        groups = (parquet.read_row_group(n, columns=names, use_threads=False) for n in range(parquet.num_row_groups))
        parts = [group.select(names).filter(one_of(group["product"], products)).cast(SOLD) for group in groups]
        return pa.concat_tables([SOLD.empty_table(), *parts])


def without(storage: Storage, path: str, orders: Collection[str], sources: Collection[str]) -> pa.Table:
    """The other rows of a file."""
    with storage.open(path) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        groups = (parquet.read_row_group(number, use_threads=False) for number in range(parquet.num_row_groups))
        parts = [group.filter(pc.invert(_hits(group, orders, sources))) for group in groups]
        return pa.concat_tables(parts) if parts else parquet.schema_arrow.empty_table()


def may_hold(storage: Storage, path: str, first: str, last: str) -> bool:
    """Whether a file may hold orders of a range, by its footer."""
    with storage.open(path) as file:
        metadata = pq.ParquetFile(file, pre_buffer=False).metadata
        return any(_may_hold(group, "order_id", (first, last)) for group in _groups(metadata))


def _groups(metadata: Any) -> Iterator[Any]:  # noqa: ANN401 - metadata of Parquet
    return (metadata.row_group(number) for number in range(metadata.num_row_groups))


def _hits(rows: pa.Table, orders: Collection[str], sources: Collection[str]) -> Any:  # noqa: ANN401
    hits = pa.repeat(False, rows.num_rows)
    for name, values in (("order_id", orders), ("source", sources)):
        if values:
            hits = pc.or_(hits, one_of(rows[name], values))
    return hits


def _may_hold(group: Any, name: str, values: Collection[str]) -> bool:  # noqa: ANN401 - metadata of Parquet
    """Whether a column of a row group may hold one of the values, by the bounds in the footer."""
    if not values:
        return False
    columns = (group.column(number) for number in range(group.num_columns))
    bounds = next(column.statistics for column in columns if column.path_in_schema == name)
    if bounds is None or not bounds.has_min_max:
        return True
    # UTF-8 sorts as code points do, so Python's order is that of the bounds.
    return bool(min(values) <= _text(bounds.max) and _text(bounds.min) <= max(values))


def _text(bound: str | bytes) -> str:
    return bound if isinstance(bound, str) else bound.decode("utf-8", "replace")
