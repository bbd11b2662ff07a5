"""Runs on the edge host for `bench.freshness`, with the producer's own libraries: python3 - RATE SECONDS.

Prints the latency of every event, in seconds, as a JSON list.
"""

import json
import sys
import threading
import time
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer

RATE, SECONDS = int(sys.argv[1]), int(sys.argv[2])
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxies the host's users have
PATIENCE = 120  # seconds until the last event must be visible
LINES = Path("/etc/retail/producer.env").read_text(encoding="utf-8").splitlines()
SETTINGS = dict(line.split("=", 1) for line in LINES if "=" in line and not line.startswith("#"))
PRODUCT = f"bench-{uuid.uuid4().hex[:8]}"


def produce(started: float, produced: list[float]) -> None:
    """Sell one piece of the product at each tick, noting when."""
    producer = Producer({"bootstrap.servers": SETTINGS["KAFKA_BOOTSTRAP_SERVERS"], "acks": "all", "linger.ms": 5})
    for number in range(RATE * SECONDS):
        time.sleep(max(0.0, started + number / RATE - time.time()))
        name = f"{PRODUCT}-{number}"
        event = {"event_id": name, "order_id": name, "event_time": datetime.now(UTC).isoformat()}
        event |= {"product": PRODUCT, "quantity": "1", "unit_price": "1.00", "amount": "1.00"}
        produced.append(time.time())
        producer.produce("sales", json.dumps(event).encode(), key=name)
        producer.poll(0)
    producer.flush(30)


def visible(window: str) -> int:
    """Orders that the dashboard counts in a window, by its start."""
    with DIRECT.open(f"http://127.0.0.1:8000/api/windows?product={PRODUCT}", timeout=10) as answer:
        rows = json.load(answer)["rows"]
    return sum(row["orders"] for row in rows if row["window_start"] == window and row["product"] == PRODUCT)


def main() -> None:
    """Produce and poll at the same time."""
    started = time.time()
    window = datetime.fromtimestamp(started - started % 900, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    produced: list[float] = []
    latencies: list[float] = []
    threading.Thread(target=produce, args=(started, produced), daemon=True).start()
    while len(latencies) < RATE * SECONDS and time.time() < started + SECONDS + PATIENCE:
        count, now = visible(window), time.time()
        latencies += [now - moment for moment in produced[len(latencies) : count]]
        time.sleep(0.1)
    print(json.dumps(latencies))


if __name__ == "__main__":
    main()
