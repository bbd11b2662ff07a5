"""The stream's health, its closed windows, and one day as batch and stream count it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from retail_webapp import comparison
from retail_webapp.filters import Filters
from retail_webapp.settings import Settings
from retail_webapp.sources.batch import BatchSource
from retail_webapp.sources.dataset import SCHEMA
from retail_webapp.sources.stores import LocalStore
from retail_webapp.sources.stream import CLOSED_DAYS, CLOSED_NAME, ClosedSource, StreamStatus
from retail_webapp.sources.unread import Unread, sum_by_day
from retail_webapp.sources.windows import Window

from .samples import (
    CLOSED_WINDOWS,
    DAY_2,
    MILK,
    MORNING,
    Publisher,
    publish_month,
    status_at,
    write_closed,
    write_everything,
)

pytestmark = pytest.mark.filterwarnings("error")

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def home(folder: Path) -> Path:
    write_everything(folder.parent, datetime.now(UTC))
    return folder.parent


def test_health_has_every_minute_of_the_last_hour_and_what_it_is_behind() -> None:
    answer = comparison.stream(StreamStatus.model_validate(status_at(NOW)))
    assert len(answer["rows"]) == 60
    assert answer["rows"][-1]["minute"] == "2026-11-24T12:00:00Z"
    assert [row["events"] for row in answer["rows"][29:32]] == [329, 0, 331], "a minute without an event is a gap"
    now = answer["now"]
    assert (now["late"], now["backlog"], now["watermark"]) == (1300, 25, "2026-11-24T11:45:30Z")
    assert (now["seconds"], now["trigger_seconds"]) == (1.2, 5.0)


def test_a_status_of_the_job_before_shows_what_it_has() -> None:
    unknown = ("trigger_seconds", "backlog", "history", "last_batch", "position", "repeated_by_day", "reasons")
    told = {name: value for name, value in status_at(NOW, watermark="none").items() if name not in unknown}
    answer = comparison.stream(StreamStatus.model_validate(told))
    assert [row["events"] for row in answer["rows"]] == [0]
    assert (answer["now"]["backlog"], answer["now"]["watermark"], answer["now"]["late"]) == (None, None, 0)


@pytest.mark.usefixtures("home")
def test_a_job_that_says_nothing_any_more_is_a_notice(app: Flask, client: FlaskClient, settings: Settings) -> None:
    assert client.get("/api/stream").get_json()["state"] == "ok"
    old = datetime.now(UTC) - timedelta(minutes=5)
    (Path(settings.stream_path) / "status.json").write_text(json.dumps(status_at(old)))
    app.extensions["sources"].stream.refresh()
    answer = client.get("/api/stream").get_json()
    assert (answer["state"], answer["stale"]) == ("quiet", True)
    assert "journalctl -eu retail-streaming" in answer["notice"]


@pytest.mark.usefixtures("home")
def test_closed_windows_are_summed_the_newest_first(client: FlaskClient) -> None:
    rows = client.get("/api/closed").get_json()["rows"]
    starts = [row["window_start"] for row in rows]
    assert starts == [f"2025-03-02T{at}:00Z" for at in ("10:00", "09:45", "09:30", "09:15")]
    assert {(row["orders"], row["revenue"]) for row in rows} == {(2, "5.10")}
    assert client.get("/api/closed?category=Food").get_json()["rows"][0]["revenue"] == "1.10"
    assert len(client.get("/api/closed?limit=1").get_json()["rows"]) == 1


def test_only_new_files_of_the_newest_days_are_read(tmp_path: Path) -> None:
    for day in range(CLOSED_DAYS + 2):
        write_closed(tmp_path, [(MORNING + timedelta(days=day), MILK, 1, "1.00")])
    (tmp_path / ".day-2025-03-02-1.parquet.partial").touch()
    reads: list[str] = []

    class Counting(LocalStore):
        def read(self, path: str) -> bytes:
            reads.append(path)
            return super().read(path)

    store = Counting(tmp_path)
    source = ClosedSource(lambda: store, "closed", interval=60, product="HDFS", how_to_fill="wait")
    source.refresh()
    first = source.snapshot()
    assert first is not None
    assert (len(reads), first.table.num_rows) == (CLOSED_DAYS, CLOSED_DAYS)
    source.refresh()
    assert source.snapshot() is first
    write_closed(tmp_path, [(MORNING + timedelta(days=CLOSED_DAYS + 1), MILK, 1, "1.00")])
    source.refresh()
    assert len(reads) == CLOSED_DAYS + 1


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("day-2025-03-02-000000000012.parquet", True),
        ("day-2025-03-02.parquet", True),
        (".day-2025-03-02.parquet", False),
        ("order_date=2025-03-02/part.parquet", False),
    ],
)
def test_names_of_closed_windows(name: str, known: bool) -> None:
    assert bool(CLOSED_NAME.fullmatch(name)) is known


@pytest.mark.usefixtures("home")
def test_a_day_of_both_is_compared_with_what_makes_the_difference(client: FlaskClient) -> None:
    answer = client.get("/api/comparison").get_json()
    assert (answer["day"], answer["lesson"]) == (str(DAY_2), None)
    amounts = {row["product"]: (row["batch"], row["closed"], row["difference"]) for row in answer["rows"]}
    # Only the windows that begin on a full hour count; with all of them, every event would count four times.
    assert amounts == {"Mystery": ("7.00", "4.00", "3.00"), MILK: ("1.10", "1.10", "0.00")}
    assert answer["totals"]["difference"] == "3.00"
    late = answer["reasons"][0]
    assert (late["reason"], late["of_day"], late["records"], late["revenue"]) == ("late", True, 2, "2.20")
    assert {row["reason"] for row in answer["reasons"][1:]} == {"not_yet_read", "repeated", "quarantined"}
    repeated = next(row for row in answer["reasons"] if row["reason"] == "repeated")
    assert (repeated["by"], repeated["of_day"], repeated["records"]) == ("streaming", True, 3)
    assert (answer["totals"]["explained"], answer["totals"]["left"]) == ("2.20", "0.80")


@pytest.mark.usefixtures("home")
def test_a_day_that_only_one_of_them_has_says_why(client: FlaskClient) -> None:
    answer = client.get("/api/comparison?day=2025-03-01").get_json()
    assert "The stream has no window of this day" in answer["lesson"]
    assert answer["days"] == ["2025-03-03", "2025-03-02", "2025-03-01"]
    assert client.get("/api/comparison?day=today").status_code == 400


def window(start: datetime, revenue: str) -> Window:
    return Window(start, start + timedelta(hours=1), MILK, 1, Decimal(revenue), start)


def test_windows_that_are_not_closed_yet_stand_beside_those_that_are(folder: Path) -> None:
    write_closed(folder, CLOSED_WINDOWS)
    source = ClosedSource(lambda: LocalStore(folder), "closed", interval=60, product="HDFS", how_to_fill="wait")
    source.refresh()
    found = source.snapshot()
    assert found is not None
    hour = timedelta(hours=1)
    # The first is closed, and still in the topic.
    live = (window(MORNING, "1.10"), window(MORNING + hour, "2.00"), window(MORNING + hour / 4, "9.00"))
    known = comparison.Day(SCHEMA.empty_table(), found.table, live, None, None, None, None)
    answer = comparison.comparison(known, Filters())
    row = next(row for row in answer["rows"] if row["product"] == MILK)
    assert (row["closed"], row["open"], row["stream_orders"]) == ("1.10", "2.00", 2)
    assert "The batch has no sale of this day" in answer["lesson"]
    assert [reason["reason"] for reason in answer["reasons"]] == ["still_open"]


@pytest.mark.parametrize(("whole", "in_all"), [(True, []), (False, [25])])
def test_events_that_are_not_read_yet_count_for_their_own_day(batch: Publisher, whole: bool, in_all: list[int]) -> None:
    publish_month(batch)
    source = BatchSource(
        lambda: LocalStore(batch.folder), "batch", interval=60, product="HDFS", how_to_fill="make batch"
    )
    source.refresh()
    snapshot = source.snapshot()
    assert snapshot is not None
    status = StreamStatus.model_validate(status_at(NOW, repeated_by_day={}))
    event = json.dumps({"event_time": f"{DAY_2}T09:00:00Z", "quantity": "3", "unit_price": "2.333"})
    elsewhere = json.dumps({"event_time": "2025-03-03T09:00:00Z", "amount": "5.00"})
    unread = Unread(sum_by_day([event, elsewhere, "no JSON", None, '{"event_time": "someday"}']), whole)
    live = (window(MORNING, "1.10"),)
    known = comparison.Day(snapshot.table, None, live, status, None, unread, None)
    answer = comparison.comparison(known, Filters(day=DAY_2))
    told = [row for row in answer["reasons"] if row["reason"] == "not_yet_read"]
    assert [(row["records"], row["revenue"]) for row in told if row["of_day"]] == [(1, "7.00")]
    assert [row["records"] for row in told if not row["of_day"]] == in_all
    assert (answer["totals"]["difference"], answer["totals"]["left"]) == ("7.00", "0.00")


def test_without_any_day_there_is_nothing_to_compare() -> None:
    known = comparison.Day(SCHEMA.empty_table(), None, (), None, None, None, None)
    assert comparison.comparison(known, Filters())["rows"] == []
