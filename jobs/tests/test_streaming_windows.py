from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from retail_jobs.stream_state import VERSION, State
from retail_jobs.windows import OUTPUT, SLIDE, WINDOW, Key, Slot, Value, add, by_day, to_messages
from retail_jobs.windows import to_table as table_of

NOON = datetime(2025, 9, 1, 12, 0, tzinfo=UTC)

slots = st.builds(
    Slot,
    start=st.integers(-200, 200).map(lambda number: NOON + number * SLIDE),
    product=st.sampled_from(["Tea", "Coffee"]),
    orders=st.integers(1, 1000),
    revenue=st.decimals(0, 1_000_000, places=2),
)


@given(st.lists(slots, max_size=20), st.integers(0, 20))
def test_every_order_is_in_four_windows_however_it_comes_in_batches(some: list[Slot], cut: int) -> None:
    first, _ = add({}, some[:cut])
    both, changed = add(first, some[cut:])
    assert both == add({}, some)[0]
    assert sum(value.orders for value in both.values()) == 4 * sum(slot.orders for slot in some)
    assert changed == {key for key in both if both[key] != first.get(key)}
    assert all(key.start <= slot.start < key.start + WINDOW for slot in some for key in add({}, [slot])[0])


@given(st.lists(slots, max_size=20))
def test_windows_survive_the_state_file_and_the_output(some: list[Slot]) -> None:
    windows, _ = add({}, some)
    state = State(version=VERSION, latest=NOON, windows=[(*key, *value) for key, value in windows.items()])
    assert State.model_validate_json(state.model_dump_json()).open_windows() == windows
    table = table_of(windows)
    assert table.schema == OUTPUT
    rows = {Key(row["window_start"], row["product"]): Value(row["orders"], row["revenue"]) for row in table.to_pylist()}
    assert rows == windows
    assert {key: value for day in by_day(windows).values() for key, value in day.items()} == windows


def test_a_message_replaces_the_one_before_by_its_key() -> None:
    key, now = Key(NOON, "Tee, grün"), datetime(2025, 9, 1, 12, 5, 7, tzinfo=UTC)
    [(name, value)] = to_messages({key: Value(2, Decimal("3.50"))}, now)
    assert name == "Tee, grün|2025-09-01T12:00:00Z"
    assert json.loads(value) == {
        "window_start": "2025-09-01T12:00:00Z",
        "window_end": "2025-09-01T13:00:00Z",
        "product": "Tee, grün",
        "orders": 2,
        "revenue": "3.50",
        "updated_at": "2025-09-01T12:05:07Z",
    }
