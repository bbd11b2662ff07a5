"""Daily revenue by product and by store: sums that grow with what comes and shrink with what goes, to the cent.

`orders` counts distinct orders: of a day and product all that have it, of a day and store each order once, in the first
of its stores by name, so that the orders of all stores are the orders of the day. A row without order_id is an order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retail_jobs.products import Products
from retail_jobs.stored import MONEY, QUANTITY

UNKNOWN = "UNKNOWN"
MEASURES = pa.schema([("rows", pa.int64()), ("orders", pa.int64()), ("quantity", QUANTITY), ("revenue", MONEY)])
"""`rows` tells when nothing is left of a sum: of a store whose orders all count elsewhere, there are no orders."""
BY_PRODUCT = pa.schema([("order_date", pa.date32()), ("product", pa.string()), *MEASURES])
BY_STORE = pa.schema([("order_date", pa.date32()), ("store_id", pa.string()), ("store_city", pa.string()), *MEASURES])


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
    summed = summed.filter(pc.not_equal(summed["rows"], 0)).select(schema.names).cast(schema)
    return summed.sort_by([(name, "ascending") for name in keys])


def negative(sums: pa.Table) -> pa.Table:
    """Sums with the sign changed: what is to be taken away."""
    for name in MEASURES.names:
        field = sums.schema.field(name)
        sums = sums.set_column(sums.schema.get_field_index(name), field, pc.negate(sums[name]).cast(field.type))
    return sums


def sold_under_several_keys(sums: pa.Table, products: Products) -> set[str]:
    """Keys that were sold, and whose product in the catalogue was sold under another key, too."""
    sold = pc.unique(sums["product"])
    names = _named(sold, products).to_pylist()
    times = Counter(names)
    return {key for key, name in zip(sold.to_pylist(), names, strict=True) if times[name] > 1}


def counted_twice(rows: pa.Table, products: Products) -> pa.Table:
    """What `publish` takes away (`BY_PRODUCT`): of an order with several keys of one product, all times but one.

    Args:
        rows: order_date, product and order_id of all rows that were sold under such keys.
        products: the catalogue.
    """
    keys = keys_of(BY_PRODUCT)
    orders = distinct_orders(rows.filter(pc.is_valid(rows["order_id"])), keys)
    orders = orders.set_column(1, "product", _named(orders["product"], products))
    times = orders.group_by([*keys, "order_id"]).aggregate([([], "count_all")])
    times = times.append_column("orders", pc.subtract(1, times["count_all"])).filter(pc.greater(times["count_all"], 1))
    summed = times.group_by(keys).aggregate([("orders", "sum")]).rename_columns([*keys, "orders"])
    for name in ("rows", "quantity", "revenue"):
        summed = summed.append_column(name, pa.repeat(pa.scalar(0, BY_PRODUCT.field(name).type), summed.num_rows))
    return summed.select(BY_PRODUCT.names).cast(BY_PRODUCT)


def publish(sums: pa.Table, products: Products, twice: pa.Table) -> pa.Table:
    """`by_product` as readers see it: the catalogue's names, categories and brands in place of what was sold.

    Args:
        sums: of what was sold.
        products: the catalogue.
        twice: what `counted_twice` says of these days, and maybe of others.
    """
    told = {row.product: row for row in products.rows}
    named = sums.set_column(1, "product", _named(sums["product"], products))
    by_name = add([named, twice], BY_PRODUCT).drop_columns("rows")
    # Of several keys of one product the last one tells, always the same.
    rows = [told.get(name) for name in by_name["product"].to_pylist()]
    columns = {
        "category": pa.array([(row and row.category) or UNKNOWN for row in rows], pa.string()),
        "brand": pa.array([(row and row.brand) or UNKNOWN for row in rows], pa.string()),
    }
    for place, (name, values) in enumerate(columns.items(), start=2):
        by_name = by_name.add_column(place, name, values)
    return by_name


def _named(sold: Any, products: Products) -> Any:  # noqa: ANN401 - arrays of Arrow
    """What the products that were sold are called in the catalogue."""
    keys, names = ([getattr(row, name) for row in products.rows] for name in ("key", "product"))
    places = pc.index_in(sold, value_set=pa.array(keys, pa.string()))
    return pc.coalesce(pa.array(names, pa.string()).take(places), sold)


def _sums(rows: pa.Table, orders: pa.Table, schema: pa.Schema) -> pa.Table:
    keys, measures = keys_of(schema), MEASURES.names
    orders = orders.group_by(keys).aggregate([([], "count_all")]).rename_columns([*keys, "orders"])
    amounts = rows.select([*keys, "quantity", "amount"]).rename_columns([*keys, "quantity", "revenue"])
    amounts = amounts.append_column("rows", pa.repeat(pa.scalar(1, pa.int64()), amounts.num_rows))
    parts = []
    for part in (orders, amounts):
        for name in measures:
            kind, place = MEASURES.field(name).type, part.schema.get_field_index(name)
            nothing = pa.scalar(0, kind)
            if place < 0:
                part = part.append_column(name, pa.repeat(nothing, part.num_rows))
            else:
                part = part.set_column(place, name, pc.fill_null(part[name], nothing))
        parts.append(part.select(schema.names))
    return add([part.cast(schema) for part in parts], schema)
