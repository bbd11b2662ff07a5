"""Files that are replaced, renamed or forgotten, with a run that stops anywhere: afterwards the oracle holds."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import Batch
from retail_jobs.errors import JobError
from retail_jobs.report import Report
from retail_jobs.settings import Settings

from tools import JOBS_PATH
from tools.data.oracle import compare, daily_revenue
from tools.testing.interruptions import Stopped, StoppingStorage

ROOT = Path(__file__).resolve().parents[2]
HEADER = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"
# Orders that stand alone, that a later file corrects or repeats, that move to another day, and one without a number.
FILES = {
    "a.csv": "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n2,2025-09-01,S1,Bonn,Tea,1,2.00,2.00\n"
    "3,2025-09-02,S1,Bonn,Cup,1,4.00,4.00\n",
    "b.csv": "2,2025-09-03,S2,Ulm,Tea,1,8.00,8.00\n3,2025-09-02,S1,Bonn,Cup,1,4.00,4.00\n"
    ",2025-09-02,S2,Ulm,Tea,1,16.00,16.00\n4,2025-10-01,S2,Ulm,Cup,1,32.00,32.00\nx,someday,,,,1,1,1\n",
    "c.csv": "4,2025-10-01,S2,Ulm,Cup,1,64.00,64.00\n5,2025-09-01,S1,Bonn,Cup,1,128.00,128.00\n",
}


class Shop:
    """A batch over folders of its own, put back to where they were as often as need be."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark, self.root, self.input = spark, root, root / "work" / "input"
        self.input.mkdir(parents=True)

    def settings(self, forget: str = "") -> Settings:
        work = self.root / "work"
        return Settings(
            use_hdfs=False,
            input_path=str(self.input),
            output_path=str(work / "output"),
            csv_path=work / "csv",
            forget=forget,
        )

    def add(self, name: str, rows: str) -> None:
        (self.input / name).write_text(HEADER + rows)

    def run(self, forget: str = "", changes: int = 1_000_000, full_refresh: bool = False) -> Report:
        batch = Batch(self.settings(forget), lambda _: self.spark, full_refresh)
        batch.storage = StoppingStorage(changes)
        return batch.run()

    def run_in_a_process(self, forget: str, changes: int) -> subprocess.CompletedProcess[str]:
        """A batch that kills itself after so many changes."""
        environment = {
            "USE_HDFS": "false",
            "INPUT_PATH": str(self.input),
            "OUTPUT_PATH": str(self.root / "work" / "output"),
            "CSV_PATH": str(self.root / "work" / "csv"),
            "FORGET": forget,
            "PYTHONPATH": JOBS_PATH,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, "-m", "tools.testing.interruptions", str(changes)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )

    def differences(self) -> list[str]:
        with (self.root / "work" / "csv" / "daily_revenue.csv").open() as file:
            return compare(daily_revenue(self.input), list(csv.DictReader(file)))

    def quarantined(self) -> list[str]:
        files = ds.dataset(self.root / "work" / "output" / "quarantine" / "batch", format="parquet")
        return [row["raw"] for row in files.to_table().to_pylist()]

    def keep(self) -> None:
        shutil.rmtree(self.root / "kept", ignore_errors=True)
        shutil.copytree(self.root / "work", self.root / "kept")

    def put_back(self) -> None:
        shutil.rmtree(self.root / "work")
        shutil.copytree(self.root / "kept", self.root / "work")


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(spark, tmp_path)
    for name, rows in FILES.items():
        shop.add(name, rows)
        shop.run()
    assert shop.differences() == []
    shop.keep()
    yield shop


def replace(shop: Shop) -> None:
    shop.add("b.csv", FILES["b.csv"].replace("8.00,8.00", "9.00,9.00").replace("\n4,", "\n6,"))


def rename(shop: Shop) -> None:
    (shop.input / "b.csv").rename(shop.input / "d.csv")


def remove(shop: Shop) -> None:
    (shop.input / "b.csv").unlink()


CHANGES = pytest.mark.parametrize(("change", "forget"), [(replace, ""), (rename, "b.csv"), (remove, "b.csv")])


@CHANGES
def test_a_change_of_files_that_stops_anywhere_is_finished_by_the_next_run(
    shop: Shop, change: Callable[[Shop], None], forget: str
) -> None:
    def stops() -> Iterator[bool]:
        """Stop after no change, after one, after two, until a run gets through."""
        for changes in range(100):
            shop.put_back()
            change(shop)
            try:
                shop.run(forget, changes)
            except Stopped:
                # As if its process were dead, too.
                (shop.root / "work" / "output" / ".state" / "batch" / "lock.json").unlink(missing_ok=True)
                yield True
            else:
                return

    places = 0
    for _ in stops():
        places += 1
        report = shop.run(forget)
        assert report.result != "failed" and report.gone == []
        assert shop.differences() == []
    assert places > 10
    assert shop.run().result == "nothing new"


def test_what_a_forgotten_file_corrected_counts_again(shop: Shop) -> None:
    (shop.input / "c.csv").unlink()
    assert shop.run().gone == ["c.csv"]
    assert shop.run("c.csv").dates_published == ["2025-09-01", "2025-10-01"]
    assert shop.differences() == []
    (shop.input / "b.csv").unlink()
    shop.run("b.csv")
    assert shop.differences() == []
    assert shop.quarantined() == []
    (shop.input / "a.csv").unlink()
    shop.run("a.csv")
    assert not list((shop.root / "work" / "output" / "analysis_parquet").glob("order_date=*"))


def test_a_file_that_is_still_there_is_not_forgotten(shop: Shop) -> None:
    with pytest.raises(JobError, match=r"a\.csv is still in the input folder"):
        shop.run("a.csv")
    assert shop.run().result == "nothing new"


def test_a_removed_file_does_not_hide_a_change_of_another(shop: Shop) -> None:
    (shop.input / "a.csv").unlink()
    shop.add("c.csv", FILES["c.csv"].replace("128.00,128.00", "256.00,256.00"))
    assert shop.run().gone == ["a.csv"]
    shop.run("a.csv")
    assert shop.differences() == []


def test_a_full_refresh_that_would_lose_sales_is_refused_until_they_are_forgotten(shop: Shop) -> None:
    for name in ("a.csv", "c.csv"):
        (shop.input / name).unlink()
    with pytest.raises(JobError, match=r"would lose the sales of a\.csv, c\.csv, .* \(FORGET=a\.csv\)"):
        shop.run(full_refresh=True)
    assert shop.run().gone == ["a.csv", "c.csv"]
    shop.run("a.csv")
    shop.run("c.csv", full_refresh=True)
    assert shop.differences() == []


@CHANGES
def test_processes_killed_in_mid_publication_leave_it_to_the_next_one(
    shop: Shop, change: Callable[[Shop], None], forget: str
) -> None:
    """The first one is killed when its plan stands, those after it further and further on their way to finish it."""
    change(shop)
    kills = 0
    for changes in (5, *range(0, 100, 3)):
        ended = shop.run_in_a_process(forget, changes)
        if ended.returncode != -signal.SIGKILL:
            break
        kills += 1
        staging = shop.root / "work" / "output" / ".state" / "batch" / "staging"
        assert kills > 1 or list(staging.glob("*/PLAN.json"))
        shop.keep()
        shop.run(forget)
        assert shop.differences() == []
        shop.put_back()
    assert ended.returncode == 0, ended.stdout
    assert kills > 4
    assert shop.differences() == []
    assert shop.run().result == "nothing new"
