"""The whole job on real topics: what comes in, what readers find, and what a crash changes: nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from retail_jobs import live_topic
from retail_jobs.errors import JobError
from retail_jobs.live_topic import LiveTopic
from retail_jobs.settings import Settings
from retail_jobs.stream_state import LostDataError, State, Totals
from retail_jobs.streaming import SPARK, ProgressLog, Streaming, lost_data
from retail_jobs.windows import Key, Value

from tools import JOBS_PATH
from tools.testing.kafka_broker import Broker, create_topic, spark_kafka_jars

NOON = datetime(2025, 9, 1, 12, 0, tzinfo=UTC)
Sums = dict[tuple[str, str], tuple[int, Decimal]]
"""(start, product) -> orders, revenue."""


class Shop:
    """Topics, folders and a job of its own."""

    def __init__(self, spark: SparkSession, broker: Broker, root: Path) -> None:
        self.spark, self.broker, self.root = spark.newSession(), broker, root
        self.address = broker.address
        for key, value in SPARK.items():
            if self.spark.conf.isModifiable(key):
                self.spark.conf.set(key, value)
        self.limits: dict[str, str] = {}
        self.sales, self.live = f"sales-{uuid.uuid4().hex}", f"live-{uuid.uuid4().hex}"
        create_topic(self.address, self.sales, 3)
        create_topic(self.address, self.live, 3, cleanup_policy="compact")
        self._producer = Producer({"bootstrap.servers": self.address, "linger.ms": 0})

    def environment(self) -> dict[str, str]:
        return {
            "USE_HDFS": "false",
            "OUTPUT_PATH": str(self.root / "output"),
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "SALES_TOPIC": self.sales,
            "LIVE_TOPIC": self.live,
            "TRIGGER_SECONDS": "0.5",
            **self.limits,
        }

    def settings(self) -> Settings:
        return Settings(**{name.lower(): value for name, value in self.environment().items()})  # type: ignore[arg-type]

    def send(self, *values: bytes | dict[str, str]) -> None:
        for value in values:
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            key = value.get("order_id") if isinstance(value, dict) else None
            self._producer.produce(self.sales, text, key)
        self._producer.flush()

    def run(self) -> Streaming:
        """Work through all that is in the topic."""
        job = Streaming(self.spark, self.settings())
        job.start(available_now=True).awaitTermination()
        return job

    def start(self, words: list[str]) -> subprocess.Popen[bytes]:
        """Start a Python of its own, in a process group of its own."""
        java = "--driver-java-options -XX:TieredStopAtLevel=1"
        submit = f"--jars {spark_kafka_jars()} {java} --conf spark.ui.enabled=false --master local[2] pyspark-shell"
        own = {**self.environment(), "PYTHONPATH": JOBS_PATH, "PYSPARK_SUBMIT_ARGS": submit}
        with (self.root / "log").open("ab") as log:
            command = [sys.executable, *words]
            return subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log, start_new_session=True)

    def totals(self) -> Totals:
        """What became of all events, by the last batch."""
        batches = self.root / "output" / ".state" / "streaming" / "batches"
        return State.model_validate_json(max(batches.glob("*.json")).read_text()).totals

    def closed(self) -> Sums:
        rows: Sums = {}
        for row in self._read("streaming_product_revenue"):
            key = (f"{row['window_start']:%Y-%m-%dT%H:%M:%SZ}", row["product"])
            assert row["window_end"] - row["window_start"] == timedelta(hours=1)
            assert key not in rows, f"twice: {key}"
            rows[key] = (row["orders"], row["revenue"])
        return rows

    def quarantine(self) -> list[tuple[str, list[str]]]:
        return [(row["raw"], row["reasons"]) for row in self._read("quarantine/streaming")]

    def _read(self, folder: str) -> list[dict[str, Any]]:
        path = self.root / "output" / folder
        rows: list[dict[str, Any]] = ds.dataset(path).to_table().to_pylist() if path.exists() else []
        return rows

    def windows(self) -> Sums:
        """The last value of every window in the live topic."""
        return {
            (value["window_start"], value["product"]): (value["orders"], Decimal(value["revenue"]))
            for value in map(json.loads, self._latest().values())
        }

    def _latest(self) -> dict[Any, Any]:
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "test", "enable.auto.commit": False})
        latest: dict[Any, Any] = {}
        for number in range(3):
            partition = TopicPartition(self.live, number, 0)
            _, end = consumer.get_watermark_offsets(partition)
            consumer.assign([partition])
            read = 0
            while read < end:
                for message in consumer.consume(1000, timeout=1):
                    assert message.error() is None
                    latest[message.key()] = message.value()
                    read = (message.offset() or 0) + 1
        consumer.close()
        return latest


@pytest.fixture
def shop(spark: SparkSession, broker: Broker, tmp_path: Path) -> Shop:
    return Shop(spark, broker, tmp_path)


def done(job: Streaming) -> Totals:
    """What became of all events that a job has worked through."""
    totals = reduce(Totals.plus, job.counts.values(), Totals())
    assert totals.events == totals.counted + totals.repeated + totals.quarantined
    assert totals.quarantined == sum(totals.reasons.values())
    return totals


def sale(number: int, minute: float = 0, product: str = "Tea", amount: str = "1.50", **more: str) -> dict[str, str]:
    when = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    named = {"order_id": f"o{number}", "event_id": f"e{number}", "event_time": when, "product": product}
    return {**named, "amount": amount, **more}


def starts(*clock: str) -> list[str]:
    return [f"2025-09-01T{time}:00Z" for time in clock]


REPEATED = ["conflicting_duplicate"]
BAD = [
    (b"no json", "bad_json"),
    (b"", "bad_json"),
    (b"\x00\xff\xfe", "bad_json"),
    (b"[" * 100_000, "bad_json"),
    (b'{"amount": ' + b"9" * 5_000 + b"}", "bad_json"),
    (b"[1, 2]", "bad_json"),
    (b"null", "bad_json"),
    (b'{"order_id": "1", ', "bad_json"),
    (b"{}", "no_date no_amount"),
    (json.dumps(sale(1, event_time="1900-01-01T00:00:00Z")).encode(), "date_out_of_range"),
    (json.dumps(sale(2, event_time="2999-01-01T00:00:00Z")).encode(), "date_out_of_range future_event"),
    (json.dumps(sale(3, event_time="2098-01-01T00:00:00Z")).encode(), "future_event"),
    (json.dumps(sale(4, event_time="+294247-01-10T04:00:54Z")).encode(), "unreadable_date"),
    (json.dumps(sale(5, event_time="")).encode(), "no_date"),
    (json.dumps(sale(6, amount="1" + "0" * 20)).encode(), "unreadable_amount"),
    (json.dumps(sale(7, amount="1e20")).encode(), "unreadable_amount"),
    (json.dumps(sale(8, amount="10000000000")).encode(), "amount_out_of_range"),
    (json.dumps(sale(9, amount="NaN")).encode(), "unreadable_amount"),
    (json.dumps(sale(10, amount="1\x000")).encode(), "unreadable_amount"),
    (json.dumps(sale(11, product="x" * 900_000)).encode(), "product_too_long"),
]


def test_whatever_comes_ends_in_its_place_and_the_stream_goes_on(shop: Shop) -> None:
    shop.send(*(value for value, _ in BAD))
    shop.send(
        # The producer's way to send a row that it could not take apart.
        {"event_id": "e", "event_time": "2025-09-01", "_raw": "a,b"},
        sale(20, nested="{}", extra="field"),
        json.dumps({"EVENT_TIME ": "2025-09-01 12:00", " Item": "Tea", "quantity": 2, "price": 0.75}).encode(),
        json.dumps(sale(21, product="T\x00\xe9")).encode(),
        json.dumps(sale(22, product="Caf\xe9"), ensure_ascii=False).encode("latin-1"),
        b'{"order_id": "o23", "Amount": "1", "amount": "1.5", "amount": "2", "date": "20250901", "item": "\\ud800"}',
    )
    job = shop.run()
    quarantined = [(raw.decode("latin-1"), reasons.split()) for raw, reasons in BAD]
    assert sorted(shop.quarantine()) == sorted([*quarantined, ("a,b", ["malformed_row"])])
    expected = {(start, "Tea"): (2, Decimal("3.00")) for start in starts("11:15", "11:30", "11:45", "12:00")}
    for product in "T\x00\xe9", "Caf\xe9":
        expected |= {(start, product): (1, Decimal("1.50")) for start, _ in list(expected)}
    midnight = ["2025-08-31T23:15:00Z", "2025-08-31T23:30:00Z", "2025-08-31T23:45:00Z", "2025-09-01T00:00:00Z"]
    expected |= {(start, "?"): (1, Decimal("2.00")) for start in midnight}
    assert shop.windows() == expected
    counts = done(job)
    assert (counts.events, counts.counted, counts.quarantined) == (len(BAD) + 6, 5, len(BAD) + 1)
    shop.send(sale(30, 1))
    shop.run()
    assert shop.windows()["2025-09-01T12:00:00Z", "Tea"] == (3, Decimal("4.50"))


def test_an_order_that_comes_again_counts_once_and_goes_to_the_quarantine_if_it_says_something_else(
    shop: Shop,
) -> None:
    shop.send(sale(1), sale(1), sale(2), sale(2, amount="9.00"))
    assert done(shop.run()).repeated_by_day == {"2025-09-01": 1}
    assert shop.windows()["2025-09-01T12:00:00Z", "Tea"] == (2, Decimal("3.00"))
    # A replay that is started again stamps new times; that is the same order.
    shop.send(sale(1, 2), sale(1, amount="7.00"), sale(1, amount="7.00"), sale(3))
    shop.run()
    assert shop.windows()["2025-09-01T12:00:00Z", "Tea"] == (3, Decimal("4.50"))
    assert [(json.loads(raw)["amount"], reasons) for raw, reasons in shop.quarantine()] == [
        ("9.00", ["conflicting_duplicate"]),
        ("7.00", ["conflicting_duplicate"]),
    ]


def test_windows_close_once_and_late_events_go_to_the_quarantine(shop: Shop) -> None:
    shop.send(sale(1, 0), sale(2, 10))
    shop.run()
    assert shop.closed() == {}
    shop.send(sale(3, 120))
    shop.run()
    four = {(start, "Tea"): (2, Decimal("3.00")) for start in starts("11:30", "11:45", "12:00")}
    four["2025-09-01T11:15:00Z", "Tea"] = (2, Decimal("3.00"))
    assert shop.closed() == four
    shop.send(sale(4, 5), sale(5, 13 * 60))
    assert done(shop.run()) == Totals(events=2, counted=1, quarantined=1, reasons={"late": 1})
    assert shop.quarantine() == [(json.dumps(sale(4, 5)), ["late"])]
    assert {key: value for key, value in shop.closed().items() if key in four} == four
    assert len(shop.closed()) == 8
    files = (shop.root / "output" / "streaming_product_revenue").iterdir()
    assert sorted(file.name for file in files) == [f"day-2025-09-01-{batch:012d}.parquet" for batch in (1, 2)]


def test_a_batch_that_is_repeated_writes_the_same_again(shop: Shop) -> None:
    shop.send(sale(1), b"bad 1")
    shop.run()
    shop.send(sale(2), sale(1, amount="3.00"), b"bad 2", sale(3, 180))
    shop.run()
    before = shop.closed(), shop.windows(), shop.quarantine()
    assert len(before[0]) == 4 and len(before[2]) == 3
    commits = shop.root / "output" / ".state" / "streaming" / "checkpoint" / "commits"
    last = max(commits.iterdir(), key=lambda file: int(file.name))
    last.unlink()
    job = Streaming(shop.spark, shop.settings())
    listener = ProgressLog(job)
    shop.spark.streams.addListener(listener)
    query = job.start()
    try:
        # Spark knows no end of the topic for a batch that it planned before.
        told = told_when(shop, lambda status: status["events"] == 4)
    finally:
        query.stop()
        shop.spark.streams.removeListener(listener)
    assert (told["counted"], told["quarantined"]) == (2, 2)
    assert (shop.closed(), shop.windows(), shop.quarantine()) == before


def test_what_is_too_much_for_the_driver_is_written_by_the_executors(shop: Shop) -> None:
    long = [b"bad " + b"x" * 900_000 + str(number).encode() for number in range(6)]
    shop.send(*long, sale(1), sale(1, amount="2.00"))
    assert done(shop.run()).reasons == {"bad_json": 6, "conflicting_duplicate": 1}
    [file] = (shop.root / "output" / "quarantine" / "streaming").iterdir()
    assert file.name == "bulk-000000000000.parquet"
    expected = [*((raw.decode(), ["bad_json"]) for raw in long), (json.dumps(sale(1, amount="2.00")), REPEATED)]
    assert sorted(shop.quarantine()) == sorted(expected)


def test_products_beyond_the_limit_go_to_the_quarantine(shop: Shop) -> None:
    shop.limits = {"MAX_PRODUCTS": "2"}
    shop.send(sale(1, product="Tea"))
    shop.run()
    some = [sale(number, product=f"P{number}") for number in range(2, 5)]
    shop.send(*some, sale(5, product="Tea"))
    assert done(shop.run()).reasons == {"too_many_products": 2}
    assert len({product for _, product in shop.windows()}) == 2
    assert shop.windows()["2025-09-01T12:00:00Z", "Tea"] == (2, Decimal("3.00"))
    # Once windows have closed, there is room again.
    shop.send(sale(6, 600, product="Tea"))
    shop.run()
    shop.send(sale(7, 600, product="P7"))
    assert done(shop.run()) == Totals(events=1, counted=1)


def test_lines_of_an_order_count_each_and_returns_are_subtracted_where_the_data_set_says_so(shop: Shop) -> None:
    lines = [
        sale(number, amount=amount, orders="lines", returns="subtract", order_id="o1")
        for number, amount in enumerate(("2.00", "2.00", "-0.50"))
    ]
    shop.send(*lines, lines[1], {**lines[2], "amount": "-0.75"}, sale(9, amount="-1.00"))
    counts = done(shop.run())
    assert counts.counted == 3 and counts.repeated == 1
    assert counts.reasons == {"conflicting_duplicate": 1, "negative_amount": 1}
    assert shop.windows()["2025-09-01T12:00:00Z", "Tea"] == (3, Decimal("3.50"))


def test_a_state_of_the_version_before_is_refused_with_the_way_to_go_on(shop: Shop) -> None:
    shop.send(sale(1))
    shop.run()
    home = shop.root / "output" / ".state" / "streaming"
    [state] = (home / "batches").iterdir()
    now = state.read_text()
    way = r"take the version before, or move \S+/streaming, \S+ and \S+ away, and the job starts again"
    state.write_text('{"latest": null, "windows": [], "quarantine_file": "", "quarantine_rows": 0}')
    with pytest.raises(LostDataError, match=way):
        shop.run()
    state.write_text(now)
    (home / "checkpoint" / "state").mkdir()
    with pytest.raises(LostDataError, match=way):
        shop.run()
    (home / "checkpoint" / "state").rmdir()
    shop.run()


def test_no_reader_fails_or_finds_half_of_a_start_while_windows_are_published(shop: Shop) -> None:
    job, stop, folder = Streaming(shop.spark, shop.settings()), threading.Event(), shop.root / "windows"
    job.output = f"file:{folder}"
    products = [f"P{number}" for number in range(50)]

    def publish(batch: int) -> None:
        # Every tenth batch closes the last windows of one day and the first ones of the next.
        begin = NOON + timedelta(days=batch // 10, minutes=15 * (batch % 10))
        starts = [begin, *([begin - timedelta(days=1) + timedelta(hours=9)] if batch % 10 == 0 else [])]
        value = Value(1, Decimal(1))
        job._close({Key(start, product): value for start in starts for product in products}, batch)

    def look(reader: int, read: Callable[[], list[datetime]]) -> None:
        known = 0
        while not stop.is_set():
            counts = Counter(read())
            assert set(counts.values()) == {len(products)} and len(counts) >= known
            known = len(counts)
            reads[reader] += 1

    def read_arrow() -> list[datetime]:
        starts: list[datetime] = ds.dataset(folder).to_table(["window_start"])["window_start"].to_pylist()
        return starts

    def read_spark() -> list[datetime]:
        return [row[0] for row in shop.spark.read.parquet(job.output).select("window_start").collect()]

    publish(0)
    reads = [0, 0, 0]
    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(look, *one) for one in enumerate((read_arrow, read_arrow, read_spark))]
        try:
            for batch in range(1, 600):
                publish(batch)
                time.sleep(0.3)
                if any(reader.done() for reader in readers) or (sum(reads) >= 500 and reads[-1] >= 20 and batch >= 50):
                    break
        finally:
            stop.set()
    assert [reader.result() for reader in readers] == [None] * 3  # none has failed
    assert sum(reads) >= 500 and reads[-1] >= 20


def told_when(shop: Shop, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the job says of itself, as soon as it is as wanted."""
    file = shop.root / "output/.state/streaming/status.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists() and condition(status := json.loads(file.read_text())):
            found: dict[str, Any] = status
            return found
        time.sleep(0.2)
    pytest.fail(f"not as wanted: {file.read_text() if file.exists() else 'nothing'}")


