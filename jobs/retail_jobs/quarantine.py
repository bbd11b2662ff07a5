"""What is in the quarantine: how many records by job and reason, with the latest one of each as an example.

USE_HDFS=false python -m retail_jobs.quarantine          # ./data, no cluster
spark-submit --master local[1] /opt/retail-jobs/retail_jobs/quarantine.py
"""

from __future__ import annotations

import logging
import sys

from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_jobs.cleaning import QUARANTINE_SCHEMA, REASONS
from retail_jobs.errors import JobError
from retail_jobs.session import configure_logging, open_session, wait_for_hdfs
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage

log = logging.getLogger(__name__)

JOBS = ("batch", "streaming")
SHOWN = 100
"""Characters of an example that are printed at most."""


def read_quarantine(spark: SparkSession, settings: Settings) -> DataFrame:
    """The records of both jobs in one layout, with `job`; a job that has written none has none."""
    storage, frame = Storage(), spark.createDataFrame([], f"{QUARANTINE_SCHEMA}, job string")
    for job in JOBS:
        folder = f"{settings.quarantine_path}/{job}"
        if storage.files(folder):
            records = spark.read.schema(QUARANTINE_SCHEMA).parquet(folder)
            frame = frame.unionByName(records.withColumn("job", F.lit(job)))
    return frame


def summary(records: DataFrame) -> DataFrame:
    """One row per job and reason: records, and raw and place of the latest one; the most frequent first.

    Args:
        records: as `read_quarantine` gives them; a record with two reasons counts under both.
    """
    place = F.coalesce("source", F.concat_ws("/", "topic", "partition", "offset"))
    latest = F.max_by(F.struct("raw", place.alias("place")), "quarantined_at")
    return (
        records.withColumn("reason", F.explode("reasons"))
        .groupBy("job", "reason")
        .agg(F.count("*").alias("records"), latest.alias("example"))
        .select("job", "reason", "records", "example.raw", "example.place")
        .orderBy("job", F.desc("records"), "reason")
    )


def main() -> int:
    """Print the report; return the exit code."""
    configure_logging()
    try:
        settings = Settings()
        wait_for_hdfs(settings)
        spark = open_session("retail-quarantine", {"spark.sql.shuffle.partitions": "1"})
        try:
            records = read_quarantine(spark, settings).persist()
            totals: dict[str, int] = {row.job: row["count"] for row in records.groupBy("job").count().collect()}
            for job in JOBS:
                print(f"{job}: {totals.get(job, 0)} records in {settings.quarantine_path}/{job}")
            for job, reason, count, raw, place in summary(records).collect():
                print(f"\n{job}  {count} x {reason}: {REASONS.get(reason, 'unknown')}")
                print(f"    {(raw or '')[:SHOWN]!r}\n    from {place}")
        finally:
            spark.stop()
    except ValidationError as error:
        log.error("settings: %s", error)
        return 2
    except JobError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
