"""Batch: new CSVs in, daily revenue out.

    USE_HDFS=false python -m retail_jobs.batch [--full-refresh]     # ./data, no cluster
    spark-submit /opt/retail-jobs/retail_jobs/batch.py [--full-refresh]

Finds the files that are not yet part of what is published, or not as they are now; reads them; and publishes the days
that change: clean transactions as Parquet by month (`transactions`), daily revenue by product (`analysis_parquet`) and
by store (`stores_parquet`) in one file per day, and both as CSV. FORGET=name.csv takes the sales of a file out again
that is not in the input folder any more.

Exit code 0: all is done. 1: a later attempt may succeed by itself. 2: it would not, a human is needed. The last error
on stdout and the report say what is wrong.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql import SparkSession
from retail_dataset.rules import DataSet

from retail_jobs import cleaning, ingest, publication, stored, totals
from retail_jobs.csv_records import read_headers
from retail_jobs.draft import Draft, Folders
from retail_jobs.errors import JobError
from retail_jobs.executors import wait_for_executors
from retail_jobs.explain import explain
from retail_jobs.headers import describe
from retail_jobs.ingest import Ingested
from retail_jobs.inputs import Work, find_input, plan_work, require_unchanged
from retail_jobs.lock import Lock, hold
from retail_jobs.products import Products, read_products, read_rules
from retail_jobs.publication import SeenFile, State
from retail_jobs.report import Report, replace_file
from retail_jobs.session import configure_logging, open_session, wait_for_cluster
from retail_jobs.settings import ReportSettings, Settings
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
    # Nor for the bounds of other columns than those whose bounds are asked for, `stored.find`.
    "spark.hadoop.parquet.column.statistics.enabled": "false",
    "spark.hadoop.parquet.column.statistics.enabled#order_id": "true",
    "spark.hadoop.parquet.column.statistics.enabled#source": "true",
    "spark.hadoop.parquet.size.statistics.enabled": "false",
    # A task keeps the files of so many months open instead of sorting its rows by month.
    "spark.sql.maxConcurrentOutputFileWriters": "100",
}
SMALL = {
    # A JVM that lives for seconds: what its second compiler takes, it does not give back.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""What a run adds that has little to read, where it starts the JVM itself."""


