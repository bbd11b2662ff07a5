"""The live source on a real broker: what it shows while values change, and while the broker is away."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from retail_webapp.settings import Settings
from retail_webapp.sources import unread
from retail_webapp.sources.live import LiveSource
from retail_webapp.sources.report import State, iso
from retail_webapp.sources.unread import Unread, UnreadSource

from tools.testing.kafka_broker import Broker, create_topic, running

from .samples import MILK, SOAP

pytestmark = pytest.mark.filterwarnings("error")

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as broker:
        yield broker


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def source(broker: Broker, topic: str) -> Iterator[LiveSource]:
    source = LiveSource(Settings(kafka_bootstrap_servers=broker.address, live_topic=topic, quiet_seconds=3600))
    source.start()
    yield source
    source.stop()


class Writer:
    """Writes windows as the streaming job does."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": broker.address, "acks": "all", "log_level": 0})
        self._topic = topic

    def send(self, product: str, revenue: str | None, partition: int = -1) -> None:
        """Set the value of a product's window; None removes it."""
        value = None
        if revenue is not None:
            fields = {"product": product, "orders": 1, "revenue": revenue, "updated_at": iso(datetime.now(UTC))}
            value = json.dumps({"window_start": iso(START), "window_end": iso(START + timedelta(hours=1)), **fields})
        self._producer.produce(self._topic, value, key=f"{product}|{iso(START)}", partition=partition)
        assert self._producer.flush(30) == 0


def wait_until(condition: Callable[[], bool], source: LiveSource | None = None) -> None:
    deadline = time.monotonic() + 45
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within 45 s: {source and (source.report(), source.current()[0])}")
        time.sleep(0.05)


def shown(source: LiveSource) -> dict[str, Decimal]:
    return {window.product: window.revenue for window in source.current()[0].windows}


def test_values_are_followed_from_the_beginning_of_the_topic(broker: Broker, source: LiveSource, topic: str) -> None:
    wait_until(lambda: source.report().state is State.EMPTY, source)
    assert "does not exist yet: make streaming" in str(source.report().notice)

    create_topic(broker.address, topic, partitions=2, cleanup_policy="compact")
    writer = Writer(broker, topic)
    for revenue in ("1.00", "2.00", "9007199254740993.01"):
        writer.send(MILK, revenue)
    writer.send(SOAP, "0.30")
    wait_until(lambda: shown(source) == {MILK: Decimal("9007199254740993.01"), SOAP: Decimal("0.30")}, source)
    assert source.report().state is State.OK

    writer.send(MILK, None)
    wait_until(lambda: shown(source) == {SOAP: Decimal("0.30")}, source)


def test_the_last_good_windows_stay_while_the_broker_is_away(broker: Broker, source: LiveSource, topic: str) -> None:
    create_topic(broker.address, topic, cleanup_policy="compact")
    Writer(broker, topic).send(MILK, "1.00")
    wait_until(lambda: shown(source) == {MILK: Decimal("1.00")}, source)

    broker.kill()
    wait_until(lambda: source.report().state is State.AWAY, source)
    assert "showing the last good data" in str(source.report().notice)
    assert shown(source) == {MILK: Decimal("1.00")}

    broker.start()
    Writer(broker, topic).send(MILK, "2.00")
    wait_until(lambda: shown(source) == {MILK: Decimal("2.00")}, source)
    wait_until(lambda: source.report().state is State.OK, source)


def test_a_partition_without_a_leader_is_a_notice_while_the_others_are_followed(topic: str) -> None:
    # Brokers of its own: one that is gone stays a member of its cluster.
    with running() as first, running(joins=first) as second:
        addresses = f"{first.address},{second.address}"
        admin = AdminClient({"bootstrap.servers": first.address, "log_level": 0})
        wait_until(lambda: len(admin.list_topics(timeout=5).brokers) == 2)
        partitions = NewTopic(topic, 2, replica_assignment=[[1], [2]], config={"cleanup.policy": "compact"})
        admin.create_topics([partitions])[topic].result()
        writer = Writer(first, topic)
        source = LiveSource(Settings(kafka_bootstrap_servers=addresses, live_topic=topic, quiet_seconds=3600))
        source.start()
        try:
            writer.send(MILK, "1.00", partition=0)
            writer.send(SOAP, "1.00", partition=1)
            wait_until(lambda: shown(source) == {MILK: Decimal("1.00"), SOAP: Decimal("1.00")}, source)

            second.kill()
            wait_until(lambda: source.report().state is State.AWAY, source)
            assert "partition 1 has no leader" in str(source.report().notice)
            writer.send(MILK, "2.00", partition=0)
            wait_until(lambda: shown(source) == {MILK: Decimal("2.00"), SOAP: Decimal("1.00")}, source)
            assert source.report().state is State.AWAY

            second.start()
            writer.send(SOAP, "3.00", partition=1)
            wait_until(lambda: shown(source) == {MILK: Decimal("2.00"), SOAP: Decimal("3.00")}, source)
            wait_until(lambda: source.report().state is State.OK, source)
        finally:
            source.stop()


def test_what_the_stream_has_not_read_is_summed_by_day(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topic(broker.address, topic, partitions=2)
    producer = Producer({"bootstrap.servers": broker.address, "acks": "all", "log_level": 0})
    for partition, day, amount in ((0, 1, "1.00"), (0, 1, "2.00"), (0, 2, "4.00"), (1, 1, "8.00")):
        value = json.dumps({"event_time": f"2025-03-0{day}T09:00:00Z", "amount": amount})
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0
    # The stream has read one event, and does not know of the second partition yet.
    position: dict[int, int] | None = {0: 1}
    source = UnreadSource(
        Settings(kafka_bootstrap_servers=broker.address, sales_topic=topic),
        lambda: position,
        interval=60,
        product="Kafka",
        how_to_fill="wait",
    )
    source.refresh()
    sums = {date(2025, 3, 1): (2, Decimal("10.00")), date(2025, 3, 2): (1, Decimal("4.00"))}
    assert source.snapshot() == Unread(sums, whole=True)

    monkeypatch.setattr(unread, "MOST_EVENTS", 1)
    source.refresh()
    found = source.snapshot()
    assert found is not None
    assert (sum(number for number, _ in found.by_day.values()), found.whole) == (1, False)

    position = {0: 3, 1: 1}
    source.refresh()
    assert source.snapshot() == Unread({}, whole=True)
