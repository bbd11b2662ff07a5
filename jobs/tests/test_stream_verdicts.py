"""What becomes of events, against the rules in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retail_jobs import stream_verdicts
from retail_jobs.stream_verdicts import (
    FIRST,
    MICROSECOND,
    Rows,
    Rules,
    Seen,
    TooManyOrdersError,
    Verdict,
    judge,
    slots_of,
)
from retail_jobs.windows import SLIDE, Key, Value, Windows, add

MINUTE = 60_000_000
DELAY = 15 * MINUTE
RULES = Rules(delay=DELAY, most_orders=1_000, most_products=1_000)
PRODUCTS = ["Tea", "Coffee", "Cocoa"]


class Event(NamedTuple):
    """An event as the driver has it."""

    order: int
    content: int
    time: int
    product: int
    amount: int
    partition: int
    offset: int
    clean: bool = True


def rows_of(events: Sequence[Event]) -> Rows:
    numbers = np.array([event[:-1] for event in events], np.int64).reshape(-1, len(Event._fields) - 1)
    order, content, time, product, amount, partition, offset = numbers.T
    clean = np.array([event.clean for event in events], np.bool_)
    return Rows(order, content, time, product, amount, partition, offset, clean, PRODUCTS)


class Reference:
    """The written rules, one event after the other."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.latest = FIRST
        self.orders: dict[int, tuple[int, set[int]]] = {}
        """Time of the first event of an order, and all that was said of it."""
        self.products: set[str] = set()

    def judge(self, events: Sequence[Event]) -> dict[tuple[int, int], Verdict]:
        """Verdicts by partition and offset."""
        before = self.latest
        self.orders = {
            order: known for order, known in self.orders.items() if known[0] >= before - 2 * self.rules.delay
        }
        room = set(self.products)
        verdicts = {}
        for event in sorted(events, key=lambda event: (event.partition, event.offset)):
            verdicts[event.partition, event.offset] = self._judge(event, before, room)
        return verdicts

    def _judge(self, event: Event, before: int, room: set[str]) -> Verdict:
        if not event.clean:
            return Verdict.UNUSABLE
        if before != FIRST and event.time < before - self.rules.delay:
            return Verdict.LATE
        product = PRODUCTS[event.product]
        if product not in room and len(room) >= self.rules.most_products:
            return Verdict.TOO_MANY_PRODUCTS
        room.add(product)
        if event.order not in self.orders:
            self.orders[event.order] = event.time, {event.content}
            self.latest = max(self.latest, event.time)
            self.products.add(product)
            return Verdict.COUNTED
        _, said = self.orders[event.order]
        if event.content in said:
            return Verdict.REPEATED
        said.add(event.content)
        return Verdict.CONFLICTING_DUPLICATE


def run(batches: Sequence[Sequence[Event]]) -> tuple[dict[tuple[int, int], Verdict], Windows, Seen]:
    """All batches, one after the other: verdicts by partition and offset, windows, and what is known at the end."""
    seen, verdicts, windows = Seen(), dict[tuple[int, int], Verdict](), dict[Key, Value]()
    for batch in batches:
        rows = rows_of(batch)
        found, after = judge(seen, rows, RULES)
        repeated, _ = judge(seen, rows, RULES)
        assert found.tolist() == repeated.tolist()
        windows, _ = add(windows, slots_of(rows, found == Verdict.COUNTED))
        verdicts |= {(e.partition, e.offset): Verdict(v) for e, v in zip(batch, found, strict=True)}
        seen = after
    return verdicts, windows, seen


times = st.integers(0, 120).map(lambda minute: minute * MINUTE)
batches_of_any = st.lists(
    st.lists(
        st.builds(
            Event,
            st.integers(-4, 4),
            st.integers(0, 2),
            times,
            st.integers(0, 2),
            st.integers(-500, 500),
            st.integers(0, 2),
            st.just(0),
            st.just(True) | st.booleans(),
        ),
        max_size=12,
    ),
    max_size=8,
)


