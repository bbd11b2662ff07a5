"""The live topic: the value of every open window under its key, of which the last one counts."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from retail_jobs.errors import TemporaryError

# Brokers that are away for longer end the job, and systemd starts it again.
PATIENCE_SECONDS = 60


class LiveTopic:
    """Sends messages and returns when the brokers have them."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                # What goes wrong is said once, by the job.
                "log_level": 2,
                "message.timeout.ms": PATIENCE_SECONDS * 1000,
            }
        )
        self._failure: KafkaError | None = None

    def send(self, messages: Iterable[tuple[str, str]]) -> None:
        """Send keys and values.

        Raises:
            TemporaryError: the brokers did not take all of them.
        """
        self._failure = None
        try:
            for key, value in messages:
                self._produce(key, value)
            left = self._producer.flush(PATIENCE_SECONDS + 10)
        except KafkaException as error:
            raise self._refused(error.args[0]) from error
        if self._failure or left:
            raise self._refused(self._failure)

    def _produce(self, key: str, value: str) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failure = error or self._failure

    def _refused(self, error: KafkaError | None) -> TemporaryError:
        why = error.str() if error else "no answer"
        return TemporaryError(
            f"topic {self._topic} on {self._servers} does not take the live windows ({why}): are the brokers up?"
        )
