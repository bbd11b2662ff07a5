"""`products.csv` beside the transactions: product, category, brand."""

from __future__ import annotations

import io
from typing import NamedTuple

from retail_dataset import text
from retail_dataset.columns import name_key
from retail_dataset.errors import DataSetError
from retail_dataset.files import PRODUCTS
from retail_dataset.rules import ProductRules
from retail_dataset.table import BLANK
from retail_dataset.text import SEPARATORS

NAMES = {"product": ("product", "item"), "category": ("category",), "brand": ("brand",)}


class Product(NamedTuple):
    """A line of the catalogue.

    Attributes:
        key: what the sales name.
        product: how it is shown.
        category: none when it is blank.
        brand: likewise.
    """

    key: str
    product: str
    category: str | None
    brand: str | None


def parse_products(content: bytes, rules: ProductRules) -> list[Product]:
    """The catalogue, sorted by key; of two lines with one key the first counts.

    Raises:
        DataSetError: it has no column for the key or for the product.
    """
    lines = text.lines(io.BufferedReader(io.BytesIO(content)))
    header = next((line.text for line in lines if not text.is_blank(line.text, BLANK)), None)
    if header is None:
        return []
    wanted = _wanted(rules)
    splits = {separator: text.split(header, separator) or [] for separator in SEPARATORS}
    every = {name_key(name) for names in wanted.values() for name in names}
    separator = max(SEPARATORS, key=lambda separator: sum(name_key(name) in every for name in splits[separator]))
    keys = [name_key(name) for name in splits[separator]]
    places = {
        column: [keys.index(name_key(name)) for name in names if name_key(name) in keys]
        for column, names in wanted.items()
    }
    for column in ("key", "product"):
        if not places[column]:
            raise DataSetError(
                f"{PRODUCTS} has no column {' or '.join(wanted[column])} ({header[:80]}): correct its header, or "
                f"say in [products] of dataset.toml what its columns are called ({column} = ...)"
            )
    found: dict[str, Product] = {}
    for record in text.records(lines, separator, len(keys)):
        fields = [field.strip() for field in text.split(record.text, separator) or []]
        filled = {
            column: next((fields[place] for place in numbers if place < len(fields) and fields[place]), None)
            for column, numbers in places.items()
        }
        if key := filled["key"]:
            found.setdefault(key, Product(key, filled["product"] or key, filled["category"], filled["brand"]))
    return [product for _, product in sorted(found.items())]


def _wanted(rules: ProductRules) -> dict[str, tuple[str, ...]]:
    own = {column: (name,) if (name := getattr(rules, column)) else names for column, names in NAMES.items()}
    return {"key": (rules.key,) if rules.key else own["product"], **own}
