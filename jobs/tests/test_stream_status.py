import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from retail_jobs.stream_state import MOST_DAYS, Totals
from retail_jobs.stream_status import MINUTES, UNKNOWN, Progress, Status, backlog, position

NOON = datetime(2025, 9, 1, 12, tzinfo=UTC)
BATCH = Totals(events=10, counted=6, repeated=1, quarantined=3, reasons={"late": 1, "late+no_amount": 1, "no_date": 1})


def told(status: Status, now: datetime = NOON) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(status.to_json(now))
    return found


def test_batches_of_a_minute_are_added_up_and_the_worst_of_it_shows() -> None:
    status = Status(NOON, 5)
    status.take(BATCH, NOON, Progress(0.5, "none", 40))
    status.take(BATCH, NOON + timedelta(seconds=59), Progress(2.5, "2025-09-01T11:45:59Z", 7))
    last = Progress(1.0, "2025-09-01T11:46:00Z", 0, position('{"sales":{"0":10,"1":20}}'), {"2025-09-01": 3})
    status.take(BATCH, NOON + timedelta(seconds=60), last)
    found = told(status)
    assert [minute["minute"] for minute in found["history"]] == ["2025-09-01T12:00:00Z", "2025-09-01T12:01:00Z"]
    counts = {"events": 20, "counted": 12, "repeated": 2, "late": 4, "quarantined": 6, "batches": 2}
    assert found["history"][0] == {"minute": "2025-09-01T12:00:00Z", **counts, "seconds": 2.5, "backlog": 40}
    assert (found["events"], found["reasons"]["late"], found["seconds"], found["backlog"]) == (30, 3, 1.0, 0)
    assert (found["last_batch"], found["watermark"]) == ("2025-09-01T12:01:00Z", "2025-09-01T11:46:00Z")
    assert (found["position"], found["repeated_by_day"]) == ({"0": 10, "1": 20}, {"2025-09-01": 3})


def test_repeated_events_are_known_for_the_newest_days() -> None:
    totals = Totals()
    for day in range(1, MOST_DAYS + 3):
        totals = totals.plus(Totals(events=2, repeated=2, repeated_by_day={f"2025-09-{day:02d}": 1, "2025-09-16": 1}))
    assert list(totals.repeated_by_day.items())[:2] == [("2025-09-03", 1), ("2025-09-04", 1)]
    assert (len(totals.repeated_by_day), totals.repeated_by_day["2025-09-16"]) == (MOST_DAYS, MOST_DAYS + 2)


def test_of_the_past_it_keeps_an_hour() -> None:
    status = Status(NOON, 5)
    for minute in range(3 * MINUTES):
        status.take(BATCH, NOON + timedelta(minutes=minute), Progress(1))
    history = told(status)["history"]
    assert (len(history), history[0]["minute"]) == (MINUTES, "2025-09-01T14:00:00Z")
    assert told(status)["events"] == 10 * 3 * MINUTES


def test_while_there_is_nothing_to_do_it_is_not_behind_and_says_so() -> None:
    status = Status(NOON, 5)
    status.take(BATCH, NOON, Progress(1, backlog=40))
    status.rest()
    found = told(status, NOON + timedelta(seconds=30))
    assert (found["until"], found["last_batch"], found["backlog"]) == (
        "2025-09-01T12:00:30Z",
        "2025-09-01T12:00:00Z",
        0,
    )


@pytest.mark.parametrize(
    ("end", "latest", "events"),
    [
        ('{"sales":{"0":10,"1":20}}', '{"sales":{"0":15,"1":20}}', 5),
        ('{"sales":{"0":10}}', '{"sales":{"0":10,"1":3}}', 3),
        ('{"sales":{"0":10}}', UNKNOWN, 0),
        ('{"sales":{"0":10}}', "", 0),
    ],
)
def test_what_is_behind_is_counted_over_all_partitions(end: str, latest: str, events: int) -> None:
    assert backlog(end, latest) == events
