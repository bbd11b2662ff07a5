from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from tools.faults import plan
from tools.oracle import compute

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
    assert {"malformed", "no usable date", "no usable amount", "negative amount"} == set(truth.reasons)

    starts = []
    for first in range(1, 3000, 300):
        (tmp_path / "sales.csv").write_text("".join([lines[0], *lines[first : first + 300]]))
        starts.append(compute(tmp_path).windows[0].window_end)
    assert all(later - earlier <= plan.STEP * 300 + plan.JITTER for earlier, later in pairwise(starts))
    assert starts == sorted(starts)


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
