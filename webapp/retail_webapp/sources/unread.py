"""The sales that are in the topic and that the stream has not read yet, by the day that they tell."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Unpack

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from retail_webapp.events import amount_of, day_of, read_event
from retail_webapp.settings import Settings
from retail_webapp.sources.live import consumer_config
from retail_webapp.sources.polled import How, PolledSource

MOST_EVENTS = 5_000
"""Events that a look reads; of a stream that is further behind, the others are only counted by the stream itself."""

LOOK_SECONDS = 3.0
"""How long a look waits for the brokers."""

Sums = Mapping[date, tuple[int, Decimal]]


@dataclass(frozen=True)
class Unread:
    """What the stream has not read at one moment."""

    by_day: Sums
    """Events and the sum of their amounts."""

    whole: bool
    """Whether these are all of them."""


class UnreadSource(PolledSource[Unread]):
    """Reads the topic from where the stream says that it is to its end."""

    def __init__(
        self, settings: Settings, position: Callable[[], Mapping[int, int] | None], **how: Unpack[How]
    ) -> None:
        """Make a source that has not looked yet.

        Args:
            settings: brokers and topic.
            position: gives the next offset that the stream reads, by partition; None where it does not say.
            how: see How.
        """
        super().__init__(f"Kafka topic {settings.sales_topic}", **how)
        self._settings = settings
        self._position = position

    def look(self) -> Unread | None:
        """See PolledSource."""
        position = self._position()
        if position is None or not self._settings.kafka_bootstrap_servers:
            return None
        consumer = Consumer(consumer_config(self._settings))
        try:
            return self._read(consumer, position)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, position: Mapping[int, int]) -> Unread:
        name = self._settings.sales_topic
        topic = consumer.list_topics(name, timeout=LOOK_SECONDS).topics[name]
        if topic.error is not None:
            raise KafkaException(topic.error)
        consumer.assign(
            [TopicPartition(name, number, position.get(number, OFFSET_BEGINNING)) for number in topic.partitions]
        )
        to_read, values = set(topic.partitions), list[bytes | str | None]()
        until = time.monotonic() + LOOK_SECONDS
        while to_read and len(values) < MOST_EVENTS and time.monotonic() < until:
            for message in consumer.consume(MOST_EVENTS - len(values), timeout=0.2):
                if _is_end(message):
                    to_read.discard(message.partition() or 0)
                else:
                    values.append(message.value())
        return Unread(sum_by_day(values), whole=not to_read)


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise KafkaException(error)


def sum_by_day(values: Iterable[bytes | str | None]) -> Sums:
    """How many events tell which day, and the sums of their amounts; one that tells none counts nowhere."""
    sums: dict[date, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for value in values:
        event = read_event(value)
        if (day := day_of(event)) is not None:
            number, revenue = sums[day]
            sums[day] = number + 1, revenue + amount_of(event)
    return dict(sums)
