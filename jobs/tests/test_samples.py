"""Every sample and every further form is read and cleaned exactly: files by the batch, events by the stream."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from pyspark.sql import Row, SparkSession
from retail_dataset.files import is_input
from retail_jobs import cleaning
from retail_jobs.csv_records import Group, read_headers, read_order_ids, read_records
from retail_jobs.products import read_products, read_rules
from retail_jobs.storage import FileInfo, Storage
from retail_jobs.stream_events import clean_events
from retail_producer.rows import events, sources

from tools.testing.forms import FORMS
from tools.testing.samples import EXPECTED, SAMPLES, Sale, expected, summary


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of input by the name of the sample or form."""
    made = {name: tmp_path_factory.mktemp("form") for name in FORMS}
    for name, folder in made.items():
        FORMS[name].write(folder)
    return {sample: SAMPLES / sample for sample in EXPECTED} | made


@pytest.fixture(scope="module")
def groups(
    spark: SparkSession, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[Group, list[FileInfo]]:
    storage, scratch = Storage(), tmp_path_factory.mktemp("records")
    found: dict[Group, list[FileInfo]] = defaultdict(list)
    for number, folder in enumerate(folders.values()):
        root = f"file:{folder}"
        files = [file for file in storage.files(root, recursive=True) if is_input(file.name)]
        rules = read_rules(storage, root)
        for group, members in read_headers(spark, storage, files, rules, root, f"file:{scratch}/{number}").items():
            found[group] += members
    return dict(found)


@pytest.fixture(scope="module")
def rows(spark: SparkSession, folders: dict[str, Path], groups: dict[Group, list[FileInfo]]) -> dict[str, list[Row]]:
    """Cleaned rows by the name of the sample or form."""
    found = defaultdict(list)
    names = {str(folder): name for name, folder in folders.items()}
    for row in cleaning.clean(read_records(spark, groups)).collect():
        path = unquote(row.source).removeprefix("file://")
        found[next(name for folder, name in names.items() if path.startswith(f"{folder}/"))].append(row)
    return dict(found)


@pytest.fixture(scope="module")
def streamed(spark: SparkSession, folders: dict[str, Path]) -> dict[str, list[Row]]:
    """What the stream makes of the events that the producer sends, each with its row's own date."""
    arrived = datetime(2999, 1, 1, tzinfo=UTC)
    messages = [
        (event.value, name, 0, offset, arrived)
        for name, folder in folders.items()
        for source in sources(folder)
        for offset, event in enumerate(events(source, original=True))
    ]
    schema = "value binary, topic string, partition int, offset bigint, timestamp timestamp"
    found = defaultdict(list)
    for row in clean_events(spark.createDataFrame(messages, schema)).collect():
        found[row.topic].append(row)
    return dict(found)


def sales(rows: list[Row], names: dict[str, str]) -> list[Sale]:
    return [
        Sale(str(row.order_date), row.order_id, names.get(row.product, row.product), row.quantity, row.amount)
        for row in rows
        if not row.reasons
    ]


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_comes_out_exactly(spark: SparkSession, rows: dict[str, list[Row]], sample: str) -> None:
    storage, folder = Storage(), f"file:{SAMPLES / sample}"
    names = {one.key: one.product for one in read_products(storage, folder, read_rules(storage, folder)).rows}
    reasons = [reason for row in rows[sample] for reason in row.reasons]
    assert summary(sales(rows[sample], names), reasons) == expected(sample)
    assert {row.lines for row in rows[sample]} == {sample == "invoice_lines"}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_comes_out_exactly(rows: dict[str, list[Row]], name: str) -> None:
    assert sorted(sales(rows[name], {})) == FORMS[name].clean
    assert sorted(reason for row in rows[name] for reason in row.reasons) == sorted(FORMS[name].reasons)


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_comes_out_of_producer_and_stream_exactly(streamed: dict[str, list[Row]], sample: str) -> None:
    reasons = [reason for row in streamed[sample] for reason in row.reasons]
    wanted = expected(sample)
    if sample == "broken_beside_good":
        # Files that cannot be used are left out of the replay.
        wanted |= {"rows": 1, "quarantined": {}}
    assert summary(sales(streamed[sample], {}), reasons) == wanted


@pytest.mark.parametrize("name", FORMS)
def test_a_form_comes_out_of_producer_and_stream_exactly(streamed: dict[str, list[Row]], name: str) -> None:
    # But for the day of the shop: the stream's windows are those of UTC.
    assert sorted(sale[1:] for sale in sales(streamed[name], {})) == sorted(sale[1:] for sale in FORMS[name].clean)
    assert sorted(reason for row in streamed[name] for reason in row.reasons) == sorted(FORMS[name].reasons)


def test_the_ids_of_orders_are_those_of_the_records(
    spark: SparkSession, groups: dict[Group, list[FileInfo]], rows: dict[str, list[Row]]
) -> None:
    ids = Counter(row.order_id for row in read_order_ids(spark, groups).collect())
    assert Counter(row.order_id for found in rows.values() for row in found if not row.reasons) <= ids
