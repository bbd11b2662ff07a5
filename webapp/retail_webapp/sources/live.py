"""Live windows, kept up to date by a consumer thread on the compacted topic."""

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from retail_webapp.settings import Settings
from retail_webapp.sources.report import Report, State, utc_now
from retail_webapp.sources.windows import BadMessageError, Window, apply_message, drop_old, newest_first
from retail_webapp.sources.worker import Worker

log = logging.getLogger(__name__)

FIRST_READ_SECONDS = 3.0
"""How long the first request waits until the topic has been read to its end."""

PROBE_SECONDS = 3.0
"""Seconds between two requests for the topic's metadata: the way to learn that the brokers are away."""

POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
BATCH_MESSAGES = 1000


@dataclass(frozen=True, eq=False)
class LiveSnapshot:
    """All windows shown at one moment."""

    windows: tuple[Window, ...]
    at: datetime
    """The minute for which it is decided whether a window is still open."""

    version: int
    """Counts the snapshots."""

    @cached_property
    def updated_at(self) -> datetime | None:
        """The newest update among them (UTC)."""
        return max((window.updated_at for window in self.windows), default=None)


class TopicMissingError(Exception):
    """The live topic does not exist (yet)."""


def consumer_config(settings: Settings) -> dict[str, str | int | bool]:
    """Configuration of the consumer: it takes partitions by itself and commits nothing.

    The group id is required by the client, but never used: there is no group and no offset to remember.
    """
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "retail-dashboard",
        "group.id": f"retail-dashboard-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "reconnect.backoff.max.ms": 2000,
        # The client would log every attempt to connect; the change of this source's state is logged once.
        "log_level": 2,
    }


