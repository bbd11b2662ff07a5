"""Make a month of retail transactions with realistic dirt, the same for the same seed.

Run it from the root of the repository:

    python -m tools.data.sample_data --month 2025-09 --rows 4000 --seed 20250901 --out data/input

Four files come out, each as another till system would write it (names and order of the columns, form of the
dates), and `products.csv`. The dirt: blank, negative and unreadable amounts, blank products, unusable dates,
rows with too few and too many fields, repeated orders, one order that says two things, and a product that is
not in `products.csv`.
"""

from __future__ import annotations

import argparse
import calendar
import csv
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

# product, category, brand, unit price
PRODUCTS = [
    ("Coffee Beans 1 kg", "Grocery", "Montara", "15.90"),
    ("Green Tea", "Grocery", "Leafline", "4.75"),
    ("Olive Oil, extra virgin", "Grocery", "Casa Verde", "11.40"),
    ("Dark Chocolate", "Grocery", "Montara", "2.95"),
    ("Running Shoes", "Sports", "Stridewell", "89.00"),
    ("Yoga Mat", "Sports", "Stridewell", "27.50"),
    ("Water Bottle", "Sports", "Hydra", "14.20"),
    ("Wireless Headphones", "Electronics", "Sonora", "129.99"),
    ("USB-C Charger", "Electronics", "Voltio", "24.90"),
    ('Monitor 27"', "Electronics", "Sonora", "219.00"),
    ("Desk Lamp", "Home", "Lumen & Co", "34.60"),
    ("Bath Towel", "Home", "Softhaus", "18.00"),
    ("Scented Candle", "Home", "Softhaus", "12.30"),
    ("Notebook A5", "Stationery", "Papyra", "5.49"),
    ("Fountain Pen", "Stationery", "Papyra", "42.00"),
]
# Sold before anyone told the catalogue.
UNLISTED = ("Gift Card", "", "", "25.00")

CITIES = [
    "Amsterdam", "Antwerp", "Athens", "Barcelona", "Berlin", "Bern", "Bordeaux", "Brno", "Copenhagen", "Cork",
    "Dresden", "Gdańsk", "Ghent", "Göteborg", "Graz", "Helsinki", "Köln", "Lille", "Lisbon", "Ljubljana",
    "London", "Łódź", "Lyon", "Málaga", "Milan", "Oslo", "Porto", "Washington, DC", "Vienna", "Zürich",
]  # fmt: skip
STORES = [(f"S{number:03d}", city) for number, city in enumerate(CITIES, start=1)]

CANONICAL = (
    "order_id",
    "order_date",
    "store_id",
    "store_city",
    "product",
    "quantity",
    "unit_price",
    "amount",
)


@dataclass(frozen=True)
class Order:
    """One line of a receipt; text fields may already be dirty."""

    order_id: str
    at: datetime
    store_id: str
    store_city: str
    product: str
    quantity: str
    unit_price: str
    amount: str
    date_text: str | None = None
    """Written instead of `at` when set."""


@dataclass(frozen=True)
class Till:
    """How one system writes its export: header as (canonical name, name in the file), form of the date."""

    header: tuple[tuple[str, str], ...]
    date_form: Callable[[random.Random, datetime], str]


