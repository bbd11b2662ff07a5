"""Sample rows that tests share, and the batch's way to publish them."""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from retail_webapp.sources.batch import KEPT, SNAPSHOTS
from retail_webapp.sources.dataset import COLUMNS, STORE_COLUMNS
from retail_webapp.sources.stream import CLOSED

BatchRow = tuple[str, str, str, int, int, str]

DAY_1 = date(2025, 3, 1)
DAY_2 = date(2025, 3, 2)
DAY_3 = date(2025, 3, 3)

MILK, BREAD, SOAP = "Milk 1 l", "Bread", "Soap"
MONTH: dict[date, list[BatchRow]] = {
    # Sums that binary floating point gets wrong: 0.10 + 0.20, and more digits than a float holds.
    DAY_1: [
        (MILK, "Food", "Alpine", 3, 5, "0.10"),
        (BREAD, "Food", "Crust", 2, 2, "0.20"),
        (SOAP, "Household", "Clean & Co", 1, 1, "9007199254740993.01"),
    ],
    DAY_2: [(MILK, "Food", "Alpine", 1, 1, "1.10"), ("Mystery", "UNKNOWN", "UNKNOWN", 1, 1, "7.00")],
    DAY_3: [(BREAD, "Food", "Crust", 4, 4, "2.20"), (SOAP, "Household", "Clean & Co", 2, 6, "0.01")],
}


