"""The dashboard's cached data route against an empty Flask route, behind the same nginx and gunicorn.

    python -m bench.dashboard [--seconds 1] [--rounds 15]

Requests per second of the data route to those of the empty route, and of its 304s to those of its whole answers; and
the memory of the application after 200 publications, with 50 clients that ask for different things, to that after ten.
Needs wrk and nginx, Debian packages of these names.
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
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from flask import Flask

from bench import Ratio, show
from tools.terminal import Problem, run

ROOT = Path(__file__).parents[1]
CONNECTIONS = 8
DAYS, PRODUCTS = 60, 17
PUBLICATIONS, WARM, CLIENTS = 200, 10, 50
MODULES = {"PYTHONPATH": f"{ROOT}:{ROOT / 'webapp'}"}
MONEY, QUANTITY = pa.decimal128(18, 2), pa.decimal128(18, 3)
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
  proxy_cache_path cache keys_zone=dashboard:1m max_size=64m inactive=10s use_temp_path=off;
  upstream dashboard {{ server {dashboard}; keepalive 8; }}
  upstream empty {{ server {empty}; keepalive 8; }}
  server {{
    listen {listen};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location /api/ {{
      proxy_pass http://dashboard;
      proxy_cache dashboard;
      proxy_cache_valid 200 1s;
      proxy_cache_lock on;
      proxy_ignore_headers Cache-Control;
    }}
    location = /empty {{ proxy_pass http://empty; }}
  }}
}}
"""


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


def write_result(folder: Path, publication: int = 1, days: Iterable[int] = range(DAYS)) -> None:
    """A publication of the batch with `DAYS` days of `PRODUCTS` products.

    Args:
        folder: of the results.
        publication: its number.
        days: those that are new in it; all others are as in the publication before.
    """
    numbers, name = range(PRODUCTS), f"p{publication:09d}"
    snapshot, partial = folder / ".snapshot" / name, folder / ".snapshot" / f"_{name}"
    if publication > 1:
        shutil.copytree(snapshot.with_name(f"p{publication - 1:09d}"), partial, copy_function=os.link)
        shutil.rmtree(snapshot.with_name(f"p{publication - 5:09d}"), ignore_errors=True)
    for day in days:
        path = partial / f"order_date={date(2025, 1, 1) + timedelta(days=day)}/part-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        columns = {
            "product": [f"Product {number}" for number in numbers],
            "category": [f"Category {number % 5}" for number in numbers],
            "brand": [f"Brand {number % 7}" for number in numbers],
            "orders": [number + day for number in numbers],
            "quantity": pa.array([2 * number + day for number in numbers], QUANTITY),
            "revenue": pa.array([Decimal(number * day + publication) / 100 for number in numbers], MONEY),
        }
        pq.write_table(pa.table(columns), path)
    partial.rename(snapshot)


def free_address() -> str:
    """A loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def running(command: list[str], url: str, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a server until the end of the block; it is there when `url` answers. Gives its process id."""
    with log.open("w") as out:
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=ROOT, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + 30
            while not answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Problem(f"{command[0]} does not serve {url}:\n{log.read_text()}")
                time.sleep(0.1)
            yield process.pid
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


def local_mode(home: Path) -> dict[str, str]:
    """Environment of a dashboard over the result in a folder."""
    return {**MODULES, "USE_HDFS": "false", "ANALYSIS_PATH": str(home / "result"), "KAFKA_BOOTSTRAP_SERVERS": ""}


