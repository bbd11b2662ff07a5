"""Memory of the streaming driver at 2,000 events a second and a watermark of two minutes: after 25 minutes, after ten.

    PYTHONPATH=jobs:dataset python -m bench.stream_memory

The events say the times of 25 minutes and are read as fast as it goes: what the driver remembers follows their times.
Memory is what the driver's Python and its JVM hold, the JVM's heap after a collection.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from retail_jobs.session import open_session
from retail_jobs.streaming import SPARK, Streaming

from bench import Ratio, show, spark_settings
from bench.streaming import CORES, MEMORY, PARTITIONS, event, send, settings
from tools.testing.kafka_broker import create_topic, running, spark_kafka_jars

RATE, WATERMARK, MINUTES = 2_000, "2 minutes", (10, 25)
# Both times are the end of a whole micro-batch: what is remembered falls with each of them, and grows until the next.
BATCH = RATE * 60 * 5 // 2


def events(minutes: range) -> Iterator[tuple[str, bytes]]:
    """Keys and values of the events of some minutes, no order twice."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    for number in range(minutes.start * 60 * RATE, minutes.stop * 60 * RATE):
        yield f"O-{number:09d}", event(number, start + timedelta(seconds=number / RATE))


def produce(address: str, begin: int, end: int) -> None:
    """Put the events of some minutes into the topic."""
    send(address, "sales", events(range(begin, end)))


def megabytes(spark: SparkSession) -> tuple[float, float]:
    """What Python and the JVM's heap hold."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    jvm: Any = spark._jvm
    runtime = jvm.java.lang.Runtime.getRuntime()
    runtime.gc()
    return resident / 1e6, (runtime.totalMemory() - runtime.freeMemory()) / 1e6


def main() -> None:
    """Measure and print."""
    with running() as broker, tempfile.TemporaryDirectory() as folder:
        create_topic(broker.address, "sales", PARTITIONS)
        local = {**spark_settings(CORES, MEMORY), "spark.jars": spark_kafka_jars()}
        spark = open_session("bench", {**SPARK, **local})
        chosen = settings(broker.address, "sales", folder).model_copy(
            update={"watermark": WATERMARK, "max_offsets_per_trigger": BATCH}
        )
        begin, held = 0, list[float]()
        job = Streaming(spark, chosen)
        for end in MINUTES:
            # In a process of its own: what sending takes is not the driver's.
            sending = get_context("spawn").Process(target=produce, args=(broker.address, begin, end))
            sending.start()
            sending.join()
            job.start(available_now=True).awaitTermination()
            python, heap = megabytes(spark)
            _, seen = job.states.after(max(job.counts))
            orders = sum(map(len, seen.keys))
            print(f"after {end} minutes: Python {python:.0f} MB, heap {heap:.0f} MB, {orders} orders remembered")
            begin = end
            held.append(python + heap)
        show([Ratio("memory of the driver after 25 minutes / after ten", held[1] / held[0], 1.1)])
        spark.stop()


if __name__ == "__main__":
    main()