QUARANTINE = pa.schema(
    [
        ("raw", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("source", pa.string()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("run_id", pa.string()),
        ("quarantined_at", pa.timestamp("us", tz="UTC")),
    ]
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def of_batch(raw: str, *reasons: str) -> dict[str, Any]:
    return {"raw": raw, "reasons": list(reasons), "source": "sales.csv", "run_id": "r1", "quarantined_at": NOON}


QUARANTINED = [
    of_batch("O-1,2025-03-01,S006,Bern,Milk 1 l,1,42.00,-42.00", "negative_amount"),
    of_batch("<img src=x onerror=alert(1)>", "malformed_row"),
    of_batch("O-2,2025-03-01,S006,Bern,Milk 1 l,1,42.00,-42.00", "negative_amount"),
]

LATE = [
    {
        "raw": json.dumps({"order_id": f"O-{number}", "event_time": f"2025-03-02T10:0{number}:00Z", "amount": "1.10"}),
        "reasons": ["late"],
        "topic": "sales",
        "partition": 1,
        "offset": number,
        "run_id": "r2",
        "quarantined_at": NOON,
    }
    for number in range(2)
]

STORES: dict[date, list[tuple[str, str, int, int, str]]] = {
    DAY_1: [("S001", "Bern", 4, 7, "0.30"), ("S002", "Basel", 1, 1, "9007199254740993.01")],
    DAY_2: [("S001", "Bern", 2, 2, "8.10")],
    DAY_3: [("S002", "Basel", 4, 10, "2.21")],
}

MORNING = datetime(2025, 3, 2, 10, tzinfo=UTC)
CLOSED_WINDOWS = [
    # Of each hour four windows; those that begin on the full hour hold every event once.
    *((MORNING + step * timedelta(minutes=15), MILK, 1, "1.10") for step in range(-3, 1)),
    *((MORNING + step * timedelta(minutes=15), "Mystery", 1, "4.00") for step in range(-3, 1)),
]

REPORT: dict[str, Any] = {
    "run_id": "20261124T120000-abcdef",
    "started": "2026-11-24T12:00:00Z",
    "finished": "2026-11-24T12:01:10Z",
    "seconds": 70.2,
    "files_read": 4,
    "rows_read": 4020,
    "clean": 3981,
    "repeated": 16,
    "corrected": 0,
    "quarantined": 39,
    "reasons": {"negative_amount": 39},
    "dates_published": ["2025-09-01", "2025-09-02"],
    "publication": 3,
    "result": "published",
    "message": "",
    "headers": {
        "kasse/juni.csv": {
            "lacks": "a date and an amount (or quantity and unit price)",
            "columns": [
                {"name": "Bon", "means": ""},
                {"name": "<b>Datum</b>", "means": ""},
                {"name": "item", "means": "product"},
                {"name": "quantity", "means": "quantity"},
            ],
            "others": 2,
        },
        "torn.csv.gz": {"lacks": "all: it cannot be read to its end", "columns": [], "others": 0},
    },
}


# What `systemctl show` prints (systemd 252, TZ=UTC, LC_ALL=C), shortened to the properties that are asked for.
SHOWN = """\
Id=retail-batch.service
LoadState=loaded
ActiveState=inactive
SubState=dead
Result=success
ExecMainCode=1
ExecMainStatus=0
ActiveEnterTimestamp=
ExecMainStartTimestamp=Tue 2026-11-24 12:00:00 UTC
ExecMainExitTimestamp=Tue 2026-11-24 12:01:10 UTC

Id=retail-streaming.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
ExecMainCode=0
ExecMainStatus=0
ActiveEnterTimestamp=Tue 2026-11-24 11:00:00 UTC
ExecMainStartTimestamp=Tue 2026-11-24 11:00:00 UTC
ExecMainExitTimestamp=

Id=retail-producer.service
LoadState=not-found
ActiveState=inactive
SubState=dead
Result=success
ExecMainCode=0
ExecMainStatus=0
ActiveEnterTimestamp=
ExecMainStartTimestamp=
ExecMainExitTimestamp=

Id=retail-batch.timer
LoadState=loaded
ActiveState=active
SubState=waiting
Result=success
ActiveEnterTimestamp=Tue 2026-11-24 11:00:00 UTC
NextElapseUSecRealtime=Tue 2026-11-24 13:00:00 UTC
"""


class Publisher:
    """Writes days and publishes them as the batch does in local mode: each snapshot is made of hard links."""

    def __init__(self, folder: Path, schema: pa.Schema = COLUMNS) -> None:
        self.folder = folder
        self._schema = schema
        self._publication = 0

    def write(self, day: date, rows: Sequence[tuple[Any, ...]]) -> Path:
        """Replace a day; readers see it with the next publication."""
        columns = list(zip(*rows, strict=True))
        columns[-1] = tuple(Decimal(text) for text in columns[-1])
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, self._schema, strict=True)]
        path = self.folder / f"order_date={day}" / "part-00000.snappy.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name("." + path.name)
        pq.write_table(pa.table(arrays, schema=self._schema), hidden)
        hidden.rename(path)
        return path

    def remove(self, day: date) -> None:
        """Take a day away; readers see it with the next publication."""
        shutil.rmtree(self.folder / f"order_date={day}")

    def publish(self) -> Path:
        """Make a snapshot of what was written, and take away those that are too old."""
        self._publication += 1
        snapshot = self.folder / SNAPSHOTS / f"p{self._publication:09d}"
        partial = snapshot.with_name(f"_{snapshot.name}")
        partial.mkdir(parents=True)
        for path in self.folder.glob("order_date=*/*.parquet"):
            link = partial / path.relative_to(self.folder)
            link.parent.mkdir(exist_ok=True)
            os.link(path, link)
        partial.rename(snapshot)
        for old in sorted(snapshot.parent.glob("p*"))[:-KEPT]:
            shutil.rmtree(old)
        return snapshot


def publish_month(batch: Publisher) -> None:
    """Write the month and publish it."""
    for day, rows in MONTH.items():
        batch.write(day, rows)
    batch.publish()


def publish_stores(folder: Path) -> None:
    """Publish the month by store, in which an order counts once a day."""
    stores = Publisher(folder, STORE_COLUMNS)
    for day, rows in STORES.items():
        stores.write(day, rows)
    stores.publish()


def write_closed(folder: Path, windows: Iterable[tuple[datetime, str, int, str]]) -> None:
    """Write closed windows as the stream does, in a file of their own: start, product, orders, revenue."""
    rows = [
        {
            "window_start": start,
            "window_end": start + timedelta(hours=1),
            "product": product,
            "orders": orders,
            "revenue": Decimal(revenue),
        }
        for start, product, orders, revenue in windows
    ]
    path = folder / f"day-{rows[0]['window_start']:%Y-%m-%d}-{len(list(folder.glob('*'))):012d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, CLOSED), path)


def status_at(now: datetime, **changed: object) -> dict[str, Any]:
    """What the stream says of itself after an hour, a minute of which had no event."""
    minutes = [now.replace(second=0, microsecond=0) - timedelta(minutes=back) for back in range(59, -1, -1)]
    history = [
        {
            "minute": minute.isoformat(),
            "events": 300 + number,
            "counted": 280 + number,
            "repeated": 10,
            "late": 4,
            "quarantined": 10,
            "batches": 12,
            "seconds": 0.8 + (number % 7) / 10,
            "backlog": number % 5 * 20,
        }
        for number, minute in enumerate(minutes)
        if number != 30
    ]
    status = {
        "since": (now - timedelta(hours=5)).isoformat(),
        "until": now.isoformat(),
        "last_batch": now.isoformat(),
        "watermark": (now - timedelta(minutes=15)).isoformat(),
        "seconds": 1.2,
        "trigger_seconds": 5.0,
        "backlog": 25,
        "position": {"0": 30_000, "1": 30_000, "2": 30_000},
        "repeated_by_day": {"2025-03-01": 7, "2025-03-02": 3},
        "events": 90_000,
        "counted": 84_000,
        "repeated": 3_000,
        "quarantined": 3_000,
        "reasons": {"late": 1_200, "negative_amount": 1_700, "late+no_amount": 100},
        "history": history,
    }
    return status | changed


def write_runs(file: Path, number: int = 12) -> None:
    """Write the list of batch runs; two of them are not well."""
    results = {
        4: ("failed", "hdfs://master1:8020 does not answer"),
        7: ("partial", "no row of stray.csv could be used"),
    }
    lines = []
    for run in range(number):
        result, message = results.get(run, ("published" if run % 3 else "nothing new", ""))
        started = NOON + run * timedelta(hours=1)
        told = {"run_id": f"r{run}", "started": started.isoformat(), "seconds": 20.5 + 3 * run, "files_read": run}
        counts = {"rows_read": 1000 * run, "clean": 990 * run, "quarantined": 10 * run}
        lines.append(json.dumps({**told, **counts, "result": result, "message": message}))
    file.write_text("\n".join(lines) + "\n")


def write_everything(home: Path, now: datetime) -> None:
    """Write a result of every job into local mode's folder of results."""
    publish_month(Publisher(home / "analysis_parquet"))
    publish_stores(home / "stores_parquet")
    write_quarantine(home / "quarantine/batch/part-1.parquet", *QUARANTINED)
    write_quarantine(home / "quarantine/streaming/part-000000000001.parquet", *LATE)
    (home / "last_run.json").write_text(json.dumps(REPORT))
    write_runs(home / "runs.jsonl")
    write_closed(home / "streaming_product_revenue", CLOSED_WINDOWS)
    status = home / ".state/streaming/status.json"
    status.parent.mkdir(parents=True)
    status.write_text(json.dumps(status_at(now)))


def write_quarantine(path: Path, *rows: dict[str, Any]) -> Path:
    """Write a file of the quarantine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=QUARANTINE), path)
    return path