def test_it_says_how_far_it_is_while_it_works_and_while_there_is_nothing_to_do(shop: Shop) -> None:
    shop.limits["MAX_OFFSETS_PER_TRIGGER"] = "2"
    shop.send(*(sale(number) for number in range(5)), b"no JSON")
    job = Streaming(shop.spark, shop.settings())
    listener = ProgressLog(job)
    shop.spark.streams.addListener(listener)
    query = job.start()
    try:
        worked = told_when(shop, lambda status: status["events"] == 6)
        rested = told_when(shop, lambda status: status["until"] > status["last_batch"])
    finally:
        query.stop()
        shop.spark.streams.removeListener(listener)
    history = worked["history"]
    assert sum(minute["events"] for minute in history) == 6
    # Spark takes one event of every partition at least: the first batch has two or three of the six.
    assert max(minute["backlog"] for minute in history) in (3, 4)
    assert (worked["counted"], worked["reasons"], worked["trigger_seconds"]) == (5, {"bad_json": 1}, 0.5)
    assert (rested["backlog"], rested["events"]) == (0, 6)
    assert sum(rested["position"].values()) == 6


def test_a_broker_that_does_not_answer_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_topic, "PATIENCE_SECONDS", 1)
    with pytest.raises(JobError, match=r"topic live on 127\.0\.0\.1:1 does not take the live windows"):
        LiveTopic("127.0.0.1:1", "live").send([("key", "value")])


