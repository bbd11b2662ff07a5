"""The wait for executors: a job that gets none says who holds what, and ends in minutes."""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from retail_jobs.errors import TemporaryError
from retail_jobs.settings import Settings

log = logging.getLogger(__name__)

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxies the environment names
PATIENCE_SECONDS = 15
"""An executor comes within seconds where there is room for it."""


def wait_for_executors(spark: SparkSession, settings: Settings) -> None:
    """Return as soon as the application has an executor.

    It is asked for once only: the master serves applications in the order in which they came, so an executor that is
    lost later comes back before a newcomer gets its place.

    Raises:
        TemporaryError: there was none within `executors_wait_seconds`.
    """
    context = spark.sparkContext
    if not (context.master or "").startswith("spark://"):
        return
    began, told = time.monotonic(), False
    while context._jsc.sc().getExecutorMemoryStatus().size() < 2:  # the driver counts, too
        waited = time.monotonic() - began
        if waited >= settings.executors_wait_seconds:
            raise TemporaryError(f"no executor within {waited:.0f} s: {ask_master(settings.spark_uis)}")
        if waited >= PATIENCE_SECONDS and not told:
            log.warning("no executor after %.0f s, waiting: %s", waited, ask_master(settings.spark_uis))
            told = True
        time.sleep(1)


def ask_master(uis: str) -> str:
    """Who holds what, and what to do, as the end of a sentence.

    Args:
        uis: addresses of the masters' UIs, with commas between them; one of the masters leads.
    """
    for ui in uis.split(","):
        try:
            with DIRECT.open(f"{ui}/json/", timeout=5) as answer:
                master = json.load(answer)
        except (OSError, ValueError) as error:
            log.warning("the Spark master at %s does not say who holds what: %s", ui, error)
        else:
            if master["status"] == "ALIVE":
                return describe(master)
    return "see on the Spark master's page which applications hold cores and memory"


def describe(master: Mapping[str, Any]) -> str:
    """Who holds what, and what to do, in what the master's UI answers at /json/."""
    workers = [worker for worker in master["workers"] if worker["state"] == "ALIVE"]
    if not workers:
        return "no worker is alive: see `systemctl status spark-worker` on the hosts of the workers"
    free = ", ".join(
        f"{worker['coresfree']} of {worker['cores']} cores and {worker['memoryfree']} of {worker['memory']} MiB on "
        f"{worker['host']}"
        for worker in workers
    )
    holders = [
        f"{app['name']} of user {app['user']} (cores: {app['cores']}, {app['memoryperexecutor']} MiB per executor, "
        f"since {datetime.fromtimestamp(app['starttime'] / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        for app in master["activeapps"]
        if app["cores"]
    ]
    held = f"held by {', '.join(holders)}: end what is not needed, or use (kill) on the Spark master's page"
    return f"free are {free}; {held if holders else 'no application holds any: ask for less of spark.executor.memory'}"
