"""The quarantine of the stream: few files, and the same ones again when a micro-batch is repeated."""

from __future__ import annotations

import io
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_jobs.cleaning import QUARANTINE_SCHEMA
from retail_jobs.storage import Storage
from retail_jobs.windows import State

# What the driver takes of one batch, and how large a file grows.
FILE_BYTES = 4_000_000


class Quarantine:
    """A folder of Parquet files.

    A batch adds to the last one until it is full: a file for each batch would be thousands a day.
    """

    def __init__(self, spark: SparkSession, folder: str, staging: str) -> None:
        self._spark, self._storage = spark, Storage()
        self._folder, self._staging = folder, staging
        self._growing: tuple[str, pa.Table] | None = None

    def add(self, rejected: DataFrame, size: int, batch: int, after: State) -> dict[str, int]:
        """Add what a batch rejected.

        Args:
            rejected: rows of `QUARANTINE_SCHEMA`.
            size: their bytes, near enough.
            batch: number of the batch.
            after: the state to be; says which file grew up to the batch before, and is told how it has grown.

        Returns:
            How many rows, by their reasons (several joined with `+`).
        """
        if size > FILE_BYTES:
            self._write(rejected, batch)
            counted = {tuple(row["reasons"]): row["count"] for row in rejected.groupBy("reasons").count().collect()}
        else:
            table = rejected.toArrow()
            self._append(table, batch, after)
            counted = Counter(tuple(reasons) for reasons in table["reasons"].to_pylist())
        return {"+".join(reasons): rows for reasons, rows in sorted(counted.items())}

    def _write(self, rejected: DataFrame, batch: int) -> None:
        """Let the executors write a file of its own."""
        rejected.coalesce(1).write.mode("overwrite").parquet(self._staging)
        (part,) = self._storage.files(self._staging)
        self._storage.replace(part.path, f"{self._folder}/bulk-{batch:012d}.parquet")
        self._storage.delete(self._staging)

    def _append(self, table: pa.Table, batch: int, after: State) -> None:
        earlier = self._earlier(after)
        if earlier is None or earlier.nbytes > FILE_BYTES:
            after.quarantine_file = f"part-{batch:012d}.parquet"
        else:
            table = pa.concat_tables([earlier, table.cast(earlier.schema)])
        after.quarantine_rows = table.num_rows
        self._storage.write_bytes(f"{self._folder}/{after.quarantine_file}", to_bytes(table))
        self._growing = after.quarantine_file, table

    def _earlier(self, after: State) -> pa.Table | None:
        """The rows that batches before this one put into the growing file; None without one."""
        if self._growing and self._growing[0] == after.quarantine_file:
            return self._growing[1].slice(0, after.quarantine_rows)
        path = f"{self._folder}/{after.quarantine_file}"
        # Somebody may have cleared the folder away.
        if not after.quarantine_file or not self._storage.exists(path):
            return None
        # More rows than that are from an earlier attempt at this batch.
        return self._spark.read.schema(QUARANTINE_SCHEMA).parquet(path).toArrow().slice(0, after.quarantine_rows)


def size_of() -> Column:
    """Bytes of a row in the quarantine, near enough."""
    return F.octet_length("raw") + F.lit(200)


def to_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()
