"""Revenue by product in 1-hour windows that hop by 15 minutes, from the topic of sales.

    spark-submit /opt/retail-jobs/retail_jobs/streaming.py     # runs until it is stopped

One query reads the topic once; it has no state. The executors parse and clean, and the driver takes a few numbers of
every event of a micro-batch and tells what is new among them. It adds that to the open windows, sends those that
changed to the live topic, writes those that are over and what cannot be used, and at last the state for the next
batch. All of it is named or keyed so that a batch that is repeated after a crash writes the same again:
docs/streaming.md.

Exit code 1: systemd may start it again. 2: that would not help; the last line says what a human has to do.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pydantic import Field
from pyspark.errors.exceptions.captured import convert_exception
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.listener import StreamingQueryListener
from pyspark.sql.streaming.query import StreamingQuery

from retail_jobs import windows
from retail_jobs.errors import JobError
from retail_jobs.executors import wait_for_executors
from retail_jobs.explain import explain
from retail_jobs.live_topic import LiveTopic
from retail_jobs.session import configure_logging, open_session, wait_for_cluster
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage
from retail_jobs.stream_events import clean_events, lean
from retail_jobs.stream_quarantine import Quarantine, to_bytes
from retail_jobs.stream_state import VERSION, LostDataError, State, StateFiles, Totals
from retail_jobs.stream_status import Progress, Status, backlog, position
from retail_jobs.stream_verdicts import EPOCH, FIRST, Rows, Rules, Verdict, by_day, judge, slots_of
from retail_jobs.windows import Windows

log = logging.getLogger(__name__)

SPARK = {
    "spark.sql.streaming.minBatchesToRetain": "20",
    # A file beside each file of the checkpoint; HDFS has checksums of its own.
    "spark.sql.streaming.checkpoint.fileChecksum.enabled": "false",
    # The history server drops from an event log what is about jobs that are over, but for these.
    "spark.eventLog.excludedPatterns": ",".join(
        f"org.apache.spark.sql.streaming.StreamingQueryListener${event}"
        for event in ("QueryProgressEvent", "QueryIdleEvent")
    ),
    # What the driver keeps of the past for its UI.
    "spark.ui.retainedJobs": "100",
    "spark.ui.retainedStages": "100",
    "spark.ui.retainedTasks": "1000",
    "spark.sql.ui.retainedExecutions": "50",
    "spark.sql.streaming.ui.retainedProgressUpdates": "50",
    "spark.sql.streaming.numRecentProgressUpdates": "5",
}

# Spark's error conditions after which a restart would meet the same error again.
LOST_DATA = (
    "KAFKA_DATA_LOSS",
    "RESOLVED_START_OFFSET_GREATER_THAN_END_OFFSET",
    "UNRESOLVED_START_OFFSET_GREATER_THAN_END_OFFSET",
    "STREAMING_CHECKPOINT_MISSING_METADATA_FILE",
)
# Executors throw the first of them without its name.
LOST_EVENTS = "Some data may have been lost because they are not available in Kafka any more"


class Counts(Totals):
    """What became of the events of a batch, and how things are after it."""

    open_windows: int = 0
    closed_windows: int = 0
    watermark: str = ""
    repeated_since_beginning: dict[str, int] = Field(default_factory=dict)
    """By day, of all batches up to this one."""


class Streaming:
    """The query of the job, and what is done with each of its micro-batches."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self.spark, self.settings = spark, settings
        self.storage = Storage()
        self.home = f"{settings.state_path}/streaming"
        self.output = settings.stream_output_path
        self.states = StateFiles(self.storage, self.home, start_again(settings))
        self.live = LiveTopic(settings.kafka_bootstrap_servers, settings.live_topic)
        self.quarantine = Quarantine(
            spark,
            self.storage,
            f"{settings.quarantine_path}/streaming",
            f"{self.home}/staging",
            topic=settings.sales_topic,
            run=uuid.uuid4().hex,
        )
        self.counts: dict[int, Counts] = {}
        self.failure: Exception | None = None
        delay = spark.range(1).select(
            F.unix_micros(F.timestamp_micros(F.lit(0)) + F.expr(f"interval {settings.watermark}"))
        )
        microseconds = int(delay.collect()[0][0])
        self.delay = timedelta(microseconds=microseconds)
        self.rules = Rules(microseconds, settings.max_orders, settings.max_products)
        # Its unused memory can be given back, that of Python and numpy with it.
        self.memory = pa.system_memory_pool()
        pa.set_memory_pool(self.memory)

    def start(self, *, available_now: bool = False) -> StreamingQuery:
        """Start the query.

        Args:
            available_now: end when all that is in the topic now is done, instead of going on for ever.

        Raises:
            LostDataError: the checkpoint is gone while what was made with it is there, or it is of another version.
        """
        settings = self.settings
        self.states.tidy()
        self._look_at_checkpoint()
        messages = (
            self.spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
            .option("subscribe", settings.sales_topic)
            .option("startingOffsets", "earliest")
            .option("failOnDataLoss", "true")
            .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
            # At the end of a partition a consumer's last question would wait half a second for more, and whatever the
            # next task asks on that connection waits behind it.
            .option("kafka.fetch.max.wait.ms", 5)
            .load()
        )
        trigger: dict[str, Any] = {"processingTime": f"{settings.trigger_seconds} seconds"}
        return (
            lean(clean_events(messages))
            .writeStream.queryName("streaming")
            .option("checkpointLocation", f"{self.home}/checkpoint")
            .trigger(**({"availableNow": True} if available_now else trigger))
            .foreachBatch(self._take)
            .start()
        )

    def _look_at_checkpoint(self) -> None:
        if self.storage.exists(f"{self.home}/checkpoint/state"):
            raise LostDataError(
                f"{self.home}/checkpoint is of a version of the job that kept its state in Spark: take the version "
                f"before, {start_again(self.settings)}"
            )
        if self.storage.exists(f"{self.home}/checkpoint/metadata"):
            return
        closed = self.storage.files(self.output)
        made = self.states.newest() or (closed[-1].path if closed else None)
        if made:
            raise LostDataError(
                f"the checkpoint {self.home}/checkpoint is gone, but {made} was made with it: bring the checkpoint "
                f"back; {start_again(self.settings)}"
            )

    def _take(self, rows: DataFrame, batch: int) -> None:
        try:
            self._process(rows, batch)
        except Exception as error:
            self.failure = error
            # Spark looks through the text of an error with a pattern that overflows the stack when it is long, and the
            # query would end as if nothing had happened.
            raise RuntimeError(type(error).__name__) from None
        finally:
            # What a large batch has freed would stay with the process, in pieces that the next one does not fit into.
            self.memory.release_unused()

    def _process(self, rows: DataFrame, batch: int) -> None:
        before, seen = self.states.after(batch - 1)
        table = rows.drop("raw").toArrow()
        events = Rows.of(table)
        verdicts, seen = judge(seen, events, self.rules)
        slots = slots_of(events, verdicts == Verdict.COUNTED)
        opened, changed = windows.add(before.open_windows(), slots)
        # Nothing below is seen by the next batch before its state is written, and all of it can be repeated.
        now = datetime.now(UTC)
        self.live.send(windows.to_messages({key: opened[key] for key in changed}, now))
        latest = None if seen.latest == FIRST else EPOCH + timedelta(microseconds=seen.latest)
        # From the next batch on, what would fall into these is late.
        over = {key: value for key, value in opened.items() if latest and key.end <= latest - self.delay}
        self._close(over, batch)
        rejected = _rejected(table, verdicts)
        counts = self._counted(verdicts, rejected, events)
        after = State(
            version=VERSION,
            latest=latest,
            windows=[(*key, *value) for key, value in opened.items() if key not in over],
            quarantine_file=before.quarantine_file,
            quarantine_rows=before.quarantine_rows,
            totals=before.totals.plus(counts),
        )
        self.quarantine.add(rejected, rows.select("partition", "offset", "raw"), batch, after)
        products = frozenset(product for _, product, _, _ in after.windows)
        self.states.save(batch, after, replace(seen, products=products))
        counts.repeated_since_beginning = after.totals.repeated_by_day
        counts.open_windows, counts.closed_windows = len(after.windows), len(over)
        counts.watermark = windows.iso(latest - self.delay) if latest else "none"
        self.counts[batch] = counts

    def _counted(self, verdicts: npt.NDArray[np.int8], rejected: pa.Table, events: Rows) -> Counts:
        if len(surplus := np.flatnonzero(verdicts == Verdict.TOO_MANY_PRODUCTS)):
            log.warning(
                "%d events went to the quarantine because the open windows have %d product names: set MAX_PRODUCTS "
                "higher if these are products",
                len(surplus),
                self.rules.most_products,
            )
        reasons = Counter("+".join(reasons) for reasons in rejected["reasons"].to_pylist())
        return Counts(
            events=len(verdicts),
            counted=int(np.count_nonzero(verdicts == Verdict.COUNTED)),
            repeated=int(np.count_nonzero(verdicts == Verdict.REPEATED)),
            quarantined=rejected.num_rows,
            reasons=dict(sorted(reasons.items())),
            repeated_by_day=by_day(events.time[verdicts == Verdict.REPEATED]),
        )

    def _close(self, over: Windows, batch: int) -> None:
        """Write the windows that are over: a file of its own for each day on which they start.

        All windows of one start close in the same batch. A file never changes once it is there, so that whoever
        reads the folder meanwhile, with whatever, finds each of them whole or not yet.
        """
        for day, closed in windows.by_day(over).items():
            file, content = f"{self.output}/day-{day}-{batch:012d}.parquet", to_bytes(windows.to_table(closed))
            # An earlier attempt at this batch may have written the same.
            if self.storage.read_bytes(file) != content:
                self.storage.write_bytes(file, content)