def test_an_error_with_a_long_text_ends_the_query_as_an_error(shop: Shop) -> None:
    class Talkative(Streaming):
        def _process(self, rows: DataFrame, batch: int) -> None:
            raise OSError("at every.class.that.called.it(File.java:1)\n" * 10_000)

    job = Talkative(shop.spark, shop.settings())
    query = job.start()
    shop.send(sale(1))
    with pytest.raises(StreamingQueryException):
        query.awaitTermination(60)
    assert isinstance(job.failure, OSError) and lost_data(job.failure, shop.settings()) is None


def test_a_truncated_topic_is_an_error_that_says_what_to_do(shop: Shop) -> None:
    shop.send(*(sale(number) for number in range(30)))
    shop.run()
    shop.send(*(sale(number) for number in range(30, 60)))
    admin = AdminClient({"bootstrap.servers": shop.address})
    ends = [TopicPartition(shop.sales, number, -1) for number in range(3)]
    for future in admin.delete_records(ends).values():
        future.result()
    job = Streaming(shop.spark, shop.settings())
    with pytest.raises(StreamingQueryException) as error:
        job.start(available_now=True).awaitTermination()
    said = lost_data(job.failure or error.value, shop.settings())
    assert said is not None
    assert f"the job starts again from the earliest event that topic {shop.sales} still has" in str(said)


