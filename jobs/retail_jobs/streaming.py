"""Revenue by product in 1-hour windows that hop by 15 minutes, from the topic of sales.

    spark-submit /opt/retail-jobs/retail_jobs/streaming.py     # runs until it is stopped

One query reads the topic once. Spark keeps, in RocksDB, which orders came within the watermark. Each micro-batch adds
the new orders to the open windows, sends those that changed to the live topic, writes those that are over and what
cannot be used, and at last the state for the next batch. All of it is named or keyed so that a batch that is
repeated after a crash writes the same again: docs/streaming.md.

Exit code 1: systemd may start it again. 2: that would not help; the last line says what a human has to do.
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from py4j.protocol import Py4JJavaError
from pydantic import BaseModel, ValidationError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.listener import StreamingQueryListener
from pyspark.sql.streaming.query import StreamingQuery

from retail_jobs import cleaning, windows
from retail_jobs.errors import JobError
from retail_jobs.session import configure_logging, open_session, wait_for_hdfs
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage
from retail_jobs.stream_events import clean_events, conflicts, first_of_each, is_content, is_order, slots_of
from retail_jobs.stream_quarantine import Quarantine, size_of, to_bytes
from retail_jobs.windows import Key, Slot, State, Value, Windows

log = logging.getLogger(__name__)

SPARK = {
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    # Native memory of RocksDB counts against no heap: all state of an executor shares this much.
    "spark.sql.streaming.stateStore.rocksdb.boundedMemoryUsage": "true",
    "spark.sql.streaming.stateStore.rocksdb.maxMemoryUsageMB": "100",
    # Of two buffers of the default 64 MB each, nothing is left of that for what RocksDB reads: a task took 16 s for the
    # look-ups of 2 s. And new keys are found missing sooner in files, which have Bloom filters, than in a buffer.
    "spark.sql.streaming.stateStore.rocksdb.writeBufferSizeMB": "8",
    # Counting rows costs one more look-up for each write.
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    "spark.sql.streaming.minBatchesToRetain": "20",
}

# What Spark's errors say after which a restart would meet the same error again: conditions, and a sentence that
# executors throw without one.
LOST_DATA = (
    "KAFKA_DATA_LOSS",
    "Some data may have been lost because they are not available in Kafka any more",
    "START_OFFSET_GREATER_THAN_END_OFFSET",
    "STREAMING_CHECKPOINT_MISSING_METADATA_FILE",
    "STREAMING_STATEFUL_OPERATOR_MISSING_STATE_DIRECTORY",
    "CHECKPOINT_FILE_CHECKSUM_VERIFICATION_FAILED",
    "CANNOT_LOAD_STATE_STORE.CANNOT_FIND",
    "CANNOT_LOAD_STATE_STORE.CANNOT_READ",
)


class LostDataError(JobError):
    """Events, a checkpoint or state are gone; a restart would not bring them back."""


class Counts(BaseModel):
    """What became of the events of a batch."""

    counted: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = {}
    open_windows: int = 0
    closed_windows: int = 0


class Streaming:
    """The query of the job, and what is done with each of its micro-batches."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self.spark, self.settings = spark, settings
        self.storage = Storage()
        self.run_id = uuid.uuid4().hex
        self.home = f"{settings.state_path}/streaming"
        self.output = settings.stream_output_path
        self.quarantine = Quarantine(spark, f"{settings.quarantine_path}/streaming", f"{self.home}/staging")
        self.counts: dict[int, Counts] = {}
        self.failure: Exception | None = None
        self._after: tuple[int, State] | None = None
        delay = spark.range(1).select(
            F.unix_micros(F.timestamp_micros(F.lit(0)) + F.expr(f"interval {settings.watermark}"))
        )
        self.delay = timedelta(microseconds=delay.collect()[0][0])

    def start(self, *, available_now: bool = False) -> StreamingQuery:
        """Start the query.

        Args:
            available_now: end when all that is in the topic now is done, instead of going on for ever.

        Raises:
            LostDataError: the checkpoint is gone while what was made with it is there.
        """
        settings = self.settings
        self._look_at_checkpoint()
        messages = (
            self.spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
            .option("subscribe", settings.sales_topic)
            .option("startingOffsets", "earliest")
            .option("failOnDataLoss", "true")
            .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
            .load()
        )
        trigger: dict[str, Any] = {"processingTime": f"{settings.trigger_seconds} seconds"}
        return (
            first_of_each(clean_events(messages), settings.watermark)
            .writeStream.queryName("streaming")
            .option("checkpointLocation", f"{self.home}/checkpoint")
            .trigger(**({"availableNow": True} if available_now else trigger))
            .foreachBatch(self._take)
            .start()
        )

    def _look_at_checkpoint(self) -> None:
        states = self.storage.files(f"{self.home}/batches")
        for old in states[:-2]:
            self.storage.delete(old.path)
        if self.storage.exists(f"{self.home}/checkpoint/metadata"):
            return
        for made in (states, self.storage.files(self.output)):
            if made:
                raise LostDataError(
                    f"the checkpoint {self.home}/checkpoint is gone, but {made[-1].path} was made with it: bring the "
                    f"checkpoint back; {start_again(self.settings)}"
                )

    def _take(self, rows: DataFrame, batch: int) -> None:
        try:
            self._process(rows, batch)
        except Exception as error:
            # Spark would wrap it in the text of a JVM exception.
            self.failure = error
            raise

    def _process(self, rows: DataFrame, batch: int) -> None:
        before = self._state_after(batch - 1)
        rows = rows.persist()
        try:
            seen = Observation()
            # Arrow keeps the zone of times; collect() would give them in the driver's own, where an hour comes twice.
            slots = slots_of(rows.observe(seen, *_figures())).toArrow().to_pylist()
            times = [slot.pop("latest") for slot in slots]
            opened, changed = windows.add(before.open_windows(), [Slot(**slot) for slot in slots])
            # Nothing below is seen by the next batch before its state is written, and all of it can be repeated.
            self._send({key: opened[key] for key in changed})
            over = {key: value for key, value in opened.items() if before.is_over(key, self.delay)}
            self._close(over)
            after = State(
                latest=max([*times, *filter(None, [before.latest])], default=None),
                windows=[(*key, *value) for key, value in opened.items() if key not in over],
                quarantine_file=before.quarantine_file,
                quarantine_rows=before.quarantine_rows,
            )
            reasons = self._set_aside(rows, seen.get, batch, after)
        finally:
            rows.unpersist()
        self.storage.write_text(self._state_file(batch), after.model_dump_json())
        self.storage.delete(self._state_file(batch - 2))
        self._after = batch, after
        self.counts[batch] = Counts(
            counted=seen.get["orders"],
            quarantined=sum(reasons.values()),
            reasons=reasons,
            open_windows=len(after.windows),
            closed_windows=len(over),
        )

    def _state_file(self, batch: int) -> str:
        return f"{self.home}/batches/{batch:012d}.json"

    def _state_after(self, batch: int) -> State:
        """The state after a batch; before the first one, there was nothing.

        Raises:
            LostDataError: it is gone.
        """
        if batch < 0:
            return State()
        if self._after and self._after[0] == batch:
            return self._after[1]
        text = self.storage.read_text(self._state_file(batch))
        if text is None:
            raise LostDataError(
                f"{self._state_file(batch)}, the open windows after batch {batch}, is gone: bring it back; "
                f"{start_again(self.settings)}"
            )
        return State.model_validate_json(text)

    def _send(self, changed: Windows) -> None:
        """Send windows to the live topic."""
        if not changed:
            return
        settings = self.settings
        messages = self.spark.createDataFrame(windows.to_messages(changed, datetime.now(UTC)))
        writer = messages.coalesce(1).write.format("kafka").option("topic", settings.live_topic)
        writer.option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers).save()

    def _close(self, over: Windows) -> None:
        """Put windows that are over into the file of their day, in place of what an earlier attempt put there."""
        for day, closed in windows.by_day(over).items():
            file = f"{self.output}/day-{day}.parquet"
            known: dict[Key, Value] = {}
            if self.storage.exists(file):
                known = windows.from_table(self.spark.read.schema(windows.COLUMNS).parquet(file).toArrow())
            self.storage.write_bytes(file, to_bytes(windows.to_table({**known, **closed})))

    def _set_aside(self, rows: DataFrame, seen: Mapping[str, Any], batch: int, after: State) -> dict[str, int]:
        """Bring what cannot be used to the quarantine; how many events, by their reasons."""
        bad, size = rows.where(~cleaning.is_clean()), seen["unusable_bytes"] or 0
        if seen["contents"] != seen["orders"] or seen["contents_say"] != seen["orders_say"]:
            again = conflicts(rows).select(*bad.columns)
            [(more,)] = again.agg(F.sum(size_of())).collect()
            bad, size = bad.unionByName(again), size + (more or 0)
        return self.quarantine.add(cleaning.quarantined(bad, self.run_id), size, batch, after) if size else {}


