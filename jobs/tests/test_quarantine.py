from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession
from retail_jobs.cleaning import QUARANTINE_SCHEMA
from retail_jobs.quarantine import read_quarantine, summary
from retail_jobs.settings import Settings

NOON = datetime(2025, 9, 1, 12, tzinfo=UTC)


def test_the_report_counts_by_job_and_reason_and_shows_the_latest(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(use_hdfs=False, input_path=str(tmp_path), output_path=str(tmp_path / "output"))
    assert read_quarantine(spark, settings).count() == 0
    lines = [
        ("a", ["no_date"], "file:/a.csv", None, None, None, "run-1", NOON),
        ("b", ["no_date", "no_amount"], "file:/b.csv", None, None, None, "run-2", NOON + timedelta(hours=1)),
    ]
    messages = [("{", ["bad_json"], None, "sales", 2, 7, "run-3", NOON)]
    for job, rows in (("batch", lines), ("streaming", messages)):
        frame = spark.createDataFrame(rows, QUARANTINE_SCHEMA)
        frame.write.parquet(f"{settings.quarantine_path}/{job}")
    assert [tuple(row) for row in summary(read_quarantine(spark, settings)).collect()] == [
        ("batch", "no_date", 2, "b", "file:/b.csv"),
        ("batch", "no_amount", 1, "b", "file:/b.csv"),
        ("streaming", "bad_json", 1, "{", "sales/2/7"),
    ]
