"""From CSV files to events: which files, which rows, and what an event says."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from json.encoder import encode_basestring
from pathlib import Path
from typing import NamedTuple

from retail_dataset.catalogue import parse_products
from retail_dataset.columns import ALIASES, EXAMPLE, FIELDS, name_key
from retail_dataset.errors import DataSetError
from retail_dataset.files import PRODUCTS, input_files
from retail_dataset.rules import DataSet, Rules
from retail_dataset.table import DAMAGE, Layout, Table, damaged, open_file, read_table
from retail_dataset.text import LONGEST_LINE, may_have_line_breaks
from retail_dataset.values import canonical_number, canonical_time

from retail_producer.settings import ConfigurationError

log = logging.getLogger(__name__)

# Of a line that is longer than the jobs take so much is sent, as a malformed row. Escaped it still fits in a message.
RAW_KEPT = 10_000
NUMBERS = ("quantity", "unit_price", "amount")
# Columns with such a name would be taken for something else than they are.
ALL_NAMES = (name for names in ALIASES.values() for name in names)
RESERVED = frozenset(map(name_key, ("event_id", "event_time", "_raw", "orders", "returns", *ALL_NAMES)))


class Event(NamedTuple):
    """One message: its key and its value, both UTF-8."""

    key: bytes
    value: bytes


class Source(NamedTuple):
    """A file of transactions, and what the data set says of it.

    Attributes:
        path: on this disk.
        name: below the input folder.
        layout: how its rows are taken apart.
        products: names of products by what the sales call them, where the two differ.
    """

    path: Path
    name: str
    layout: Layout
    products: Mapping[str, str]


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


def original_time(raw: str, rules: Rules) -> str:
    """The timestamp of a row's own date; one that cannot be read stays as it is."""
    moment = canonical_time(raw, rules.dates, rules.time_zone)
    return timestamp(moment) if moment else raw


def sources(folder: Path) -> list[Source]:
    """The transaction files of a folder that can be used, in the order of their names; the log names the others.

    Raises:
        ConfigurationError: There is nothing to send, or the rules of the data set mean nothing.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: set INPUT_PATH or --input to a folder of CSVs")
    names = input_files(folder)
    if not names:
        raise ConfigurationError(f"no transaction CSV in {folder}: put at least one *.csv with a header there")
    try:
        dataset = DataSet.read(folder)
    except DataSetError as error:
        raise ConfigurationError(str(error)) from error
    products = _product_names(folder, dataset)
    found = []
    for name in names:
        try:
            layout = _layout(folder / name, dataset.for_file(name))
        except DataSetError as error:
            log.warning("%s is left out: it %s", name, error)
        else:
            found += [Source(folder / name, name, layout, products)] if layout else []
    if not found:
        raise ConfigurationError(
            f"no data row in {folder} that can be sent ({', '.join(names)}): add rows below the header, or another CSV"
        )
    return found


def _product_names(folder: Path, dataset: DataSet) -> Mapping[str, str]:
    file = folder / PRODUCTS
    if not dataset.products.key or not file.exists():
        return {}
    try:
        return {one.key: one.product for one in parse_products(file.read_bytes(), dataset.products)}
    except DataSetError as error:
        log.warning("products keep the names that the sales have: %s", error)
        return {}


def _layout(path: Path, rules: Rules) -> Layout | None:
    """How the rows of a file are taken apart; `None` when it holds no data row.

    Raises:
        DataSetError: It cannot be used.
    """
    if path.suffix.lower() == ".gz":
        try:
            with open_file(path) as stream:
                may_have_line_breaks(stream)
        except DAMAGE as error:
            raise DataSetError(damaged(error)) from error
    with open_file(path) as stream:
        table = read_table(stream, rules)
        if table is None or next(table.records(), None) is None:
            return None
    if missing := table.layout.missing:
        raise DataSetError(
            f"lacks {missing} in its header ({table.layout.line[:100]!r}): correct it, name its columns in "
            f"dataset.toml as `make input` shows, or move it away; a header is for example {EXAMPLE}"
        )
    return table.layout


def events(
    source: Source, *, suffix: str = "", original: bool = False, clock: Callable[[], str] = now
) -> Iterator[Event]:
    """The events of one file, each made at the moment it is asked for.

    An event has the canonical columns in their canonical form, so that whoever reads it needs no rules; a value that
    cannot be read stays as it is, and so do columns that mean nothing here. The row's date is replaced by `event_time`.
    The key is the order's id, so that what is said of one order stays in its order; without one it is the event's id.

    Args:
        source: The file.
        suffix: Added to every event and order id, to tell one pass over the files from another.
        original: `event_time` is the row's own date, instead of the moment the event is made.
        clock: Gives that moment.
    """
    with open_file(source.path) as stream:
        try:
            if table := read_table(stream, source.layout.rules):
                yield from _events(source, table, suffix, original, clock)
        except DataSetError as error:
            log.warning("%s: the rest of it is left out: it %s", source.name, error)


def _events(source: Source, table: Table, suffix: str, original: bool, clock: Callable[[], str]) -> Iterator[Event]:
    layout, rules = table.layout, table.layout.rules
    dates = layout.places["order_date"]
    kept = _kept(layout)
    names = list(kept)
    places = [place[0] for place in kept.values()]
    several = [(number, place) for number, place in enumerate(kept.values()) if len(place) > 1]
    canonical = _canonical(names, rules, source.products)
    order = names.index("order_id") if "order_id" in names else None
    body = _template("event_id", "event_time", *names, constants=_rules_of_events(rules))
    malformed = _template("event_id", "event_time", "_raw")
    name, width = _escaped(source.name), len(layout.names)
    for number, line, length in table.records():
        event_id = f"{name}:{number}{suffix}"
        fields = layout.fields(line) if length <= LONGEST_LINE else None
        if fields is None or len(fields) != width:
            raw = _escaped(line if length <= LONGEST_LINE else f"{line[:RAW_KEPT]}… ({length} bytes)")
            yield Event(event_id.encode(), (malformed % (event_id, clock(), raw)).encode())
            continue
        when = original_time(_first_filled(fields, dates), rules) if original else clock()
        values = [fields[place] for place in places]
        for at, more in several:
            values[at] = _first_filled(fields, more)
        for at, read in canonical:
            values[at] = read(values[at])
        key = event_id
        if order is not None and values[order].strip():
            key = values[order] = values[order] + suffix
        if canonical or not _is_plain(line):
            when, values = _escaped(when), [_escaped(value) for value in values]
        yield Event(key.encode(), (body % (event_id, when, *values)).encode())


def _kept(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Columns of an event, and where their values stand: no date, and of two with the same name the first."""
    kept = {field: layout.places[field] for field in FIELDS if field != "order_date" and layout.places[field]}
    known = {place for places in layout.places.values() for place in places}
    for place, name in enumerate(layout.names):
        if place not in known and name_key(name) not in RESERVED:
            kept.setdefault(name, (place,))
    return kept