class ProgressLog(StreamingQueryListener):
    """One line in the journal for every micro-batch that had events: all of them, and what became of them."""

    def __init__(self, job: Streaming) -> None:
        self._job = job
        self._status = Status(datetime.now(UTC), job.settings.trigger_seconds)

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, D102 - Spark's interface
        log.info("%s: started", event.name)

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, D102
        progress = event.progress
        counts = self._job.counts.pop(progress.batchId, None)
        if not counts:
            return
        seconds = progress.batchDuration / 1000
        log.info(
            "batch %d: %d events = %d counted + %d repeated + %d quarantined%s, in %.2f s; "
            "windows: %d open, %d closed; watermark %s",
            progress.batchId,
            counts.events,
            counts.counted,
            counts.repeated,
            counts.quarantined,
            f" ({', '.join(f'{number} {reason}' for reason, number in counts.reasons.items())})" * bool(counts.reasons),
            seconds,
            counts.open_windows,
            counts.closed_windows,
            counts.watermark,
        )
        (source,) = progress.sources
        after = Progress(
            seconds,
            counts.watermark,
            backlog(source.endOffset, source.latestOffset),
            position(source.endOffset),
            counts.repeated_since_beginning,
        )
        self._status.take(counts, datetime.now(UTC), after)
        self._write()

    def _write(self) -> None:
        try:
            text = self._status.to_json(datetime.now(UTC))
            self._job.storage.write_text(f"{self._job.home}/status.json", text)
        except Py4JJavaError as error:
            # What the batches themselves need of HDFS ends the job; this is for those who look on.
            log.warning("status.json could not be written: %s", explain(error))

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, D102
        self._status.rest()
        self._write()

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, D102
        log.info("query %s ended", event.id)


