"""`make local`: the batch and the dashboard without a cluster, and without any privilege."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.commands import run, wait_for
from tests.labs import OUTPUT, ROOT
from tools.data.oracle import compare, daily_revenue

PORT = 15001
# Whoever runs this loses what root may do, and keeps what an owner of the checkout may.
WITHOUT_PRIVILEGES = ("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")


def test_local_mode_needs_neither_cluster_nor_root(tmp_path: Path) -> None:
    environment = os.environ | {
        "OUTPUT_PATH": str(tmp_path),
        "CSV_PATH": str(tmp_path / "analysis_csv"),
        "ANALYSIS_PATH": str(tmp_path / "analysis_parquet"),
        "QUARANTINE_PATH": str(tmp_path / "quarantine"),
        "REPORT_PATH": str(tmp_path / "last_run.json"),
    }
    log = OUTPUT / "local.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*WITHOUT_PRIVILEGES, "make", "local", f"PORT={PORT}"], cwd=ROOT, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip

        def rows() -> list[dict[str, str]]:
            assert process.poll() is None, log.read_text()[-3000:]
            with urllib.request.urlopen(f"http://localhost:{PORT}/api/daily", timeout=5) as answer:
                found: list[dict[str, str]] = json.load(answer)["rows"]
            return found

        try:
            assert wait_for("the dashboard shows the result", rows, seconds=300)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
    with (tmp_path / "analysis_csv" / "daily_revenue.csv").open() as file:
        assert compare(daily_revenue(ROOT / "data" / "input"), list(csv.DictReader(file))) == []
    wait_for("no process is left", lambda: not run("pgrep", "--session", str(process.pid), check=False).output, 30)
