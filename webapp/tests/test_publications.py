"""Readers see whole publications only, however fast one follows the other."""

import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from retail_webapp.sources.batch import KEPT

from .samples import Publisher

pytestmark = pytest.mark.filterwarnings("error")

PUBLICATIONS = 50
READERS = ("/api/daily", "/api/products?limit=1000", "/api/categories", "/api/products?limit=500")
FIRST = date(2025, 1, 1)


def days_of(publication: int) -> list[date]:
    """Days come and go: their number alone tells one publication from its neighbours."""
    return [FIRST + timedelta(days=number) for number in range(3 + publication % 4)]


def expected(publication: int) -> dict[str, str]:
    """Sums of a publication, in which every row says its number."""
    days = len(days_of(publication))
    return {
        "orders": str(2 * publication * days),
        "revenue": str(2 * days * (Decimal(publication) + Decimal("0.01"))),
    }


def write(batch: Publisher, publication: int) -> None:
    price = f"{publication}.01"
    wanted = days_of(publication)
    for day in wanted:
        batch.write(
            day,
            [
                ("Milk", "Food", "Alpine", publication, 1, price),
                ("Soap", "Household", "Clean", publication, 1, price),
            ],
        )
    for day in set(days_of(publication - 1)) - set(wanted):
        batch.remove(day)
    batch.publish()


class Reader(threading.Thread):
    """Asks one address again and again, and remembers what was not as it should be."""

    def __init__(self, app: Flask, address: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.client, self.address, self.stop = app.test_client(), address, stop
        self.reads, self.etag = 0, ""
        self.seen: list[int] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        # A breath between two reads leaves the interpreter to the writer and the source.
        while not self.stop.wait(0.002):
            self.read()

    def read(self) -> None:
        response = self.client.get(self.address, headers={"If-None-Match": self.etag})
        self.reads += 1
        if response.status_code == 304:
            return
        self.etag = response.headers.get("ETag", "")
        answer: dict[str, Any] = response.get_json()
        if (response.status_code, answer.get("state"), answer.get("notice")) != (200, "ok", None):
            self.wrong.append(f"{response.status_code} {response.text[:200]}")
            return
        orders = {row["orders"] for row in answer["rows"]}
        totals = {name: str(answer["totals"][name]) for name in ("orders", "revenue")}
        publication = next((n for n in range(1, PUBLICATIONS + 1) if expected(n) == totals), None)
        if publication is None or (self.seen and publication < self.seen[-1]):
            self.wrong.append(f"{self.address}: {totals} {orders} after {self.seen[-1:]}")
        else:
            self.seen.append(publication)


def wait_for(app: Flask, publication: int) -> None:
    client = app.test_client()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        totals = client.get("/api/daily").get_json()["totals"]
        if totals["revenue"] == expected(publication)["revenue"]:
            return
    pytest.fail(f"publication {publication} does not show; the last is {totals}")


@pytest.fixture
def readers(app: Flask, batch: Publisher) -> Iterator[list[Reader]]:
    write(batch, 1)
    wait_for(app, 1)
    stop = threading.Event()
    started = [Reader(app, address, stop) for address in READERS]
    for reader in started:
        reader.start()
    yield started
    stop.set()
    for reader in started:
        reader.join(60)


def test_concurrent_readers_see_only_whole_publications(app: Flask, batch: Publisher, readers: list[Reader]) -> None:
    for publication in range(2, PUBLICATIONS + 1):
        write(batch, publication)
        # Now and then the writer is further ahead than snapshots are kept, so that reading is overtaken.
        if publication % (KEPT + 2) == 0:
            wait_for(app, publication)
    wait_for(app, PUBLICATIONS)
    for reader in readers:
        reader.stop.set()
        reader.join(60)
        reader.read()

    assert [reader.wrong for reader in readers] == [[], [], [], []]
    assert all(reader.reads >= PUBLICATIONS for reader in readers)
    assert all(reader.seen[-1] == PUBLICATIONS for reader in readers)
    assert all(len(set(reader.seen)) > PUBLICATIONS / (KEPT + 2) for reader in readers)
