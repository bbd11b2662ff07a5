"""The batch on a real HDFS: new, changed and forgotten files, and a reader that takes the newest snapshot."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import Batch
from retail_jobs.errors import JobError
from retail_jobs.publication import latest
from retail_jobs.report import Report
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage

from tools.data.oracle import compare, daily_revenue
from tools.testing.hdfs_daemons import Hdfs, running_hdfs

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "input"


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as running:
        yield running


def test_the_batch_on_hdfs_says_what_the_oracle_says(spark: SparkSession, hdfs: Hdfs, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "input")
    (tmp_path / "input" / "sub folder").mkdir()
    odd = tmp_path / "input" / "sub folder" / "Größe [1] 100%.csv"
    shutil.move(tmp_path / "input" / "transactions_2025-09_4.csv", odd)
    storage = Storage()

    def put(file: Path) -> None:
        storage.write_bytes(f"{hdfs.url}/data/input/{file.relative_to(tmp_path / 'input')}", file.read_bytes())

    def run(forget: str = "") -> Report:
        settings = Settings(
            input_path=f"{hdfs.url}/data/input",
            output_path=f"{hdfs.url}/data/output",
            quarantine_path=f"{hdfs.url}/data/quarantine",
            state_path=f"{hdfs.url}/data/state",
            csv_path=tmp_path / "csv",
            forget=forget,
        )
        report = Batch(settings, lambda _: spark).run()
        with (tmp_path / "csv" / "daily_revenue.csv").open() as file:
            assert compare(daily_revenue(tmp_path / "input"), list(csv.DictReader(file))) == []
        return report

    for file in sorted((tmp_path / "input").rglob("*.csv")):
        put(file)
    with pytest.raises(JobError, match="allowSnapshot /data/output/analysis_parquet"):
        run()
    for name in ("analysis_parquet", "stores_parquet"):
        hdfs.make_folder(f"/data/output/{name}")
        hdfs.allow_snapshots(f"/data/output/{name}")
    assert run().result == "published"
    assert run().result == "nothing new"
    odd.write_text("".join(odd.read_text().splitlines(keepends=True)[:-100]))
    put(odd)
    assert run().result == "published"
    # Bytes that Parquet reads from HDFS in place of a whole file.
    folder = latest(storage, f"{hdfs.url}/data/output/analysis_parquet")
    assert folder is not None and folder.endswith("/p000000002")
    before = spark.read.parquet(folder).count()
    odd.unlink()
    storage.delete(f"{hdfs.url}/data/input/sub folder/{odd.name}")
    assert run(forget=f"sub folder/{odd.name}").publication == 3
    assert spark.read.parquet(folder).count() == before