def gunicorn(app: str) -> list[str]:
    """Command that serves an app as the unit retail-dashboard does."""
    return [sys.executable, "-m", "gunicorn", "-c", "python:retail_webapp.gunicorn_conf", app]


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The dashboard and the empty app behind one nginx; its address."""
    dashboard, empty, front = free_address(), free_address(), free_address()
    # Started by root, nginx works as somebody else, who writes what it caches.
    home.chmod(0o755)
    write_result(home / "result")
    (home / "nginx.conf").write_text(NGINX.format(dashboard=dashboard, empty=empty, listen=front))
    nginx = ["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
    with ExitStack() as stack:
        for name, command, url, environment in (
            ("dashboard", gunicorn("retail_webapp:create_app()"), f"http://{dashboard}/api/daily", local_mode(home)),
            ("empty", gunicorn("bench.dashboard:empty_app()"), f"http://{empty}/empty", MODULES),
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
            raise Problem(f"{url} is not ready: {body[:200]!r}")
        return str(response.headers["ETag"])


def requests_per_second(url: str, seconds: int, headers: Mapping[str, str]) -> float:
    """Throughput as wrk measures it.

    Raises:
        Problem: when a request failed.
    """
    given = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", *given, url]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    if found is None or "Socket errors" in shown or "Non-2xx" in shown:
        raise Problem(f"wrk: {shown}")
    return float(found[1])


def compare(url: str, seconds: int, rounds: int) -> list[Ratio]:
    """Medians of the ratios of each round, in which all three follow each other closely."""
    zipped = {"Accept-Encoding": "gzip"}
    unchanged = {**zipped, "If-None-Match": etag_of(f"{url}/api/daily")}
    whole_to_empty, same_to_whole = [], []
    # The first round only warms up.
    for number in range(rounds + 1):
        empty = requests_per_second(f"{url}/empty", seconds, zipped)
        whole = requests_per_second(f"{url}/api/daily", seconds, zipped)
        same = requests_per_second(f"{url}/api/daily", seconds, unchanged)
        if number:
            whole_to_empty.append(whole / empty)
            same_to_whole.append(same / whole)
    return [
        Ratio("dashboard, cached data route / empty Flask route", statistics.median(whole_to_empty), 1, True),
        Ratio("dashboard, 304 of that route / the route itself", statistics.median(same_to_whole), 1, True),
    ]


def memory(home: Path) -> Ratio:
    """What the application keeps of publications that are gone, while clients with their own filters go on asking."""
    address = free_address()
    environment = {**local_mode(home), "DASHBOARD_BIND": address, "REFRESH_SECONDS": "0.05"}
    write_result(home / "result")
    addresses = [f"http://{address}/api/products?limit={number + 1}" for number in range(CLIENTS)]
    with (
        running(gunicorn("retail_webapp:create_app()"), addresses[0], environment, home / "memory.log") as master,
        ThreadPoolExecutor(8) as clients,
    ):
        worker = Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]
        warm = 0
        for publication in range(2, PUBLICATIONS + 1):
            before = read(addresses[0])
            write_result(home / "result", publication, [publication % DAYS])
            deadline = time.monotonic() + 30
            while read(addresses[0]) == before:
                if time.monotonic() > deadline:
                    raise Problem(f"publication {publication} does not show")
                time.sleep(0.02)
            list(clients.map(read, addresses))
            if publication == WARM:
                warm = resident_kib(worker)
        return Ratio("dashboard, memory after 200 publications / after ten", resident_kib(worker) / warm, 1.2)


def read(url: str) -> bytes:
    """What an address answers."""
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body


def resident_kib(pid: str) -> int:
    """Memory of a process in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def measure(seconds: int = 1, rounds: int = 15) -> list[Ratio]:
    """Serve both and measure them.

    Args:
        seconds: of each measurement.
        rounds: of three measurements each.

    Raises:
        Problem: nginx or wrk is not installed, something does not serve, or a request failed.
    """
    missing = [name for name in ("nginx", "wrk") if shutil.which(name, path=PATH) is None]
    if missing:
        raise Problem(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as url:
        ratios = compare(url, seconds, rounds)
    with tempfile.TemporaryDirectory() as home:
        return [*ratios, memory(Path(home))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement (default 1)")
    parser.add_argument("--rounds", type=int, default=15, help="of three measurements each (default 15)")
    options = parser.parse_args()
    show(measure(options.seconds, options.rounds))


if __name__ == "__main__":
    run(main)
