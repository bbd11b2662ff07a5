"""Sample rows that tests share, and the batch's way to publish them."""

import os
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from retail_webapp.sources.batch import KEPT, SNAPSHOTS
from retail_webapp.sources.dataset import COLUMNS

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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._publication = 0

    def write(self, day: date, rows: list[BatchRow]) -> Path:
        """Replace a day; readers see it with the next publication."""
        columns = list(zip(*rows, strict=True))
        columns[5] = tuple(Decimal(text) for text in columns[5])
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, COLUMNS, strict=True)]
        path = self.folder / f"order_date={day}" / "part-00000.snappy.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name("." + path.name)
        pq.write_table(pa.table(arrays, schema=COLUMNS), hidden)
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


def write_quarantine(path: Path, *rows: dict[str, Any]) -> Path:
    """Write a file of the quarantine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=QUARANTINE), path)
    return path
