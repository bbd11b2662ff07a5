"""Daily revenue by product and by store: sums that grow with what comes and shrink with what goes, to the cent.

`orders` counts distinct orders: of a day and product all that have it, of a day and store each order once, in the first
of its stores by name, so that the orders of all stores are the orders of the day. A row without order_id is an order.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from retail_jobs.products import Products
from retail_jobs.stored import MONEY, QUANTITY

UNKNOWN = "UNKNOWN"
MEASURES = pa.schema([("orders", pa.int64()), ("quantity", QUANTITY), ("revenue", MONEY)])
BY_PRODUCT = pa.schema([("order_date", pa.date32()), ("product", pa.string()), *MEASURES])
BY_STORE = pa.schema([("order_date", pa.date32()), ("store_id", pa.string()), ("store_city", pa.string()), *MEASURES])
PUBLISHED = pa.schema(
    [("order_date", pa.date32()), *((name, pa.string()) for name in ("product", "category", "brand")), *MEASURES]
)


def keys_of(schema: pa.Schema) -> list[str]:
    """What the sums of a schema are by."""
    return [name for name in schema.names if name not in MEASURES.names]


def by_product(rows: pa.Table) -> pa.Table:
    """Sums (`BY_PRODUCT`) of clean rows, all of whose orders are whole."""
    keys = keys_of(BY_PRODUCT)
    return _sums(rows, distinct_orders(rows, keys), BY_PRODUCT)


def by_store(rows: pa.Table) -> pa.Table:
    """Sums (`BY_STORE`) of clean rows, all of whose orders are whole."""
    keys = keys_of(BY_STORE)
    orders = distinct_orders(rows, keys)
    by_name = [(name, "ascending", "at_start") for name in ("order_date", "order_id", *keys[1:])]
    orders = orders.take(pc.sort_indices(orders, by_name))
    with_id = orders.filter(pc.is_valid(orders["order_id"]))
    # Without threads the first of a group is the first in the table.
    grouped = with_id.group_by(["order_date", "order_id"], use_threads=False)
    any_value = pc.ScalarAggregateOptions(skip_nulls=False)
    first = grouped.aggregate([(name, "first", any_value) for name in keys[1:]])
    first = first.rename_columns([name.removesuffix("_first") for name in first.column_names])
    without_id = orders.filter(pc.is_null(orders["order_id"]))
    return _sums(rows, pa.concat_tables([first.select(orders.column_names), without_id]), BY_STORE)


def distinct_orders(rows: pa.Table, keys: list[str]) -> pa.Table:
    """Keys and order_id of every order, once; and of every row without order_id."""
    known = rows.select([*keys, "order_id"])
    with_id = known.filter(pc.is_valid(known["order_id"])).group_by([*keys, "order_id"]).aggregate([])
    return pa.concat_tables([with_id, known.filter(pc.is_null(known["order_id"]))])


def add(parts: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """The sum of sums, sorted by its keys; what has no order left is left out."""
    keys = keys_of(schema)
    grouped = pa.concat_tables([schema.empty_table(), *parts]).group_by(keys)
    summed = grouped.aggregate([(name, "sum") for name in MEASURES.names])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    summed = summed.filter(pc.not_equal(summed["orders"], 0)).select(schema.names).cast(schema)
    return summed.sort_by([(name, "ascending") for name in keys])


def negative(sums: pa.Table) -> pa.Table:
    """Sums with the sign changed: what is to be taken away."""
    for name in MEASURES.names:
        field = sums.schema.field(name)
        sums = sums.set_column(sums.schema.get_field_index(name), field, pc.negate(sums[name]).cast(field.type))
    return sums


def publish(sums: pa.Table, products: Products) -> pa.Table:
    """`by_product` as readers see it: the catalogue's names, categories and brands in place of what was sold."""
    catalogue = {key: rest for key, *rest in products.rows}
    distinct = pc.unique(sums["product"])
    named = [catalogue.get(product, (product, None, None)) for product in distinct.to_pylist()]
    table = pa.table(
        {
            "product": distinct,
            "name": pa.array([name for name, _, _ in named], pa.string()),
            "category": pa.array([category or UNKNOWN for _, category, _ in named], pa.string()),
            "brand": pa.array([brand or UNKNOWN for _, _, brand in named], pa.string()),
        }
    )
    joined = sums.join(table, "product").drop_columns("product").rename_columns({"name": "product"})
    return add([joined.select(PUBLISHED.names)], PUBLISHED)


def _sums(rows: pa.Table, orders: pa.Table, schema: pa.Schema) -> pa.Table:
    keys = keys_of(schema)
    counted = orders.group_by(keys).aggregate([([], "count_all")]).rename_columns([*keys, "orders"])
    nothing = pa.scalar(0, QUANTITY)
    parts = [
        counted.append_column("quantity", pa.repeat(nothing, counted.num_rows)).append_column(
            "revenue", pa.repeat(pa.scalar(0, MONEY), counted.num_rows)
        ),
    ]
    amounts = rows.select([*keys, "quantity", "amount"]).rename_columns([*keys, "quantity", "revenue"])
    filled = pc.fill_null(amounts["quantity"], nothing)
    amounts = amounts.set_column(len(keys), "quantity", filled)
    summed = amounts.group_by(keys).aggregate([("quantity", "sum"), ("revenue", "sum")])
    summed = summed.rename_columns([*keys, "quantity", "revenue"])
    summed = summed.append_column("orders", pa.repeat(pa.scalar(0, pa.int64()), summed.num_rows))
    parts.append(summed)
    both = pa.concat_tables([part.select(schema.names).cast(schema) for part in parts])
    return add([both], schema)
