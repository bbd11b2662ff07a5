"""The quarantine of the stream: few files, and the same ones again when a micro-batch is repeated."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_jobs.cleaning import QUARANTINE_ARROW, quarantined
from retail_jobs.storage import Storage
from retail_jobs.stream_state import State

# What the driver takes of one batch, and how large a file grows.
FILE_BYTES = 4_000_000
# What a row has beside its text, near enough.
ROW_BYTES = 200
PLACE = ["partition", "offset"]
BY_PLACE = [(name, "ascending") for name in PLACE]


class Quarantine:
    """A folder of Parquet files.

    A batch adds to the last one until it is full: a file for each batch would be thousands a day.
    """

    def __init__(self, spark: SparkSession, storage: Storage, folder: str, staging: str, topic: str, run: str) -> None:
        self._spark, self._storage = spark, storage
        self._folder, self._staging = folder, staging
        self._topic, self._run = topic, run
        self._growing: tuple[str, pa.Table] | None = None

    def add(self, rejected: pa.Table, texts: DataFrame, batch: int, after: State) -> None:
        """Add what a batch rejected.

        Args:
            rejected: partition, offset, reasons, size and text (null where it has yet to be fetched) of each.
            texts: partition, offset and raw of all events of the batch.
            batch: its number.
            after: the state to be; says which file grew up to the batch before, and is told how it has grown.
        """
        if not rejected.num_rows:
            return
        rejected = rejected.sort_by(BY_PLACE)
        size = sum(rejected["size"].to_pylist()) + ROW_BYTES * rejected.num_rows
        if size > FILE_BYTES:
            self._write(rejected, texts, batch)
        else:
            self._append(self._table(rejected, texts), batch, after)

    def _write(self, rejected: pa.Table, texts: DataFrame, batch: int) -> None:
        """Let the executors write a file of its own."""
        places = self._spark.createDataFrame(rejected.select([*PLACE, "reasons"]))
        records = texts.join(F.broadcast(places), PLACE).withColumn("topic", F.lit(self._topic))
        quarantined(records, self._run).coalesce(1).write.mode("overwrite").parquet(self._staging)
        (part,) = self._storage.files(self._staging)
        self._storage.replace(part.path, f"{self._folder}/bulk-{batch:012d}.parquet")
        self._storage.delete(self._staging)

    def _table(self, rejected: pa.Table, texts: DataFrame) -> pa.Table:
        raw = rejected["text"].to_pylist()
        lacking = [place for place, text in enumerate(raw) if text is None]
        if lacking:
            places = self._spark.createDataFrame(rejected.take(lacking).select(PLACE))
            fetched = texts.join(F.broadcast(places), PLACE, "left_semi").toArrow().sort_by(BY_PLACE)
            for place, text in zip(lacking, fetched["raw"].to_pylist(), strict=True):
                raw[place] = text
        count = rejected.num_rows
        columns = {
            "raw": raw,
            "reasons": rejected["reasons"],
            "source": pa.nulls(count, pa.string()),
            "topic": [self._topic] * count,
            "partition": rejected["partition"],
            "offset": rejected["offset"],
            "run_id": [self._run] * count,
            "quarantined_at": [datetime.now(UTC)] * count,
        }
        return pa.table(columns, QUARANTINE_ARROW)

    def _append(self, table: pa.Table, batch: int, after: State) -> None:
        earlier = self._earlier(after)
        if earlier is None or earlier.nbytes > FILE_BYTES:
            after.quarantine_file = f"part-{batch:012d}.parquet"
        else:
            table = pa.concat_tables([earlier, table])
        after.quarantine_rows = table.num_rows
        self._storage.write_bytes(f"{self._folder}/{after.quarantine_file}", to_bytes(table))
        self._growing = after.quarantine_file, table

    def _earlier(self, after: State) -> pa.Table | None:
        """The rows that batches before this one put into the growing file; None without one."""
        if self._growing and self._growing[0] == after.quarantine_file:
            return self._growing[1].slice(0, after.quarantine_rows)
        if not after.quarantine_file:
            return None
        content = self._storage.read_bytes(f"{self._folder}/{after.quarantine_file}")
        # Somebody may have cleared the folder away.
        if content is None:
            return None
        # More rows than that are from an earlier attempt at this batch.
        return pq.read_table(io.BytesIO(content)).cast(QUARANTINE_ARROW).slice(0, after.quarantine_rows)


def to_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()
