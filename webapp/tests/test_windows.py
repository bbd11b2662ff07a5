import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from retail_webapp import answers
from retail_webapp.filters import Filters
from retail_webapp.sources.windows import (
    BadMessageError,
    Window,
    apply_message,
    drop_old,
    newest_first,
    parse_window,
)

pytestmark = pytest.mark.filterwarnings("error")

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def message(product: str = "Milk", start: datetime = NOON, **changed: object) -> bytes:
    fields: dict[str, Any] = {
        "window_start": start.isoformat().replace("+00:00", "Z"),
        "window_end": (start + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "product": product,
        "orders": 2,
        "revenue": "0.30",
        "updated_at": "2025-03-01T12:10:00.123Z",
    }
    fields.update(changed)
    return json.dumps(fields).encode()


def test_a_message_becomes_a_window_without_losing_a_cent() -> None:
    window = parse_window(message(revenue="9007199254740993.01"))
    assert window.revenue == Decimal("9007199254740993.01")
    assert (window.window_start, window.window_end) == (NOON, NOON + timedelta(hours=1))


def test_the_last_value_of_a_key_wins_and_no_value_removes_it() -> None:
    state: dict[bytes, Window] = {}
    apply_message(state, b"Milk|12", message(orders=1))
    apply_message(state, b"Bread|12", message("Bread"))
    apply_message(state, b"Milk|12", message(orders=5))
    assert state[b"Milk|12"].orders == 5
    apply_message(state, b"Milk|12", None)
    apply_message(state, b"never seen", None)
    assert list(state) == [b"Bread|12"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"null",
        b'{"product": "Milk"}',
        message(revenue=0.3),
        message(revenue="NaN"),
        message(revenue="much"),
        message(orders="many"),
        message(window_start="2025-03-01T12:00:00"),
        message(window_end="2025-03-01T11:00:00Z"),
    ],
)
def test_a_bad_message_is_refused_and_changes_nothing(value: bytes) -> None:
    state: dict[bytes, Window] = {}
    apply_message(state, b"key", message())
    with pytest.raises(BadMessageError):
        apply_message(state, b"key", value)
    assert state == {b"key": parse_window(message())}


def test_windows_long_past_are_dropped() -> None:
    state = {b"old": parse_window(message()), b"new": parse_window(message(start=NOON + timedelta(hours=2)))}
    drop_old(state, NOON + timedelta(hours=4, seconds=1), keep=timedelta(hours=3))
    assert list(state) == [b"new"]


def test_windows_are_summed_by_window_and_know_their_category() -> None:
    later = NOON + timedelta(minutes=15)
    live = newest_first(
        [
            parse_window(message("Milk", NOON)),
            parse_window(message("Soap", NOON, revenue="1.00")),
            parse_window(message("Milk", later, revenue="0.10")),
        ]
    )
    now = NOON + timedelta(hours=1)
    answer = answers.windows(live, {"Milk": "Food"}, now, Filters())
    assert answer["windows"] == [
        {
            "window_start": "2025-03-01T12:15:00Z",
            "window_end": "2025-03-01T13:15:00Z",
            "open": True,
            "orders": 2,
            "revenue": "0.10",
        },
        {
            "window_start": "2025-03-01T12:00:00Z",
            "window_end": "2025-03-01T13:00:00Z",
            "open": False,
            "orders": 4,
            "revenue": "1.30",
        },
    ]
    assert [(row["product"], row["category"]) for row in answer["rows"]] == [
        ("Milk", "Food"),
        ("Soap", "UNKNOWN"),
        ("Milk", "Food"),
    ]
    food = answers.windows(live, {"Milk": "Food"}, now, Filters(category="Food"))
    assert [window["revenue"] for window in food["windows"]] == ["0.10", "0.30"]
    assert len(answers.windows(live, {}, now, Filters(limit=1))["windows"]) == 1
