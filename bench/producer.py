"""The producer against the same client sending one constant payload, without idempotence, and against its own clock.

    PYTHONPATH=producer:dataset python -m bench.producer [--rows 300000] [--seconds 10]

Needs what `make artefacts` fetched: it starts one broker. Each way sends the same number of events flat out, in turns,
and the median of its turns counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from pathlib import Path
from statistics import median

from confluent_kafka import Consumer, TopicPartition
from retail_producer import rows
from retail_producer.__main__ import Progress, send_all
from retail_producer.delivery import Delivery
from retail_producer.rows import Event
from retail_producer.schedule import Schedule
from retail_producer.settings import Settings

from bench import Ratio, show
from tools.testing.kafka_broker import create_topic, running

ROUNDS = 5
RATES = (5, 200, 10_000)


def write_csv(folder: Path, count: int) -> None:
    """Write rows like those of the sample month."""
    header = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"
    body = (f"O-{n:08d},2025-09-01,S{n % 30:03d},Gent,Product {n % 16},2,12.50,25.00\n" for n in range(count))
    with (folder / "sales.csv").open("w") as file:
        file.write(header)
        file.writelines(body)


def flat_out(settings: Settings, events: Iterator[Event], **options: object) -> float:
    """Seconds to send events and have all of them acknowledged, with options of the client that differ."""
    client = Delivery(settings, stopping=lambda: False, **options)
    began = time.perf_counter()
    while group := list(islice(events, Schedule.GROUP)):
        client.send(group)
    while not client.drained():
        pass
    return time.perf_counter() - began


def held(settings: Settings, seconds: float) -> float:
    """Events per second that reach the broker, by the times that they carry there, over the rate asked for."""
    end = time.monotonic() + seconds
    client = Delivery(settings, stopping=lambda: False)
    send_all(settings, client, Progress(client, time.monotonic()), lambda: time.monotonic() >= end)
    client.flush(10)
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "bench"})
    _, count = consumer.get_watermark_offsets(TopicPartition(settings.sales_topic, 0))
    times = []
    for offset in (0, count - 1):
        consumer.assign([TopicPartition(settings.sales_topic, 0, offset)])
        [message] = consumer.consume(1, timeout=10)
        times.append(message.timestamp()[1] / 1000)
    consumer.close()
    return (count - 1) / (times[1] - times[0]) / settings.events_per_second


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000, help="events that each way sends in a turn")
    parser.add_argument(
        "--seconds", type=float, default=10, help="for which each rate is held; five times that for 5/s"
    )
    options = parser.parse_args()
    with running() as broker, tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder), options.rows)

        def settings(rate: float = 0) -> Settings:
            topic = f"sales-{uuid.uuid4().hex}"
            create_topic(broker.address, topic)
            return Settings(
                kafka_bootstrap_servers=broker.address,
                sales_topic=topic,
                input_path=Path(folder),
                events_per_second=rate,
                loop=rate > 0,
            )

        def replay(**options: object) -> float:
            return flat_out(settings(), rows.passes(Path(folder), loop=False, original=False), **options)

        def constant() -> float:
            sample = next(rows.passes(Path(folder), loop=False, original=False))
            return flat_out(settings(), repeat(sample, options.rows))

        def plain() -> float:
            return replay(**{"enable.idempotence": False, "max.in.flight.requests.per.connection": 5})

        ways: list[Callable[[], float]] = [replay, constant, plain]
        seconds = [median(column) for column in zip(*[[way() for way in ways] for _ in range(ROUNDS)], strict=True)]
        print(f"{options.rows / seconds[0]:,.0f} events/s; constant payload {options.rows / seconds[1]:,.0f}")
        ratios = [
            Ratio("CSV replay flat out / same client with one constant payload", seconds[1] / seconds[0], 0.5, True),
            Ratio("idempotence on / off", seconds[2] / seconds[0], 0.9, True),
        ]
        for rate in RATES:
            off = abs(held(settings(rate), options.seconds * (5 if rate < 100 else 1)) - 1)
            print(f"asked for {rate} events/s: {off:.2%} off")
            ratios.append(Ratio(f"off the rate of {rate} events/s", off, 0.01))
        show(ratios)


if __name__ == "__main__":
    main()
