"""From CSV files to events: which files, which rows, and what an event says."""

import csv
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from json.encoder import encode_basestring
from pathlib import Path
from typing import NamedTuple

from retail_producer.settings import ConfigurationError

# products.csv describes products; it holds no transactions.
NOT_TRANSACTIONS = frozenset({"products.csv"})

DATE_COLUMNS = ("order_date", "date", "order_time", "timestamp", "event_time")
OTHER_COLUMNS = (
    *("order_id", "store_id", "store_city", "product", "item"),
    *("quantity", "unit_price", "price", "amount", "total", "total_price"),
)
KNOWN_COLUMNS = frozenset((*DATE_COLUMNS, *OTHER_COLUMNS))

# Brokers refuse messages of more than 1 MiB. A line as long as this is no transaction: its beginning, as a
# malformed row, says enough.
LONGEST_LINE = 500_000
RAW_KEPT = 10_000


class Event(NamedTuple):
    """One message: its key and its value, both UTF-8."""

    key: bytes
    value: bytes


class Table(NamedTuple):
    """A CSV file and the column names of its header, as they are written."""

    path: Path
    header: list[str]


def timestamp(moment: datetime) -> str:
    """ISO-8601 in UTC with milliseconds, e.g. `2026-10-01T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The present as a timestamp."""
    return _at_millisecond(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)
def _at_millisecond(milliseconds: int) -> str:
    # At full speed many events share their millisecond; writing the time out is a third of what an event costs.
    return timestamp(datetime.fromtimestamp(milliseconds / 1000, UTC))


def original_time(raw: str) -> str:
    """The timestamp of a row's own date (no zone means UTC); one that cannot be read stays as it is."""
    try:
        moment = datetime.fromisoformat(raw.strip())
        return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return raw


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their end; empty lines are left out."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if text := line.rstrip("\n"):
                yield number, text


def _fields(line: str) -> list[str]:
    """The fields of one line; none when its quotes do not close. A record never spans lines."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _plain(name: str) -> str:
    return name.strip().lower()


def tables(folder: Path) -> list[Table]:
    """The transaction files of a folder, in the order of their names.

    Raises:
        ConfigurationError: There is nothing to send, or a file is not a table of transactions.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: set INPUT_PATH or --input to a folder of CSVs")
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".csv" and path.name.lower() not in NOT_TRANSACTIONS and path.is_file()
    )
    if not files:
        raise ConfigurationError(f"no transaction CSV in {folder}: put at least one *.csv with a header there")
    found = [table for path in files if (table := _table(path)) is not None]
    if not found:
        names = ", ".join(path.name for path in files)
        raise ConfigurationError(f"no data row in {folder} ({names}): add rows below the header, or another CSV")
    return found


def _table(path: Path) -> Table | None:
    """The table in a file; `None` when it holds no data row."""
    lines = _lines(path)
    _, first = next(lines, (0, ""))
    if not first:
        return None
    header = _fields(first)
    if not KNOWN_COLUMNS & {_plain(name) for name in header}:
        raise ConfigurationError(
            f"{path} has no known column in its first line ({first[:120]!r}): correct it or move it away; a "
            "header is for example order_id,order_date,store_id,store_city,product,quantity,unit_price,amount"
        )
    return Table(path, header) if next(lines, None) else None


def events(
    table: Table, *, suffix: str = "", original: bool = False, clock: Callable[[], str] = now
) -> Iterator[Event]:
    """The events of one file, each made at the moment it is asked for.

    The rows keep their own column names and raw values. Their date is replaced by `event_time`. The key is the
    order's id, so that what is said of one order stays in its order; without one it is the event's id.

    Args:
        table: File and header.
        suffix: Added to every event and order id, to tell one pass over the files from another.
        original: `event_time` is the row's own date, instead of the moment the event is made.
        clock: Gives that moment.
    """
    dates = _date_positions(table.header)
    kept = _kept_positions(table.header, dates)
    body = _template("event_id", "event_time", *(table.header[position] for position in kept))
    malformed = _template("event_id", "event_time", "_raw")
    order = next((number for number, position in enumerate(kept) if _plain(table.header[position]) == "order_id"), None)
    name, width = _escaped(table.path.name), len(table.header)
    lines = _lines(table.path)
    next(lines, None)  # the header
    for number, line in lines:
        event_id = f"{name}:{number}{suffix}"
        fields = _fields(line) if len(line) <= LONGEST_LINE else []
        if len(fields) != width:
            yield Event(event_id.encode(), (malformed % (event_id, clock(), _escaped(_shortened(line)))).encode())
            continue
        when = (
            original_time(next((fields[date] for date in dates if fields[date].strip()), "")) if original else clock()
        )
        values = [fields[position] for position in kept]
        key = event_id
        if order is not None and values[order].strip():
            key = values[order] = values[order] + suffix
        if not _is_plain(line):
            when, values = _escaped(when), [_escaped(value) for value in values]
        yield Event(key.encode(), (body % (event_id, when, *values)).encode())


def _template(*names: str) -> str:
    """A JSON object of texts, with `%s` for each value."""
    return "{" + ",".join(f'"{_escaped(name)}":'.replace("%", "%%") + '"%s"' for name in names) + "}"


def _escaped(text: str) -> str:
    """A text as it stands between the quotes of JSON."""
    return encode_basestring(text)[1:-1]


def _is_plain(line: str) -> bool:
    """Whether nothing in a line needs to be escaped; asking is cheaper than escaping every field."""
    return line.isprintable() and "\\" not in line and '"' not in line


def _kept_positions(header: list[str], dates: list[int]) -> list[int]:
    """Positions of the columns that an event keeps: no date, and of two with the same name the first."""
    kept = {"event_id": -1, "event_time": -1}
    for position, name in enumerate(header):
        if position not in dates:
            kept.setdefault(name, position)
    return [position for position in kept.values() if position >= 0]


def _date_positions(header: list[str]) -> list[int]:
    """Positions of the columns that hold the date, the canonical name first."""
    names = [_plain(name) for name in header]
    return sorted(
        (position for position, name in enumerate(names) if name in DATE_COLUMNS),
        key=lambda position: DATE_COLUMNS.index(names[position]),
    )


def _shortened(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:RAW_KEPT]}… ({len(line)} characters)"


def passes(folder: Path, *, loop: bool, original: bool) -> Iterator[Event]:
    """The events of a folder, once or again and again; every pass looks at the folder anew.

    A single replay gives a row the same ids each time it is run, so that whoever remembers the first run recognises the
    repetition; streaming does for twice its watermark. In a loop
    each pass is new business, also after a restart: its ids carry the time of the start and a number.
    """
    started = now()
    for number in count(1):
        suffix = f"@{started}#{number}" if loop else ""
        for table in tables(folder):
            yield from events(table, suffix=suffix, original=original)
        if not loop:
            return
