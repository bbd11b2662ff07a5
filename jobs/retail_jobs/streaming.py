"""Revenue by product in 1-hour windows that hop by 15 minutes, from the topic of sales.

Run: spark-submit streaming.py, or python -m retail_jobs.streaming. It runs until it is stopped.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from pyspark.errors import StreamingQueryException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.listener import StreamingQueryListener
from pyspark.sql.streaming.readwriter import DataStreamWriter

from retail_jobs import cleaning
from retail_jobs.errors import JobError
from retail_jobs.session import configure_logging, open_session, wait_for_hdfs
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage

log = logging.getLogger(__name__)

WINDOW, SLIDE = "1 hour", "15 minutes"
# Clocks differ by seconds; an event from further ahead would drag the watermark past everybody else's.
FUTURE = "interval 10 minutes"

SPARK = {
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.streaming.minBatchesToRetain": "20",
}


def read_records(messages: DataFrame) -> DataFrame:
    """Kafka messages as the records that `cleaning.clean` takes.

    Args:
        messages: value (binary), topic, partition, offset and timestamp, as Spark's Kafka source gives them.

    Returns:
        The text fields, raw and fault, with event_id, arrived (UTC), topic, partition and offset.
    """
    text = F.col("value").cast("string")
    parsed = F.from_json(text, "map<string,string>")
    events = messages.select(
        text.alias("text"),
        F.transform_keys(parsed, lambda key, _: F.lower(F.trim(key))).alias("event"),
        F.col("timestamp").alias("arrived"),
        "topic",
        "partition",
        "offset",
    )
    names = sorted(cleaning.KNOWN_NAMES)
    position = F.concat_ws("/", "topic", "partition", "offset")
    return events.select(
        *cleaning.canonical_fields((name, _value(name)) for name in names),
        F.coalesce(_value("_raw"), "text").alias("raw"),
        F.when(F.col("event").isNull(), "bad_json").when(_value("_raw").isNotNull(), "malformed_row").alias("fault"),
        # An event without an id is itself: nothing tells that it came before.
        F.coalesce(_value("event_id"), position).alias("event_id"),
        "arrived",
        "topic",
        "partition",
        "offset",
    )


def clean_events(messages: DataFrame) -> DataFrame:
    """Cleaned events of Kafka messages, with their reasons for the quarantine."""
    cleaned = cleaning.clean(read_records(messages))
    return cleaning.add_reason(cleaned, "future_event", F.col("order_time") > F.col("arrived") + F.expr(FUTURE))


def revenue_windows(events: DataFrame, watermark: str) -> DataFrame:
    """Orders and revenue by window and product; an event that comes again within the watermark counts once.

    Args:
        events: clean events with event_id, order_time, product and amount.
        watermark: how late an event may come, as a Spark interval.
    """
    return (
        events.withWatermark("order_time", watermark)
        .dropDuplicatesWithinWatermark(["event_id"])
        .groupBy(F.window("order_time", WINDOW, SLIDE), "product")
        .agg(F.count("*").alias("orders"), F.sum("amount").cast(cleaning.MONEY).alias("revenue"))
        .select(
            F.col("window.start").alias("window_start"),
            F.col("window.end").alias("window_end"),
            "product",
            "orders",
            "revenue",
        )
    )


def live_messages(windows: DataFrame) -> DataFrame:
    """The value of every window that changed, as messages that replace each other by key."""
    value = F.to_json(
        F.struct(
            _iso("window_start").alias("window_start"),
            _iso("window_end").alias("window_end"),
            "product",
            "orders",
            F.col("revenue").cast("string").alias("revenue"),
            _iso(F.current_timestamp()).alias("updated_at"),
        )
    )
    return windows.select(F.concat_ws("|", "product", _iso("window_start")).alias("key"), value.alias("value"))


class Streaming:
    """The queries of the job: live windows, closed windows, quarantine."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self.spark, self.settings = spark, settings
        self.storage = Storage(spark)
        self.run_id = uuid.uuid4().hex

    def start(self) -> None:
        """Start all queries.

        Raises:
            JobError: a checkpoint is gone while its output is there; going on would overwrite its files.
        """
        settings = self.settings
        events = clean_events(self._messages())
        good = events.where(cleaning.is_clean())
        live = live_messages(revenue_windows(good, settings.watermark)).writeStream.outputMode("update")
        live = live.format("kafka").option("topic", settings.live_topic)
        live = live.option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
        self._start("live", live, settings.trigger_seconds)

        closed = revenue_windows(good, settings.watermark).writeStream.outputMode("append")
        folder = settings.stream_output_path
        self._start("closed", closed.foreachBatch(self._writer(folder)), settings.slow_trigger_seconds, folder)

        bad = cleaning.quarantined(events.where(~cleaning.is_clean()), self.run_id).writeStream
        folder = f"{settings.quarantine_path}/streaming"
        self._start("quarantine", bad.foreachBatch(self._writer(folder)), settings.slow_trigger_seconds, folder)

    def _messages(self) -> DataFrame:
        settings = self.settings
        return (
            self.spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
            .option("subscribe", settings.sales_topic)
            .option("startingOffsets", "earliest")
            .option("failOnDataLoss", "true")
            .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
            .load()
        )

    def _start(self, name: str, writer: DataStreamWriter, seconds: float, output: str | None = None) -> None:
        checkpoint = f"{self.settings.state_path}/streaming/{name}"
        if output and self.storage.files(output) and not self.storage.exists(checkpoint):
            raise JobError(
                f"the checkpoint {checkpoint} is gone, but {output} has files that it wrote: bring the checkpoint "
                "back, or move the files away and start again from the earliest event"
            )
        writer = writer.queryName(name).option("checkpointLocation", checkpoint)
        writer.trigger(processingTime=f"{seconds} seconds").start()

    def _writer(self, folder: str) -> Callable[[DataFrame, int], None]:
        """Writes a micro-batch as one file named by its number: a repeated batch replaces its own file."""

        def write(rows: DataFrame, batch: int) -> None:
            if rows.isEmpty():
                return
            staging = f"{self.settings.state_path}/staging/{folder.rsplit('/', 1)[-1]}-{batch}"
            rows.coalesce(1).write.mode("overwrite").parquet(staging)
            (part,) = self.storage.files(staging)
            self.storage.replace(part.path, f"{folder}/part-{batch:09d}.parquet")
            self.storage.delete(staging)

        return write


