"""The command as a process: exit codes, messages, signals; brokers that are away are a port nobody holds."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from tools.testing.kafka_broker import Broker, create_topic

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "retail_producer", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'producer'}:{ROOT / 'dataset'}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "-1"], "EVENTS_PER_SECOND"),
        (["--input", "/nonexistent"], "there is no folder /nonexistent"),
        (["--speed", "1"], "unrecognized arguments"),
    ],
)
def test_configuration_errors_exit_with_2_and_one_line(arguments: list[str], said: str) -> None:
    process = start(*arguments)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in output
    assert "Traceback" not in output


def test_brokers_away_it_waits_says_so_and_a_stop_reports_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("order_id,date,amount\n1,,2\n2,,3\n")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    process = start("--input", str(tmp_path), "--rate", "100", KAFKA_BOOTSTRAP_SERVERS=address)
    assert process.stdout is not None
    said = next(line for line in process.stdout if "no answer" in line)
    assert f"no answer from the brokers at {address} for 5 s" in said
    assert "waiting with 2 events" in said
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no answer" not in output
    assert "stopped with 2 events that no broker acknowledged" in output


@pytest.fixture
def topic(broker: Broker) -> str:
    name = f"sales-{uuid.uuid4().hex}"
    create_topic(broker.address, name)
    return name


def received(broker: Broker, topic: str, at_least: int = 0) -> list[dict[str, Any]]:
    """All events of a topic, once there are some."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test", "enable.auto.commit": False})
    partition = TopicPartition(topic, 0, 0)
    while (end := consumer.get_watermark_offsets(partition)[1]) < at_least:
        pass
    consumer.assign([partition])
    events: list[dict[str, Any]] = []
    while len(events) < end:
        for message in consumer.consume(1000, timeout=1):
            assert message.error() is None
            events.append(json.loads(message.value() or b""))
    consumer.close()
    return events


def csv(folder: Path, rows: int) -> Path:
    text = "order_id,product,date,amount\n" + "".join(f"{number},Tea,,1.50\n" for number in range(rows))
    (folder / "a.csv").write_text(text)
    return folder


def test_all_events_arrive_once_and_in_order(broker: Broker, topic: str, tmp_path: Path) -> None:
    rows = 20_000
    arguments = ["--input", str(csv(tmp_path, rows)), "--rate", "0", "--topic", topic]
    output, _ = (process := start(*arguments, KAFKA_BOOTSTRAP_SERVERS=broker.address)).communicate(timeout=120)
    assert (process.returncode, f"all {rows} events delivered" in output) == (0, True), output
    assert [event["order_id"] for event in received(broker, topic)] == [str(number) for number in range(rows)]


@pytest.mark.parametrize("rows", [1, 30])
def test_an_input_that_ends_at_once_has_started_all_the_same(
    broker: Broker, topic: str, tmp_path: Path, rows: int
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address := str(tmp_path / "notify"))
        arguments = ["--input", str(csv(tmp_path, rows)), "--rate", "0", "--topic", topic]
        process = start(*arguments, KAFKA_BOOTSTRAP_SERVERS=broker.address, NOTIFY_SOCKET=address)
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, f"all {rows} events delivered" in output) == (0, True), output
        systemd.settimeout(1)
        assert systemd.recv(4096).startswith(b"READY=1\n")


def test_sigterm_sends_what_is_in_the_queue(broker: Broker, topic: str, tmp_path: Path) -> None:
    arguments = ["--input", str(csv(tmp_path, 5)), "--rate", "2000", "--loop", "--topic", topic]
    process = start(*arguments, KAFKA_BOOTSTRAP_SERVERS=broker.address)
    received(broker, topic, at_least=500)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    events = received(broker, topic)
    assert process.returncode == 0, output
    assert f"stopped: all {len(events)} events delivered" in output
    assert len({event["order_id"] for event in events}) == len({event["event_id"] for event in events}) == len(events)


def test_a_broker_that_goes_and_comes_back_costs_nothing(broker: Broker, topic: str, tmp_path: Path) -> None:
    arguments = ["--input", str(csv(tmp_path, 100_000)), "--rate", "500", "--topic", topic]
    process = start(*arguments, KAFKA_BOOTSTRAP_SERVERS=broker.address)
    assert process.stdout is not None
    received(broker, topic, at_least=100)
    broker.kill()
    next(line for line in process.stdout if "no answer from the brokers" in line)
    broker.start()
    next(line for line in process.stdout if "the brokers answer again" in line)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    events = received(broker, topic)
    assert [event["order_id"] for event in events] == [str(number) for number in range(len(events))]


def test_an_event_that_the_brokers_refuse_is_named(broker: Broker, tmp_path: Path) -> None:
    topic = f"small-{uuid.uuid4().hex}"
    create_topic(broker.address, topic, max_message_bytes="2000")
    (tmp_path / "a.csv").write_text(f"order_id,product,date,amount\n1,{os.urandom(4000).hex()},,\n")
    process = start("--input", str(tmp_path), "--topic", topic, KAFKA_BOOTSTRAP_SERVERS=broker.address)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"event 1 was not delivered to topic {topic}" in output