class ProgressLog(StreamingQueryListener):
    """One line in the journal for every micro-batch that had events: all of them, and what became of them."""

    def __init__(self, job: Streaming) -> None:
        self._job = job
        self._totals: Counter[str] = Counter()
        self._since = windows.iso(datetime.now(UTC))

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, D102 - Spark's interface
        log.info("%s: started", event.name)

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, D102
        progress = event.progress
        counts = self._job.counts.pop(progress.batchId, Counts())
        if not progress.numInputRows:
            return
        # Each event is two rows there: the order, and the order with its content.
        late = sum(state.numRowsDroppedByWatermark for state in progress.stateOperators) // 2
        events, watermark = progress.numInputRows, progress.eventTime.get("watermark", "none")
        repeated = events - counts.counted - counts.quarantined - late
        log.info(
            "batch %d: %d events = %d counted + %d repeated + %d quarantined %s+ %d late, in %.1f s; "
            "windows: %d open, %d closed; watermark %s",
            progress.batchId,
            events,
            counts.counted,
            repeated,
            counts.quarantined,
            "".join(f"({number} {reason}) " for reason, number in counts.reasons.items()),
            late,
            progress.batchDuration / 1000,
            counts.open_windows,
            counts.closed_windows,
            watermark,
        )
        self._totals.update(
            events=events, counted=counts.counted, repeated=repeated, quarantined=counts.quarantined, late=late
        )
        status = {"since": self._since, "until": windows.iso(datetime.now(UTC)), "watermark": watermark, **self._totals}
        try:
            self._job.storage.write_text(f"{self._job.home}/status.json", json.dumps(status))
        except Py4JJavaError as error:
            # What the batches themselves need of HDFS ends the job; this is for those who look on.
            log.warning("status.json could not be written: %s", str(error.java_exception))

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, D102
        pass

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, D102
        log.info("query %s ended", event.id)


