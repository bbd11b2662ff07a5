"""What holds for any record, however dirty: many random ones in every example."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from retail_dataset.columns import FIELDS
from retail_dataset.rules import DataSet
from retail_dataset.table import parse_header
from retail_jobs import cleaning
from retail_jobs.csv_records import parse_lines, read_headers, read_order_ids, read_records
from retail_jobs.storage import Storage
from retail_jobs.stream_events import clean_events

# Every example is a Spark job over many records, so making a failing one smaller would take minutes.
FEW = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
KAFKA = "value binary, topic string, partition int, offset bigint, timestamp timestamp"
TYPED = [
    "order_id",
    "store_id",
    "store_city",
    "product",
    "quantity",
    "unit_price",
    "amount",
    "reasons",
]
# Later than any date that we read, so that no event seems to come from the future.
ARRIVED = datetime(2999, 1, 1, tzinfo=UTC)

# A line of CSV has no line break in it.
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x85\u2028\u2029\x0b\x0c"), max_size=12
)
dates = st.one_of(
    st.dates().map(str),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes().map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}+02:00"),
    st.dates().map(lambda day: day.isoformat().replace("-", "")),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]?[0-9:]{0,8}Z?", fullmatch=True),
)
numbers = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.floats().map(str),
    st.sampled_from(["", " 1.00 ", "1e2", "1e400", "-0", "0x1A", "1,5", "١٢", "1_000", "100000000000000000000"]),
)
fields = {
    "order_id": texts,
    "order_date": st.one_of(dates, dates, texts),
    "store_id": texts,
    "store_city": texts,
    "product": texts,
    "quantity": st.one_of(numbers, texts),
    "unit_price": st.one_of(numbers, texts),
    "amount": st.one_of(numbers, numbers, texts),
}
batches = st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=100)


def as_lines(spark: SparkSession, records: list[dict[str, str]]) -> DataFrame:
    rows = []
    for number, record in enumerate(records):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([record[name] for name in fields])
        rows.append((line.getvalue(), number))
    return parse_lines(spark.createDataFrame(rows, "raw string, offset bigint"), parse_header(",".join(fields)))


def as_messages(spark: SparkSession, values: list[bytes]) -> DataFrame:
    rows = [(value, "sales", 0, offset, ARRIVED) for offset, value in enumerate(values)]
    return spark.createDataFrame(rows, KAFKA)


def collected(cleaned: DataFrame) -> list[Any]:
    # Python's datetime does not reach as far as Spark's.
    moments = [F.col(name).cast("string") for name in ("order_time", "order_date")]
    return cleaned.select("offset", *TYPED, *moments).orderBy("offset").collect()


@FEW
@given(batches)
def test_batch_and_streaming_give_the_same_answer_and_lose_nothing(
    spark: SparkSession, records: list[dict[str, str]]
) -> None:
    batch = collected(cleaning.clean(as_lines(spark, records)))
    assert [row.offset for row in batch] == list(range(len(records)))
    values = [json.dumps(record).encode() for record in records]
    # When an event came only the stream knows.
    known = F.array_remove("reasons", "future_event")
    assert collected(clean_events(as_messages(spark, values)).withColumn("reasons", known)) == batch
    for row in batch:
        assert set(row.reasons) <= set(cleaning.REASONS)
        if not row.reasons:
            assert row.order_date is not None and row.product and 0 <= row.amount <= cleaning.LARGEST


@FEW
@given(batches)
def test_cleaning_twice_changes_nothing(spark: SparkSession, records: list[dict[str, str]]) -> None:
    once = cleaning.clean(as_lines(spark, records)).where(cleaning.is_clean())
    again = once.withColumn("order_date", F.col("order_time")).select(
        *[F.col(name).cast("string").alias(name) for name in FIELDS],
        "raw",
        F.lit(None).cast("string").alias("fault"),
        "offset",
    )
    assert collected(cleaning.clean(again)) == collected(once)


@FEW
@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), texts), max_size=60))
def test_no_line_makes_the_reader_raise(spark: SparkSession, lines: list[str]) -> None:
    rows = spark.createDataFrame([(line, number) for number, line in enumerate(lines)], "raw string, offset bigint")
    header = parse_header(",".join(fields))
    read = cleaning.clean(parse_lines(rows, header)).select("raw", "offset").collect()
    expected = [(line, number) for number, line in enumerate(lines) if header.is_record(line)]
    assert sorted(map(tuple, read), key=lambda row: row[1]) == expected


@FEW
@given(st.lists(st.one_of(st.binary(max_size=40), st.recursive(st.none() | st.text(max_size=9) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*fields, "x"]), inner, max_size=5),
).map(lambda value: json.dumps(value).encode())), max_size=60))  # fmt: skip
def test_no_message_makes_the_stream_raise(spark: SparkSession, values: list[bytes]) -> None:
    assert len(collected(clean_events(as_messages(spark, values)))) == len(values)


# Bytes that are UTF-8 together, alone or not at all, and what takes a line apart.
pieces = st.sampled_from([b"a", b"1", b" ", b",", b'"', b"\0", b"\xb0", b"\xfc", b"\xc3", b"\xbc", b"\xc3\xbc"])
lines_of_bytes = st.lists(st.lists(st.lists(pieces, max_size=4).map(b"".join), max_size=4).map(b",".join), min_size=100)


@FEW
@given(st.sampled_from([b"order_id,product,amount\n", b"product,order_id,amount\n"]), lines_of_bytes)
def test_orders_are_counted_by_the_ids_that_records_have(
    spark: SparkSession, tmp_path: Path, header: bytes, lines: list[bytes]
) -> None:
    (tmp_path / "input").mkdir(exist_ok=True)
    (tmp_path / "input" / "a.csv").write_bytes(header + b"\n".join(lines))
    storage = Storage()
    folder = f"file:{tmp_path}/input"
    groups = read_headers(spark, storage, storage.files(folder), DataSet(), folder, f"file:{tmp_path}/scratch")
    records = Counter(read_records(spark, groups).where("fault is null").select("order_id").collect())
    assert records <= Counter(read_order_ids(spark, groups).select("order_id").collect())
