"""A `dataset.toml` for sales files that do not fit: guessed from names and values, to be looked at before it counts.

Not with DuckDB's `sniff_csv`: it refuses Windows-1252 and UTF-16, takes a title for the header, and names no form of
dates for a column with one unreadable date, nor for any of the samples that need one named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from itertools import islice
from pathlib import Path
from typing import Any

from retail_dataset import text
from retail_dataset.columns import name_key
from retail_dataset.errors import DataSetError
from retail_dataset.files import PRODUCTS, input_files
from retail_dataset.rules import DataSet, Rules
from retail_dataset.table import BLANK, DAMAGE, Layout, open_file, parse_header
from retail_dataset.text import SEPARATORS
from retail_dataset.values import date_pattern

from tools.data.sales_files import Look, look_at, products_objection, several_rows

TITLE_LINES = 30  # among which a header is looked for
# What columns are called elsewhere, as `name_key` has it: a part of the name is enough. The first hint that fits wins.
HINTS = {
    "order_id": "orderid orderno ordernumber invoiceno invoice transactionid receipt bestellnummer rechnungsnummer "
    "belegnummer bestellnr commande pedido",
    "order_date": "orderdate invoicedate transactiondate saledate datum date fecha time",
    "product": "productname description itemname artikel produkt producto produit product item sku",
    "quantity": "quantity qty menge anzahl units cantidad quantite",
    "unit_price": "unitprice einzelpreis stückpreis price preis precio prix",
    "amount": "totalamount amount total betrag umsatz sales revenue importe montant summe",
    "store_id": "storeid store branch filiale shopid",
    "store_city": "storecity city stadt ort ciudad ville",
}
DAYS = (
    *("d.M.yyyy", "M/d/yyyy", "d/M/yyyy", "M/d/yy", "d/M/yy", "d.M.yy", "yyyy/M/d", "d-M-yyyy", "M-d-yyyy", "yyyy.M.d"),
    *("d MMM yyyy", "MMM d, yyyy", "d-MMM-yyyy", "d-MMM-yy", "d MMMM yyyy", "MMMM d, yyyy"),
)
TIMES = ("", " H:mm", " H:mm:ss", " h:mm a", " h:mm:ss a", ", H:mm", ", H:mm:ss")
PATTERNS = tuple(day + time for day in DAYS for time in TIMES)


def propose(folder: Path, dataset: DataSet) -> dict[str, Any]:
    """Keys for `dataset.toml` that make more of the files fit; empty when nothing is to be said.

    Args:
        folder: the input.
        dataset: what holds so far.
    """
    found = {name: _propose_file(folder, name, dataset.for_file(name)) for name in input_files(folder)}
    wanted = {name: keys for name, keys in found.items() if keys is not None}
    shared = {
        key: values[0]
        for key in ("orders", "returns", "dates", "decimal", "header_line", "columns")
        if (values := [keys.get(key) for keys in wanted.values()]) and values[0] and all(v == values[0] for v in values)
    }
    proposal: dict[str, Any] = dict(shared)
    own = [
        {"match": escape(name), **more}
        for name, keys in wanted.items()
        if (more := {key: value for key, value in keys.items() if key not in shared})
    ]
    if products := _propose_products(folder, dataset, proposal):
        proposal["products"] = products
    if own:
        proposal["files"] = own
    return proposal


def _propose_file(folder: Path, name: str, rules: Rules) -> dict[str, Any] | None:
    """Keys for one file; None when it has no rows or cannot be read."""
    keys: dict[str, Any] = {}

    def seen() -> Look:
        own = dict(rules.columns) | {column: (header,) for column, header in keys.get("columns", {}).items()}
        said = {**keys, "columns": own, "dates": keys.get("dates", rules.dates)}
        return look_at(folder, name, Rules.model_validate(rules.model_dump() | said))

    try:
        line, header = _find_header(folder / name, rules)
    except (DataSetError, *DAMAGE, StopIteration):
        return None
    if line:
        keys["header_line"] = line
    if columns := _propose_columns(header):
        keys["columns"] = columns
    look = seen()
    if look.layout is None or not look.rows:
        return None
    if dates := _propose_dates(look):
        keys["dates"] = [*rules.dates, dates]
        look = seen()
    if rules.decimal == "." and look.failed("unreadable amount", "no amount", "unreadable quantity"):
        keys["decimal"] = ","
        if len([row for row in seen().rows if not row.reason]) <= len([row for row in look.rows if not row.reason]):
            del keys["decimal"]
    look = seen()
    if look.failed("negative"):
        keys["returns"] = "subtract"
    if rules.orders == "row" and len(several_rows(look)) * 100 > len(look.rows):
        keys["orders"] = "lines"
    return keys


def _find_header(path: Path, rules: Rules) -> tuple[int | None, Layout]:
    """Number of the header's line where it is not the first one that is not blank, and the header."""
    with open_file(path) as stream:
        lines = [line for line in islice(text.lines(stream), TITLE_LINES) if not text.is_blank(line.text, BLANK)]
    layouts = [(line.number, parse_header(line.text, rules)) for line in lines]
    number, best = max(layouts, key=lambda row: (_fit(row[1]), -row[0]))
    first_number, first = next(row for row in layouts if rules.header_line in (None, row[0]))
    return (number, best) if _fit(best) > max(1, _fit(first)) and number != first_number else (None, first)


