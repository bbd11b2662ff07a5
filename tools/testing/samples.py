"""The samples in data/samples: files in forms as people have them, with what must come out of them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from retail_dataset.files import PRODUCTS, RULES
from retail_dataset.rules import DataSet

from tools import ROOT
from tools.data.proposal import as_toml, merged

SAMPLES = ROOT / "data" / "samples"
EXPECTED: dict[str, Any] = json.loads((SAMPLES / "expected.json").read_text(encoding="utf-8"))


class Sale(NamedTuple):
    """What counts of a clean row."""

    day: str
    order: str | None
    product: str
    quantity: Decimal | None
    amount: Decimal


def summary(sales: Iterable[Sale], reasons: Iterable[str]) -> dict[str, Any]:
    """Clean rows and the reasons of the others, counted as `expected.json` has them."""
    counted, quarantined = list(sales), list(reasons)
    cells: dict[str, list[Decimal]] = {}
    for sale in counted:
        cell = cells.setdefault(f"{sale.day}|{sale.product}", [Decimal(0), Decimal(0)])
        cell[0] += sale.amount
        cell[1] += sale.quantity or 0
    orders = {(sale.day, sale.order) for sale in counted if sale.order}
    return {
        "rows": len(counted) + len(quarantined),
        "clean": len(counted),
        "quarantined": {reason: quarantined.count(reason) for reason in quarantined},
        "orders": len(orders) + sum(not sale.order for sale in counted),
        "revenue": sum((sale.amount for sale in counted), Decimal(0)),
        "units": sum((sale.quantity or Decimal(0) for sale in counted), Decimal(0)),
        "cells": cells,
    }


def published(daily: Sequence[Mapping[str, str]], by_store: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Rows of the batch's two CSVs, summed up as far as they tell what `expected.json` has."""
    return {
        "orders": sum(int(row["orders"]) for row in by_store),
        "revenue": sum(Decimal(row["revenue"]) for row in by_store),
        "units": sum(Decimal(row["quantity"]) for row in by_store),
        "cells": {
            f"{row['order_date']}|{row['product']}": [Decimal(row["revenue"]), Decimal(row["quantity"])]
            for row in daily
        },
    }


def rows_of(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV with a header."""
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def add_to(folder: Path, samples: Iterable[str]) -> None:
    """Put samples into sub-folders of an input folder that has a catalogue, with one `dataset.toml` for them all."""
    files: list[dict[str, Any]] = []
    for sample in samples:
        beside = shutil.ignore_patterns(RULES, PRODUCTS)
        shutil.copytree(SAMPLES / sample, folder / "samples" / sample, ignore=beside)
        if rules := merged(DataSet.read(SAMPLES / sample), {}):
            files.append({"match": f"samples/{sample}/*", **rules})
    [products] = [entry.pop("products") for entry in files if "products" in entry]
    (folder / RULES).write_text(as_toml({"products": products, "files": files}), encoding="utf-8")
    # Of the samples one has a catalogue, and that has keys; of the others the names are their own keys.
    rows = rows_of(SAMPLES / "star" / PRODUCTS)
    names = list(rows[0])
    others = rows_of(folder / PRODUCTS)
    rows += [{**row, "product_id": row["product"], "product_name": row["product"]} for row in others]
    with (folder / PRODUCTS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def expected(sample: str) -> dict[str, Any]:
    """What must come out of a sample, in the types of `summary`."""
    said = {name: value for name, value in EXPECTED[sample].items() if name not in ("what", "files")}
    cells = {cell: [Decimal(number) for number in numbers] for cell, numbers in said["cells"].items()}
    return said | {"revenue": Decimal(said["revenue"]), "units": Decimal(said["units"]), "cells": cells}