class LiveSource:
    """Keeps the newest value of every window; requests never wait for Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keep = timedelta(hours=settings.live_keep_hours)
        self._windows: dict[bytes, Window] = {}
        self._snapshot = LiveSnapshot((), utc_now(), 0)
        self._state = State.STARTING if settings.kafka_bootstrap_servers else State.OFF
        self._error = ""
        self._bad = 0
        self._to_read: set[int] = set()
        self._first_read = threading.Event()
        self._started = 0.0
        self._worker = Worker("live-source", self._run)

    def start(self) -> None:
        """Start consuming, once; does nothing without brokers in the settings."""
        if self._state is State.OFF:
            return
        if not self._started:
            self._started = time.monotonic()
        self._worker.start()

    def stop(self) -> None:
        """Stop consuming and close the connections."""
        self._worker.stop()

    def current(self) -> tuple[LiveSnapshot, Report]:
        """The windows now, and the state of the source; the first call waits until the topic has been read."""
        if not self._first_read.is_set() and self._started:
            self._first_read.wait(max(0.0, self._started + FIRST_READ_SECONDS - time.monotonic()))
        snapshot = self._snapshot
        return snapshot, self._report(snapshot)

    def report(self) -> Report:
        """State of the source now; never waits."""
        return self._report(self._snapshot)

    def _report(self, snapshot: LiveSnapshot) -> Report:
        state = self._state
        if state is State.OK:
            state = self._how_lively(snapshot.updated_at)
        topic = f"Kafka topic {self._settings.live_topic}"
        return Report(topic, state, snapshot.updated_at, self._notice(state), snapshot.version)

    def _how_lively(self, updated: datetime | None) -> State:
        if updated is None:
            return State.EMPTY
        quiet = (utc_now() - updated).total_seconds() > self._settings.quiet_seconds
        return State.QUIET if quiet else State.OK

    def _notice(self, state: State) -> str | None:
        match state:
            case State.OFF:
                return "Live windows come from Kafka, and no brokers are configured here."
            case State.STARTING:
                return f"Reading the topic {self._settings.live_topic} for the first time."
            case State.EMPTY:
                return self._error or "No window yet: are retail-producer and retail-streaming running?"
            case State.QUIET:
                return "No new event arrives: are retail-producer and retail-streaming running?"
            case State.AWAY:
                shown = "showing the last good data" if self._snapshot.windows else "nothing to show yet"
                return f"Kafka cannot be read ({self._error}): {shown}; trying again."
            case _:
                return None

    def _run(self) -> None:
        while not self._worker.stopping.is_set():
            try:
                self._consume()
            except TopicMissingError as error:
                self._become(State.EMPTY, str(error))
            except KafkaException as error:
                self._become(State.AWAY, _reason(error))
            # Whatever a message or the client gives must end in a notice, never in the end of this thread.
            except Exception as error:
                log.exception("live source")
                self._become(State.AWAY, f"{type(error).__name__}: {error}")
            self._first_read.set()
            self._worker.stopping.wait(RETRY_SECONDS)

    def _consume(self) -> None:
        """Read the topic from its beginning and follow it, until told to stop or its partitions change."""
        consumer = Consumer(consumer_config(self._settings), logger=log)
        try:
            partitions = self._partitions(consumer)
            self._to_read = set(partitions)
            # The state is built beside the one shown, which stays until the new one is whole.
            windows: dict[bytes, Window] = {}
            consumer.assign(
                [TopicPartition(self._settings.live_topic, number, OFFSET_BEGINNING) for number in partitions]
            )
            probed = time.monotonic()
            while not self._worker.stopping.is_set():
                changed = self._take(windows, _poll(consumer))
                if not self._to_read:
                    self._publish(windows, changed)
                if time.monotonic() - probed > PROBE_SECONDS:
                    if not self._probe(consumer, partitions):
                        return
                    probed = time.monotonic()
        finally:
            consumer.close()

    def _partitions(self, consumer: Consumer) -> list[int]:
        """Numbers of the topic's partitions.

        Raises:
            KafkaException: when no broker answers.
            TopicMissingError: when there is no such topic.
        """
        name = self._settings.live_topic
        topic = consumer.list_topics(name, timeout=PROBE_SECONDS).topics[name]
        if topic.error is not None:
            if topic.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                raise TopicMissingError(f"The topic {name} does not exist yet: make streaming")
            raise KafkaException(topic.error)
        lost = [number for number, partition in topic.partitions.items() if partition.leader < 0]
        if lost:
            # Its brokers are away: what it holds cannot be read, however well the others answer.
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"partition {lost[0]} has no leader"))
        return sorted(topic.partitions)

    def _probe(self, consumer: Consumer, partitions: list[int]) -> bool:
        """Ask the brokers for the topic; False when its partitions are others than those being read."""
        try:
            same = self._partitions(consumer) == partitions
        except KafkaException as error:
            # The client connects again by itself and goes on where it was.
            self._become(State.AWAY, _reason(error))
            return True
        if not self._to_read:
            self._become(State.OK)
        return same

    def _take(self, windows: dict[bytes, Window], messages: list[Message]) -> bool:
        """Apply messages to the state; tells whether there was one."""
        changed = False
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._to_read.discard(message.partition() or 0)
                    continue
                if error.fatal():
                    raise KafkaException(error)
                log.info("live topic: %s", error.str())
                continue
            changed = True
            self._apply(windows, message)
        return changed

    def _apply(self, windows: dict[bytes, Window], message: Message) -> None:
        try:
            apply_message(windows, _raw(message.key()) or b"", _raw(message.value()))
        except BadMessageError as error:
            self._bad += 1
            if self._bad <= 5:
                log.warning("live topic: message %s/%s left out: %s", message.partition(), message.offset(), error)

    def _publish(self, windows: dict[bytes, Window], changed: bool) -> None:
        """Show a new snapshot when a message came, or a minute passed and a window may have ended."""
        now = utc_now()
        minute = now.replace(second=0, microsecond=0)
        if not changed and minute == self._snapshot.at and self._windows is windows:
            return
        if self._windows is not windows:
            self._windows = windows
            self._become(State.OK)
        drop_old(windows, now, self._keep)
        self._snapshot = LiveSnapshot(newest_first(windows.values()), minute, self._snapshot.version + 1)
        self._first_read.set()

    def _become(self, state: State, error: str = "") -> None:
        if (state, error) != (self._state, self._error):
            level = logging.WARNING if state is State.AWAY else logging.INFO
            log.log(level, "%s: %s -> %s %s", self._settings.live_topic, self._state, state, error)
        self._state, self._error = state, error


def _poll(consumer: Consumer) -> list[Message]:
    """What is there; waits for the first message only, so that a window is shown at once."""
    first = consumer.poll(POLL_SECONDS)
    if first is None:
        return []
    return [first, *consumer.consume(BATCH_MESSAGES, timeout=0.02)]


def _raw(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _reason(error: KafkaException) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