def _canonical(
    names: Sequence[str], rules: Rules, products: Mapping[str, str]
) -> list[tuple[int, Callable[[str], str]]]:
    """What makes values canonical, by their place in an event; the jobs read a decimal point without our help."""
    readers: dict[str, Callable[[str], str]] = {}
    if rules.decimal != ".":
        readers = dict.fromkeys(NUMBERS, lambda value: canonical_number(value, rules.decimal))
    if products:
        readers["product"] = lambda value: products.get(value.strip(" "), value)
    return [(at, readers[name]) for at, name in enumerate(names) if name in readers]


def _rules_of_events(rules: Rules) -> dict[str, str]:
    """What an event says of its own meaning, where that is not the usual one."""
    usual = Rules()
    return {name: value for name in ("orders", "returns") if (value := getattr(rules, name)) != getattr(usual, name)}


def _first_filled(fields: Sequence[str], places: Sequence[int]) -> str:
    return next((fields[place] for place in places if fields[place].strip()), "")


def _template(*names: str, constants: Mapping[str, str] | None = None) -> str:
    """A JSON object of texts, with `%s` for each value."""
    said = "".join(f',"{name}":"{value}"' for name, value in (constants or {}).items())
    return "{" + ",".join(f'"{_escaped(name)}":'.replace("%", "%%") + '"%s"' for name in names) + said + "}"


def _escaped(text: str) -> str:
    """A text as it stands between the quotes of JSON."""
    return encode_basestring(text)[1:-1]


def _is_plain(line: str) -> bool:
    """Whether nothing in a line needs to be escaped; asking is cheaper than escaping every field."""
    return line.isprintable() and "\\" not in line and '"' not in line


def passes(folder: Path, *, loop: bool, original: bool) -> Iterator[Event]:
    """The events of a folder, once or again and again; every pass looks at the folder anew.

    A single replay gives a row the same ids each time it is run, so that a repetition is recognised. In a loop
    each pass is new business, also after a restart: its ids carry the time of the start and a number.
    """
    started = now()
    for number in count(1):
        suffix = f"@{started}#{number}" if loop else ""
        for source in sources(folder):
            yield from events(source, suffix=suffix, original=original)
        if not loop:
            return
