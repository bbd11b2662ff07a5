"""Gunicorn for the dashboard: one worker with threads, since all state is in memory and is only read.

`DASHBOARD_BIND` is the address to listen on (default 127.0.0.1:8000); `DASHBOARD_ACCESS_LOG=1` logs requests.
"""

import logging
import os
from typing import Any

bind = os.environ.get("DASHBOARD_BIND", "127.0.0.1:8000")
workers = 1
worker_class = "gthread"
threads = 8
# The clients of HDFS and Kafka do not survive a fork: the app is made in the worker.
preload_app = False
# nginx keeps its connections open for 60 s; the side that closes first must be nginx.
keepalive = 75
timeout = 30
graceful_timeout = 5
accesslog = "-" if os.environ.get("DASHBOARD_ACCESS_LOG") == "1" else None
access_log_format = "%(m)s %(U)s %(s)s %(b)s bytes %(D)s us"
errorlog = "-"
loglevel = "info"
# Its default place is in a home folder, which a service user does not have.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:  # noqa: ANN401 - gunicorn's worker has no types
    """Start reading at once, so that the first visitor already finds data."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    worker.wsgi.extensions["sources"].start()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ANN401
    """Close the connections to Kafka and end the threads before the interpreter ends."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["sources"].stop()