def start_again(settings: Settings) -> str:
    """How to begin anew, as the end of a sentence."""
    return (
        f"or move {settings.state_path}/streaming, {settings.stream_output_path} and "
        f"{settings.quarantine_path}/streaming away, and the job starts again from the earliest event that topic "
        f"{settings.sales_topic} still has"
    )


def lost_data(error: Exception, settings: Settings) -> JobError | None:
    """What to do about lost data, which a restart would only miss again; None for every other error."""
    if isinstance(error, JobError):
        return error
    for condition, message in _causes(error):
        if condition.split(".")[0] in LOST_DATA or LOST_EVENTS in message:
            return LostDataError(
                f"events or a checkpoint that the job has not finished with are gone "
                f"({message.strip().splitlines()[0][:300]}): bring them back; {start_again(settings)}"
            )
    return None


def _causes(error: Exception) -> Iterator[tuple[str, str]]:
    """Spark's condition (empty without one) and the message of an error and of what caused it, the outer one first."""
    java = error.java_exception if isinstance(error, Py4JJavaError) else getattr(error, "_origin", None)
    while java is not None:
        caught = convert_exception(java)
        yield caught.getCondition() or "", str(java.getMessage() or "")
        java = java.getCause()


def main() -> int:
    """Run until the query fails or the job is stopped; return the exit code."""
    configure_logging()
    settings = job = None
    try:
        settings = Settings()
        wait_for_cluster(settings)
        spark = open_session("retail-streaming", SPARK)
        wait_for_executors(spark, settings)
        job = Streaming(spark, settings)
        spark.streams.addListener(ProgressLog(job))
        job.start().awaitTermination()
    except Exception as error:
        cause = (job.failure if job else None) or error
        lost = lost_data(cause, settings) if settings else None
        explained = explain(lost or cause)
        log.error("streaming failed: %s", explained, exc_info=None if explained.known else cause)
        return explained.exit_code
    return 0


def _rejected(table: pa.Table, verdicts: npt.NDArray[np.int8]) -> pa.Table:
    """What goes to the quarantine of a table as `lean` makes it, each with its reasons."""
    places = np.flatnonzero(verdicts > Verdict.REPEATED)
    found = table.select(["partition", "offset", "size", "text", "reasons"]).take(pa.array(places))
    reasons = [
        own or [Verdict(verdict).name.lower()]
        for own, verdict in zip(found["reasons"].to_pylist(), verdicts[places], strict=True)
    ]
    return found.drop_columns("reasons").append_column("reasons", pa.array(reasons, pa.list_(pa.string())))


if __name__ == "__main__":
    sys.exit(main())