class ProgressLog(StreamingQueryListener):
    """One line in the journal for every micro-batch that had rows."""

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, D102 - Spark's interface
        log.info("%s: started", event.name)

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, D102
        progress = event.progress
        if not progress.numInputRows:
            return
        late = sum(state.numRowsDroppedByWatermark for state in progress.stateOperators)
        log.info(
            "%s: batch %d, %d events in %.1f s, watermark %s, %d late",
            progress.name,
            progress.batchId,
            progress.numInputRows,
            progress.batchDuration / 1000,
            progress.eventTime.get("watermark", "none"),
            late,
        )

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, D102
        pass

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, D102
        log.info("query %s ended", event.id)


def main() -> int:
    """Run until a query fails or the job is stopped; return the exit code."""
    configure_logging()
    try:
        settings = Settings()
        wait_for_hdfs(settings)
        defaults = {**SPARK, "spark.sql.shuffle.partitions": str(settings.state_partitions)}
        spark = open_session("retail-streaming", defaults)
        spark.streams.addListener(ProgressLog())
        Streaming(spark, settings).start()
        spark.streams.awaitAnyTermination()
    except ValidationError as error:
        log.error("settings: %s", error)
        return 2
    except JobError as error:
        log.error("%s", error)
        return 1
    except StreamingQueryException as error:
        log.error("a query failed, systemd starts the job again: %s", str(error).splitlines()[0])
        return 1
    return 0


def _value(name: str) -> Column:
    return F.try_element_at("event", F.lit(name))


def _iso(time: Column | str) -> Column:
    return F.date_format(time, "yyyy-MM-dd'T'HH:mm:ss'Z'")


if __name__ == "__main__":
    sys.exit(main())
