"""The dashboard in a gunicorn of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

WEBAPP = Path(__file__).parents[1]


@contextmanager
def serving(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve the results in a folder; gives the address of the page, and fails when gunicorn does not end well.

    Args:
        home: local mode's folder of results; its log goes there, too.
        settings: environment that changes this.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(WEBAPP),
        "USE_HDFS": "false",
        "ANALYSIS_PATH": str(home / "analysis_parquet"),
        "STORES_PATH": str(home / "stores_parquet"),
        "CLOSED_PATH": str(home / "streaming_product_revenue"),
        "STREAM_PATH": str(home / ".state/streaming"),
        "LINK_SPARK": "http://localhost:8080",
        "QUARANTINE_PATH": str(home / "quarantine"),
        "REPORT_PATH": str(home / "last_run.json"),
        "KAFKA_BOOTSTRAP_SERVERS": "",
        # What the samples say of the stream is of a moment.
        "QUIET_SECONDS": "86400",
        "REFRESH_SECONDS": "0.2",
        "SLOW_REFRESH_SECONDS": "0.2",
        "DASHBOARD_BIND": address,
        **(settings or {}),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:retail_webapp.gunicorn_conf"]
    log = home / "gunicorn.log"
    with log.open("w") as out:
        process = subprocess.Popen([*command, "retail_webapp:create_app()"], env=environment, stdout=out, stderr=out)
        try:
            _wait_for(f"http://{address}/healthz", log)
            yield f"http://{address}"
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=60)
    assert code == 0, log.read_text()


def _wait_for(address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {address}: {log.read_text()}")
