import csv
import io
import json
import os
from collections.abc import Callable
from datetime import timedelta
from io import IOBase
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from retail_webapp import records
from retail_webapp.filters import Filters
from retail_webapp.sources import quarantine as module
from retail_webapp.sources.jobs import Header
from retail_webapp.sources.quarantine import QuarantineSource
from retail_webapp.sources.report import State
from retail_webapp.sources.stores import LocalStore

from .samples import NOON, REPORT, of_batch, write_quarantine

pytestmark = pytest.mark.filterwarnings("error")

Write = Callable[..., Path]


class Counting(LocalStore):
    """The real local store, which also counts what is opened."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.opened: list[str] = []

    def open(self, path: str) -> IOBase:
        self.opened.append(path)
        return super().open(path)


@pytest.fixture
def home(folder: Path) -> Path:
    return folder.with_name("quarantine")


@pytest.fixture
def write(home: Path) -> Write:
    return lambda name, *rows: write_quarantine(home / name, *rows)


@pytest.fixture
def store(home: Path) -> Counting:
    return Counting(home)


@pytest.fixture
def source(store: Counting) -> QuarantineSource:
    return QuarantineSource(lambda: store, "quarantine", interval=60, product="HDFS", how_to_fill="make batch")


def of_stream(raw: str, *reasons: str) -> dict[str, Any]:
    kafka = {"topic": "sales", "partition": 2, "offset": 7}
    return {"raw": raw, "reasons": list(reasons), **kafka, "run_id": "r2", "quarantined_at": NOON}


def test_it_says_how_many_why_and_shows_examples(client: FlaskClient, write: Write) -> None:
    write(
        "batch/part-1.parquet",
        of_batch("a,-1", "negative_amount"),
        of_batch("b,-2", "negative_amount"),
        of_batch("c,,x", "no_date", "unreadable_amount"),
    )
    write("streaming/part-000000001.parquet", of_stream("{", "bad_json"))
    answer = client.get("/api/quarantine").get_json()
    assert answer["totals"] == {"records": 4, "batch": 3, "streaming": 1, "read": 4, "matching": 4, "unread_files": 0}
    assert answer["rows"] == [
        {"job": "batch", "reason": "negative_amount", "records": 2},
        {"job": "batch", "reason": "no_date", "records": 1},
        {"job": "batch", "reason": "unreadable_amount", "records": 1},
        {"job": "streaming", "reason": "bad_json", "records": 1},
    ]
    by_raw = {example["raw"]: example for example in answer["examples"]}
    assert by_raw["{"] == {
        "job": "streaming",
        "quarantined_at": "2025-03-01T12:00:00Z",
        "reasons": ["bad_json"],
        "file": "sales",
        "origin": "sales/2/7",
        "run": "r2",
        "raw": "{",
    }
    assert by_raw["a,-1"]["origin"] == "sales.csv"
    assert answer["examples"][-1]["raw"] == "b,-2", "what repeats a reason comes after the first of each"
    assert len(client.get("/api/quarantine?limit=2").get_json()["examples"]) == 2
    assert client.get("/api/quarantine?from=2025-01-01").status_code == 400


def test_without_any_record_it_is_empty_and_well(client: FlaskClient) -> None:
    answer = client.get("/api/quarantine").get_json()
    assert (answer["state"], answer["stale"], answer["rows"]) == ("ok", False, [])
    assert answer["totals"]["records"] == 0


def test_only_new_files_are_read(source: QuarantineSource, store: Counting, write: Write) -> None:
    write("batch/part-1.parquet", of_batch("a", "no_date"))
    source.refresh()
    first = source.snapshot()
    source.refresh()
    assert source.snapshot() is first, "the same state keeps what was rendered of it valid"
    write("batch/part-2.parquet", of_batch("b", "no_date"))
    write("batch/_temporary/part-3.parquet", of_batch("c", "no_date"))
    write("batch/.part-4.parquet", of_batch("d", "no_date"))
    source.refresh()
    assert store.opened == ["batch/part-1.parquet", "batch/part-2.parquet"]
    found = source.snapshot()
    assert found is not None
    assert found.numbers == {"batch": 2, "streaming": 0}


def test_a_look_reads_no_more_than_a_few_files(
    source: QuarantineSource, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEW_FILES", 2)
    for number in range(5):
        write(f"streaming/part-{number}.parquet", of_stream(str(number), "bad_json"))
    seen = []
    for _ in range(3):
        source.refresh()
        found = source.snapshot()
        assert found is not None
        seen.append((found.numbers["streaming"], found.unread))
    assert seen == [(2, 3), (4, 1), (5, 0)]


def test_records_come_from_the_newest_files(
    source: QuarantineSource, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 1)
    for number, reason in enumerate(["old", "new"]):
        path = write(f"batch/part-{number}.parquet", of_batch(reason, reason))
        moment = (NOON + timedelta(hours=number)).timestamp()
        os.utime(path, times=(moment, moment))
    source.refresh()
    found = source.snapshot()
    assert found is not None
    assert (found.numbers["batch"], found.records["raw"].to_pylist()) == (2, ["new"])
    assert found.newest == NOON + timedelta(hours=1)


def test_huge_records_are_counted_but_not_kept_whole(
    source: QuarantineSource, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RAW_BYTES", 10_000)
    write("batch/part-1.parquet", of_batch("x" * 5_000, "malformed_row"))
    write("batch/part-2.parquet", of_batch("y" * 20_000, "malformed_row"))
    source.refresh()
    found = source.snapshot()
    assert found is not None
    assert set(found.records["raw"].to_pylist()) == {None, "x" * 4_000}
    shown = {example["raw"] for example in records.quarantine(found, {}, Filters())["examples"]}
    assert shown == {None, "x" * 400 + "…"}


@pytest.mark.parametrize(
    ("query", "raws"),
    [
        ("reason=no_date", ["c"]),
        ("file=sales", ["{"]),
        ("run=r1", ["a", "b", "c"]),
        ("job=streaming&reason=bad_json", ["{"]),
        ("file=sales&reason=no_date", []),
    ],
)
def test_records_are_found_by_reason_file_and_run_and_can_be_downloaded(
    client: FlaskClient, write: Write, query: str, raws: list[str]
) -> None:
    write(
        "batch/part-1.parquet",
        of_batch("a", "negative_amount"),
        of_batch("b", "negative_amount"),
        of_batch("c", "no_date", "unreadable_amount"),
    )
    write("streaming/part-000000001.parquet", of_stream("{", "bad_json"))
    answer = client.get(f"/api/quarantine?{query}").get_json()
    assert sorted(example["raw"] for example in answer["examples"]) == raws
    assert answer["totals"]["matching"] == len(raws)
    assert answer["choices"] == {
        "reason": ["bad_json", "negative_amount", "no_date", "unreadable_amount"],
        "file": ["sales.csv", "sales"],
        "run": ["r1", "r2"],
    }
    rows = list(csv.DictReader(io.StringIO(client.get(f"/api/quarantine.csv?{query}").text)))
    assert sorted(row["raw"] for row in rows) == raws
    assert all(row["reasons"] == "no_date+unreadable_amount" for row in rows if row["raw"] == "c")


def test_files_whose_header_does_not_do_are_listed_with_their_names(client: FlaskClient, home: Path) -> None:
    home.with_name("last_run.json").write_text(json.dumps(REPORT))
    answer = client.get("/api/quarantine").get_json()
    assert [(header["file"], header["lacks"]) for header in answer["headers"]] == [
        ("kasse/juni.csv", "a date and an amount (or quantity and unit price)"),
        ("torn.csv.gz", "all: it cannot be read to its end"),
    ]
    assert answer["headers"][0]["columns"][2] == {"name": "item", "means": "product"}
    assert [header["file"] for header in client.get("/api/quarantine?file=juni.csv").get_json()["headers"]] == [
        "kasse/juni.csv"
    ]
    assert client.get("/api/quarantine?job=streaming").get_json()["headers"] == []
    assert "headers" not in client.get("/api/jobs").get_json()["last_batch"]


def test_of_many_such_files_the_first_are_listed_and_the_others_counted() -> None:
    headers = {f"{number:03d}.csv": Header(lacks="a date") for number in range(records.MOST_HEADERS + 3)}
    answer = records.quarantine(None, headers, Filters())
    assert (len(answer["headers"]), answer["other_headers"]) == (records.MOST_HEADERS, 3)


def test_a_damaged_file_keeps_what_was_known(source: QuarantineSource, write: Write) -> None:
    write("batch/part-1.parquet", of_batch("a", "no_date"))
    source.refresh()
    write("batch/part-2.parquet", of_batch("b", "no_date")).write_bytes(b"PAR1 this is none")
    source.refresh()
    assert source.report().state is State.AWAY
    found = source.snapshot()
    assert found is not None
    assert found.numbers["batch"] == 1
