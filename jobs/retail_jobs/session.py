"""The Spark session of both jobs, and the wait for HDFS before it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from pyspark import SparkConf
from pyspark.sql import SparkSession

from retail_jobs.errors import JobError
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


def wait_for_hdfs(settings: Settings) -> None:
    """Return as soon as a NameNode takes connections.

    Asked before Spark starts, because Hadoop's own retries take minutes, and event logs need HDFS as well.

    Raises:
        JobError: HDFS is not configured, or no NameNode answered within `hdfs_wait_seconds`.
    """
    if not settings.use_hdfs:
        return
    nodes = namenodes()
    deadline = time.monotonic() + settings.hdfs_wait_seconds
    while True:
        for host, port in nodes:
            try:
                socket.create_connection((host, port), timeout=3).close()
            except OSError as error:
                log.warning("NameNode %s:%d does not answer: %s", host, port, error)
            else:
                return
        if time.monotonic() >= deadline:
            names = ", ".join(f"{host}:{port}" for host, port in nodes)
            raise JobError(
                f"HDFS is not reachable ({names}): see `systemctl status hdfs-namenode` there, then start the job again"
            )
        time.sleep(2)


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
