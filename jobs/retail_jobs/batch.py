"""Batch: new CSVs in, daily revenue out.

    USE_HDFS=false python -m retail_jobs.batch [--full-refresh]     # ./data, no cluster
    spark-submit /opt/retail-jobs/retail_jobs/batch.py [--full-refresh]

Reads the files that no earlier run has read, keeps clean transactions as Parquet (`transactions`, a few files per day),
and rebuilds the aggregate (`analysis_parquet`, one file per day) and the CSV for the days that change. Exit code 0
when all is done, 1 with a sentence on stdout when something is for a human to do.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import sys
import time
import uuid
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from py4j.protocol import Py4JJavaError
from pydantic import ValidationError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from retail_jobs import cleaning, merging, publication
from retail_jobs.csv_records import Header, read_headers, read_order_ids, read_records
from retail_jobs.errors import JobError
from retail_jobs.executors import wait_for_executors
from retail_jobs.lock import Lock, hold
from retail_jobs.products import FILE_NAME as PRODUCTS_FILE
from retail_jobs.products import Products, read_products
from retail_jobs.publication import Plan, SeenFile, State
from retail_jobs.report import Report, now, replace_file
from retail_jobs.session import configure_logging, open_session, wait_for_hdfs
from retail_jobs.settings import Settings
from retail_jobs.storage import FileInfo, Storage

log = logging.getLogger(__name__)

SPARK = {
    "spark.sql.shuffle.partitions": "8",
    # The sizes that its plans depend on are known when they are made, because what they join is kept in memory by
    # then; planning again between stages makes three jobs of one, which is most of the time of a small run.
    "spark.sql.adaptive.enabled": "false",
    # A folder of a few thousand files is listed faster by the driver than by a job.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "5000",
    # Opening a file takes as long as reading so many bytes of it; Spark supposes 4 MiB, and gives a task fewer files.
    "spark.sql.files.openCostInBytes": "262144",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Parquet need not look for values that come again where there are hardly any.
    "spark.hadoop.parquet.enable.dictionary#order_id": "false",
    "spark.hadoop.parquet.enable.dictionary#order_time": "false",
    # Nor for the bounds of other columns than the one whose bounds are asked for, `_find_again`.
    "spark.hadoop.parquet.column.statistics.enabled": "false",
    "spark.hadoop.parquet.column.statistics.enabled#order_id": "true",
    "spark.hadoop.parquet.size.statistics.enabled": "false",
    # A task keeps the files of so many days open instead of sorting its rows by day.
    "spark.sql.maxConcurrentOutputFileWriters": "100",
}
TRANSACTIONS_SCHEMA = (
    "order_id string, order_time timestamp, store_id string, store_city string, product string, quantity bigint, "
    "unit_price decimal(18,2), amount decimal(18,2), source string, order_date date"
)
COLUMNS = [column.split()[0] for column in TRANSACTIONS_SCHEMA.split(", ")]
ANALYSIS_SCHEMA = (
    "product string, category string, brand string, orders bigint, quantity bigint, revenue decimal(18,2), "
    "order_date date"
)
CSV_COLUMNS = ("order_date", "product", "category", "brand", "orders", "quantity", "revenue")
CSV_HEADER = ",".join(cleaning.FIELDS)
DAY_FILE = "part-0.parquet"
ASIDE = "__HIVE_DEFAULT_PARTITION__"
"""What Spark calls the day of rows without one."""
KEYS_BYTES = 8_000_000
"""Input whose orders one task counts."""
MOST_FILES = 10
"""Files in which the transactions of one day lie at most before they are put together."""
INPUT_ENDINGS = (".csv", ".csv.gz")


@dataclass
class Batch:
    """One run of the batch over one set of paths."""

    spark: SparkSession
    settings: Settings
    full_refresh: bool = False
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        started = datetime.now(UTC)
        self.report = Report(run_id=f"{started:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}")
        self.storage = Storage(self.spark)
        self.home = f"{self.settings.state_path}/batch"
        self.transactions = f"{self.settings.output_path}/transactions"
        self.analysis = f"{self.settings.output_path}/analysis_parquet"
        self.quarantine = f"{self.settings.quarantine_path}/batch"

    def run(self) -> Report:
        """Do everything that is to be done; the report is written whatever happens.

        Raises:
            JobError: something is for a human to do.
        """
        began = time.monotonic()
        log.info("batch %s starts%s", self.report.run_id, ", full refresh" if self.full_refresh else "")
        try:
            with hold(self.storage, f"{self.home}/lock.json") as lock:
                self._run(lock)
        except Exception as error:
            self.report.result, self.report.message = "failed", str(error).strip().splitlines()[0]
            raise
        finally:
            self.report.finished, self.report.seconds = now(), round(time.monotonic() - began, 1)
            self.report.save(self.settings.report_file)
            log.info("batch %s: %s in %.1f s", self.report.run_id, self.report.result, self.report.seconds)
        return self.report

    def _run(self, lock: Lock) -> None:
        for folder in (self.transactions, self.analysis, self.quarantine):
            self.storage.make_folder(folder)
        self.storage.require_snapshots(self.analysis)
        publication.recover(self.storage, self.home)
        inputs = find_inputs(self.storage, self.settings.input_path)
        state = publication.load_state(self.storage, self.home)
        if state.publication:
            publication.show(self.storage, self.analysis, state.publication)
        anew = self.full_refresh or must_read_again(state, inputs)
        generation = state.generation if state.generation and not anew else self.report.run_id
        self._read_new_files(lock, generation)
        self._refresh_categories(lock, publication.load_state(self.storage, self.home))
        for folder in self.storage.folders(f"{self.home}/checkpoints"):
            if not folder.endswith(f"/{generation}"):
                self.storage.delete(folder)
        self._write_csv()
        if self.report.result == "running":
            self.report.result = "published" if self.report.dates_published else "nothing new"

    def _read_new_files(self, lock: Lock, generation: str) -> None:
        """Let Spark's file source find what no run has read, and read that in one batch."""
        failure: list[Exception] = []

        def take(files: DataFrame, batch_id: int) -> None:
            found = [
                FileInfo(row.path, row.length, round(row.modificationTime.timestamp() * 1000))
                for row in files.collect()
            ]
            try:
                Step(self, lock, publication.load_state(self.storage, self.home), generation).process(found)
            except Exception as error:
                # Spark would wrap it in the text of a JVM exception.
                failure.append(error)
                raise

        query = (
            self.spark.readStream.format("binaryFile")
            .schema("path string, modificationTime timestamp, length bigint, content binary")
            .option("pathGlobFilter", "*.[cC][sS][vV]{,.gz}")
            .option("recursiveFileLookup", "true")
            # A file may be older than those that came before it.
            .option("maxFileAge", "36500d")
            .load(self.settings.input_path)
            .select("path", "length", "modificationTime")
            .writeStream.trigger(availableNow=True)
            .option("checkpointLocation", f"{self.home}/checkpoints/{generation}")
            .foreachBatch(take)
            .start()
        )
        try:
            query.awaitTermination()
        except Exception as error:
            raise (failure[0] if failure else error) from None

    def _refresh_categories(self, lock: Lock, state: State) -> None:
        """Rebuild the aggregate of every day when `products.csv` says something else than it did."""
        catalogue = read_products(self.storage, self.settings.input_path)
        if not state.files or state.products == catalogue.digest:
            return
        log.info("%s has changed: rebuilding the aggregate of every day", PRODUCTS_FILE)
        Step(self, lock, state, state.generation).publish_categories(catalogue)

    def read_transactions(self, folder: str | None = None) -> DataFrame:
        """Clean transactions: those published so far, or those in another folder."""
        return self.spark.read.schema(TRANSACTIONS_SCHEMA).parquet(folder or self.transactions)

    def _write_csv(self) -> None:
        """Put the aggregate on the driver's own disk as one CSV, if it is not there as it is now."""
        daily = self.spark.read.schema(ANALYSIS_SCHEMA).parquet(self.analysis)
        rows = daily.select(*CSV_COLUMNS).orderBy("order_date", "product").collect()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([CSV_COLUMNS, *rows])
        file = self.settings.csv_path.absolute() / "daily_revenue.csv"
        if file.exists() and file.read_text(encoding="utf-8") == text.getvalue():
            return
        replace_file(file, text.getvalue())
        log.info("written: %d rows to %s", len(rows), file)