def test_a_lost_checkpoint_is_an_error_that_says_what_to_do(shop: Shop) -> None:
    shop.send(sale(1))
    shop.run()
    checkpoint = shop.root / "output" / ".state" / "streaming" / "checkpoint"
    checkpoint.rename(checkpoint.with_name("away"))
    with pytest.raises(LostDataError, match=r"checkpoint .* is gone.*bring the checkpoint back; or move .* away"):
        shop.run()


class Sales:
    """Seeded sales, good and bad, and what they must come to, computed by plain Python as they are made."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.orders: dict[str, tuple[datetime, str, Decimal]] = {}
        self.last = NOON
        self.rejected = 0
        self._recent: list[dict[str, str]] = []

    def events(self, count: int) -> Iterator[bytes | dict[str, str]]:
        for number in range(count):
            kind = self._random.random()
            if kind < 0.02:
                self.rejected += 1
                yield f"bad {number}".encode()
            elif kind < 0.06 and self._recent:
                yield self._random.choice(self._recent)
            elif kind < 0.08 and self._recent:
                self.rejected += 1
                yield {**self._random.choice(self._recent), "amount": f"{1000 + number}.00"}
            else:
                yield self._order(number)

    def _order(self, number: int) -> dict[str, str]:
        self.last += timedelta(seconds=self._random.randint(1, 20))
        amount = Decimal(self._random.randint(1, 9999)) / 100
        product = f"P{self._random.randint(1, 5)}"
        event = sale(number, (self.last - NOON) / timedelta(minutes=1), product, str(amount))
        self.orders[event["order_id"]] = (self.last, product, amount)
        self._recent = [*self._recent[-9:], event]
        return event

    def windows(self) -> Sums:
        sums: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        for when, product, amount in self.orders.values():
            quarter = when.replace(minute=when.minute // 15 * 15, second=0, microsecond=0)
            for back in range(4):
                sums[f"{quarter - timedelta(minutes=15 * back):%Y-%m-%dT%H:%M:%SZ}", product].append(amount)
        return {key: (len(amounts), sum(amounts, Decimal(0))) for key, amounts in sums.items()}


def kill_in_mid_batch(shop: Shop, chance: random.Random) -> None:
    """Run the job as a process, and end it with SIGKILL after a batch has begun and before it is committed."""
    checkpoint = shop.root / "output" / ".state" / "streaming" / "checkpoint"

    def newest(folder: str) -> int:
        return max((int(file.name) for file in (checkpoint / folder).glob("[0-9]*")), default=-1)

    done = newest("commits")
    process = shop.start(["-m", "retail_jobs.streaming"])
    try:
        deadline = time.monotonic() + 600
        wanted = done + chance.randint(1, 2)
        while newest("commits") < wanted or newest("offsets") <= newest("commits"):
            assert process.poll() is None and time.monotonic() < deadline, (shop.root / "log").read_text()[-3000:]
            time.sleep(0.002)
        time.sleep(chance.random() * 0.7)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


DYING = """
import os, re, signal, sys
from retail_jobs.live_topic import LiveTopic
from retail_jobs.session import open_session
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage
from retail_jobs.streaming import SPARK, Streaming


