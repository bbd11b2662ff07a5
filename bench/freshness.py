"""Freshness: from the moment an event is produced until the dashboard's JSON counts it, at 200 events/s.

    python -m bench.freshness            # on the running lab; ANSIBLE_INVENTORY names another cluster

A product of its own is sold at a steady rate from the edge host while the dashboard's live windows are polled there:
when they count n orders, the n-th event has become visible.
"""

from __future__ import annotations

import json
import re

from bench import Ratio, show
from tools import cluster as clusters
from tools.terminal import Problem, console, run

RATE, SECONDS = 200, 60
GRACE = 2.0  # seconds beyond the trigger interval

# Runs on the edge host with the producer's own libraries; prints the latency of every event (seconds) as JSON.
PROBE = f"""
import json, threading, time, urllib.request, uuid
from datetime import UTC, datetime
from confluent_kafka import Producer

settings = dict(line.rstrip().split("=", 1) for line in open("/etc/retail/producer.env") if "=" in line and line[0] != "#")
product, total = "bench-" + uuid.uuid4().hex[:8], {RATE * SECONDS}
url = "http://127.0.0.1:8000/api/windows?product=" + product
started = time.time()
window = datetime.fromtimestamp(started - started % 900, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
produced, latencies = [], []

def produce():
    producer = Producer({{"bootstrap.servers": settings["KAFKA_BOOTSTRAP_SERVERS"], "acks": "all", "linger.ms": 5}})
    for number in range(total):
        time.sleep(max(0, started + number / {RATE} - time.time()))
        event = dict(event_id=f"{{product}}:{{number}}", event_time=datetime.now(UTC).isoformat(), order_id=f"{{product}}-{{number}}",
                     product=product, quantity="1", unit_price="1.00", amount="1.00")
        produced.append(time.time())
        producer.produce("sales", json.dumps(event).encode(), key=event["event_id"])
        producer.poll(0)
    producer.flush(30)

threading.Thread(target=produce, daemon=True).start()
while len(latencies) < total and time.time() < started + {SECONDS} + 120:
    with urllib.request.urlopen(url, timeout=10) as answer:
        rows = json.load(answer)["rows"]
    now = time.time()
    visible = sum(row["orders"] for row in rows if row["window_start"] == window and row["product"] == product)
    latencies += [now - at for at in produced[len(latencies):visible]]
    time.sleep(0.1)
print(json.dumps(latencies))
"""


def measure() -> list[Ratio]:
    """Produce and poll; the ratio is that of the 95th percentile to what it may be.

    Raises:
        Problem: not all events became visible, or there is no cluster.
    """
    edge = clusters.from_inventory().one_of("edge")
    trigger = re.search(r'TRIGGER_SECONDS="?([\d.]+)', edge.run("cat /etc/retail/jobs.env").out)
    if not trigger:
        raise Problem(f"{edge.name} has no /etc/retail/jobs.env: deploy the jobs first")
    console.print(f"{RATE} events/s for {SECONDS} s on {edge.name} ...")
    done = edge.run("sudo env PYTHONPATH=/opt/retail-producer python3 -", stdin=PROBE, timeout=SECONDS + 180)
    if done.code:
        raise Problem(f"{edge.name}: {done.last_words}")
    latencies = sorted(json.loads(done.out))
    if len(latencies) < RATE * SECONDS:
        raise Problem(f"only {len(latencies)} of {RATE * SECONDS} events became visible; see retail-streaming's journal")
    p50, p95 = (latencies[int(len(latencies) * part)] for part in (0.5, 0.95))
    allowed = float(trigger[1]) + GRACE
    console.print(f"p50 {p50:.1f} s, p95 {p95:.1f} s, slowest {latencies[-1]:.1f} s; trigger {trigger[1]} s")
    return [Ratio(f"event to dashboard, p95, to the trigger interval + {GRACE:g} s", p95 / allowed, 1)]


if __name__ == "__main__":
    run(lambda: show(measure()))
