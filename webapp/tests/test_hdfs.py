"""The dashboard over a real HDFS, whose snapshots are the publications."""

import json
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.testing.hdfs_daemons import DATANODE, NAMENODE, Hdfs, archive, running_hdfs

from .samples import DAY_1, DAY_2, DAY_3, QUARANTINED, Publisher, publish_month, write_quarantine
from .serving import serving

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.skipif(archive() is None, reason="no archive of Hadoop: make artefacts"),
]

FOLDER = "/data/output/analysis_parquet"


@pytest.fixture
def hdfs(tmp_path: Path) -> Iterator[Hdfs]:
    home = tmp_path / "hdfs"
    home.mkdir()
    with running_hdfs(home) as hdfs:
        yield hdfs


def ask(address: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first answer that is as wanted."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(address, timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
        if wanted(answer):
            return answer
        time.sleep(0.1)
    pytest.fail(f"not as wanted: {answer}")


def days(answer: dict[str, Any]) -> list[str]:
    return [day["order_date"] for day in answer["days"]]


def test_snapshots_of_hdfs_are_the_publications(hdfs: Hdfs, tmp_path: Path) -> None:
    publish_month(Publisher(tmp_path / "local"))
    hdfs.make_folder(FOLDER)
    settings = {
        "USE_HDFS": "true",
        "ANALYSIS_PATH": FOLDER,
        "QUARANTINE_PATH": "/data/quarantine",
        "HADOOP_CONF_DIR": str(hdfs.configuration),
    }
    with serving(tmp_path, settings) as address:
        empty = ask(f"{address}/api/daily", lambda answer: answer["state"] != "starting")
        assert (empty["notice"], empty["state"]) == ("No batch has run yet: make batch", "empty")

        hdfs.allow_snapshots(FOLDER)
        for day in (DAY_1, DAY_2, DAY_3):
            (path,) = (tmp_path / f"local/order_date={day}").iterdir()
            hdfs.put(f"{FOLDER}/order_date={day}/part-0.parquet", path.read_bytes())
        hdfs.snapshot(FOLDER, "p000000001")
        first = ask(f"{address}/api/daily", lambda answer: answer["state"] == "ok")
        assert days(first) == [str(DAY_3), str(DAY_2), str(DAY_1)]
        assert first["totals"]["revenue"] == "9007199254741003.62"
        assert first["source"] == f"HDFS {FOLDER}"

        hdfs.delete(f"{FOLDER}/order_date={DAY_1}")
        hdfs.snapshot(FOLDER, "p000000002")
        second = ask(f"{address}/api/daily", lambda answer: answer["totals"]["days"] != 3)
        assert days(second) == [str(DAY_3), str(DAY_2)]
        log = (tmp_path / "gunicorn.log").read_text()
        assert "p000000002: read 0 of 2 files" in log, "what a snapshot shares with the one before is not read again"

        local = write_quarantine(tmp_path / "part.parquet", *QUARANTINED)
        hdfs.put("/data/quarantine/batch/part-1.parquet", local.read_bytes())
        quarantine = ask(f"{address}/api/quarantine", lambda answer: answer["rows"])
        assert quarantine["totals"]["batch"] == 3

        # It holds its connections and answers nothing: the worst that a NameNode can do.
        hdfs.processes[NAMENODE].send_signal(signal.SIGSTOP)
        frozen = ask(f"{address}/api/daily", lambda answer: answer["state"] == "away")
        assert "no answer for 10 s): showing the last good data" in frozen["notice"]
        assert days(frozen) == [str(DAY_3), str(DAY_2)]
        hdfs.stop(NAMENODE)
        hdfs.start(NAMENODE)
        hdfs.wait_until_it_stores()
        hdfs.delete(f"{FOLDER}/order_date={DAY_2}")
        hdfs.snapshot(FOLDER, "p000000003")
        restarted = ask(f"{address}/api/daily", lambda answer: answer["totals"]["days"] == 1)
        assert (restarted["state"], restarted["notice"]) == ("ok", None)
        for panel in ("products", "quarantine"):
            ask(f"{address}/api/{panel}", lambda answer: answer["state"] == "ok")


def test_what_keeps_hdfs_from_being_read_is_told_with_the_command_that_says_more(hdfs: Hdfs, tmp_path: Path) -> None:
    publish_month(Publisher(tmp_path / "local"))
    hdfs.make_folder(FOLDER)
    hdfs.allow_snapshots(FOLDER)
    (part,) = (tmp_path / f"local/order_date={DAY_1}").iterdir()
    hdfs.put(f"{FOLDER}/order_date={DAY_1}/part-0.parquet", part.read_bytes())
    settings = {
        "USE_HDFS": "true",
        "ANALYSIS_PATH": FOLDER,
        "HADOOP_CONF_DIR": str(hdfs.configuration),
        "HADOOP_USER_NAME": "somebody",
    }
    with serving(tmp_path, settings) as address:
        daily = f"{address}/api/daily"
        hdfs.set_mode("/data/output", "700")
        denied = ask(daily, lambda answer: answer["state"] == "away")["notice"]
        assert "AccessControlException: Permission denied: user=somebody" in denied
        assert denied.endswith(" `hdfs dfs -ls -d /data/output` shows owner and mode.")

        hdfs.set_mode("/data/output", "755")
        ask(daily, lambda answer: answer["state"] == "empty")
        hdfs.snapshot(FOLDER, "p000000001")
        ask(daily, lambda answer: answer["state"] == "ok")

        hdfs.put(f"{FOLDER}/order_date={DAY_2}/part-0.parquet", part.read_bytes())
        hdfs.stop(DATANODE)
        hdfs.snapshot(FOLDER, "p000000002")
        missing = ask(daily, lambda answer: answer["state"] == "away")["notice"]
        assert missing == (
            "HDFS cannot be read (no DataNode gives its blocks): showing the last good data; trying again. "
            "`sudo -u hdfs hdfs dfsadmin -report` lists those that are there."
        )

        hdfs.stop(NAMENODE)
        away = ask(daily, lambda answer: "no answer" in answer["notice"])["notice"]
        assert away.endswith(" `systemctl status hdfs-namenode` on its host says more.")
