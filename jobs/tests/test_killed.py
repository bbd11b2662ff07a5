"""Driver processes that are killed, and two of them at once."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import Batch
from retail_jobs.errors import JobError
from retail_jobs.lock import hold
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage

from tools import JOBS_PATH
from tools.data.oracle import compare, daily_revenue

ROOT = Path(__file__).resolve().parents[2]


class Shop:
    """The sample month in folders of its own, for a driver in this process or in another."""

    def __init__(self, root: Path) -> None:
        self.output, self.input = root / "output", root / "input"
        shutil.copytree(ROOT / "data" / "input", self.input)
        self.settings = Settings(
            use_hdfs=False, input_path=str(self.input), output_path=str(self.output), csv_path=root / "csv"
        )
        self.environment = {
            "USE_HDFS": "false",
            "INPUT_PATH": str(self.input),
            "OUTPUT_PATH": str(self.output),
            "CSV_PATH": str(root / "csv"),
            "PYTHONPATH": JOBS_PATH,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }

    @contextmanager
    def driver(self) -> Iterator[subprocess.Popen[str]]:
        """A batch in a process group of its own, which is killed at the end of the block."""
        command = [sys.executable, "-m", "retail_jobs.batch"]
        environment = os.environ | self.environment
        driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            yield driver
        finally:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.communicate()

    def differences(self) -> list[str]:
        """What the published CSV says otherwise than the oracle."""
        with (self.settings.csv_path / "daily_revenue.csv").open() as file:
            return compare(daily_revenue(self.input), list(csv.DictReader(file)))


def wait_for(driver: subprocess.Popen[str], text: str) -> None:
    assert driver.stdout is not None
    printed = []
    for line in driver.stdout:
        printed.append(line)
        if text in line:
            return
    raise AssertionError(f"the driver ended without saying {text!r}: {printed}")


def test_a_killed_run_is_repeated_to_the_same_result(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    with shop.driver() as driver:
        wait_for(driver, "found:")
        # The run that is alive holds the lock, even one that stands still, on a laptop that sleeps for instance.
        os.kill(driver.pid, signal.SIGSTOP)
        lock = shop.output / ".state" / "batch" / "lock.json"
        os.utime(lock, (0, 0))
        with pytest.raises(JobError, match="another batch run"):
            Batch(shop.settings, lambda _: spark).run()
        assert driver.poll() is None
    report = Batch(shop.settings, lambda _: spark).run()
    assert report.result == "published" and report.rows_read == report.clean + report.quarantined > 0
    assert shop.differences() == []
    assert not list((shop.output / ".state" / "batch" / "staging").iterdir())
    assert Batch(shop.settings, lambda _: spark).run().result == "nothing new"


def test_another_process_with_the_number_of_a_dead_one_does_not_hold_its_lock(tmp_path: Path) -> None:
    storage, path = Storage(), f"file:{tmp_path}/lock.json"
    with hold(storage, path):
        owner = json.loads((tmp_path / "lock.json").read_text())
    storage.write_text(path, json.dumps(owner | {"born": "1"}))
    with hold(storage, path):
        pass
