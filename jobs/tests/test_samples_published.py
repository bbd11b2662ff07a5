"""Every sample and every further form comes out of the batch exactly: rows, reasons, revenue, units, orders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from retail_jobs import ingest, stored
from retail_jobs.batch import Batch
from retail_jobs.report import Report
from retail_jobs.settings import Settings

from tools.data.oracle import compare, daily_revenue
from tools.testing.forms import FORMS
from tools.testing.samples import EXPECTED, SAMPLES, add_to, expected, published, rows_of, summary

INPUT = SAMPLES.parent / "input"


def run(spark: SparkSession, root: Path, forget: str = "") -> tuple[Report, dict[str, Any]]:
    """Run the batch over a folder's `input`, and sum up what it published as `expected.json` has it."""
    settings = Settings(
        use_hdfs=False,
        input_path=str(root / "input"),
        output_path=str(root / "output"),
        csv_path=root / "csv",
        forget=forget,
    )
    report = Batch(settings, lambda _: spark).run()
    daily, by_store = (rows_of(root / "csv" / name) for name in ("daily_revenue.csv", "revenue_by_store.csv"))
    assert compare(daily_revenue(root / "input"), daily) == []
    return report, {
        "rows": report.rows_read,
        "clean": report.clean,
        "quarantined": report.reasons,
        **published(daily, by_store),
    }


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_is_published_exactly(spark: SparkSession, tmp_path: Path, sample: str) -> None:
    shutil.copytree(SAMPLES / sample, tmp_path / "input")
    report, found = run(spark, tmp_path)
    assert found == expected(sample)
    bad = sample in ("pandas_floats", "huge_quantities", "broken_beside_good")
    assert report.result == ("partial" if bad else "published")


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_published_exactly(spark: SparkSession, tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    form.write(tmp_path / "input")
    report, found = run(spark, tmp_path)
    # A row may have several reasons.
    rows = found.pop("rows")
    assert found == {key: value for key, value in summary(form.clean, form.reasons).items() if key != "rows"}
    assert report.result == ("partial" if (rows - len(form.clean)) * 10 > rows else "published")


def test_all_samples_and_a_month_in_one_folder_are_published_exactly_when_they_are_too_large_for_the_driver(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SMALL", 0)
    folder = tmp_path / "input"
    shutil.copytree(INPUT, folder)
    add_to(folder, EXPECTED)
    report, found = run(spark, tmp_path)
    for sample in EXPECTED:
        assert expected(sample)["cells"].items() <= found["cells"].items()
    assert report.rows_read == report.clean + report.quarantined
    for file in (tmp_path / "output" / "transactions").rglob("*.parquet"):
        assert pq.read_schema(file).names == stored.TRANSACTIONS.names

    # Orders that come again, of lines and of rows: the later file counts.
    shutil.copy(
        folder / "samples" / "invoice_lines" / "invoice_lines.csv", folder / "samples" / "invoice_lines" / "z.csv"
    )
    month = sorted(folder.glob("transactions_*.csv"))
    (folder / "z.csv").write_text(month[0].read_text().replace("2025-09-0", "2025-09-1"))
    month[1].unlink()
    report, _ = run(spark, tmp_path, forget=month[1].name)
    assert report.corrected > 0 and report.repeated > 0
