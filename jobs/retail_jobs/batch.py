"""Batch: new CSVs in, daily revenue out.

    USE_HDFS=false python -m retail_jobs.batch [--full-refresh]     # ./data, no cluster
    spark-submit /opt/retail-jobs/retail_jobs/batch.py [--full-refresh]

Reads the files that no earlier run has read, keeps clean transactions as Parquet (`transactions`, one file per day),
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
from dataclasses import dataclass, field
from datetime import UTC, datetime

from py4j.protocol import Py4JJavaError
from pydantic import ValidationError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_jobs import cleaning, merging, publication
from retail_jobs.csv_records import Header, read_headers, read_records
from retail_jobs.errors import JobError
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
}
TRANSACTIONS_SCHEMA = (
    "order_id string, order_time timestamp, store_id string, store_city string, product string, quantity bigint, "
    "unit_price decimal(18,2), amount decimal(18,2), source string, order_date date"
)
ANALYSIS_SCHEMA = (
    "product string, category string, brand string, orders bigint, quantity bigint, revenue decimal(18,2), "
    "order_date date"
)
CSV_COLUMNS = ("order_date", "product", "category", "brand", "orders", "quantity", "revenue")
CSV_HEADER = ",".join(cleaning.FIELDS)
DAY_FILE = "part-0.parquet"
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
        publication.recover(self.storage, self.home)
        inputs = find_inputs(self.storage, self.settings.input_path)
        for folder in (self.transactions, self.analysis, self.quarantine):
            self.storage.make_folder(folder)
        state = publication.load_state(self.storage, self.home)
        warn_about_changes(state, inputs, self.full_refresh)
        fresh = self.full_refresh or not state.generation
        generation = self.report.run_id if fresh else state.generation
        self._read_new_files(lock, state, generation, fresh)
        state = publication.load_state(self.storage, self.home)
        self._refresh_categories(lock, state)
        for folder in self.storage.folders(f"{self.home}/checkpoints"):
            if not folder.endswith(f"/{generation}"):
                self.storage.delete(folder)
        self._write_csv()
        if self.report.result == "running":
            self.report.result = "published" if self.report.dates_published else "nothing new"

    def _read_new_files(self, lock: Lock, state: State, generation: str, fresh: bool) -> None:
        """Let Spark's file source find what no run has read, and read that in one batch."""
        failure: list[Exception] = []

        def take(files: DataFrame, batch_id: int) -> None:
            found = [
                FileInfo(row.path, row.length, round(row.modificationTime.timestamp() * 1000))
                for row in files.collect()
            ]
            try:
                Step(self, lock, state, generation, fresh).process(found)
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
        Step(self, lock, state, state.generation, fresh=False).publish_categories(catalogue)

    def read_transactions(self) -> DataFrame:
        """The clean transactions published so far."""
        return self.spark.read.schema(TRANSACTIONS_SCHEMA).parquet(self.transactions)

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
    """The work on one set of new files, from reading to publication."""

    batch: Batch
    lock: Lock
    state: State
    generation: str
    fresh: bool
    """Nothing that is published counts: first run or full refresh."""

    def __post_init__(self) -> None:
        self.report, self.storage, self.spark = self.batch.report, self.batch.storage, self.batch.spark
        self.staging = f"{self.batch.home}/staging/{self.report.run_id}-{uuid.uuid4().hex[:4]}"

    def process(self, found: list[FileInfo]) -> None:
        """Read, clean, merge and publish files."""
        files = self._in_order(found)
        if not files:
            return
        began = time.monotonic()
        groups = read_headers(self.storage, files)
        self._look_at_headers(groups, files)
        plan = Plan(state=self._next_state(files))
        if groups:
            cleaned = cleaning.clean(read_records(self.spark, groups)).persist()
            resolved = merging.resolve(cleaned.where(cleaning.is_clean()).drop("reasons"), self._file_order(files))
            conflicts = resolved.verdicts.where(F.col("verdict") == merging.CONFLICT).persist()
            self._count(cleaned, resolved.verdicts)
            log.info(
                "read: %d rows of %d files in %.1f s",
                self.report.rows_read,
                len(files),
                time.monotonic() - began,
            )
            self._stage_quarantine(plan, cleaned, conflicts)
            self._stage_days(plan, resolved.kept)
            cleaned.unpersist()
            conflicts.unpersist()
        self._commit(plan)

    def publish_categories(self, catalogue: Products) -> None:
        """Build the aggregate of every day anew."""
        plan = Plan(state=self.state.model_copy(update={"products": catalogue.digest}))
        self._stage_analysis(plan, self.batch.read_transactions(), catalogue)
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
        return self.state.model_copy(update={"generation": self.generation, "files": known})

    def _file_order(self, files: list[FileInfo]) -> DataFrame:
        rows = [(self.storage.uri(file.path), number) for number, file in enumerate(files)]
        return self.spark.createDataFrame(rows, "source string, number int")

    def _look_at_headers(self, groups: dict[Header, list[FileInfo]], files: list[FileInfo]) -> None:
        self.report.files_read = len(files)
        unknown = [file.name for header, members in groups.items() if not header.is_known for file in members]
        if unknown:
            self.report.result = "partial"
            self.report.message = f"no known column in {', '.join(unknown)}: give the file a header like {CSV_HEADER}"
            log.error("%s; its rows are in the quarantine", self.report.message)

    def _count(self, cleaned: DataFrame, verdicts: DataFrame) -> None:
        report = self.report
        for reasons, rows in cleaned.groupBy("reasons").count().collect():
            report.rows_read += rows
            if reasons:
                report.add_reasons(reasons, rows)
            else:
                report.clean += rows
        judged = {row.verdict: row["count"] for row in verdicts.groupBy("verdict").count().collect()}
        conflicts = judged.get(merging.CONFLICT, 0)
        report.clean -= conflicts
        if conflicts:
            report.add_reasons(["conflicting_duplicate"], conflicts)
        report.repeated, report.corrected = judged.get(merging.REPEAT, 0), judged.get(merging.CORRECTED, 0)
        log.info("cleaned: read %d = clean %d + quarantined %d", report.rows_read, report.clean, report.quarantined)
        for reason, rows in report.reasons.items():
            log.info("quarantine: %d rows, %s (%s)", rows, reason, cleaning.REASONS[reason])
        if report.repeated or report.corrected:
            log.info(
                "same order again: %d repeats, %d corrected by a later file",
                report.repeated,
                report.corrected,
            )

    def _stage_quarantine(self, plan: Plan, cleaned: DataFrame, conflicts: DataFrame) -> None:
        if self.fresh:
            plan.deletes += [file.path for file in self.storage.files(self.batch.quarantine)]
        conflicting = conflicts.withColumn("reasons", F.array(F.lit("conflicting_duplicate"))).drop("verdict")
        bad = cleaned.where(~cleaning.is_clean()).unionByName(conflicting)
        if self.report.quarantined:
            folder = f"{self.staging}/quarantine"
            cleaning.quarantined(bad, self.report.run_id).coalesce(1).write.parquet(folder)
            (part,) = self.storage.files(folder)
            plan.moves.append((part.path, f"{self.batch.quarantine}/part-{self.report.run_id}.parquet"))

    def _stage_days(self, plan: Plan, kept: DataFrame) -> None:
        """Prepare the transactions and the aggregate of every day that changes."""
        columns = [name.split()[0] for name in TRANSACTIONS_SCHEMA.split(", ")]
        stored = self.batch.read_transactions()
        if self.fresh:
            stored = stored.where("false")
        changed = merging.changes(kept, stored).persist()
        dates = F.array_distinct(F.array_compact(F.array("order_date", "old_date")))
        touched = sorted(row[0] for row in changed.select(F.explode(dates)).distinct().collect())
        days = (
            stored.where(F.col("order_date").isin(touched))
            .join(changed.select("order_id"), "order_id", "left_anti")
            .select(*columns)
            .unionByName(changed.select(*columns))
            .persist()
        )
        if touched:
            self._stage_by_day(plan, days, "transactions", self.batch.transactions)
            self._stage_analysis(plan, days, read_products(self.storage, self.batch.settings.input_path))
            plan.state.products = read_products(self.storage, self.batch.settings.input_path).digest
        filled = {target.rsplit("/", 2)[1] for _, target in plan.moves}
        gone = [f"order_date={day}" for day in touched if f"order_date={day}" not in filled]
        for folder in (self.batch.transactions, self.batch.analysis):
            if self.fresh:
                old = [path.rsplit("/", 1)[1] for path in self.storage.folders(folder)]
                gone = [day for day in old if day not in filled]
            plan.deletes += [f"{folder}/{day}" for day in gone]
        days.unpersist()
        changed.unpersist()

    def _stage_analysis(self, plan: Plan, days: DataFrame, catalogue: Products) -> None:
        daily = merging.daily_revenue(days, catalogue.to_df(self.spark))
        self._stage_by_day(plan, daily, "analysis", self.batch.analysis)
        self.report.dates_published = sorted(
            {
                target.rsplit("/", 2)[1].removeprefix("order_date=")
                for _, target in plan.moves
                if "order_date=" in target
            }
        )

    def _stage_by_day(self, plan: Plan, rows: DataFrame, name: str, target: str) -> None:
        folder = f"{self.staging}/{name}"
        by_day = rows.repartition("order_date").sortWithinPartitions("order_date", "product")
        by_day.write.partitionBy("order_date").parquet(folder)
        for part in self.storage.files(folder, recursive=True):
            day = part.path.rsplit("/", 2)[1]
            plan.moves.append((part.path, f"{target}/{day}/{DAY_FILE}"))

    def _commit(self, plan: Plan) -> None:
        """Make everything visible."""
        plan.state.publication = self.report.publication = self.state.publication + 1
        self.lock.check()
        publication.commit(self.storage, self.batch.home, self.staging, plan)
        days = self.report.dates_published
        span = f" ({days[0]} to {days[-1]})" if days else ""
        log.info("written: publication %d, %d days%s", self.report.publication, len(days), span)


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


def warn_about_changes(state: State, inputs: list[FileInfo], full_refresh: bool) -> None:
    """Say which files are not any more what an earlier run has read."""
    seen = state.files
    changed = [file.name for file in inputs if file.path in seen and seen[file.path].length != file.length]
    if changed and not full_refresh:
        log.warning("changed since they were read: %s; --full-refresh reads all files again", ", ".join(changed))


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
