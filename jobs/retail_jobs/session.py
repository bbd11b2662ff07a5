"""The Spark session of both jobs, and the wait for HDFS and the Spark master before it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from retail_jobs.errors import JobError, TemporaryError
from retail_jobs.settings import Settings

log = logging.getLogger(__name__)

COMMON = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # Two spellings of one name in a JSON event are dirt, not a reason to stop.
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
    "spark.ui.showConsoleProgress": "false",
    # Java interprets longer methods for ever, so Spark must not make any: cleaning events took three times as long.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # What is kept in memory is read once or twice.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Without these a checksum file lies beside every local file, and a reader could meet one that is older.
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
}


def configure_logging() -> None:
    """One line per step on stdout; the journal adds the time."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s", force=True)
    for noisy in ("py4j", "pyspark"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def open_session(name: str, defaults: dict[str, str]) -> SparkSession:
    """Start Spark; what spark-submit or spark-defaults says wins over `defaults`."""
    given = SparkConf()
    builder = SparkSession.builder.appName(name)
    for key, value in {**COMMON, **defaults}.items():
        builder = builder.config(key, given.get(key, value))
    # Shells give back what they do not use; a job keeps what it has, and so does not have to wait for it again.
    spark = builder.config("spark.dynamicAllocation.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def wait_for_cluster(settings: Settings) -> None:
    """Return as soon as a NameNode and a Spark master take connections.

    Asked before Spark starts: Hadoop's own retries take minutes, event logs need HDFS as well, and of a master that is
    away Spark says after a minute that something of its own is not running.

    Raises:
        JobError: HDFS is not configured.
        TemporaryError: nobody answered within `wait_seconds`.
    """
    if settings.use_hdfs:
        _wait_for("HDFS", namenodes(), "hdfs-namenode", settings.wait_seconds)
    _wait_for("The Spark master", spark_masters(), "spark-master", settings.wait_seconds)


def _wait_for(what: str, addresses: list[tuple[str, int]], unit: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    names = ", ".join(f"{host}:{port}" for host, port in addresses)
    while addresses:
        for address in addresses:
            try:
                socket.create_connection(address, timeout=3).close()
            except OSError as error:
                log.warning("%s at %s:%d does not answer: %s", what, *address, error)
            else:
                return
        if time.monotonic() >= deadline:
            raise TemporaryError(f"{what} is not reachable ({names}): see `systemctl status {unit}` there")
        time.sleep(2)


def spark_masters() -> list[tuple[str, int]]:
    """Addresses of the standalone masters that spark-submit was given; none in local mode."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return []  # not started by spark-submit, and the JVM is still to come
    SparkContext._ensure_initialized()
    master = SparkConf().get("spark.master") or ""
    if not master.startswith("spark://"):
        return []
    addresses = [urlsplit(f"//{one}") for one in master.removeprefix("spark://").split(",")]
    return [(address.hostname or "", address.port or 7077) for address in addresses]


def namenodes() -> list[tuple[str, int]]:
    """RPC addresses of the NameNodes that the Hadoop configuration names.

    Raises:
        JobError: no configuration, or no HDFS in it.
    """
    folder = os.environ.get("HADOOP_CONF_DIR", "")
    conf = {**_read_conf(folder, "core-site.xml"), **_read_conf(folder, "hdfs-site.xml")}
    default = urlsplit(conf.get("fs.defaultFS", ""))
    if default.scheme != "hdfs" or not default.hostname:
        raise JobError(
            "no HDFS is configured: set HADOOP_CONF_DIR to the folder of core-site.xml, "
            "or USE_HDFS=false to work on ./data"
        )
    service = default.netloc
    if service not in conf.get("dfs.nameservices", "").split(","):
        return [(default.hostname, default.port or 8020)]
    ids = conf.get(f"dfs.ha.namenodes.{service}", "").split(",")
    addresses = [urlsplit("//" + conf.get(f"dfs.namenode.rpc-address.{service}.{one.strip()}", "")) for one in ids]
    return [(address.hostname or "", address.port or 8020) for address in addresses]


def _read_conf(folder: str, name: str) -> dict[str, str]:
    file = Path(folder) / name
    if not folder or not file.is_file():
        return {}
    properties = ElementTree.parse(file).getroot().iter("property")
    return {entry.findtext("name", "").strip(): entry.findtext("value", "").strip() for entry in properties}
