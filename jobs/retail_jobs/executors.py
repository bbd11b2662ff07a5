"""Executors: a job that gets none says who holds what and ends in minutes; one that the master lost begins anew."""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from retail_jobs.errors import TemporaryError
from retail_jobs.settings import Settings

log = logging.getLogger(__name__)

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxies the environment names
PATIENCE_SECONDS = 15
"""An executor comes within seconds where there is room for it."""
WATCH_SECONDS = 5
LOST = (
    "The Spark master no longer knows this application, and its executors are gone, so it begins anew. "
    "`journalctl -u spark-master` on its host says since when"
)


def wait_for_executors(spark: SparkSession, settings: Settings) -> None:
    """Return as soon as the application has an executor, and from then on watch that the master knows it.

    An executor is waited for once only: the master serves applications in the order in which they came, so one that is
    lost later comes back before a newcomer gets its place.

    Raises:
        TemporaryError: there was none within `executors_wait_seconds`, or the master does not know the application.
    """
    if not (spark.sparkContext.master or "").startswith("spark://"):
        return
    context = spark.sparkContext._jsc.sc()
    began, told = time.monotonic(), False
    while not _has_executors(context):
        waited = time.monotonic() - began
        if waited >= settings.executors_wait_seconds:
            raise TemporaryError(f"no executor within {waited:.0f} s: {ask_master(settings.spark_uis)}")
        if _is_lost(context, settings.spark_uis):
            raise TemporaryError(LOST)
        if waited >= PATIENCE_SECONDS and not told:
            log.warning("no executor after %.0f s, waiting: %s", waited, ask_master(settings.spark_uis))
            told = True
        time.sleep(1)
    threading.Thread(target=_watch, args=(context, settings.spark_uis), daemon=True).start()


def _watch(context: Any, uis: str) -> None:  # noqa: ANN401 - an object of the JVM
    """Cancel the jobs of an application that is lost; `explain` knows the error that this becomes."""
    try:
        while not context.isStopped():
            if _is_lost(context, uis):
                context.cancelAllJobs()
            time.sleep(WATCH_SECONDS)
    except (Py4JError, OSError):
        return  # the JVM has ended, and with it the application


def _is_lost(context: Any, uis: str) -> bool:  # noqa: ANN401 - an object of the JVM
    """Whether an application without executors is one that the master does not know.

    A master that begins anew has the workers end what it did not start, and an application introduces itself only
    once: Spark would wait for executors for ever.
    """
    if _has_executors(context) or not (master := _leading_master(uis)):
        return False
    return context.applicationId() not in {app["id"] for app in master["activeapps"]}


def _has_executors(context: Any) -> bool:  # noqa: ANN401 - an object of the JVM
    return bool(context.getExecutorMemoryStatus().size() > 1)  # the driver counts, too


def ask_master(uis: str) -> str:
    """Who holds what, and what to do, as the end of a sentence.

    Args:
        uis: addresses of the masters' UIs, with commas between them; one of the masters leads.
    """
    master = _leading_master(uis)
    return describe(master) if master else "see on the Spark master's page which applications hold cores and memory"


def _leading_master(uis: str) -> Mapping[str, Any] | None:
    """What the UI of the leading master answers at /json/; None when none of them says that it leads."""
    for ui in filter(None, uis.split(",")):
        with suppress(OSError, ValueError, http.client.HTTPException), DIRECT.open(f"{ui}/json/", timeout=5) as answer:
            master: Mapping[str, Any] = json.load(answer)
            if master["status"] == "ALIVE":
                return master
    return None


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
