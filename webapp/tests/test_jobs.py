import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from retail_webapp import answers
from retail_webapp.sources.jobs import Jobs, JobsSource, LastRun, units_of
from retail_webapp.sources.report import State

from .samples import REPORT, SHOWN

pytestmark = pytest.mark.filterwarnings("error")

LAST_RUN = LastRun.model_validate(REPORT)


def batch_row(shown: str, last_run: LastRun | None = LAST_RUN) -> dict[str, Any]:
    row: dict[str, Any] = answers.jobs(Jobs(last_run, units_of(shown)))["rows"][0]
    return row


def test_last_and_next_run_result_duration_and_the_command_to_copy() -> None:
    rows = answers.jobs(Jobs(LAST_RUN, units_of(SHOWN)))["rows"]
    assert [row["name"] for row in rows] == ["batch", "streaming", "producer"]
    assert rows[0] == {
        "name": "batch",
        "unit": "retail-batch.service",
        "state": "waiting for its timer",
        "result": "published",
        "good": True,
        "started": "2026-11-24T12:00:00Z",
        "ended": "2026-11-24T12:01:10Z",
        "seconds": 70.0,
        "next_run": "2026-11-24T13:00:00Z",
        "journal": "journalctl -eu retail-batch",
    }
    assert (rows[1]["state"], rows[1]["started"], rows[1]["ended"]) == ("running", "2026-11-24T11:00:00Z", None)
    assert (rows[2]["state"], rows[2]["good"]) == ("not installed", False)


def test_a_report_of_the_batch_before_shows_what_it_has() -> None:
    told = {name: value for name, value in REPORT.items() if name not in ("headers", "repeated", "corrected")}
    assert LastRun.model_validate(told).headers == {}


def test_a_run_that_was_killed_is_not_shown_with_the_result_of_the_one_before() -> None:
    killed = (
        SHOWN.replace("ActiveState=inactive\nSubState=dead\nResult=success", "ActiveState=failed\nResult=signal", 1)
        .replace("ExecMainStatus=0", "ExecMainStatus=9", 1)
        .replace("ExecMainStartTimestamp=Tue 2026-11-24 12:00:00", "ExecMainStartTimestamp=Tue 2026-11-24 12:30:00", 1)
        .replace("ExecMainExitTimestamp=Tue 2026-11-24 12:01:10", "ExecMainExitTimestamp=Tue 2026-11-24 12:31:00", 1)
        .replace("Result=signal", "SubState=failed\nResult=signal")
    )
    row = batch_row(killed)
    assert (row["state"], row["result"], row["good"]) == ("failed (signal 9)", None, False)
    assert (row["started"], row["seconds"]) == ("2026-11-24T12:30:00Z", 60.0)


def test_a_run_under_way_has_no_result_yet() -> None:
    running = SHOWN.replace("ActiveState=inactive\nSubState=dead", "ActiveState=activating\nSubState=start", 1).replace(
        "ExecMainStartTimestamp=Tue 2026-11-24 12:00:00", "ExecMainStartTimestamp=Tue 2026-11-24 12:30:00", 1
    )
    row = batch_row(running)
    assert (row["state"], row["result"], row["seconds"]) == ("running", None, None)


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ("ActiveState=active\nSubState=waiting", "ActiveState=inactive\nSubState=dead", "its timer is stopped"),
        (
            "ActiveState=inactive\nSubState=dead\nResult=success",
            "ActiveState=activating\nSubState=auto-restart\nResult=exit-code",
            "restarting after exit-code 0",
        ),
    ],
)
def test_what_is_not_well_is_marked(old: str, new: str, state: str) -> None:
    row = batch_row(SHOWN.replace(old, new, 1))
    assert (row["state"], row["good"]) == (state, False)


def test_between_two_attempts_the_report_of_the_last_one_is_shown() -> None:
    waits = SHOWN.replace(
        "ActiveState=inactive\nSubState=dead\nResult=success",
        "ActiveState=activating\nSubState=auto-restart\nResult=exit-code",
        1,
    )
    row = batch_row(waits, LAST_RUN.model_copy(update={"result": "failed"}))
    assert (row["result"], row["seconds"], row["good"]) == ("failed", 70.0, False)


@pytest.mark.parametrize("result", ["failed", "partial"])
def test_a_report_of_a_failure_is_marked(result: str) -> None:
    row = batch_row("", LAST_RUN.model_copy(update={"result": result}))
    assert (row["result"], row["good"], row["journal"]) == (result, False, None)


def test_without_report_and_systemd_it_says_what_to_run(client: FlaskClient) -> None:
    answer = client.get("/api/jobs").get_json()
    assert (answer["state"], answer["rows"]) == ("empty", [])
    assert answer["notice"] == "No batch has run yet: make local"


def test_the_report_is_shown_where_there_is_no_systemd(client: FlaskClient, folder: Path) -> None:
    folder.with_name("last_run.json").write_text(json.dumps(REPORT))
    answer = client.get("/api/jobs").get_json()
    assert (answer["state"], answer["computed_at"]) == ("ok", "2026-11-24T12:01:10Z")
    assert answer["last_batch"]["quarantined"] == 39
    assert answer["without_systemd"]


def test_a_report_that_cannot_be_read_is_a_notice(tmp_path: Path) -> None:
    file = tmp_path / "last_run.json"
    source = JobsSource(file, interval=60, how_to_fill="make batch")
    file.write_text(json.dumps(REPORT))
    source.refresh()
    file.write_text("{")
    source.refresh()
    report = source.report()
    assert report.state is State.AWAY
    assert report.notice is not None
    assert "showing the last good data" in report.notice
    assert report.computed_at == datetime(2026, 11, 24, 12, 1, 10, tzinfo=UTC)
