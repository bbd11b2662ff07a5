from __future__ import annotations

import csv
import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import Batch
from retail_jobs.errors import JobError
from retail_jobs.settings import Settings

from tools.data.oracle import compare, daily_revenue

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
        return Batch(self.settings(), lambda _: self.spark, full_refresh).run().model_dump()

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
    # The same bytes as before a data set could have rules of its own.
    content = (shop.root / "csv" / "analysis_csv" / "daily_revenue.csv").read_bytes()
    assert sha256(content).hexdigest() == "a57c349fbb95cbe1bbf860c57c5bfede4b907a19eb2ea24666428a0e41253abd"

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
    assert shop.run()["corrected"] == 1
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


def test_a_changed_file_does_not_cost_what_came_from_files_that_are_gone(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.add("b.csv", HEADER + "2,2025-09-02,S1,Bonn,Tea,1,2.00,2.00\n")
    shop.run()
    (shop.root / "input" / "a.csv").unlink()
    shop.add("b.csv", HEADER + "2,2025-09-02,S1,Bonn,Tea,1,2.00,3.00\n")
    report = shop.run()
    assert [row["revenue"] for row in shop.rows()] == ["1.00", "3.00"]
    assert report["gone"] == ["a.csv"]


def test_a_file_with_no_known_column_is_named_and_no_run_is_green_until_it_is_mended(shop: Shop) -> None:
    shop.add("good.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n" * 30)
    shop.add("other.csv", "colour,weight\nred,3\n")
    for _ in range(2):
        report = shop.run()
        assert report["result"] == "partial"
        assert "no row of other.csv could be used: 2 x unknown_header" in report["message"]
    assert {(row["raw"], row["reasons"][0]) for row in shop.quarantine()} == {
        ("colour,weight", "unknown_header"),
        ("red,3", "unknown_header"),
    }
    assert [row["revenue"] for row in shop.rows()] == ["1.00"]
    shop.add("other.csv", HEADER + "2,2025-09-01,S1,Bonn,Tea,1,2.00,2.00\n")
    report = shop.run()
    assert (report["result"], report["headers"]) == ("published", {})
    assert shop.quarantine() == []


def test_the_names_of_a_header_that_does_not_do_are_reported_until_a_rule_knows_them(shop: Shop) -> None:
    shop.add("good.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n" * 30)
    (shop.root / "input" / "kasse").mkdir()
    shop.add("kasse/juni.csv", "Bon;Datum;Preis;item\n7;2025-06-01;2.50;Tee\n")
    for _ in range(2):
        (name, header), *others = shop.run()["headers"].items()
        assert (name, others) == ("kasse/juni.csv", [])
        assert header["lacks"] == "a date and an amount (or quantity and unit price)"
        assert [(column["name"], column["means"]) for column in header["columns"]] == [
            ("Bon", ""),
            ("Datum", ""),
            ("Preis", ""),
            ("item", "product"),
        ]
    assert "headers" not in json.loads((shop.root / "csv" / "runs.jsonl").read_text().splitlines()[-1])
    shop.add("dataset.toml", '[columns]\norder_date = "Datum"\namount = "Preis"\norder_id = "Bon"\n')
    report = shop.run()
    assert (report["result"], report["headers"]) == ("published", {})


def test_a_run_with_more_than_a_tenth_in_the_quarantine_says_so(shop: Shop) -> None:
    good = "".join(f"{number},2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n" for number in range(9))
    bad = "".join(f"x{number},someday,S1,Bonn,Tea,1,1.00,1.00\n" for number in range(2))
    shop.add("a.csv", HEADER + good + bad)
    report = shop.run()
    assert report["result"] == "partial"
    assert "2 of 11 rows are in the quarantine: 2 x unreadable_date" in report["message"]
    shop.add("a.csv", HEADER + good + bad.splitlines(keepends=True)[0])
    assert shop.run()["result"] == "published"


def test_a_mended_file_counts_after_a_run_that_failed_and_was_taken_away(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.run()
    shop.add("b.csv", HEADER + "2,2025-09-01,S1,Bonn,Tea,1,2.00,2.00\n")

    def fails(_: bool) -> SparkSession:
        raise JobError("no session")

    with pytest.raises(JobError, match="no session"):
        Batch(shop.settings(), fails).run()
    content = (shop.root / "input" / "b.csv").read_text()
    (shop.root / "input" / "b.csv").unlink()
    assert shop.run()["result"] == "nothing new"
    shop.add("b.csv", content)
    shop.run()
    assert [row["revenue"] for row in shop.rows()] == ["3.00"]


def test_a_replacement_of_equal_length_is_read(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.run()
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,7.00\n")
    shop.run()
    assert [row["revenue"] for row in shop.rows()] == ["7.00"]


def test_a_run_with_nothing_new_needs_no_spark(shop: Shop) -> None:
    def fails(_: bool) -> SparkSession:
        raise AssertionError("a session was opened")

    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.run()
    (shop.root / "csv" / "analysis_csv" / "daily_revenue.csv").unlink()
    assert Batch(shop.settings(), fails).run().result == "nothing new"
    assert [row["revenue"] for row in shop.rows()] == ["1.00"]
    # Nor does one that only takes away, or has other products.
    shop.add("products.csv", "product,category,brand\nTea,Drinks,Leaf\n")
    assert Batch(shop.settings(), fails).run().dates_published == ["2025-09-01"]
    assert [row["category"] for row in shop.rows()] == ["Drinks"]


def test_files_and_products_that_come_together_give_every_day_its_category(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.run()
    shop.add("b.csv", HEADER + "2,2025-09-02,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.add("products.csv", "product,category,brand\nTea,Drinks,Leaf\n")
    shop.run()
    assert [row["category"] for row in shop.rows()] == ["Drinks", "Drinks"]


def test_an_order_with_several_keys_of_one_product_is_one_order_of_it(shop: Shop) -> None:
    lines = [
        *(
            "1,2025-09-01,S1,Bonn,T1,1,1.00,1.00",
            "1,2025-09-01,S1,Bonn,T2,1,2.00,2.00",
            "1,2025-09-01,S1,Bonn,T2,1,4.00,4.00",
        ),
        *(
            "2,2025-09-01,S1,Bonn,T1,1,8.00,8.00",
            "2,2025-09-01,S1,Bonn,C,1,16.00,16.00",
            ",2025-09-01,S1,Bonn,T2,1,1.00,1.00",
        ),
        *("3,2025-09-02,S1,Bonn,T1,1,1.00,1.00", "3,2025-09-02,S1,Bonn,Tea,1,1.00,1.00"),
    ]

    def orders() -> list[tuple[str, str, str]]:
        assert compare(daily_revenue(shop.root / "input"), shop.rows()) == []
        published = ds.dataset(shop.root / "output" / "analysis_parquet", partitioning="hive").to_table().to_pylist()
        assert sorted(row["orders"] for row in published) == sorted(int(row["orders"]) for row in shop.rows())
        return [(row["order_date"][-1], row["product"], row["orders"]) for row in shop.rows()]

    rules = 'orders = "lines"\n[products]\nkey = "id"\nproduct = "name"\n'
    shop.add("dataset.toml", rules)
    shop.add("products.csv", "id,name,category,brand\nT1,Tea,Drinks,Leaf\nT2,Tea,Hot,\nC,Cup,Ware,\n")
    shop.add("a.csv", HEADER + "\n".join(lines))
    shop.run()
    assert orders() == [("1", "Cup", "1"), ("1", "Tea", "3"), ("2", "Tea", "1")]
    # Another file corrects an order; the other day stays as it was.
    shop.add("b.csv", HEADER + "1,2025-09-01,S1,Bonn,T1,1,1.00,1.00\n4,2025-09-01,S1,Bonn,T1,1,1.00,1.00\n")
    assert shop.run()["dates_published"] == ["2025-09-01"]
    assert orders() == [("1", "Cup", "1"), ("1", "Tea", "4"), ("2", "Tea", "1")]
    # Another catalogue, in which they are two products, and a third one, in which there is only one.
    shop.add("products.csv", "id,name,category,brand\nT1,Green,Drinks,Leaf\nT2,Black,Drinks,Leaf\n")
    shop.run()
    assert [row for row in orders() if row[0] == "2"] == [("2", "Green", "1"), ("2", "Tea", "1")]
    shop.add("products.csv", "id,name\nT1,All\nT2,All\nC,All\nTea,All\n")
    shop.run()
    assert orders() == [("1", "All", "4"), ("2", "All", "1")]


def test_revenue_by_store_counts_every_order_once(shop: Shop) -> None:
    shop.add(
        "a.csv",
        HEADER
        + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n2,2025-09-01,S2,Ulm,Tea,2,1.00,2.00\n"
        + "3,2025-09-01,S1,Bonn,Cup,1,4.00,4.00\n,2025-09-01,,,Cup,1,8.00,8.00\n",
    )
    shop.run()
    with (shop.root / "csv" / "analysis_csv" / "revenue_by_store.csv").open() as file:
        rows = [(row["store_id"], row["store_city"], row["orders"], row["revenue"]) for row in csv.DictReader(file)]
    assert rows == [("S1", "Bonn", "2", "5.00"), ("S2", "Ulm", "1", "2.00"), ("", "", "1", "8.00")]
    published = ds.dataset(shop.root / "output" / "stores_parquet", partitioning="hive").to_table()
    assert published.num_rows == 3 and published["order_date"].to_pylist() == ["2025-09-01"] * 3


def test_a_lost_state_publishes_nothing_unless_asked(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.run()
    state = shop.root / "output" / ".state" / "batch" / "state.json"
    state.unlink()
    shop.add("a.csv", HEADER + "2,2025-09-02,S1,Bonn,Tea,1,1.00,1.00\n")
    with pytest.raises(JobError, match="readers have seen 1: bring the newest one back"):
        shop.run()
    assert [row["order_date"] for row in shop.rows()] == ["2025-09-01"]
    assert shop.run(full_refresh=True)["publication"] == 2
    assert [row["order_date"] for row in shop.rows()] == ["2025-09-02"]


def test_the_state_of_an_earlier_version_is_refused_with_what_to_do(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    home = shop.root / "output" / ".state" / "batch"
    home.mkdir(parents=True)
    (home / "state.json").write_text('{"publication": 7, "generation": "x", "products": "", "files": {}}')
    old = shop.root / "output" / "transactions" / "order_date=2024-01-01"
    old.mkdir(parents=True)
    (old / "part.parquet").touch()
    with pytest.raises(JobError, match="start the batch once with --full-refresh"):
        shop.run()
    shop.run(full_refresh=True)
    assert [row["revenue"] for row in shop.rows()] == ["1.00"]
    assert not old.exists()


def test_an_empty_folder_is_a_sentence_that_says_what_to_do(shop: Shop) -> None:
    with pytest.raises(JobError, match="put some there"):
        shop.run()
    report = json.loads((shop.root / "csv" / "last_run.json").read_text())
    assert report["result"] == "failed"


def test_a_catalogue_without_its_column_is_refused_and_what_was_published_stays(shop: Shop) -> None:
    shop.add("a.csv", HEADER + "1,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.add("products.csv", "product,category\nTea,Drinks\n")
    shop.run()
    rows = shop.rows()
    shop.add("b.csv", HEADER + "2,2025-09-01,S1,Bonn,Tea,1,1.00,1.00\n")
    shop.add("products.csv", "id,category\nTea,Drinks\n")
    with pytest.raises(JobError, match=r"products\.csv has no column product or item"):
        shop.run()
    assert shop.rows() == rows
    shop.add("dataset.toml", '[products]\nproduct = "id"\n')
    shop.run()
    assert [(row["category"], row["revenue"]) for row in shop.rows()] == [("Drinks", "2.00")]
