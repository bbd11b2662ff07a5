"""The batch result as one pyarrow table, built from one Parquet file per date."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retail_webapp.sources.stores import FileEntry

COLUMNS = pa.schema(
    [
        pa.field("product", pa.string()),
        pa.field("category", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("orders", pa.int64()),
        pa.field("quantity", pa.int64()),
        pa.field("revenue", pa.decimal128(18, 2)),
    ]
)
SCHEMA = pa.schema([pa.field("order_date", pa.date32()), *COLUMNS])
PARTITION = "order_date="


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One whole state of the batch result."""

    table: pa.Table
    files: int
    computed_at: datetime
    """When its newest file was written (UTC)."""

    version: str
    """Same version, same content: a hash over the list of files."""

    categories: dict[str, str] = field(default_factory=dict)
    """Category by product."""


def published(files: Iterable[FileEntry]) -> list[FileEntry]:
    """The files that readers may see, sorted: Parquet in a folder of a date, no part of the path hidden."""

    def visible(path: str) -> bool:
        hidden = any(part.startswith(("_", ".")) for part in PurePosixPath(path).parts)
        return path.startswith(PARTITION) and not hidden

    return sorted(f for f in files if f.path.endswith(".parquet") and visible(f.path))


def date_of(path: str) -> date:
    """Date of a file, from the name of its folder.

    Raises:
        ValueError: when the folder is not `order_date=YYYY-MM-DD`.
    """
    return date.fromisoformat(PurePosixPath(path).parts[0].removeprefix(PARTITION))


def parse_file(path: str, content: bytes) -> pa.Table:
    """One file as a table of the schema.

    Raises:
        pa.ArrowInvalid: when the content is no Parquet or a value does not fit.
        KeyError: when a column is missing.
        ValueError: when the folder's name holds no date.
    """
    table = pq.ParquetFile(pa.BufferReader(content)).read().select(COLUMNS.names).cast(COLUMNS)
    dates = pa.repeat(pa.scalar(date_of(path), pa.date32()), table.num_rows)
    return table.add_column(0, SCHEMA.field(0), dates)


def version_of(files: Iterable[FileEntry]) -> str:
    """Hash over a sorted list of files."""
    return hashlib.blake2s(repr(list(files)).encode(), digest_size=8).hexdigest()


def assemble(tables: dict[FileEntry, pa.Table]) -> Snapshot:
    """Put the tables of all files together.

    Args:
        tables: one table per file, at least one.

    Returns:
        The snapshot.
    """
    table = pa.concat_tables(tables.values()).combine_chunks()
    newest = max(entry.modified_ms for entry in tables)
    pairs: list[dict[str, Any]] = table.group_by(["product", "category"]).aggregate([]).to_pylist()
    return Snapshot(
        table=table,
        files=len(tables),
        computed_at=datetime.fromtimestamp(newest / 1000, UTC),
        version=version_of(sorted(tables)),
        categories={pair["product"]: pair["category"] for pair in pairs},
    )