@dataclass
class Batch:
    """One run of the batch over one set of paths.

    Attributes:
        settings: where everything is.
        open_spark: gives the session, which only a run that reads files needs; it is told whether they are small.
        full_refresh: whether to read all files again.
    """

    settings: Settings
    open_spark: Callable[[bool], SparkSession]
    full_refresh: bool = False
    report: Report = field(init=False, default_factory=Report)

    def __post_init__(self) -> None:
        self.storage = Storage()
        self.folders = Folders.of(self.settings)

    def run(self) -> Report:
        """Do everything that is to be done; the report is written whatever happens.

        Raises:
            JobError: something is for a human to do.
        """
        log.info("batch %s starts%s", self.report.run_id, ", full refresh" if self.full_refresh else "")
        with self.report.on_failure(self.settings.report_file):
            with hold(self.storage, f"{self.folders.home}/lock.json") as lock:
                self._run(lock)
            self.report.save(self.settings.report_file)
        log.info("batch %s: %s in %.1f s", self.report.run_id, self.report.result, self.report.seconds)
        return self.report

    def _run(self, lock: Lock) -> None:
        for folder in (*self.folders.rows, *self.folders.shown):
            self.storage.make_folder(folder)
        for folder in self.folders.shown:
            self.storage.require_snapshots(folder)
        state = self._load_state()
        rules = read_rules(self.storage, self.settings.input_path)
        work = plan_work(
            find_input(self.storage, self.settings.input_path),
            state,
            rules,
            forget=self.settings.forget,
            full_refresh=self.full_refresh,
        )
        products = read_products(self.storage, self.settings.input_path, rules)
        if work.is_something or (state.files and products.digest != state.products):
            state = self._publish(lock, state, work, rules, products)
        self._write_csvs(products)
        self.report.gone = work.gone
        for name in work.gone:
            log.warning(
                "%s is not in the input folder any more, and its sales still count: bring it back, or take them out "
                "with FORGET=%s",
                name,
                name,
            )
        self.report.settle(state.files)
        if self.report.message:
            log.warning("partial: %s", self.report.message)

    def _load_state(self) -> State:
        """The state of the last publication, after finishing one that an interrupted run planned.

        Raises:
            JobError: the state does not say what readers see.
        """
        home = self.folders.home
        try:
            state = publication.load_state(self.storage, home)
            if publication.recover(self.storage, home, state.publication):
                state = publication.load_state(self.storage, home)
        except JobError:
            if not self.full_refresh:
                raise
            state = publication.first_state()
        if state.publication < self._shown and not self.full_refresh:
            raise JobError(
                f"{home}/{publication.STATE} is of publication {state.publication}, and readers have seen "
                f"{self._shown}: bring the newest one back, or start the batch with --full-refresh, which publishes "
                "what the input folder holds now"
            )
        if state.publication:
            for folder in self.folders.shown:
                publication.show(self.storage, folder, max(state.publication, self._shown))
        return state

    @property
    def _shown(self) -> int:
        """Number of the newest publication that readers see."""
        return max(publication.latest_number(self.storage, folder) for folder in self.folders.shown)

    def _publish(self, lock: Lock, before: State, work: Work, rules: DataSet, products: Products) -> State:
        """Read what is new and make it visible; return the state that holds now."""
        number = max(before.publication, self._shown) + 1
        staging = f"{self.folders.home}/staging/{self.report.run_id}-{number}"
        sources = {self.storage.uri(f"{self.settings.input_path}/{name}"): name for name in work.files}
        draft = Draft(
            self.storage,
            self.folders,
            staging,
            number,
            self.report.run_id,
            from_scratch=work.from_scratch,
            numbers={source: work.files[name].number for source, name in sources.items()},
        )
        draft.take_out({self.storage.uri(f"{self.settings.input_path}/{name}") for name in work.leaving})
        draft.put_in(self._ingest(work, rules, draft.stored, staging))
        state = State(version=2, files=work.files, products=before.products)
        for source, counts in draft.counts.items():
            file = state.files[sources[source]]
            file.rows, file.clean = counts.rows, counts.rows - counts.quarantined
            file.reasons = dict(counts.reasons)
        self._count(draft, {name: state.files[name] for name in work.read})
        require_unchanged(self.storage, work.read.values())
        plan = draft.finish(state, products)
        self.report.publication, self.report.dates_published = number, draft.days
        lock.check()
        publication.commit(self.storage, self.folders.home, staging, plan)
        span = f" ({draft.days[0]} to {draft.days[-1]})" if draft.days else ""
        log.info("written: publication %d, %d days%s", number, len(draft.days), span)
        return state

    def _ingest(self, work: Work, rules: DataSet, known: list[FileInfo], staging: str) -> Ingested:
        files = list(work.read.values())
        if not files:
            return ingest.NOTHING
        log.info("found: %d files to read", len(files))
        small = ingest.is_small(files)
        spark, began = self.open_spark(small), time.monotonic()
        groups = read_headers(spark, self.storage, files, rules, self.settings.input_path, f"{staging}/records")
        if not groups:
            return ingest.NOTHING
        names = {file.path: name for name, file in work.read.items()}
        for group, members in groups.items():
            if group.missing:
                for file in members:
                    work.files[names[file.path]].header = describe(group.layout, group.missing)
        if small:
            ingested = ingest.read_at_once(spark, groups)
        else:
            ingested = ingest.read_in_parts(spark, self.storage, groups, known, staging)
        log.info("read: %d files in %.1f s", len(files), time.monotonic() - began)
        return ingested

    def _count(self, draft: Draft, read: dict[str, SeenFile]) -> None:
        """Count what came of the files that were read."""
        report = self.report
        report.count(read)
        report.repeated, report.corrected = draft.repeated, draft.corrected
        log.info("cleaned: read %d = clean %d + quarantined %d", report.rows_read, report.clean, report.quarantined)
        for reason, rows in report.reasons.items():
            log.info("quarantine: %d rows, %s (%s)", rows, reason, cleaning.REASONS[reason])
        if report.repeated or report.corrected:
            log.info("same order again: %d repeats, %d corrections", report.repeated, report.corrected)

    def _write_csvs(self, products: Products) -> None:
        """Put the results on the driver's own disk as CSV, where they are not as they are now."""
        by_product = stored.read_parquet(self.storage, self.folders.sums("by_product"))
        by_store = stored.read_parquet(self.storage, self.folders.sums("by_store"))
        if by_product is None or by_store is None:
            return
        twice = stored.read_parquet(self.storage, self.folders.sums("counted_twice"))
        by_product = totals.publish(by_product, products, twice or totals.BY_PRODUCT.empty_table())
        by_store = by_store.drop_columns("rows")
        for name, table in (("daily_revenue", by_product), ("revenue_by_store", by_store)):
            text = to_csv(table)
            file = self.settings.csv_path.absolute() / f"{name}.csv"
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                replace_file(file, text)
                log.info("written: %d rows to %s", table.num_rows, file)


def to_csv(table: pa.Table) -> str:
    """Rows as CSV, a quantity without trailing zeros."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    columns["quantity"] = [format(value.normalize(), "f") for value in columns["quantity"]]
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def main() -> int:
    """Run the batch once; return the exit code."""
    parser = argparse.ArgumentParser(description="Daily revenue by product and by store, from the CSVs.")
    parser.add_argument("--full-refresh", action="store_true", help="read all files again and rebuild everything")
    options = parser.parse_args()
    configure_logging()
    opened: list[SparkSession] = []

    def open_spark(small: bool) -> SparkSession:
        opened.append(open_session("retail-batch", SPARK | SMALL if small else SPARK))
        wait_for_executors(opened[-1], settings)
        return opened[-1]

    try:
        with Report().on_failure(ReportSettings().report_file):
            settings = Settings()
            wait_for_cluster(settings)
        try:
            Batch(settings, open_spark, options.full_refresh).run()
        finally:
            for spark in opened:
                spark.stop()
    except Exception as error:
        explained = explain(error)
        log.error(
            "the batch failed, nothing of it is published: %s", explained, exc_info=None if explained.known else error
        )
        return explained.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
