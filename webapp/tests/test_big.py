"""Thousands of products and years of days: answers stay small, and reading them is never taken for a failure."""

import threading
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from retail_webapp import answers
from retail_webapp.envelope import to_json
from retail_webapp.filters import Filters
from retail_webapp.sources import polled
from retail_webapp.sources.batch import BatchSource
from retail_webapp.sources.dataset import SCHEMA
from retail_webapp.sources.report import State
from retail_webapp.sources.stores import FolderEntry, LocalStore
from retail_webapp.sources.windows import Window

from .samples import DAY_1, DAY_3, MONTH, NOON, Publisher

pytestmark = pytest.mark.filterwarnings("error")

PRODUCTS, DAYS, MOST_BYTES = 4_000, 1_461, 200_000
FIRST = date(2022, 1, 1)


@pytest.fixture(scope="module")
def years() -> pa.Table:
    """Four years with forty products a day, of a catalogue of four thousand in twenty categories."""
    rows = [(day, (day * 37 + number * 101) % PRODUCTS) for day in range(DAYS) for number in range(40)]
    columns = {
        "order_date": pa.array([FIRST + timedelta(days=day) for day, _ in rows], pa.date32()),
        "product": [f"Product with a name of some length {product}" for _, product in rows],
        "category": [f"Category {product % 20}" for _, product in rows],
        "brand": [f"Brand {product % 300}" for _, product in rows],
        "orders": [product % 7 + 1 for _, product in rows],
        "quantity": pa.array([Decimal(product % 7 + 1) for _, product in rows], SCHEMA.field("quantity").type),
        "revenue": pa.array([Decimal(product) / 100 for _, product in rows], SCHEMA.field("revenue").type),
    }
    return pa.table(columns, SCHEMA)


@pytest.mark.parametrize("from_", [None, date(2025, 12, 1), date(2025, 9, 3), date(2024, 6, 1)])
def test_answers_stay_small_and_lose_no_cent(years: pa.Table, from_: date | None) -> None:
    filters = Filters.model_validate({"from": from_})
    whole = sum(answers.select(years, filters)["revenue"].to_pylist(), Decimal(0))
    daily = answers.daily(years, filters)
    products = answers.products(years, filters.model_copy(update={"limit": 50}))
    for answer in (daily, products, answers.categories(years, filters), answers.choices(years)):
        assert len(to_json(answer)) < MOST_BYTES
    for answer in (daily, products):
        assert sum(Decimal(row["revenue"]) for row in answer["rows"]) == whole == Decimal(answer["totals"]["revenue"])
    assert sum(Decimal(day["revenue"]) for day in daily["days"]) == whole
    assert len(daily["days"]) <= answers.MOST_PERIODS


def test_live_windows_of_the_whole_catalogue_stay_small() -> None:
    live = [
        Window(start, start + timedelta(hours=1), f"Product {number}", 1, Decimal(number), NOON)
        for start in (NOON - step * timedelta(minutes=15) for step in range(20))
        for number in range(PRODUCTS)
    ]
    answer = answers.windows(live, {}, NOON, Filters())
    assert len(to_json(answer)) < MOST_BYTES
    whole = sum(window.revenue for window in live)
    for part in ("rows", "windows", "categories"):
        assert sum(Decimal(row["revenue"]) for row in answer[part]) == whole
    assert sum(row["orders"] for row in answer["rows"]) == len(live)


def test_products_are_found_by_a_part_of_their_name(years: pa.Table) -> None:
    found = answers.names(years, Filters(like="LENGTH 39"))["rows"]
    assert found
    assert len(found) <= answers.MOST_NAMES
    assert all("length 39" in name for name in found)


def month_of(*days: date) -> pa.Table:
    rows = [(day, *row) for day in days for row in MONTH[DAY_3]]
    columns = list(zip(*rows, strict=True))
    columns[-1] = tuple(map(Decimal, columns[-1]))
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], SCHEMA.names)


def test_a_day_without_sales_is_a_gap_and_not_missing() -> None:
    answer = answers.daily(month_of(DAY_1, DAY_1 + timedelta(days=4)), Filters())
    assert [(row["order_date"], row["revenue"]) for row in answer["days"]] == [
        ("2025-03-05", "2.21"),
        *((f"2025-03-0{day}", "0.00") for day in (4, 3, 2)),
        ("2025-03-01", "2.21"),
    ]
    assert answer["totals"]["days"] == 2


def test_the_time_before_is_of_the_same_length_and_on_the_same_days() -> None:
    table = month_of(*(DAY_1 + timedelta(days=day) for day in (0, 2, 3)))
    answer = answers.daily(table, Filters.model_validate({"from": DAY_1 + timedelta(days=2)}))
    assert [day["order_date"] for day in answer["days"]] == ["2025-03-04", "2025-03-03"]
    before = answer["before"]
    assert (before["from"], before["to"], before["days"]) == ("2025-03-01", "2025-03-02", ["0.00", "2.21"])
    assert before["totals"]["revenue"] == "2.21"
    assert answers.daily(table, Filters())["before"] is None, "the data does not reach so far back"


class Slow(LocalStore):
    """The real local store, in which every read takes a while."""

    def read(self, path: str) -> bytes:
        time.sleep(0.02)
        return super().read(path)


@pytest.mark.usefixtures("month")
def test_a_long_first_read_is_not_a_source_that_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Publisher(folder)
    batch.folder = folder
    for day in range(60):
        batch.write(FIRST + timedelta(days=day), MONTH[DAY_1])
    batch._publication = 1
    batch.publish()
    monkeypatch.setattr(polled, "HANG_SECONDS", 0.3)
    source = BatchSource(lambda: Slow(folder), "folder", interval=60, product="HDFS", how_to_fill="make batch")
    source.start()
    seen = set()
    while source.report().state is not State.OK:
        seen.add(source.report().state)
        time.sleep(0.01)
    source.stop()
    assert seen <= {State.STARTING}


class Hanging(LocalStore):
    """A store whose first listing never answers, as a client whose NameNode is frozen."""

    def __init__(self, folder: Path, hangs: bool) -> None:
        super().__init__(folder)
        self.freed = threading.Event()
        self._hangs = hangs

    def folders(self, path: str) -> list[FolderEntry]:
        if self._hangs:
            self.freed.wait(30)
            raise ConnectionError("too late to be heard")
        return super().folders(path)


@pytest.mark.usefixtures("month")
def test_a_look_that_hangs_is_replaced_by_one_with_a_client_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(polled, "HANG_SECONDS", 0.2)
    opened: list[Hanging] = []

    def open_store() -> Hanging:
        opened.append(Hanging(folder, hangs=not opened))
        return opened[-1]

    source = BatchSource(open_store, "folder", interval=0.05, product="HDFS", how_to_fill="make batch")
    source.start()
    deadline = time.monotonic() + 20
    while source.report().state is not State.OK and time.monotonic() < deadline:
        time.sleep(0.01)
    assert source.report().state is State.OK
    assert "starting -> away no answer" in caplog.text
    assert len(opened) == 2
    opened[0].freed.set()
    time.sleep(0.3)
    assert source.report().state is State.OK, "the one that was given up has nothing to say any more"
    source.stop()
