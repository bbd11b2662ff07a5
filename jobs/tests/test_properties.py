"""What holds for any record, however dirty: many random ones in every example."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
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
from retail_jobs import cleaning, merging
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
    storage = Storage(spark)
    folder = f"file:{tmp_path}/input"
    groups = read_headers(spark, storage, storage.files(folder), DataSet(), folder, f"file:{tmp_path}/scratch")
    records = Counter(read_records(spark, groups).where("fault is null").select("order_id").collect())
    assert records <= Counter(read_order_ids(spark, groups).select("order_id").collect())


rows_of_orders = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from("xy")), max_size=30)


def judged(rows: list[tuple[str, int, str]]) -> list[str]:
    """The verdicts by the written rules: rows of (order, file, content) in the order of their lines."""
    verdicts = [merging.KEPT] * len(rows)
    orders: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, (order, file, _) in enumerate(rows):
        orders[order][file].append(number)
    for files in orders.values():
        winner = files[max(files)][0]
        for numbers in files.values():
            for number in numbers:
                if rows[number][2] != rows[numbers[0]][2]:
                    verdicts[number] = merging.CONFLICT
                elif number != winner:
                    same = rows[number][2] == rows[winner][2]
                    verdicts[number] = merging.REPEAT if same else merging.CORRECTED
    return verdicts


@FEW
@given(st.lists(rows_of_orders, min_size=5, max_size=20))
def test_an_order_that_comes_again_is_judged_by_the_rules(
    spark: SparkSession, cases: list[list[tuple[str, int, str]]]
) -> None:
    rows = [
        (f"{case}{order}", f"file {file}", 0, row, content)
        for case, numbered in enumerate(cases)
        for row, (order, file, content) in enumerate(numbered)
    ]
    cleaned = spark.createDataFrame(rows, "order_id string, source string, block bigint, row bigint, product string")
    rest = {"order_date": "date", "store_id": "string", "store_city": "string", "quantity": "bigint"}
    for name, kind in {**rest, "unit_price": cleaning.MONEY, "amount": cleaning.MONEY}.items():
        cleaned = cleaned.withColumn(name, F.lit(None).cast(kind))
    cleaned = cleaned.withColumn("reasons", F.array().cast("array<string>"))
    order = spark.createDataFrame([(f"file {number}", number) for number in range(3)], "source string, number int")
    found = {(row.order_id, row.row): row for row in merging.judge(cleaned, order).collect()}
    assert len(found) == len(rows)
    for case, numbered in enumerate(cases):
        verdicts = [found[f"{case}{order}", row].verdict for row, (order, _, _) in enumerate(numbered)]
        assert verdicts == judged(numbered)
    for row in found.values():
        assert row.reasons == (["conflicting_duplicate"] if row.verdict == merging.CONFLICT else [])