@dataclass
class Step:
    """The work on one set of new files, from reading to publication.

    The lines are read twice: for the keys of the orders, of which only those that come again are kept; then all rows
    are cleaned and written, most of them straight into files of their days. The few that need a second look, because
    they are not clean or their order comes again, go aside into a partition of their own in the same pass.
    """

    batch: Batch
    lock: Lock
    state: State
    generation: str

    def __post_init__(self) -> None:
        self.report, self.storage, self.spark = self.batch.report, self.batch.storage, self.batch.spark
        # In a first run and in a full refresh nothing that is published counts.
        self.fresh = self.generation != self.state.generation
        # A state that was lost must not bring back numbers that readers have seen.
        shown = publication.latest_number(self.storage, self.batch.analysis)
        self.number = max(self.state.publication, shown) + 1
        self.staging = f"{self.batch.home}/staging/{self.report.run_id}-{self.number}"

    def process(self, found: list[FileInfo]) -> None:
        """Read, clean, merge and publish files."""
        files = self._in_order(found)
        if not files:
            return
        groups = read_headers(self.storage, files)
        self._look_at_headers(groups, files)
        plan = Plan(state=self._next_state(files), shown=self.batch.analysis)
        if self.fresh:
            for folder in (self.batch.quarantine, self.batch.transactions):
                plan.deletes += [file.path for file in self.storage.files(folder, recursive=True)]
        rewritten, filled = self._prepare(plan, groups, files) if groups else (set(), set())
        for folder in (self.batch.transactions, self.batch.analysis):
            old_days = {_day(path) for path in self.storage.folders(folder)} if self.fresh else rewritten
            plan.deletes += [f"{folder}/order_date={day}" for day in sorted(old_days - filled)]
        require_unchanged(self.storage, files)
        self._commit(plan)

    def publish_categories(self, catalogue: Products) -> None:
        """Build the aggregate of every day anew."""
        state = self.state.model_copy(update={"publication": self.number, "products": catalogue.digest})
        plan = Plan(state=state, shown=self.batch.analysis)
        self._stage_analysis(plan, merging.sum_up(self.batch.read_transactions()), catalogue)
        self._commit(plan)

    def _in_order(self, found: list[FileInfo]) -> list[FileInfo]:
        """The files to read, in the order in which they count: as they came, and by name when they came together."""
        seen = self.state.files
        files = [file for file in found if file.name.lower() != PRODUCTS_FILE]
        if not self.fresh:
            files = [file for file in files if file.path not in seen]
        last = len(seen) + 1
        return sorted(files, key=lambda file: (seen[file.path].number if file.path in seen else last, file.path))

    def _next_state(self, files: list[FileInfo]) -> State:
        known = {} if self.fresh else dict(self.state.files)
        for file in files:
            known[file.path] = SeenFile(number=len(known) + 1, length=file.length, modified=file.modified)
        return State(publication=self.number, generation=self.generation, products=self.state.products, files=known)

    def _file_order(self, files: list[FileInfo]) -> DataFrame:
        rows = [(self.storage.uri(file.path), number) for number, file in enumerate(files)]
        return self.spark.createDataFrame(rows, "source string, number int")

    def _look_at_headers(self, groups: dict[Header, list[FileInfo]], files: list[FileInfo]) -> None:
        self.report.files_read += len(files)
        unknown = [file.name for header, members in groups.items() if not header.is_known for file in members]
        if unknown:
            self.report.result = "partial"
            self.report.message = f"no known column in {', '.join(unknown)}: give the file a header like {CSV_HEADER}"
            log.error("%s; its rows are in the quarantine", self.report.message)

    def _prepare(
        self, plan: Plan, groups: dict[Header, list[FileInfo]], files: list[FileInfo]
    ) -> tuple[set[str], set[str]]:
        """Stage everything that the files bring; see `_stage_days` for what is returned."""
        records, stored = read_records(self.spark, groups), self.batch.read_transactions()
        if self.fresh:
            stored = stored.where("false")
        again, said = self._find_again(read_order_ids(self.spark, groups), stored, files)
        staged = f"{self.staging}/transactions"
        read = self._stage_rows(records, again, staged)

        # The stages of the few rows aside leave cores idle: what does not need their result goes on beside them.
        with ThreadPoolExecutor() as pool:
            sums = merging.sum_up(self.batch.read_transactions(staged).where("order_date is not null")).persist()
            summed = pool.submit(sums.count)
            outcome = merging.judge(self._read_aside(staged), self._file_order(files)).persist()
            self._count(read, outcome)
            quarantined = pool.submit(self._stage_quarantine, plan, outcome)
            said = said.join(again, "key", "left_semi")
            changed = merging.changes(outcome.where(F.col("verdict") == merging.KEPT), said).persist()
            summed.result()
            days = self._stage_days(pool, plan, staged, sums, changed, stored)
            quarantined.result()
        for frame in (again, sums, outcome, changed):
            frame.unpersist()
        return days

    def _find_again(self, orders: DataFrame, stored: DataFrame, files: list[FileInfo]) -> tuple[DataFrame, DataFrame]:
        """The keys of orders that come again, in the new rows or after stored ones; and where stored ones may be."""
        began = time.monotonic()
        partitions = max(8, sum(file.length for file in files) // KEYS_BYTES)
        said = stored.withColumn("key", merging.order_key())
        if self.fresh:
            again = merging.count_orders(orders, partitions).where("count > 1").select("key").persist()
            found = again.count()
        else:
            # Shops number their orders, so few files hold orders of the same range: Parquet skips the others.
            span = Observation()
            bounds = F.min("order_id").alias("first"), F.max("order_id").alias("last")
            counted = merging.count_orders(orders.observe(span, *bounds), partitions).persist()
            log.info("found: %d orders", counted.where("count > 0").count())
            said = said.where(F.col("order_id").between(F.lit(span.get["first"]), F.lit(span.get["last"])))
            known = said.join(counted, "key", "left_semi")
            again = known.select("key").unionByName(counted.where("count > 1").select("key")).distinct().persist()
            found = again.count()
            counted.unpersist()
        # Counted, because their number must be known before the join with them is planned.
        log.info("looked for orders that come again: %d, in %.1f s", found, time.monotonic() - began)
        return again, said

    def _stage_rows(self, records: DataFrame, again: DataFrame, folder: str) -> int:
        """Clean all rows and write them by day, those that need a second look aside; return how many there are."""
        began = time.monotonic()
        cleaned = cleaning.clean(records).withColumn("key", merging.order_key())
        marked = cleaned.join(again.withColumn("again", F.lit(True)), "key", "left")
        plain = cleaning.is_clean() & F.col("again").isNull()
        marked.select(
            *[name for name in COLUMNS if name != "order_date"],
            F.when(~plain, F.struct("raw", "reasons", "block", "row")).alias("aside"),
            F.when(plain, F.col("order_date")).alias("order_date"),
        ).write.partitionBy("order_date").parquet(folder)
        # An observation on the way would take every row through memory once more; Parquet knows.
        rows = self.batch.read_transactions(folder).count()
        log.info("read: %d rows in %.1f s", rows, time.monotonic() - began)
        return rows

    def _read_aside(self, folder: str) -> DataFrame:
        """The rows that need a second look."""
        schema = f"{TRANSACTIONS_SCHEMA}, aside struct<raw string, reasons array<string>, block bigint, row bigint>"
        aside = self.spark.read.schema(schema).parquet(folder).where("order_date is null")
        return aside.withColumn("order_date", F.to_date("order_time")).select(*COLUMNS, "aside.*")

    def _count(self, read: int, outcome: DataFrame) -> None:
        """Count what a second look found."""
        report = self.report
        report.rows_read += read
        for verdict, reasons, rows in outcome.groupBy("verdict", "reasons").count().collect():
            if reasons:
                report.add_reasons(reasons, rows)
            report.repeated += rows if verdict == merging.REPEAT else 0
            report.corrected += rows if verdict == merging.CORRECTED else 0
        report.clean = report.rows_read - report.quarantined
        log.info("cleaned: read %d = clean %d + quarantined %d", report.rows_read, report.clean, report.quarantined)
        for reason, rows in report.reasons.items():
            log.info("quarantine: %d rows, %s (%s)", rows, reason, cleaning.REASONS[reason])
        if report.repeated or report.corrected:
            log.info("same order again: %d repeats, %d corrected by a later file", report.repeated, report.corrected)

    def _stage_quarantine(self, plan: Plan, outcome: DataFrame) -> None:
        if not self.report.quarantined:
            return
        folder = f"{self.staging}/quarantine"
        bad = cleaning.quarantined(outcome.where(~cleaning.is_clean()), self.report.run_id)
        bad.coalesce(1).write.parquet(folder)
        for part in self.storage.files(folder):
            plan.moves.append((part.path, f"{self.batch.quarantine}/part-{self.number:09d}.parquet"))

    def _stage_days(
        self, pool: Executor, plan: Plan, staged: str, sums: DataFrame, changed: DataFrame, stored: DataFrame
    ) -> tuple[set[str], set[str]]:
        """Prepare the transactions and the aggregate of every day that changes.

        Args:
            pool: runs what goes on meanwhile.
            plan: takes what is to be moved and removed.
            staged: folder with the clean rows of orders that come once, by day.
            sums: `merging.sum_up` of these.
            changed: of the other orders the rows that count, with old_date.
            stored: the transactions published so far.

        Returns:
            The days of which no stored file stays, and the days that have rows now, of all that are touched.
        """
        places = changed.select("order_date", "old_date").distinct().collect()
        days = {_day(path) for path in self.storage.folders(staged)} - {ASIDE} | {str(row.order_date) for row in places}
        rewritten = {str(row.old_date) for row in places if row.old_date} | self._crowded(days)
        touched = days | rewritten
        catalogue = read_products(self.storage, self.batch.settings.input_path)
        plan.state.products = catalogue.digest
        if not touched:
            return rewritten, set()

        unchanged = stored.where(F.col("order_date").isin(sorted(touched - rewritten)))
        still = stored.where(F.col("order_date").isin(sorted(rewritten)))
        still = still.join(changed.select("order_id"), "order_id", "left_anti").select(*COLUMNS)
        rows = changed.select(*COLUMNS)
        more = rows.coalesce(1)
        if rewritten:
            more = more.unionByName(still.repartition("order_date"))
        # Not into the folder of the others: Spark would compute again what it keeps of that.
        merged = f"{self.staging}/merged"
        writing = pool.submit(more.write.partitionBy("order_date").parquet, merged)
        sums = sums.unionByName(merging.sum_up(rows.unionByName(still).unionByName(unchanged)))
        filled = self._stage_analysis(plan, sums, catalogue)
        writing.result()
        for day in sorted(rewritten):
            old = self.storage.files(f"{self.batch.transactions}/order_date={day}")
            plan.deletes += [file.path for file in old]
        parts = [part for folder in (staged, merged) for part in self.storage.files(folder, recursive=True)]
        for number, part in enumerate(part for part in parts if _day(part.folder) != ASIDE):
            target = f"{self.batch.transactions}/order_date={_day(part.folder)}"
            plan.moves.append((part.path, f"{target}/part-{self.number:09d}-{number:05d}.parquet"))
        return rewritten, filled

    def _crowded(self, days: set[str]) -> set[str]:
        """Days whose transactions lie in so many files that it is time to put them together."""
        if self.fresh:
            return set()
        folder = self.batch.transactions
        return {day for day in days if len(self.storage.files(f"{folder}/order_date={day}")) >= MOST_FILES}

    def _stage_analysis(self, plan: Plan, sums: DataFrame, catalogue: Products) -> set[str]:
        """Prepare the aggregate of some days; return the days that have one."""
        folder = f"{self.staging}/analysis"
        daily = merging.daily_revenue(sums, catalogue.to_df(self.spark))
        daily = daily.coalesce(1).sortWithinPartitions("order_date", "product")
        daily.write.partitionBy("order_date").parquet(folder)
        parts = self.storage.files(folder, recursive=True)
        days = {_day(part.folder) for part in parts}
        plan.moves += [
            (part.path, f"{self.batch.analysis}/order_date={_day(part.folder)}/{DAY_FILE}") for part in parts
        ]
        self.report.dates_published = sorted(days.union(self.report.dates_published))
        return days

    def _commit(self, plan: Plan) -> None:
        """Make everything visible."""
        self.report.publication = self.number
        self.lock.check()
        publication.commit(self.storage, self.batch.home, self.staging, plan)
        days = self.report.dates_published
        span = f" ({days[0]} to {days[-1]})" if days else ""
        log.info("written: publication %d, %d days%s", self.number, len(days), span)


def find_inputs(storage: Storage, folder: str) -> list[FileInfo]:
    """The CSVs of transactions in a folder.

    Raises:
        JobError: there is no folder, or no CSV in it.
    """
    if not storage.exists(folder):
        raise JobError(f"there is no folder {folder}: put CSVs of transactions there and start the batch again")
    inputs = [
        file
        for file in storage.files(folder, recursive=True)
        if file.name.lower().endswith(INPUT_ENDINGS) and file.name.lower() != PRODUCTS_FILE
    ]
    if not inputs:
        raise JobError(f"{folder} has no CSV of transactions: put some there and start the batch again")
    return inputs


def must_read_again(state: State, inputs: list[FileInfo]) -> bool:
    """Whether a file is not any more what an earlier run has read, one that was copied slowly for instance.

    What it said then cannot be told from what others said, so all files are read again; unless some of them are gone,
    whose transactions would go, too.
    """
    seen = state.files
    changed = [file.name for file in inputs if file.path in seen and seen[file.path].length != file.length]
    if not changed:
        return False
    gone = seen.keys() - {file.path for file in inputs}
    if gone:
        log.warning(
            "changed since they were read: %s; nothing is read again, because what came from files that are gone would "
            "be lost (%s): bring them back, or start the batch with --full-refresh",
            ", ".join(changed),
            ", ".join(sorted(path.rsplit("/", 1)[-1] for path in gone)),
        )
        return False
    log.warning("changed since they were read: %s; all files are read again", ", ".join(changed))
    return True


def require_unchanged(storage: Storage, files: list[FileInfo]) -> None:
    """Make sure that files are still what they were when they were found.

    Raises:
        JobError: one is not.
    """
    changed = [file.name for file in files if storage.info(file.path) != file]
    if changed:
        raise JobError(
            f"{', '.join(changed)} changed while being read: nothing is published, "
            "start the batch again when the files are complete"
        )


def _day(folder: str) -> str:
    """The day of a folder `order_date=<day>`."""
    return folder.rsplit("/", 1)[-1].removeprefix("order_date=")


def main() -> int:
    """Run the batch once; return the exit code."""
    parser = argparse.ArgumentParser(description="Daily revenue by product, from the CSVs.")
    parser.add_argument("--full-refresh", action="store_true", help="read all files again and rebuild everything")
    options = parser.parse_args()
    configure_logging()
    try:
        settings = Settings()
        wait_for_hdfs(settings)
        spark = open_session("retail-batch", SPARK)
        try:
            wait_for_executors(spark, settings)
            Batch(spark, settings, options.full_refresh).run()
        finally:
            spark.stop()
    except ValidationError as error:
        log.error("settings: %s", error)
        return 2
    except JobError as error:
        log.error("%s", error)
        return 1
    except (PySparkException, Py4JJavaError) as error:
        log.error("the batch failed, nothing of it is published: %s", str(error).strip().splitlines()[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
