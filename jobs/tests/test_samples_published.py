"""Every sample comes out of the batch exactly: rows, reasons, revenue, units, orders."""

from __future__ import annotations

import csv
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import Batch
from retail_jobs.settings import Settings

from tools.oracle import compare, daily_revenue
from tools.samples import EXPECTED, SAMPLES, expected


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_is_published_exactly(spark: SparkSession, tmp_path: Path, sample: str) -> None:
    shutil.copytree(SAMPLES / sample, tmp_path / "input")
    settings = Settings(
        use_hdfs=False,
        input_path=str(tmp_path / "input"),
        output_path=str(tmp_path / "output"),
        csv_path=tmp_path / "csv",
    )
    report = Batch(settings, lambda _: spark).run()
    daily, by_store = read(tmp_path / "csv" / "daily_revenue.csv"), read(tmp_path / "csv" / "revenue_by_store.csv")
    published = {
        "rows": report.rows_read,
        "clean": report.clean,
        "quarantined": report.reasons,
        "orders": sum(int(row["orders"]) for row in by_store),
        "revenue": sum(Decimal(row["revenue"]) for row in by_store),
        "units": sum(Decimal(row["quantity"]) for row in by_store),
        "cells": {
            f"{row['order_date']}|{row['product']}": [Decimal(row["revenue"]), Decimal(row["quantity"])]
            for row in daily
        },
    }
    assert published == expected(sample)
    assert compare(daily_revenue(tmp_path / "input"), daily) == []
    bad = sample in ("pandas_floats", "huge_quantities", "broken_beside_good")
    assert report.result == ("partial" if bad else "published")
