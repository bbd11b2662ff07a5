"""What becomes of each event of a micro-batch. Pure functions on arrays.

The driver takes a few numbers of every event (`Rows`) and holds them against the orders that it remembers (`Seen`).
A row that is clean and in time is judged by its order and by what it says of it: the first one of an order counts, the
same again is a repetition, and anything else said of an order that is known contradicts. First is what stands first by
partition and offset; between batches, the earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retail_jobs.errors import JobError
from retail_jobs.windows import SLIDE, Slot

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST = np.iinfo(np.int64).min
# Rows of one set of keys: what is read, sorted and written again at once when two are merged.
LARGEST_SET = 1_000_000


class TooManyOrdersError(JobError):
    """More orders within the watermark than the driver is to remember."""


class Verdict(IntEnum):
    """What becomes of an event."""

    COUNTED = 0
    REPEATED = 1
    CONFLICTING_DUPLICATE = 2
    LATE = 3
    TOO_MANY_PRODUCTS = 4
    UNUSABLE = 5


@dataclass(frozen=True)
class Rules:
    """What events are judged by.

    Attributes:
        delay: How far behind the latest one an event may be, in microseconds.
        most_orders: How many orders are remembered at most.
        most_products: How many product names the open windows have at most.
    """

    delay: int
    most_orders: int
    most_products: int


@dataclass(frozen=True)
class Rows:
    """Events, one place in each array per event; of those that are not clean only partition and offset mean something.

    Attributes:
        order: Hash of the order, or of what else the event is known by.
        content: Hash of what it says of the order.
        time: When it happened, in microseconds since 1970.
        product: Which of `products`.
        amount: In hundredths.
        partition: Kafka's.
        offset: Kafka's.
        clean: Whether cleaning found nothing.
        products: Names.
    """

    order: Ints
    content: Ints
    time: Ints
    product: Ints
    amount: Ints
    partition: Ints
    offset: Ints
    clean: Mask
    products: Sequence[str]

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        """The rows of a table as `stream_events.lean` makes it."""
        products = table["product"].combine_chunks().dictionary_encode()
        names = ("order", "content", "time", "amount", "partition", "offset")
        return cls(
            **{name: table[name].to_numpy().astype(np.int64, copy=False) for name in names},
            product=pc.fill_null(products.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64),
            clean=pc.is_null(table["reasons"]).to_numpy(),
            products=products.dictionary.to_pylist(),
        )


@dataclass(frozen=True)
class Keys:
    """Orders that came, with what they said, sorted by the order: 24 bytes for each.

    An order that was contradicted is there once for each thing that was said of it, always with the time of its first
    event, so that all of it is forgotten at once.
    """

    order: Ints
    content: Ints
    time: Ints

    def __len__(self) -> int:
        return len(self.order)

    def take(self, places: npt.NDArray[np.intp] | Mask) -> Keys:
        """Some of them."""
        return Keys(self.order[places], self.content[places], self.time[places])

    def of(self, orders: Ints) -> Keys:
        """Those of some orders, which are sorted and differ from each other."""
        begin, end = np.searchsorted(self.order, orders, "left"), np.searchsorted(self.order, orders, "right")
        found = np.flatnonzero(end > begin)
        return self.take(_ranges(begin[found], end[found]))


@dataclass(frozen=True)
class Seen:
    """What is known before a micro-batch.

    Attributes:
        latest: The latest time of all that was counted, in microseconds since 1970; `FIRST` before anything was.
        keys: The orders that are remembered, in sets from the oldest to the newest.
        products: Names that the open windows have.
    """

    latest: int = FIRST
    keys: tuple[Keys, ...] = ()
    products: frozenset[str] = field(default_factory=frozenset)

    def watermark(self, rules: Rules) -> int:
        """What happened before this is late, in microseconds since 1970."""
        return FIRST if self.latest == FIRST else self.latest - rules.delay

    def _oldest(self, rules: Rules) -> int:
        """Orders from before this are forgotten.

        An event that is in time is within the delay of an order that is not older than this.
        """
        return FIRST if self.latest == FIRST else self.latest - 2 * rules.delay


def judge(seen: Seen, rows: Rows, rules: Rules) -> tuple[npt.NDArray[np.int8], Seen]:
    """The verdict on each row, and what is known after all of them.

    Raises:
        TooManyOrdersError: there are more orders than are to be remembered.
    """
    verdicts = np.full(len(rows.order), Verdict.UNUSABLE, np.int8)
    in_time = rows.clean & (rows.time >= seen.watermark(rules))
    verdicts[rows.clean & ~in_time] = Verdict.LATE
    places = np.flatnonzero(in_time)
    places = places[np.lexsort((rows.offset[places], rows.partition[places]))]
    fits = _fit(seen.products, rows, places, rules.most_products)
    verdicts[places[~fits]] = Verdict.TOO_MANY_PRODUCTS
    places = places[fits]
    judged, new = _compare(seen, rows, places, seen._oldest(rules))
    verdicts[places] = judged
    counted = places[judged == Verdict.COUNTED]
    after = Seen(
        latest=max(seen.latest, int(rows.time[counted].max(initial=FIRST))),
        products=seen.products | {rows.products[code] for code in np.unique(rows.product[counted])},
    )
    return verdicts, replace(after, keys=_join(seen.keys, new, after._oldest(rules), rules))


def slots_of(rows: Rows, counted: Mask) -> list[Slot]:
    """Orders and revenue of the rows that count, by product and slide of the windows."""
    slide = SLIDE // MICROSECOND
    begin = rows.time[counted] // slide
    key = begin * max(len(rows.products), 1) + rows.product[counted]
    by_key = np.argsort(key, kind="stable")
    starts = _starts(key[by_key])
    if not len(starts):
        return []
    revenue = np.add.reduceat(rows.amount[counted][by_key], starts)
    orders = np.diff(starts, append=len(key))
    first = by_key[starts]
    return [
        Slot(EPOCH + int(at) * SLIDE, rows.products[product], int(count), Decimal(int(cents)).scaleb(-2))
        for at, product, count, cents in zip(begin[first], rows.product[counted][first], orders, revenue, strict=True)
    ]


def by_day(times: Ints) -> dict[str, int]:
    """How many of these times, in microseconds since 1970, fall on each day (UTC), the oldest first."""
    days, numbers = np.unique(times.astype("datetime64[us]").astype("datetime64[D]"), return_counts=True)
    return {str(day): int(number) for day, number in zip(days, numbers, strict=True)}


def _fit(known: frozenset[str], rows: Rows, places: npt.NDArray[np.intp], most: int) -> Mask:
    """Whether there is room for the product of each of these rows, which stand in their order."""
    new = np.array([name not in known for name in rows.products], np.bool_)
    if len(known) + np.count_nonzero(new) <= most:
        return np.ones(len(places), np.bool_)
    codes, first = np.unique(rows.product[places], return_index=True)
    coming = codes[np.argsort(first)]
    coming = coming[new[coming]]
    new[coming[: max(most - len(known), 0)]] = False
    return ~new[rows.product[places]]


def _compare(seen: Seen, rows: Rows, places: npt.NDArray[np.intp], oldest: int) -> tuple[npt.NDArray[np.int8], Keys]:
    """Verdicts on clean rows that are in time and stand in their order, and the keys that they add."""
    order, content, time = rows.order[places], rows.content[places], rows.time[places]
    asked = np.unique(order)
    known = _concatenated([keys.of(asked) for keys in seen.keys])
    known = known.take(known.time >= oldest)
    # What is known stands before all rows, and sorting leaves equals as they stand: being first is all there is to ask.
    both = _concatenated([known, Keys(order, content, time)])
    position = np.concatenate((np.full(len(known), -1), np.arange(len(places))))
    by_pair = np.lexsort((both.content, both.order))
    both, position = both.take(by_pair), position[by_pair]
    orders, pairs = _starts(both.order), _starts(both.order, both.content)
    if not len(orders):
        return np.empty(0, np.int8), both
    sizes = np.diff(orders, append=len(position))
    first = np.repeat(np.minimum.reduceat(position, orders), sizes)
    is_first = position == first
    first_time = np.repeat(np.maximum.reduceat(np.where(is_first, both.time, FIRST), orders), sizes)
    says_new = np.zeros(len(position), np.bool_)
    says_new[pairs] = position[pairs] >= 0
    new = np.where(is_first, Verdict.COUNTED, Verdict.CONFLICTING_DUPLICATE)
    sorted_verdicts = np.where(says_new, new, Verdict.REPEATED)
    verdicts = np.empty(len(places), np.int8)
    is_row = position >= 0
    verdicts[position[is_row]] = sorted_verdicts[is_row]
    return verdicts, Keys(both.order[says_new], both.content[says_new], first_time[says_new])


def _join(sets: tuple[Keys, ...], new: Keys, oldest: int, rules: Rules) -> tuple[Keys, ...]:
    """The sets with a new one.

    Those that are forgotten fall off; the newest are merged whenever they are of about one size, so that there are few.
    """
    joined = [keys for keys in sets if keys.time.max() >= oldest]
    if len(new):
        joined.append(new)
        while len(joined) > 1 and len(joined[-2]) <= min(2 * len(joined[-1]), LARGEST_SET - len(joined[-1])):
            joined[-2:] = [_merged(joined[-2:], oldest)]
    if sum(map(len, joined)) > rules.most_orders:
        joined = [_merged(joined, oldest)]
        if len(joined[0]) > rules.most_orders:
            raise TooManyOrdersError(
                f"{len(joined[0])} orders are within twice the watermark, and at most {rules.most_orders} are to be "
                "remembered: set MAX_ORDERS higher (24 bytes of the driver's memory for each), or WATERMARK shorter"
            )
    return tuple(joined)


def _merged(sets: Sequence[Keys], oldest: int) -> Keys:
    both = _concatenated(sets)
    both = both.take(both.time >= oldest)
    return both.take(np.argsort(both.order, kind="stable"))


def _concatenated(sets: Sequence[Keys]) -> Keys:
    empty = np.empty(0, np.int64)
    return Keys(
        np.concatenate([empty, *(keys.order for keys in sets)]),
        np.concatenate([empty, *(keys.content for keys in sets)]),
        np.concatenate([empty, *(keys.time for keys in sets)]),
    )


def _starts(*columns: Ints) -> npt.NDArray[np.intp]:
    """Where runs of equal values begin."""
    if not len(columns[0]):
        return np.empty(0, np.intp)
    changes = np.zeros(len(columns[0]) - 1, np.bool_)
    for column in columns:
        changes |= column[1:] != column[:-1]
    return np.concatenate((np.zeros(1, np.intp), np.flatnonzero(changes) + 1))


def _ranges(begin: npt.NDArray[np.intp], end: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """All numbers of some ranges."""
    sizes = end - begin
    return np.repeat(begin - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
