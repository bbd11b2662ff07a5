import pytest
from retail_producer.schedule import Schedule


def send_all(schedule: Schedule, count: int, cost: float = 0.0) -> list[float]:
    """Times at which `count` events go out when sending one takes `cost` seconds and sleeps are exact."""
    now = 100.0
    times: list[float] = []
    while len(times) < count:
        wait = schedule.wait(now)
        if wait > 0:
            now += wait
            continue
        events = schedule.due(now)
        times += [now] * events
        schedule.sent(events)
        now += cost * events
    return times[:count]


@pytest.mark.parametrize(("rate", "cost"), [(5, 0.0), (5, 0.01), (200, 0.001), (10_000, 0.00005)])
def test_the_rate_is_held_whatever_an_event_costs(rate: float, cost: float) -> None:
    count = int(rate * 60)
    times = send_all(Schedule(rate, start=100.0), count + 1, cost)
    assert count / (times[-1] - times[0]) == pytest.approx(rate, rel=0.001)


def test_low_rates_are_evenly_spaced() -> None:
    times = send_all(Schedule(5, start=100.0), 4)
    assert times == pytest.approx([100.0, 100.2, 100.4, 100.6])


def test_rate_zero_never_waits() -> None:
    assert send_all(Schedule(0, start=100.0), 3) == [100.0, 100.0, 100.0]


def test_a_short_delay_is_caught_up() -> None:
    schedule = Schedule(10, start=0.0, patience=5)
    assert schedule.wait(3.0) == 0
    assert schedule.wait(3.0) == 0
    assert schedule.due(3.0) == 31
    schedule.sent(31)
    assert schedule.wait(3.0) == pytest.approx(0.1)


def test_after_a_long_delay_the_gap_is_not_sent_at_once() -> None:
    schedule = Schedule(10, start=0.0, patience=5)
    assert schedule.wait(60.0) == 0
    schedule.sent(1)
    assert schedule.wait(60.0) == pytest.approx(0.1)