def start_again(settings: Settings) -> str:
    """How to begin anew, as the end of a sentence."""
    return (
        f"or move {settings.state_path}/streaming, {settings.stream_output_path} and "
        f"{settings.quarantine_path}/streaming away, and the job starts again from the earliest event that topic "
        f"{settings.sales_topic} still has"
    )


def explain(error: Exception, settings: Settings) -> LostDataError | None:
    """What to do about an error that a restart would only meet again; None for every other one."""
    if isinstance(error, LostDataError):
        return error
    said = str(error).strip()
    found = next((condition for condition in LOST_DATA if condition in said), None)
    if found is None:
        return None
    reason = said[said.index(found) :].splitlines()[0][:300]
    return LostDataError(
        f"events or state that the job has not finished with are gone ({reason}): bring them back; "
        f"{start_again(settings)}"
    )


def main() -> int:
    """Run until the query fails or the job is stopped; return the exit code."""
    configure_logging()
    try:
        settings = Settings()
    except ValidationError as error:
        log.error("settings: %s", error)
        return 2
    job = None
    try:
        wait_for_hdfs(settings)
        spark = open_session(
            "retail-streaming", {**SPARK, "spark.sql.shuffle.partitions": str(settings.state_partitions)}
        )
        job = Streaming(spark, settings)
        spark.streams.addListener(ProgressLog(job))
        job.start().awaitTermination()
    except (JobError, PySparkException, Py4JJavaError, StreamingQueryException) as error:
        cause = (job.failure if job else None) or error
        if lost := explain(cause, settings):
            log.error("%s", lost)
            return 2
        log.error("failed, systemd starts the job again: %s", str(cause).strip().splitlines()[0])
        return 1
    return 0


def _figures() -> list[Column]:
    """What `_set_aside` asks of a batch, gathered on the way."""
    said = F.xxhash64("key", "says")
    unusable = ~cleaning.is_clean()
    return [
        F.count_if(is_order()).alias("orders"),
        F.count_if(is_content()).alias("contents"),
        # Equal when every order came with one content, and every content with its order: the usual case.
        F.bit_xor(F.when(is_order(), said)).alias("orders_say"),
        F.bit_xor(F.when(is_content(), said)).alias("contents_say"),
        F.sum(F.when(unusable, size_of())).alias("unusable_bytes"),
    ]


if __name__ == "__main__":
    sys.exit(main())
