"""Runs on the edge host for `bench.recovery`, with the libraries of the producer and of the dashboard.

    python3 - SERVERS leaders TOPIC | session | produce TOPIC PARTITION OVER | write FOLDER OVER

`leaders` prints the host of each partition's leader, `session` the seconds after which a silent broker counts as dead.
`produce` and `write` go on until there is a file OVER and they succeed, and print the longest time without a success,
in seconds. All is JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path

import hdfs_native
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from retail_producer.delivery import client_config
from retail_producer.settings import Settings

PATIENCE = 300.0
"""Seconds after which an outage is not waited for any more."""
EVERY = 0.02
"""Seconds from one attempt to the next."""
ANSWER = 15
"""Seconds for one question to Kafka."""

SERVERS, COMMAND, *ARGUMENTS = sys.argv[1:]


def leaders(topic: str) -> dict[str, str]:
    """The host of each partition's leader."""
    found = _admin().list_topics(topic, timeout=ANSWER)
    partitions = found.topics[topic].partitions
    return {str(number): str(found.brokers[one.leader].host) for number, one in partitions.items()}


def session() -> float:
    """Seconds after which a broker that is silent is taken for dead."""
    admin = _admin()
    broker = ConfigResource(ResourceType.BROKER, str(next(iter(admin.list_topics(timeout=ANSWER).brokers))))
    entries = admin.describe_configs([broker])[broker].result(ANSWER)
    return int(entries["broker.session.timeout.ms"].value) / 1000


def produce(topic: str, partition: str, over: str) -> float:
    """Produce to one partition as the producer does."""
    acknowledged: list[float] = []
    settings = client_config(Settings(kafka_bootstrap_servers=SERVERS))
    producer = Producer({**settings, "delivery.report.only.error": False, "linger.ms": 0})

    def acknowledge(error: KafkaError | None, _message: Message) -> None:
        if error is None:
            acknowledged.append(time.monotonic())

    def attempt() -> None:
        producer.produce(topic, b"probe", partition=int(partition), on_delivery=acknowledge)
        producer.poll(EVERY)

    return _longest(attempt, acknowledged, over)


def write(folder: str, over: str) -> float:
    """Write small files to HDFS."""
    written: list[float] = []
    names = count()

    def attempt() -> None:
        try:
            with hdfs_native.Client().create(f"{folder}/{next(names)}") as file:
                file.write(b"probe")
            written.append(time.monotonic())
        except (OSError, RuntimeError):
            pass
        time.sleep(EVERY)

    return _longest(attempt, written, over)


def _longest(attempt: Callable[[], None], successes: list[float], over: str) -> float:
    """Attempt again and again; the longest time from one success to the next."""
    last = time.monotonic()
    while not Path(over).exists() or time.monotonic() > last + 1:
        attempt()
        last = successes[-1] if successes else last
        if time.monotonic() > last + PATIENCE:
            raise RuntimeError(f"no success for {PATIENCE:.0f} s")
    return max(later - earlier for earlier, later in pairwise(successes))


def _admin() -> AdminClient:
    return AdminClient({"bootstrap.servers": SERVERS})


def main() -> None:
    """Carry out one command."""
    commands: dict[str, Callable[..., object]] = {
        function.__name__: function for function in (leaders, session, produce, write)
    }
    print(json.dumps(commands[COMMAND](*ARGUMENTS)), flush=True)
    # The threads of hdfs-native abort the process when the interpreter takes itself down.
    os._exit(0)


main()
