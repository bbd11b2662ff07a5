from __future__ import annotations

import csv
import hashlib
import io
import logging
from dataclasses import dataclass

from retail_jobs.cleaning import normalise_name
from retail_jobs.storage import Storage

log = logging.getLogger(__name__)

FILE_NAME = "products.csv"


@dataclass(frozen=True)
class Products:
    """The catalogue: product, category and brand, each product once."""

    rows: tuple[tuple[str, str, str | None, str | None], ...]
    digest: str


def read_products(storage: Storage, input_path: str) -> Products:
    """The catalogue beside the transactions; empty, with a warning, when there is none."""
    text = storage.read_text(f"{input_path}/{FILE_NAME}")
    if text is None:
        log.warning("no %s in %s: every category is UNKNOWN", FILE_NAME, input_path)
    return parse_products(text or "")


def parse_products(text: str) -> Products:
    """Take the catalogue apart; of two lines for one product the first counts."""
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = [normalise_name(name) for name in next(lines, [])]
    catalogue: dict[str, tuple[str | None, str | None]] = {}
    for line in lines:
        record = dict(zip(header, (value.strip() for value in line), strict=False))
        product = record.get("product") or record.get("item")
        if product:
            catalogue.setdefault(product, (record.get("category") or None, record.get("brand") or None))
    rows = tuple((product, product, category, brand) for product, (category, brand) in sorted(catalogue.items()))
    return Products(rows, hashlib.sha256(repr(rows).encode()).hexdigest())
