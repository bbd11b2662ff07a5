"""Delivery to Kafka: nothing is lost, waiting is bounded in memory and visible in the log."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from retail_producer.notify import notify
from retail_producer.rows import Event
from retail_producer.settings import Settings

log = logging.getLogger(__name__)


class DeliveryError(Exception):
    """An event did not reach the brokers and will not."""


def client_config(settings: Settings) -> dict[str, object]:
    """Options of the Kafka client."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "retail-producer",
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 20,
        # No deadline: an event waits for the brokers as long as it takes, instead of being given up.
        "message.timeout.ms": 0,
        "queue.buffering.max.messages": 50_000,
        "queue.buffering.max.kbytes": 65_536,
        # What is acknowledged is what has left the queue: no call into Python for each event.
        "delivery.report.only.error": True,
        "reconnect.backoff.max.ms": 2_000,
        # Connection troubles reach the log through Delivery, once in a while instead of once per attempt.
        "log_level": 2,
    }


class Delivery:
    """Hands events to the brokers.

    When no acknowledgement has come for `SILENCE` seconds although some are due, it takes no further event
    until one comes: what waits in memory stays little, and event times stay near the present.

    Args:
        settings: Brokers and topic.
        stopping: Whether a stop was asked for.
        options: Options of the client that differ.

    Attributes:
        sent: Events handed to the client.
    """

    SILENCE = 5.0
    REPORT_EVERY = 10.0
    POLL = 0.2  # seconds; how long a stop request may go unnoticed

    def __init__(self, settings: Settings, *, stopping: Callable[[], bool], **options: object) -> None:
        self.sent = 0
        self._servers = settings.kafka_bootstrap_servers
        self._topic = settings.sales_topic
        self._stopping = stopping
        self._failure: str | None = None
        self._trouble = ""
        self._acknowledged = 0
        self._heard = time.monotonic()  # the last acknowledgement, or the last moment none was due
        callbacks = {"error_cb": self._on_error, "on_delivery": self._on_failure}
        self._producer = Producer({**client_config(settings), **callbacks, **options})

    @property
    def queued(self) -> int:
        """Events sent and not yet acknowledged."""
        return len(self._producer)

    @property
    def delivered(self) -> int:
        """Events acknowledged by all in-sync replicas."""
        return max(self.sent - self.queued, 0)

    def send(self, events: Sequence[Event]) -> bool:
        """Hand events over, waiting for room and for the brokers; False if a stop was asked for meanwhile.

        Raises:
            DeliveryError: One of these events, or one before them, cannot be delivered.
        """
        waiting: list[dict[str, Any]] = [{"key": event.key, "value": event.value} for event in events]
        while waiting:
            self._poll(0)
            if self._silent():
                self._wait_for_brokers()
            if self._stopping():
                return False
            self._producer.produce_batch(self._topic, waiting)
            refused = [message for message in waiting if "_error" in message]
            self.sent += len(waiting) - len(refused)
            for message in refused:
                error: KafkaError = message.pop("_error")
                if error.code() != KafkaError._QUEUE_FULL:
                    raise DeliveryError(f"{message['key'].decode()}: {error.str()}")
            waiting = refused
            if waiting:
                self._poll(self.POLL)
        return True

    def pause(self, seconds: float) -> None:
        """Let time pass, taking acknowledgements. Ends early when a stop is asked for.

        Raises:
            DeliveryError: An event cannot be delivered.
        """
        end = time.monotonic() + seconds
        while not self._stopping() and (left := end - time.monotonic()) > 0:
            if left < 0.001:  # less than the client can count
                time.sleep(left)
            else:
                self._poll(min(left, self.POLL))

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if not self.queued or self.delivered > self._acknowledged:
            self._acknowledged, self._heard = self.delivered, time.monotonic()
        if self._failure is not None:
            raise DeliveryError(self._failure)

    def drained(self) -> bool:
        """Whether everything is acknowledged; if not, waits a moment for it, or for silent brokers.

        Raises:
            DeliveryError: An event cannot be delivered.
        """
        if self._silent():
            self._wait_for_brokers()
        elif self.queued:
            self._poll(self.POLL)
        return not self.queued

    def flush(self, timeout: float) -> int:
        """Wait at most `timeout` seconds for all acknowledgements; the number of those still missing."""
        self._producer.flush(timeout)
        self._poll(0)
        return self.queued

    def _silent(self) -> bool:
        return self.queued > 0 and time.monotonic() - self._heard > self.SILENCE

    def _wait_for_brokers(self) -> None:
        """Return when an acknowledgement has come or a stop was asked for."""
        began = self._heard
        report_at = 0.0
        while self._silent() and not self._stopping():
            if (now := time.monotonic()) >= report_at:
                report_at = now + self.REPORT_EVERY
                self._report(now - began)
            self._poll(self.POLL)
        if not self._stopping():
            log.info("the brokers answer again after %.0f s: going on", time.monotonic() - began)

    def _report(self, seconds: float) -> None:
        log.warning(
            "no answer from the brokers at %s for %.0f s (%s): waiting with %d events",
            self._servers,
            seconds,
            self._trouble or "the client names no error",
            self.queued,
        )
        notify(STATUS=f"waiting for the brokers at {self._servers}")

    def _on_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            key = message.key()
            name = key.decode() if isinstance(key, bytes) else str(key)
            self._failure = f"event {name} was not delivered to topic {self._topic}: {error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        self._trouble = error.str()
        if error.fatal() and self._failure is None:
            self._failure = f"the Kafka client gave up: {error.str()}"
