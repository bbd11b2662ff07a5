"""Sample rows that tests share, and the batch's way to publish them."""

import os
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

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
