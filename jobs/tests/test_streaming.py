from __future__ import annotations

import json
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from retail_dataset.table import parse_header
from retail_jobs import cleaning
from retail_jobs.csv_records import parse_lines
from retail_jobs.stream_events import clean_events

NOW = datetime(2025, 9, 1, 12, 5, tzinfo=UTC)
KAFKA = "value binary, topic string, partition int, offset bigint, timestamp timestamp"
TYPED = ("order_id", "order_time", "order_date", "product", "quantity", "unit_price", "amount", "reasons")


def messages(spark: SparkSession, *values: str) -> DataFrame:
    rows = [(value.encode(), "sales", 0, offset, NOW) for offset, value in enumerate(values)]
    return spark.createDataFrame(rows, KAFKA)


def event(number: int, **fields: str) -> str:
    return json.dumps({"event_id": f"e{number}", "event_time": "2025-09-01T12:04:00.000Z", **fields})


def test_what_cannot_be_used_has_its_reason(spark: SparkSession) -> None:
    cleaned = clean_events(
        messages(
            spark,
            event(1, product="Tea", amount="2.50"),
            "no json",
            json.dumps({"event_id": "e2", "event_time": "2025-09-01T12:04:00Z", "_raw": "a,b"}),
            event(3, product="Tea", amount="-1"),
            json.dumps({"event_id": "e4", "event_time": "2099-01-01T00:00:00Z", "amount": "1"}),
        )
    )
    assert [row.reasons for row in cleaned.orderBy("offset").collect()] == [
        [],
        ["bad_json"],
        ["malformed_row"],
        ["negative_amount"],
        ["future_event"],
    ]


def test_an_event_that_is_not_utf_8_is_windows_1252_as_a_line_of_a_file_is(spark: SparkSession) -> None:
    value = '{"event_id": "e1", "event_time": "2025-09-01T12:04:00Z", "item": "Café 5 €", "amount": "1"}'
    [row] = clean_events(spark.createDataFrame([(value.encode("cp1252"), "sales", 0, 0, NOW)], KAFKA)).collect()
    assert (row.product, row.reasons) == ("Café 5 €", [])


def test_batch_and_streaming_give_the_same_answer(spark: SparkSession) -> None:
    names = ["order_id", "order_date", "item", "quantity", "price", "total"]
    records = [
        ["1", "2025-09-01", "Tea", "2", "1.25", ""],
        ["2", "20250901", "", "2", "1.25", "2.50"],
        ["3", "2025-09-01T10:00:00+02:00", "Tea", "two", "1.25", ""],
        ["4", "yesterday", "Tea", "1", "1", "-3"],
        ["5", "", "Tea", "1", "1", "n/a"],
    ]
    header = parse_header(",".join(names))
    lines = spark.createDataFrame([(",".join(record),) for record in records], "raw string")
    batch = cleaning.clean(parse_lines(lines, header)).select(*TYPED)
    values = [json.dumps(dict(zip(names, record, strict=True))) for record in records]
    stream = clean_events(messages(spark, *values)).select(*TYPED)
    assert batch.orderBy("order_id").collect() == stream.orderBy("order_id").collect()
