from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import Batch
from retail_jobs.errors import JobError
from retail_jobs.settings import Settings

from tools.oracle import compare, daily_revenue

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "input"
HEADER = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"


class Shop:
    """A batch over folders of its own."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark, self.root = spark, root
        (root / "input").mkdir(parents=True)

    def settings(self) -> Settings:
        return Settings(
            use_hdfs=False,
            input_path=str(self.root / "input"),
            output_path=str(self.root / "output"),
            csv_path=self.root / "csv" / "analysis_csv",
        )

    def run(self, full_refresh: bool = False) -> dict[str, Any]:
        return Batch(self.settings(), lambda: self.spark, full_refresh).run().model_dump()

    def rows(self) -> list[dict[str, str]]:
        with (self.root / "csv" / "analysis_csv" / "daily_revenue.csv").open() as file:
            return list(csv.DictReader(file))

    def times(self) -> dict[str, int]:
        files = (self.root / "output" / "analysis_parquet").glob("order_date=*/*.parquet")
        return {path.parent.name: path.stat().st_mtime_ns for path in files}

    def quarantine(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = ds.dataset(self.root / "output" / "quarantine" / "batch").to_table().to_pylist()
        return rows

    def add(self, name: str, text: str) -> None:
        (self.root / "input" / name).write_text(text)


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


def test_the_sample_month_equals_the_oracle_and_a_second_run_changes_nothing(shop: Shop) -> None:
    for file in SAMPLE.glob("*.csv"):
        shutil.copy(file, shop.root / "input")
    report = shop.run()
    assert report["rows_read"] == report["clean"] + report["quarantined"]
    assert len(shop.quarantine()) == report["quarantined"] > 0
    assert compare(daily_revenue(shop.root / "input"), shop.rows()) == []

    times = shop.times()
    again = shop.run()
    assert again["result"] == "nothing new"
    assert shop.times() == times


def test_a_new_file_adds_its_days_and_leaves_the_others(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,2,1.50,\n2,2025-09-02,S1,Bonn,Tea,1,1.50,1.50\n")
    shop.run()
    before = shop.times()
    shop.add("b.csv", HEADER + "3,2025-09-02,S1,Bonn,Tea,1,2.00,2.00\n4,2025-09-03,S1,Bonn,,1,2.00,2.00\n")
    assert shop.run()["dates_published"] == ["2025-09-02", "2025-09-03"]
    after = shop.times()
    assert after["order_date=2025-09-01"] == before["order_date=2025-09-01"]
    assert [(row["order_date"], row["product"], row["orders"], row["revenue"]) for row in shop.rows()] == [
        ("2025-09-01", "Tea", "1", "3.00"),
        ("2025-09-02", "Tea", "2", "3.50"),
        ("2025-09-03", "UNKNOWN", "1", "2.00"),
    ]


def test_the_same_order_again(shop: Shop) -> None:
    row = "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n"
    shop.add("a.csv", HEADER + row + row + "1,2025-09-01,S1,Bonn,Tea,1,9.00,9.00\n")
    report = shop.run()
    assert report["reasons"] == {"conflicting_duplicate": 1}
    assert [row["revenue"] for row in shop.rows()] == ["1.00"]

    shop.add("b.csv", HEADER + "1,2025-09-02,S1,Bonn,Tea,1,5.00,5.00\n")
    shop.run()
    assert [(row["order_date"], row["revenue"]) for row in shop.rows()] == [("2025-09-02", "5.00")]
    assert list(shop.times()) == ["order_date=2025-09-02"]


def test_a_full_refresh_gives_the_same_result(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\nx,never,S1,Bonn,Tea,1,1,1\n")
    shop.run()
    shop.add("b.csv", HEADER + "1,2025-09-02,S1,Bonn,Tea,1,5.00,5.00\n")
    shop.run()
    rows = shop.rows()
    shop.run(full_refresh=True)
    assert shop.rows() == rows
    assert list(shop.times()) == ["order_date=2025-09-02"]
    assert [row["reasons"] for row in shop.quarantine()] == [["unreadable_date"]]


def test_a_file_that_was_completed_after_a_run_is_read_again(shop: Shop) -> None:
    rows = "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n"
    rows += "2,2025-09-02,S1,Bonn,Tea,1,2.50,2.50\n"
    shop.add("a.csv", HEADER + rows[:-3])
    shop.add("b.csv", HEADER + "3,2025-09-03,S1,Bonn,Tea,1,4.00,4.00\n")
    shop.run()
    assert [row["revenue"] for row in shop.rows()] == ["2.00", "2.00", "4.00"]
    shop.add("a.csv", HEADER + rows)
    shop.run()
    assert [row["revenue"] for row in shop.rows()] == ["2.00", "2.50", "4.00"]
    assert shop.run()["result"] == "nothing new"


def test_a_changed_file_does_not_cost_what_came_from_files_that_are_gone(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.add("b.csv", HEADER + "2,2025-09-02,S1,Bonn,Tea,1,2.00,2.00\n")
    shop.run()
    (shop.root / "input" / "a.csv").unlink()
    shop.add("b.csv", HEADER + "2,2025-09-02,S1,Bonn,Tea,1,2.00,3.00\n\n")
    shop.run()
    assert [row["revenue"] for row in shop.rows()] == ["1.00", "2.00"]
    assert "would be lost (a.csv): bring them back" in caplog.text


def test_a_file_with_no_known_column_is_named_and_its_rows_are_kept(shop: Shop) -> None:
    shop.add("good.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.add("other.csv", "colour,weight\nred,3\n")
    report = shop.run()
    assert report["result"] == "partial" and "other.csv" in report["message"]
    assert {(row["raw"], row["reasons"][0]) for row in shop.quarantine()} == {
        ("colour,weight", "unknown_header"),
        ("red,3", "unknown_header"),
    }
    assert [row["revenue"] for row in shop.rows()] == ["1.00"]


def test_an_empty_folder_is_a_sentence_that_says_what_to_do(shop: Shop) -> None:
    with pytest.raises(JobError, match="put some there"):
        shop.run()
    report = json.loads((shop.root / "csv" / "last_run.json").read_text())
    assert report["result"] == "failed"
