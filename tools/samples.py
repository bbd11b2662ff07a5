"""The samples in data/samples: files in forms as people have them, with what must come out of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "samples"
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


def expected(sample: str) -> dict[str, Any]:
    """What must come out of a sample, in the types of `summary`."""
    said = {name: value for name, value in EXPECTED[sample].items() if name not in ("what", "files")}
    cells = {cell: [Decimal(number) for number in numbers] for cell, numbers in said["cells"].items()}
    return said | {"revenue": Decimal(said["revenue"]), "units": Decimal(said["units"]), "cells": cells}
