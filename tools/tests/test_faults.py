from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from retail_producer import rows

from tools.data.oracle import compute
from tools.faults import plan
from tools.faults.verdict import Rows, stream_differences

PLACES = {"driver killed": ["edge1"], "broker killed": ["worker1", "worker2"], "partition": ["worker1", "worker2"]}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan.make_plan(12, 1, PLACES) == plan.make_plan(12, 1, PLACES)
    assert plan.make_plan(12, 1, PLACES) != plan.make_plan(12, 2, PLACES)


def test_every_kind_comes_before_any_comes_again() -> None:
    faults = plan.make_plan(7, 1, PLACES)
    assert len(faults) == 7
    for begin in (0, 3):
        assert {fault.kind for fault in faults[begin : begin + 3]} == set(PLACES)
    assert all(fault.host in PLACES[fault.kind] for fault in faults)


def test_sales_are_dirty_and_in_the_order_of_their_time_but_for_the_jitter(tmp_path: Path) -> None:
    lines = plan.make_sales(3000, 1)
    assert lines == plan.make_sales(3000, 1)
    (tmp_path / "sales.csv").write_text("".join(lines))
    truth = compute(tmp_path)
    assert (truth.read, truth.counted) == (3000, truth.clean)
    dirt = {"malformed_row", "no_date", "unreadable_date", "unreadable_amount", "negative_amount"}
    assert set(truth.reasons) == dirt

    starts = []
    for first in range(1, 3000, 300):
        (tmp_path / "sales.csv").write_text("".join([lines[0], *lines[first : first + 300]]))
        starts.append(compute(tmp_path).windows[0].window_end)
    assert all(later - earlier <= plan.STEP * 300 + plan.JITTER for earlier, later in pairwise(starts))
    assert starts == sorted(starts)


def test_a_producer_that_was_killed_goes_on_with_what_has_not_arrived(tmp_path: Path) -> None:
    lines = plan.make_sales(200, 1)
    (tmp_path / "sales-2.csv").write_text("".join(lines))
    (source,) = rows.sources(tmp_path)
    ids = [json.loads(event.value)["event_id"] for event in rows.events(source)]
    assert len(ids) == 200
    gone = {7, 150, *range(160, 200)}  # of several partitions, one is behind the others
    arrived, rest = plan.split(lines, "sales-2.csv", ["sales-1.csv:3", *(ids[at] for at in set(range(200)) - gone)])
    assert rest == [lines[1 + at] for at in sorted(gone)]
    assert sorted([*arrived, *rest]) == sorted(lines[1:])


def test_closing_events_close_every_window_of_the_sales_and_none_of_their_own(tmp_path: Path) -> None:
    last = plan.START + 3000 * plan.STEP + plan.JITTER
    (tmp_path / "sales.csv").write_text("".join(plan.make_sales(3000, 1)))
    of_sales = compute(tmp_path).windows
    (tmp_path / "sales.csv").write_text("".join(plan.make_closing(last, 1)))
    of_closing = compute(tmp_path).windows
    assert max(window.window_end for window in of_sales) <= last + plan.WINDOW
    watermark = max(window.window_start for window in of_closing) - plan.WATERMARK
    assert watermark >= last + plan.WINDOW - timedelta(minutes=15)
    assert min(window.window_end for window in of_closing) > watermark + timedelta(minutes=15)


def test_every_loss_and_every_repetition_of_the_stream_is_found(tmp_path: Path) -> None:
    last = plan.START + 500 * plan.STEP + plan.JITTER
    (tmp_path / "sales.csv").write_text("".join(plan.make_sales(500, 1)))
    (tmp_path / "closing.csv").write_text("".join(plan.make_closing(last, 1)))
    truth = compute(tmp_path)
    live = [{**window._asdict(), "revenue": str(window.revenue)} for window in truth.windows]
    closed = [row for row, window in zip(live, truth.windows, strict=True) if window.window_end <= last + plan.WINDOW]
    aside = [{"topic": "t", "partition": "0", "offset": str(offset)} for offset in range(truth.quarantined)]
    assert truth.quarantined and len(closed) < len(live)

    def differences(closed: Rows = closed, live: Rows = live, aside: Rows = aside) -> int:
        return len(stream_differences(truth, last, closed=closed, live=live, aside=aside))

    assert differences() == 0
    assert differences(closed=closed[1:]) == 1
    assert differences(closed=[*closed, closed[0]]) == 1
    assert differences(closed=live) == len(live) - len(closed)
    assert differences(live=live[:-1]) == 1
    assert differences(live=[{**live[0], "revenue": str(truth.windows[0].revenue + Decimal("0.01"))}, *live[1:]]) == 1
    assert differences(aside=aside[1:]) == 1
    assert differences(aside=[{**aside[0], "reasons": "['late']"}, *aside[1:]]) == 1
    assert differences(aside=[*aside, aside[0]]) == 1