def _fit(layout: Layout) -> int:
    return layout.known + len(_propose_columns(layout))


def _propose_columns(layout: Layout) -> dict[str, str]:
    """Names for the canonical columns that a header lacks."""
    used = {place for places in layout.places.values() for place in places}
    free = {name: name_key(name) for place, name in enumerate(layout.names) if place not in used}
    found: dict[str, str] = {}
    for column, hints in HINTS.items():
        if layout.places[column]:
            continue
        for hint in hints.split():
            if names := [name for name, key in free.items() if hint in key]:
                found[column] = min(names, key=len)
                del free[found[column]]
                break
    return found


def _propose_dates(look: Look) -> str:
    """The pattern that reads most of the dates that are not read yet, at least half of them."""
    values = [row.fields["order_date"] for row in look.rows if "unreadable date" in row.reason]

    def reads(pattern: str) -> int:
        read = date_pattern(pattern)
        return sum(read(value) is not None for value in values)

    if len(values) * 20 <= len(look.rows):
        return ""
    # Of two that read as many, the one that stands first.
    best = max(PATTERNS, key=reads)
    return best if reads(best) * 2 >= len(values) else ""


def _propose_products(folder: Path, dataset: DataSet, proposal: Mapping[str, Any]) -> dict[str, str]:
    """Names for the columns of `products.csv`, when it has none for the product."""
    if not products_objection(folder, dataset):
        return {}
    with open_file(folder / PRODUCTS) as stream:
        lines = [line.text for line in text.lines(stream) if not text.is_blank(line.text, BLANK)]
    mark = max(SEPARATORS, key=lambda mark: lines[0].count(mark))
    names = text.split(lines[0], mark) or []
    rows = [row for line in lines[1:] if (row := text.split(line, mark)) and len(row) == len(names)]
    rules = dataset.model_copy(update={"columns": tuple((k, (v,)) for k, v in proposal.get("columns", {}).items())})
    sold = {
        row.fields.get("product", "")
        for name in input_files(folder)
        for row in look_at(folder, name, rules.for_file(name)).rows
    }
    hits = {name: len(sold & {row[place].strip() for row in rows}) for place, name in enumerate(names)}
    key = max(hits, key=lambda name: hits[name])
    shown = next((name for name in names if "name" in name_key(name) or "title" in name_key(name)), key)
    return {"key": key, "product": shown} if hits[key] else {}


def as_toml(keys: Mapping[str, Any]) -> str:
    """Keys as the text of a `dataset.toml`."""
    lines = [f"{key} = {_value(value)}" for key, value in keys.items() if not _is_table(value)]
    for table in ("columns", "products"):
        if keys.get(table):
            lines += ["", f"[{table}]", *(f"{key} = {_value(value)}" for key, value in keys[table].items())]
    for entry in keys.get("files", []):
        plain = {key: value for key, value in entry.items() if key != "columns"}
        lines += ["", "[[files]]", *(f"{key} = {_value(value)}" for key, value in plain.items())]
        lines += [f"columns.{key} = {_value(value)}" for key, value in entry.get("columns", {}).items()]
    return "\n".join(lines).strip() + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(one, Mapping) for one in value))


def _value(value: object) -> str:
    # A string of JSON is one of TOML.
    return json.dumps(value, ensure_ascii=False)


def merged(dataset: DataSet, proposal: Mapping[str, Any]) -> dict[str, Any]:
    """What holds so far with the proposal added."""
    said = dataset.model_dump(mode="json", exclude_defaults=True)
    said["columns"] = {name: names[0] if len(names) == 1 else names for name, names in said.get("columns", [])}
    for entry in said.get("files", []):
        entry["columns"] = {name: names[0] if len(names) == 1 else names for name, names in entry.get("columns", [])}
    added = {**said, **proposal}
    added["columns"] = said["columns"] | proposal.get("columns", {})
    added["files"] = [*said.get("files", []), *proposal.get("files", [])]
    return {key: value for key, value in added.items() if value}