def _iso_date(_: random.Random, at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def _compact(_: random.Random, at: datetime) -> str:
    return at.strftime("%Y%m%d")


def _iso_t(rng: random.Random, at: datetime) -> str:
    form = rng.choice(("none", "utc", "+02:00", "ms"))
    if form == "utc":
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if form == "ms":
        return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{rng.randrange(1000):03d}Z"
    if form == "+02:00":
        return at.astimezone(timezone(timedelta(hours=2))).isoformat(timespec="seconds")
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def _iso_space(_: random.Random, at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def _any_form(rng: random.Random, at: datetime) -> str:
    return rng.choice((_iso_date, _iso_t, _iso_space, _compact))(rng, at)


def _header(*names: tuple[str, str] | str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) if isinstance(name, str) else name for name in names)


TILLS = (
    Till(_header(*CANONICAL), _iso_date),
    Till(
        _header(
            ("order_id", " Order_ID "), ("order_date", "TIMESTAMP"), ("store_id", "Store_ID"),
            ("store_city", "Store_City"), ("product", "Item"), ("quantity", "Quantity"),
            ("unit_price", "Price"), ("amount", " Total "),
        ),
        _iso_t,
    ),
    Till(
        _header(
            ("order_date", "date"), ("product", "item"), ("unit_price", "price"), "quantity",
            ("amount", "total_price"), "store_city", "store_id", "order_id",
        ),
        _compact,
    ),
    Till(
        _header(
            ("order_id", "ORDER_ID"), ("store_id", "STORE_ID"), ("store_city", "STORE_CITY"),
            ("order_date", "ORDER_TIME"), ("product", "PRODUCT"), ("unit_price", "UNIT_PRICE"),
            ("quantity", "QUANTITY"), ("amount", "AMOUNT"),
        ),
        _any_form,
    ),
)  # fmt: skip


def make_order(rng: random.Random, number: int, day: date) -> Order:
    """A clean order on `day` (UTC), between 07:00 and 20:00 so that no usual zone moves it to another day."""
    product, _, _, price = UNLISTED if rng.random() < 0.015 else rng.choice(PRODUCTS)
    store_id, city = rng.choice(STORES)
    quantity = rng.choices((1, 2, 3, 4, 6, 12), (55, 22, 10, 6, 4, 3))[0]
    at = datetime.combine(day, time(7), UTC) + timedelta(seconds=rng.randrange(13 * 3600))
    return Order(
        order_id=f"O-{day:%Y%m}-{number:06d}",
        at=at,
        store_id=store_id,
        store_city=city,
        product=product,
        quantity=str(quantity),
        unit_price=price,
        amount=str(quantity * Decimal(price)),
    )


def soil(rng: random.Random, order: Order) -> Order:
    """The same order as a tired cashier or a broken till would have sent it; most stay as they are."""
    dice = rng.random()
    if dice < 0.020:
        return replace(order, amount="")
    if dice < 0.025:
        return replace(order, amount=f"-{order.amount}")
    if dice < 0.028:
        return replace(order, amount="n/a")
    if dice < 0.036:
        return replace(order, product=rng.choice(("", "  ")))
    if dice < 0.046:
        return replace(order, product=f" {order.product} ")
    return order


def rows_of_file(rng: random.Random, orders: list[Order], till: Till) -> list[list[str]]:
    """The rows of one export, with some orders written twice."""
    rows = []
    for order in orders:
        fields = {name: getattr(order, name) for name in CANONICAL if name != "order_date"}
        fields["order_date"] = till.date_form(rng, order.at) if order.date_text is None else order.date_text
        row = [str(fields[name]) for name, _ in till.header]
        rows.append(row)
        if rng.random() < 0.006:
            rows.append(list(row))
    return rows


def add_special_cases(parts: list[list[Order]]) -> None:
    """Put in the cases that must be there whatever the dice say."""
    first, second, third, fourth = parts
    # One order that says two things in one file: the first one counts.
    victim = second[len(second) // 2]
    quantity = int(victim.quantity) + 1
    changed = replace(victim, quantity=str(quantity), amount=str(quantity * Decimal(victim.unit_price)))
    second.insert(len(second) // 2 + 5, changed)
    second[3] = replace(second[3], amount="n/a")
    second[4] = replace(second[4], amount=f"-{second[4].amount.lstrip('-')}", product="")
    # An order that two systems exported.
    second.insert(0, first[-1])
    # After midnight in Vienna, still the day before in UTC.
    late = third[0]
    fourth.append(replace(late, order_id=f"{late.order_id}-N", date_text=f"{late.at:%Y-%m-%d}T00:30:00+02:00"))
    for position, text in ((10, "yesterday"), (20, ""), (30, f"{fourth[0].at:%Y}-13-45")):
        fourth[position] = replace(fourth[position], date_text=text)


def make_month(month: str, rows: int, seed: int) -> dict[str, str]:
    """Text of every file by name.

    Args:
        month: `YYYY-MM`.
        rows: about how many transactions in all; at least 200.
        seed: the same seed gives the same text.

    Raises:
        ValueError: `month` is not a month, or `rows` is too small for all kinds of dirt.
    """
    if rows < 200:
        raise ValueError(f"{rows} rows are too few for every kind of dirt: take at least 200")
    start = datetime.strptime(month, "%Y-%m").date()
    days = calendar.monthrange(start.year, start.month)[1]
    rng = random.Random(f"{seed}/{month}")
    parts: list[list[Order]] = [[] for _ in TILLS]
    for number in range(1, rows + 1):
        day = (number - 1) * days // rows
        order = make_order(rng, number, start + timedelta(days=day))
        parts[day * len(TILLS) // days].append(soil(rng, order))
    add_special_cases(parts)

    files = {}
    for number, (till, orders) in enumerate(zip(TILLS, parts, strict=True), start=1):
        table = rows_of_file(rng, orders, till)
        if number == 1:
            table.insert(len(table) // 3, table[len(table) // 3][:-3])
        if number == 3:
            table.insert(len(table) // 3, [*table[len(table) // 3], "refund?", "call back"])
        files[f"transactions_{month}_{number}.csv"] = to_csv([[name for _, name in till.header], *table])
    return files


def to_csv(rows: list[list[str]]) -> str:
    """Rows as CSV text; only the fields that need quotes have them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def products_csv() -> str:
    """The catalogue: product, category, brand."""
    return to_csv([["product", "category", "brand"], *([name, kind, brand] for name, kind, brand, _ in PRODUCTS)])


def main(argv: list[str] | None = None) -> int:
    """Write the files and say what was written."""
    parser = argparse.ArgumentParser(description="Make a month of dirty retail transactions.")
    parser.add_argument("--seed", type=int, default=20250901)
    parser.add_argument("--month", default="2025-09", help="YYYY-MM (default %(default)s)")
    parser.add_argument("--rows", type=int, default=4000, help="about how many transactions (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("data/input"), help="folder (default %(default)s)")
    options = parser.parse_args(argv)
    try:
        files = make_month(options.month, options.rows, options.seed)
    except ValueError as error:
        parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in {**files, "products.csv": products_csv()}.items():
        (options.out / name).write_text(text, encoding="utf-8", newline="")
        print(f"{options.out / name}: {text.count(chr(10)) - 1} rows, {len(text.encode()) / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
