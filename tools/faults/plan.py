"""What is done to the cluster, and the sales that go through it meanwhile: both the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tools.data.sample_data import CANONICAL, make_month, make_order, soil, to_csv

RATE = 40.0  # events per second
# A second of the test is a minute and a half of the events' time: windows close while faults happen.
SPEED = 90.0
JITTER = timedelta(minutes=5)
# While a broker is away, events of its partitions come later than those of the others.
PATIENCE = 150.0
WATERMARK = timedelta(seconds=PATIENCE * SPEED) + JITTER
# A fault and what comes after it take less than this, in seconds, on the whole.
LONGEST = 150.0

START = datetime(2025, 9, 1, tzinfo=UTC)
STEP = timedelta(seconds=SPEED / RATE)
WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class Fault:
    """One thing that happens.

    Attributes:
        kind: Its name.
        host: Where.
        hold: Seconds until it is mended, or, when nothing but a restart mends it, until it is looked at.
        dice: A number below 1 that chooses among what is found there.
        batch: Whether the batch is to run while it happens.
    """

    kind: str
    host: str
    hold: float
    dice: float
    batch: bool


def make_plan(count: int, seed: int, places: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Faults in their order: every kind comes once before any comes again.

    Args:
        count: How many.
        seed: The same seed gives the same plan.
        places: By kind, the hosts where it can happen.
    """
    rng = random.Random(f"faults/{seed}")
    kinds: list[str] = []
    while len(kinds) < count:
        kinds += rng.sample(list(places), len(places))
    return [
        Fault(kind, rng.choice(places[kind]), rng.uniform(2, 15), rng.random(), rng.random() < 0.6)
        for kind in kinds[:count]
    ]


def make_sales(rows: int, seed: int) -> list[str]:
    """Lines of a CSV, its header first: a month in the order of its time but for `JITTER`, with realistic dirt."""
    rng = random.Random(f"sales/{seed}")
    return list(_lines(rng, [START + number * STEP + rng.random() * JITTER for number in range(rows)], 1))


def split(lines: Sequence[str], name: str, ids: Iterable[str]) -> tuple[list[str], list[str]]:
    """What of a CSV has arrived, and what has not: lines of each, in order, without the header.

    Args:
        lines: Its lines, the header first.
        name: Its name.
        ids: Ids of the events that arrived, of whatever file; the producer says in them which line it was.
    """
    files = (event.rpartition(":") for event in ids)
    arrived = {int(number) for file, _, number in files if file == name}
    numbered = list(enumerate(lines, start=1))[1:]
    return (
        [line for number, line in numbered if number in arrived],
        [line for number, line in numbered if number not in arrived],
    )


def make_closing(last: datetime, seed: int) -> list[str]:
    """Lines of a CSV that come after all others and so late that every window of an event until `last` closes."""
    rng = random.Random(f"closing/{seed}")
    moment = last + WINDOW + WATERMARK
    return list(_lines(rng, [moment + rng.random() * JITTER for _ in range(30)], 5_000_000))


def make_batch_files(count: int, seed: int) -> dict[str, str]:
    """Text by name of at least so many CSVs for the batch, with every kind of dirt."""
    files: dict[str, str] = {}
    for month in range(1, 2 + count // 4):
        files |= make_month(f"{2000 + month // 12}-{month % 12 + 1:02d}", 400, seed)
    return files


def _lines(rng: random.Random, moments: Sequence[datetime], first: int) -> Iterator[str]:
    yield to_csv([list(CANONICAL)])
    for number, moment in enumerate(moments, start=first):
        order = replace(soil(rng, make_order(rng, number, START.date())), at=moment)
        dice, when = rng.random(), rng.choice((_utc, _vienna, _plain))(moment)
        if dice < 0.005:
            when = rng.choice(("", "yesterday", "2025-13-45T00:00:00"))
        row = [when if name == "order_date" else getattr(order, name) for name in CANONICAL]
        yield to_csv([row[:-2] if 0.005 < dice < 0.01 else row])


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _vienna(moment: datetime) -> str:
    return f"{moment + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}+02:00"


def _plain(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
