"""What lies beside the transactions in the input folder: the data set's rules, and the catalogue of its products."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from retail_dataset.catalogue import Product, parse_products
from retail_dataset.errors import DataSetError
from retail_dataset.files import PRODUCTS, RULES
from retail_dataset.rules import DataSet, decode

from retail_jobs.errors import JobError
from retail_jobs.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Products:
    """The catalogue: what the sales name, each once, and its product, category and brand."""

    rows: tuple[Product, ...]

    @property
    def digest(self) -> str:
        """Changes with what the catalogue says."""
        return hashlib.sha256(repr([tuple(row) for row in self.rows]).encode()).hexdigest()


def read_rules(storage: Storage, input_path: str) -> DataSet:
    """The rules of a data set; the defaults when there is no `dataset.toml`.

    Raises:
        JobError: the file says something that means nothing.
    """
    content = storage.read_bytes(f"{input_path}/{RULES}")
    try:
        return DataSet() if content is None else DataSet.parse(decode(content))
    except DataSetError as error:
        raise JobError(str(error)) from error


def read_products(storage: Storage, input_path: str, rules: DataSet) -> Products:
    """The catalogue; empty, with a warning, when there is none.

    Raises:
        JobError: it has no column that names the product.
    """
    content = storage.read_bytes(f"{input_path}/{PRODUCTS}")
    if content is None:
        log.warning("no %s in %s: every category is UNKNOWN", PRODUCTS, input_path)
    try:
        return Products(tuple(parse_products(content or b"", rules.products)))
    except DataSetError as error:
        raise JobError(str(error)) from error
