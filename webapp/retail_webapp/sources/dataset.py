"""The batch result as one pyarrow table, built from one Parquet file per date."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retail_webapp.sources.stores import FileEntry, FolderEntry

QUANTITY, MONEY = pa.decimal128(18, 3), pa.decimal128(18, 2)
COLUMNS = pa.schema(
    [
        pa.field("product", pa.string()),
        pa.field("category", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("orders", pa.int64()),
        pa.field("quantity", QUANTITY),
        pa.field("revenue", MONEY),
    ]
)
STORE_COLUMNS = pa.schema(
    [
        pa.field("store_id", pa.string()),
        pa.field("store_city", pa.string()),
        pa.field("orders", pa.int64()),
        pa.field("quantity", QUANTITY),
        pa.field("revenue", MONEY),
    ]
)
DATE = pa.field("order_date", pa.date32())
SCHEMA = pa.schema([DATE, *COLUMNS])
STORE_SCHEMA = pa.schema([DATE, *STORE_COLUMNS])
PARTITION = "order_date="


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One whole state of the batch result."""

    folder: FolderEntry
    """Where it was read; the same entry means the same content."""

    table: pa.Table
    computed_at: datetime | None
    """When its newest file was written (UTC); None when it has no file."""

    categories: dict[str, str] = field(default_factory=dict)
    """Category by product."""


def published(files: Iterable[FileEntry]) -> list[FileEntry]:
    """The files that readers may see, sorted: Parquet in a folder of a date."""
    return sorted(file for file in files if file.path.startswith(PARTITION) and file.readable)


def date_of(path: str) -> date:
    """Date of a file, from the name of its folder.

    Raises:
        ValueError: when the folder is not `order_date=YYYY-MM-DD`.
    """
    return date.fromisoformat(PurePosixPath(path).parts[0].removeprefix(PARTITION))


def parse_file(path: str, content: bytes, columns: pa.Schema = COLUMNS) -> pa.Table:
    """One file as a table of the columns, after the date.

    Raises:
        pa.ArrowInvalid: when the content is no Parquet or a value does not fit.
        KeyError: when a column is missing.
        ValueError: when the folder's name holds no date.
    """
    table = pq.ParquetFile(pa.BufferReader(content)).read().select(columns.names).cast(columns)
    dates = pa.repeat(pa.scalar(date_of(path), DATE.type), table.num_rows)
    return table.add_column(0, DATE, dates)


def assemble(folder: FolderEntry, tables: dict[FileEntry, pa.Table], columns: pa.Schema = COLUMNS) -> Snapshot:
    """Put the tables of all files of a snapshot together."""
    empty = pa.schema([DATE, *columns]).empty_table()
    table = pa.concat_tables([empty, *tables.values()]).combine_chunks()
    newest = max((entry.modified_ns for entry in tables), default=None)
    pairs: list[dict[str, Any]] = []
    if "category" in columns.names:
        pairs = table.group_by(["product", "category"]).aggregate([]).to_pylist()
    return Snapshot(
        folder=folder,
        table=table,
        computed_at=None if newest is None else moment_of(newest),
        categories={pair["product"]: pair["category"] for pair in pairs},
    )


def moment_of(nanoseconds: int) -> datetime:
    """A file's time as a moment in UTC."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