def dying(of, name):
    method = getattr(of, name)

    def change(self, *arguments):
        if re.search(sys.argv[1], f"{name} {arguments[-1]}"):
            os.killpg(0, signal.SIGKILL)
        return method(self, *arguments)

    setattr(of, name, change)


job = Streaming(open_session("dying", SPARK), Settings())
for of, name in ((LiveTopic, "send"), (Storage, "replace"), (Storage, "delete")):
    dying(of, name)
job.start(available_now=True).awaitTermination()
"""
"""A job that is killed before it makes a certain change."""

CHANGES = ("send ", "/day-", "/part-", "/orders/", "/000000000002.json", "delete .*/000000000000.json")
"""What a batch does, in its order."""


def test_a_driver_that_is_killed_between_any_two_steps_of_a_batch_changes_nothing(shop: Shop) -> None:
    first: list[list[bytes | dict[str, str]]] = [[sale(1), b"bad 1", sale(1, amount="2.00")], [sale(2, 60)]]
    second: list[bytes | dict[str, str]] = [
        sale(2, 60),
        sale(3, 10),
        b"bad 2",
        sale(2, 60, amount="9.00"),
        sale(4, 180),
        sale(5, 182, product="Coffee"),
    ]
    calm = Shop(shop.spark, shop.broker, shop.root / "calm")
    for each in (shop, calm):
        for events in first:
            each.send(*events)
            each.run()
        each.send(*second)
    calm.run()
    expected = calm.closed(), calm.windows(), sorted(calm.quarantine())
    assert len(expected[0]) > 4 and len(expected[2]) == 5
    for change in CHANGES:
        code = shop.start(["-c", DYING, change]).wait(timeout=300)
        assert code == -signal.SIGKILL, (change, (shop.root / "log").read_text()[-3000:])
    shop.run()
    assert (shop.closed(), shop.windows(), sorted(shop.quarantine())) == expected
    assert shop.totals() == calm.totals()


def test_a_driver_that_is_killed_loses_nothing_and_counts_nothing_twice(shop: Shop) -> None:
    chance, sales, stop = random.Random(4), Sales(4), threading.Event()
    events = sales.events(100_000)

    def produce() -> None:
        for event in events:
            shop.send(event)
            if stop.wait(0.01):
                break

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        for _ in range(2):
            kill_in_mid_batch(shop, chance)
    finally:
        stop.set()
        thread.join()
    shop.run()
    expected = sales.windows()
    assert len(sales.orders) > 300
    assert shop.windows() == expected
    until = f"{sales.last - timedelta(minutes=75):%Y-%m-%dT%H:%M:%SZ}"
    assert shop.closed() == {key: value for key, value in expected.items() if key[0] <= until}
    assert len(shop.quarantine()) == len({raw for raw, _ in shop.quarantine()}) == sales.rejected
