"""Streaming: the whole job against the same engine only reading and parsing the topic, and how fresh live windows are.

    PYTHONPATH=jobs:dataset python -m bench.streaming [--events 2000000] [--seconds 60]

Needs what `make artefacts` fetched: it starts one broker, and Spark on two cores of this machine. The backlog is that
of 200 events a second, one in fifty of them an event that comes again and one in fifty unusable. Both sides first work
through a smaller topic, so that neither is measured while the JVM warms up. Freshness is the time from the moment
an event is made until a message on the live topic holds it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from statistics import quantiles

from confluent_kafka import Consumer, Producer, TopicPartition
from pyspark.sql import SparkSession
from retail_jobs.session import open_session
from retail_jobs.settings import Settings
from retail_jobs.stream_events import read_records
from retail_jobs.stream_state import Totals
from retail_jobs.streaming import SPARK, Streaming

from bench import Ratio, show, spark_settings
from tools.testing.kafka_broker import create_topic, running, spark_kafka_jars

CORES, MEMORY, PARTITIONS, RATE, TRIGGER = 2, "1g", 3, 200, 5.0
WARM_UP, WARM_UPS = 200_000, 5


def event(number: int, when: datetime, product: str = "") -> bytes:
    """An event as the producer makes them."""
    named = f'"event_id":"a.csv:{number}","event_time":"{when:%Y-%m-%dT%H:%M:%S.%f}Z","order_id":"O-{number:09d}"'
    amount = "n/a" if number % 50 == 7 else f"{number % 9000 / 100:.2f}"
    sold = f'"product":"{product or f"Product {number % 16}"}","quantity":"2","unit_price":"12.50","amount":"{amount}"'
    return f'{{{named},"store_id":"S{number % 30:03d}","store_city":"Amsterdam",{sold}}}'.encode()


def backlog(count: int) -> Iterator[tuple[str, bytes]]:
    """Keys and values of events that end now."""
    start = datetime.now(UTC) - timedelta(seconds=count / RATE)
    for number in range(count):
        again = number - 20 if number % 50 == 49 else number
        yield f"O-{again:09d}", event(again, start + timedelta(seconds=number / RATE))


def fill(address: str, topic: str, count: int) -> None:
    """Put a backlog into a topic."""
    create_topic(address, topic, PARTITIONS)
    send(address, topic, backlog(count))


def send(address: str, topic: str, events: Iterable[tuple[str, bytes]]) -> None:
    """Put keys and values into a topic."""
    client = Producer({"bootstrap.servers": address, "linger.ms": 50, "compression.type": "lz4"})
    for key, value in events:
        while True:
            try:
                client.produce(topic, value, key)
                break
            except BufferError:
                client.poll(0.1)
        client.poll(0)
    client.flush()


def read_and_parse(spark: SparkSession, address: str, topic: str) -> float:
    """Seconds that the engine takes to read the topic and take its JSON apart."""
    began = time.perf_counter()
    messages = spark.read.format("kafka").option("kafka.bootstrap.servers", address).option("subscribe", topic).load()
    read_records(messages).write.format("noop").mode("append").save()
    return time.perf_counter() - began


def settings(address: str, topic: str, folder: str) -> Settings:
    """Settings of a job that has done nothing yet."""
    live = f"live-{uuid.uuid4().hex}"
    create_topic(address, live, PARTITIONS, cleanup_policy="compact")
    return Settings(
        use_hdfs=False,
        output_path=f"{folder}/{live}",
        kafka_bootstrap_servers=address,
        sales_topic=topic,
        live_topic=live,
        trigger_seconds=TRIGGER,
    )


def drain(spark: SparkSession, chosen: Settings, count: int) -> tuple[float, float]:
    """Seconds that the whole job takes for the topic, and seconds of CPU of the driver's Python."""
    began, cpu = time.perf_counter(), time.process_time()
    job = Streaming(spark, chosen)
    job.start(available_now=True).awaitTermination()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    done = reduce(Totals.plus, job.counts.values(), Totals())
    if done.events != count or not 0.95 * count < done.counted < 0.97 * count or done.repeated < 0.019 * count:
        raise SystemExit(f"of {count} events, the job says {done}")
    return seconds, cpu


def freshness(spark: SparkSession, address: str, folder: str, seconds: float) -> list[float]:
    """Seconds from the making of an event to its place in the live topic, at `RATE` events a second.

    Once a second an event has a product of its own: the first message of that product tells of it.
    """
    topic = f"sales-{uuid.uuid4().hex}"
    create_topic(address, topic, PARTITIONS)
    chosen = settings(address, topic, folder)
    query = Streaming(spark, chosen).start()
    made: dict[str, float] = {}
    stop = threading.Event()

    def produce() -> None:
        client = Producer({"bootstrap.servers": address, "linger.ms": 5})
        began = time.monotonic()
        number = 0
        while not stop.wait(max(0.0, began + number / RATE - time.monotonic())):
            product = f"Single {number}" if number % RATE == 0 else ""
            if product:
                made[product] = time.time()
            client.produce(topic, event(number, datetime.now(UTC), product), f"O-{number:09d}")
            client.poll(0)
            number += 1
        client.flush()

    thread = threading.Thread(target=produce)
    thread.start()
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(chosen.live_topic, number, 0) for number in range(PARTITIONS)])
    fresh: dict[str, float] = {}
    # The first batches of a JVM are slow.
    warm = time.time() + 30
    while time.time() < warm + seconds:
        for message in consumer.consume(1000, timeout=0.1):
            product = json.loads(message.value() or b"{}").get("product", "")
            if product in made and product not in fresh:
                fresh[product] = time.time() - made[product]
    stop.set()
    thread.join()
    query.stop()
    consumer.close()
    return [took for product, took in fresh.items() if made[product] > warm]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000, help="size of the backlog")
    parser.add_argument("--seconds", type=float, default=60, help="for which freshness is looked at; 0 leaves it out")
    options = parser.parse_args()
    warm_up = min(WARM_UP, options.events)
    with running() as broker, tempfile.TemporaryDirectory() as folder:
        for topic, count in ("warm-up", warm_up), ("backlog", options.events):
            fill(broker.address, topic, count)
        local = {
            **spark_settings(CORES, MEMORY),
            "spark.jars": spark_kafka_jars(),
        }
        spark = open_session("bench", {**SPARK, **local})
        for _ in range(WARM_UPS):
            read_and_parse(spark, broker.address, "warm-up")
            drain(spark, settings(broker.address, "warm-up", folder), warm_up)
        # Before and after, because what else the machine does comes and goes.
        parsed = read_and_parse(spark, broker.address, "backlog")
        drained, cpu = drain(spark, settings(broker.address, "backlog", folder), options.events)
        parsed = (parsed + read_and_parse(spark, broker.address, "backlog")) / 2
        print(f"{options.events} events: read and parsed in {parsed:.1f} s, whole job {drained:.1f} s")
        print(f"the driver's Python: {cpu:.1f} s of CPU, at one core {options.events / cpu:,.0f} events/s")
        ratios = [Ratio("reading and parsing the topic / the whole job", parsed / drained, 0.5, True)]
        if options.seconds:
            took = freshness(spark, broker.address, folder, options.seconds)
            late = quantiles(took, n=20)[-1]
            print(f"event to live topic: {len(took)} looked at, p95 {late:.1f} s, trigger {TRIGGER:g} s")
            ratios.append(Ratio("event to live topic, p95, seconds beyond the trigger", late - TRIGGER, 1.0))
        show(ratios)
        spark.stop()


if __name__ == "__main__":
    main()
