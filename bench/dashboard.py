"""The dashboard's cached data route against an empty Flask route, behind the same nginx and gunicorn.

    python -m bench.dashboard [--seconds 3] [--rounds 5]

Prints ratios of one run: requests per second of the data route, with its body and as a 304, to those of the empty
route. Needs wrk and nginx (Debian packages of these names). Exits with 1 when a ratio is below what it should be.
"""

import argparse
import gzip
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from flask import Flask

ROOT = Path(__file__).parents[1]
CONNECTIONS = 8
DAYS, PRODUCTS = 60, 17
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# The same way to the application as in roles/nginx; what is not on that way is left out.
NGINX = """\
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  gzip on; gzip_vary on; gzip_proxied any; gzip_min_length 1024; gzip_types application/json;
  upstream dashboard {{ server {dashboard}; keepalive 8; }}
  upstream empty {{ server {empty}; keepalive 8; }}
  server {{
    listen {listen};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / {{ proxy_pass http://dashboard; }}
    location = /empty {{ proxy_pass http://empty; }}
  }}
}}
"""


class Ratio(NamedTuple):
    """One line of the result."""

    what: str
    ratio: float
    at_least: float

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return self.ratio >= self.at_least


class NoSources:
    """What gunicorn's configuration starts and stops with the dashboard."""

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""


def empty_app() -> Flask:
    """A Flask app with one route that does nothing."""
    app = Flask("empty")
    app.extensions["sources"] = NoSources()
    app.add_url_rule("/empty", view_func=lambda: "")
    return app


def write_result(folder: Path) -> None:
    """A publication of the batch with `DAYS` days of `PRODUCTS` products."""
    numbers = range(PRODUCTS)
    for day in range(DAYS):
        path = folder / f".snapshot/p000000001/order_date={date(2025, 1, 1) + timedelta(days=day)}/part-0.parquet"
        path.parent.mkdir(parents=True)
        columns = {
            "product": [f"Product {number}" for number in numbers],
            "category": [f"Category {number % 5}" for number in numbers],
            "brand": [f"Brand {number % 7}" for number in numbers],
            "orders": [number + day for number in numbers],
            "quantity": [2 * number + day for number in numbers],
            "revenue": pa.array([Decimal(number * day) / 100 for number in numbers], pa.decimal128(18, 2)),
        }
        pq.write_table(pa.table(columns), path)


def free_address() -> str:
    """A loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def running(command: list[str], url: str, environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run a server until the end of the block; it is there when `url` answers."""
    with log.open("w") as out:
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=ROOT, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + 30
            while not answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not serve {url}:\n{log.read_text()}")
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)


def answers(url: str) -> bool:
    """Whether somebody answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def gunicorn(app: str) -> list[str]:
    """Command that serves an app as the unit retail-dashboard does."""
    return [sys.executable, "-m", "gunicorn", "-c", "python:retail_webapp.gunicorn_conf", app]


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The dashboard and the empty app behind one nginx; its address."""
    dashboard, empty, front = free_address(), free_address(), free_address()
    write_result(home / "result")
    (home / "nginx.conf").write_text(NGINX.format(dashboard=dashboard, empty=empty, listen=front))
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'webapp'}"}
    local = {"USE_HDFS": "false", "ANALYSIS_PATH": str(home / "result"), "KAFKA_BOOTSTRAP_SERVERS": ""}
    nginx = ["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
    with ExitStack() as stack:
        for name, command, url, environment in (
            ("dashboard", gunicorn("retail_webapp:create_app()"), f"http://{dashboard}/api/daily", {**paths, **local}),
            ("empty", gunicorn("bench.dashboard:empty_app()"), f"http://{empty}/empty", paths),
            ("nginx", nginx, f"http://{front}/empty", {"PATH": PATH}),
        ):
            bind = {"DASHBOARD_BIND": url.split("/")[2]}
            stack.enter_context(running(command, url, {**environment, **bind}, home / f"{name}.log"))
        yield f"http://{front}"


def etag_of(url: str) -> str:
    """The ETag of the data route, after a look at whether it is what is to be measured."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})) as response:
        body = gzip.decompress(response.read())
        if b'"state":"ok"' not in body:
            raise SystemExit(f"{url} is not ready: {body[:200]!r}")
        return str(response.headers["ETag"])


def requests_per_second(url: str, seconds: float, headers: Mapping[str, str]) -> float:
    """Throughput as wrk measures it.

    Raises:
        SystemExit: when a request failed.
    """
    given = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", *given, url]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    if found is None or "Socket errors" in shown or "Non-2xx" in shown:
        raise SystemExit(f"wrk: {shown}")
    return float(found[1])


def measure(url: str, seconds: float, rounds: int) -> list[Ratio]:
    """Medians of the ratios of each round, in which all three follow each other."""
    zipped = {"Accept-Encoding": "gzip"}
    unchanged = {**zipped, "If-None-Match": etag_of(f"{url}/api/daily")}
    data, not_modified = [], []
    # The first round only warms up.
    for number in range(rounds + 1):
        empty = requests_per_second(f"{url}/empty", seconds, zipped)
        whole = requests_per_second(f"{url}/api/daily", seconds, zipped)
        same = requests_per_second(f"{url}/api/daily", seconds, unchanged)
        if number:
            data.append(whole / empty)
            not_modified.append(same / empty)
    whole_ratio, same_ratio = statistics.median(data), statistics.median(not_modified)
    return [
        Ratio("dashboard: cached data route / empty Flask route", whole_ratio, 0.8),
        Ratio("dashboard: 304 of that route / empty Flask route", same_ratio, whole_ratio),
    ]


def main() -> int:
    """Measure and print; 1 when something is slower than it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="of three measurements each (default 5)")
    options = parser.parse_args()
    missing = [name for name in ("nginx", "wrk") if shutil.which(name, path=PATH) is None]
    if missing:
        raise SystemExit(f"Not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as url:
        ratios = measure(url, options.seconds, options.rounds)
    for ratio in ratios:
        print(f"{ratio.what}: {ratio.ratio:.2f} (at least {ratio.at_least:.2f})")
    return 0 if all(ratio.good for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
