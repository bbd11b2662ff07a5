"""Every sample comes out of reading and cleaning exactly, all of them in one job."""

from __future__ import annotations

from collections import Counter, defaultdict
from urllib.parse import unquote

import pytest
from pyspark.sql import Row, SparkSession
from retail_jobs import cleaning
from retail_jobs.csv_records import Group, read_headers, read_order_ids, read_records
from retail_jobs.products import read_products, read_rules
from retail_jobs.storage import FileInfo, Storage

from tools.samples import EXPECTED, SAMPLES, Sale, expected, summary


@pytest.fixture(scope="module")
def groups(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[Group, list[FileInfo]]:
    storage, scratch = Storage(), tmp_path_factory.mktemp("records")
    found: dict[Group, list[FileInfo]] = defaultdict(list)
    for sample in EXPECTED:
        folder = f"file:{SAMPLES / sample}"
        files = [file for file in storage.files(folder) if file.name in EXPECTED[sample]["files"]]
        files = [file for file in files if file.name != "products.csv"]
        rules = read_rules(storage, folder)
        for group, members in read_headers(spark, storage, files, rules, folder, f"file:{scratch}/{sample}").items():
            found[group] += members
    return dict(found)


@pytest.fixture(scope="module")
def rows(spark: SparkSession, groups: dict[Group, list[FileInfo]]) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in cleaning.clean(read_records(spark, groups)).collect():
        found[unquote(row.source).split("/")[-2]].append(row)
    return dict(found)


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_comes_out_exactly(spark: SparkSession, rows: dict[str, list[Row]], sample: str) -> None:
    storage, folder = Storage(), f"file:{SAMPLES / sample}"
    names = {one.key: one.product for one in read_products(storage, folder, read_rules(storage, folder)).rows}
    clean = [row for row in rows[sample] if not row.reasons]
    sales = [
        Sale(str(row.order_date), row.order_id, names.get(row.product, row.product), row.quantity, row.amount)
        for row in clean
    ]
    reasons = [reason for row in rows[sample] for reason in row.reasons]
    assert summary(sales, reasons) == expected(sample)
    assert {row.lines for row in clean} == {sample == "invoice_lines"}


def test_the_ids_of_orders_are_those_of_the_records(
    spark: SparkSession, groups: dict[Group, list[FileInfo]], rows: dict[str, list[Row]]
) -> None:
    ids = Counter(row.order_id for row in read_order_ids(spark, groups).collect())
    assert Counter(row.order_id for found in rows.values() for row in found if not row.reasons) <= ids