@given(batches_of_any, st.integers(1, 3), st.integers())
def test_any_events_are_judged_by_the_rules(batches: list[list[Event]], most_products: int, seed: int) -> None:
    rules, chance, ends = replace(RULES, most_products=most_products), random.Random(seed), [0, 0, 0]
    seen, reference = Seen(), Reference(rules)
    for events in batches:
        batch = []
        for event in events:
            batch.append(event._replace(offset=ends[event.partition]))
            ends[event.partition] += 1
        chance.shuffle(batch)
        verdicts, seen = judge(seen, rows_of(batch), rules)
        expected = reference.judge(batch)
        assert {event[5:7]: verdict for event, verdict in zip(batch, verdicts, strict=True)} == expected
        assert seen.latest == reference.latest and set(seen.products) == reference.products


class Sent(NamedTuple):
    """An event of a topic in which it is certain of each one whether it is late, however the topic is read."""

    order: int
    content: int
    back: int
    """How far it is behind the latest one of its round, in microseconds."""
    product: int
    amount: int
    clean: bool
    late: bool


sent = st.builds(
    Sent,
    st.integers(0, 12),
    st.integers(0, 1),
    st.integers(0, DELAY // 2),
    st.integers(0, 2),
    st.integers(0, 999),
    st.booleans() | st.just(True),
    st.sampled_from([False, False, False, True]),
)


def topic_of(rounds: Sequence[tuple[int, Sequence[Sent]]]) -> list[list[Event]]:
    """Events in rounds that no batch mixes: all of one are read before any of the next.

    What is in time is behind nothing of its own round and those before by more than the delay; what is late is, behind
    the first round. As the producer does it, what is said of one order is in one partition.
    """
    now, ends = 10 * DELAY, [1, 0, 0]
    topic = [[Event(100, 0, now, 0, 1, 0, 0)]]
    for pause, round_of in rounds:
        now += pause
        made = []
        for order, content, back, product, amount, clean, late in round_of:
            partition = order % 3
            time = now - back - 3 * DELAY * late
            made.append(Event(order, content, time, product, amount, partition, ends[partition], clean))
            ends[partition] += 1
        topic.append(made)
    return topic


def cut(topic: list[list[Event]], chance: random.Random) -> Iterator[list[Event]]:
    """Batches: of each round and partition so many events, then so many more, their rows in any order."""
    for made in topic:
        queues = [[event for event in made if event.partition == partition] for partition in range(3)]
        while any(queues):
            taken = []
            for queue in queues:
                count = chance.randint(0, len(queue))
                taken += queue[:count]
                del queue[:count]
            chance.shuffle(taken)
            yield taken


@given(st.lists(st.tuples(st.integers(0, DELAY // 4), st.lists(sent, max_size=8)), max_size=4), st.integers())
def test_any_cut_into_batches_and_any_order_of_partitions_gives_the_same(
    rounds: list[tuple[int, list[Sent]]], seed: int
) -> None:
    topic = topic_of(rounds)
    verdicts, windows, seen = run(topic)
    reference = Reference()
    assert verdicts == {place: verdict for made in topic for place, verdict in reference.judge(made).items()}
    again = run(list(cut(topic, random.Random(seed))))
    assert again[:2] == (verdicts, windows)
    assert (again[2].latest, again[2].products) == (seen.latest, seen.products)
    late = sum(event.late and event.clean for _, round_of in rounds for event in round_of)
    assert list(verdicts.values()).count(Verdict.LATE) == late


@given(st.lists(st.tuples(times, st.integers(0, 2), st.integers(-(10**11), 10**11), st.booleans()), max_size=30))
def test_what_counts_falls_into_the_slide_of_its_time(events: list[tuple[int, int, int, bool]]) -> None:
    rows = rows_of([Event(0, 0, time, product, amount, 0, 0) for time, product, amount, _ in events])
    expected: dict[tuple[int, str], list[int]] = defaultdict(list)
    for time, product, amount, counts in events:
        if counts:
            expected[time // (SLIDE // MICROSECOND), PRODUCTS[product]].append(amount)
    found = {
        ((slot.start - stream_verdicts.EPOCH) // SLIDE, slot.product): (slot.orders, int(slot.revenue.scaleb(2)))
        for slot in slots_of(rows, np.array([counts for *_, counts in events], bool))
    }
    assert found == {key: (len(amounts), sum(amounts)) for key, amounts in expected.items()}


def stream(count: int, size: int, pause: int) -> Iterator[Rows]:
    """Batches of orders that never come again, `pause` microseconds apart."""
    for number in range(count):
        first = number * size
        yield rows_of([Event(hash_of(n), 0, n * pause, 0, 1, 0, n) for n in range(first, first + size)])


def hash_of(number: int) -> int:
    return number * 0x9E3779B97F4A7C15 % 2**64 - 2**63


def test_orders_are_forgotten_so_that_few_sets_of_few_orders_remain() -> None:
    seen, rules, pause = Seen(), replace(RULES, most_orders=10**9), DELAY // 1000
    sizes, files = [], []
    for rows in stream(600, 25, pause):
        verdicts, seen = judge(seen, rows, rules)
        assert not verdicts.any()
        sizes.append(sum(map(len, seen.keys)))
        files.append(len(seen.keys))
    # Of two delays, 2000 orders are remembered; what is forgotten may stay until it is half of all.
    assert min(sizes[100:]) >= 2000 and max(sizes) <= 4000
    assert max(files) <= 10


def test_a_set_is_not_made_anew_while_it_does_not_change() -> None:
    seen, written = Seen(), []
    for rows in stream(64, 25, 1):
        _, after = judge(seen, rows, replace(RULES, most_orders=10**9))
        new = [keys for keys in after.keys if all(keys is not old for old in seen.keys)]
        assert len(new) == 1
        written += new
        seen = after
    # Each order is written again whenever its set doubles.
    assert sum(map(len, written)) <= 64 * 25 * 7


def test_a_limit_on_orders_refuses_with_a_sentence_that_says_what_to_set() -> None:
    seen, rules = Seen(), replace(RULES, most_orders=100)
    batches = stream(3, 50, 1)
    for rows in (next(batches), next(batches)):
        _, seen = judge(seen, rows, rules)
    with pytest.raises(
        TooManyOrdersError, match=r"150 orders .* at most 100 .* MAX_ORDERS higher .* or WATERMARK shorter"
    ):
        judge(seen, next(batches), rules)


def test_a_limit_on_orders_counts_only_those_that_are_remembered() -> None:
    seen, rules = Seen(), replace(RULES, most_orders=2_100)
    for rows in stream(300, 25, DELAY // 1000):
        _, seen = judge(seen, rows, rules)
    assert list(accumulate(map(len, seen.keys)))[-1] <= 2_100


def test_an_order_takes_24_bytes() -> None:
    _, seen = judge(Seen(), next(stream(1, 1_000, 1)), RULES)
    [keys] = seen.keys
    assert keys.order.nbytes + keys.content.nbytes + keys.time.nbytes == 24 * 1_000


def replay(minutes: int, begin: int, offset: int) -> list[list[Event]]:
    """An order a minute, each in a batch of its own, as the producer stamps them."""
    return [[Event(n, 0, (begin + n) * MINUTE, 0, 1, 0, offset + n)] for n in range(minutes)]


@pytest.mark.parametrize(("minutes", "expected"), [(29, Verdict.REPEATED), (60, Verdict.COUNTED)])
def test_a_replay_that_is_started_again_counts_twice_what_is_longer_ago_than_two_watermarks(
    minutes: int, expected: Verdict
) -> None:
    verdicts, _, _ = run([*replay(minutes, 0, 0), *replay(minutes, minutes, minutes)])
    assert list(verdicts.values()) == [Verdict.COUNTED] * minutes + [expected] * minutes


def test_a_replay_with_original_times_that_is_started_again_counts_nothing_twice() -> None:
    verdicts, _, _ = run([*replay(60, 0, 0), *replay(60, 0, 60)])
    again = list(verdicts.values())[60:]
    # The latest one happened at minute 59; what is more than the watermark before it is late.
    assert again == [Verdict.LATE] * 44 + [Verdict.REPEATED] * 16
