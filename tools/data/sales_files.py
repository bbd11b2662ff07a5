"""What the sales files of a folder are on this machine: how each is read, what is wrong with it, what is doubtful.

The same package reads them as in batch and producer, so the words here are true there.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from retail_dataset import text
from retail_dataset.catalogue import parse_products
from retail_dataset.columns import EXAMPLE, FIELDS
from retail_dataset.errors import DataSetError
from retail_dataset.files import PRODUCTS, RULES, input_files
from retail_dataset.rules import DataSet, Rules
from retail_dataset.table import DAMAGE, Layout, open_file, read_table
from retail_dataset.values import canonical_number, canonical_time, date_pattern

LOOKED_AT = 20_000  # rows of each file
HEAD_BYTES = 1 << 23  # whose encoding is looked at


@dataclass(frozen=True)
class Row:
    """A record as it will count.

    Attributes:
        fields: its canonical columns, as they stand.
        day: where the shop is; none when the date cannot be read.
        quantity: none when it is blank or cannot be read.
        amount: likewise, or when it cannot be computed.
        reason: why it will not count; empty when it will.
    """

    fields: Mapping[str, str]
    day: str | None
    quantity: Decimal | None
    amount: Decimal | None
    reason: str


@dataclass
class Look:
    """What was seen of a file.

    Attributes:
        name: below the input folder.
        objection: why it cannot be used; empty when it can.
        layout: none for an empty file, and for one that cannot be read.
        encoding: in words.
        header_number: line of the header.
        rows: the first ones.
        all_rows: whether these are all.
    """

    name: str
    objection: str = ""
    layout: Layout | None = None
    encoding: str = ""
    header_number: int = 0
    rows: list[Row] = field(default_factory=list)
    all_rows: bool = True

    def failed(self, *reasons: str) -> list[Row]:
        """Rows that will not count, for one of these reasons."""
        return [row for row in self.rows if row.reason in reasons]


def look_at(folder: Path, name: str, rules: Rules) -> Look:
    """Look at a file."""
    path, look = folder / name, Look(name)
    try:
        with open_file(path) as stream:
            look.encoding = _encoding(stream)
        with open_file(path) as stream:
            table = read_table(stream, rules)
            if table is None:
                return look
            layout = look.layout = table.layout
            look.header_number = table.header_number
            records = table.records()
            for record in islice(records, LOOKED_AT):
                look.rows.append(_row(layout.fields(record.text), layout))
            look.all_rows = next(records, None) is None
        if path.suffix.lower() == ".gz":
            with open_file(path) as stream:
                text.may_have_line_breaks(stream)
    except (DataSetError, *DAMAGE) as error:
        look.objection = f"{path} cannot be read to its end: {error}. Bring it again, or move it away."
        return look
    if layout.missing:
        look.objection = (
            f"{path} lacks {layout.missing}: its header, line {look.header_number}, is {layout.line[:80]!r}. Name its "
            f"columns in {RULES} (`make input` proposes them, `make input WRITE=1` writes them), correct it, or move "
            f"it away; a header is {EXAMPLE}, in any order and not all of them."
        )
    return look


def objections(folder: Path) -> Iterator[str]:
    """Why the files of a folder are no input for the pipeline."""
    names = input_files(folder)
    if not names:
        yield f"{folder} has no CSV of transactions. Put some there, or take the sample month: `make sample-data`."
    try:
        dataset = DataSet.read(folder)
    except DataSetError as error:
        yield f"{folder / RULES}: {error}."
        return
    for name in names:
        if objection := look_at(folder, name, dataset.for_file(name)).objection:
            yield objection
    if objection := products_objection(folder, dataset):
        yield objection


def products_objection(folder: Path, dataset: DataSet) -> str:
    """Why `products.csv` cannot be used; empty when it can, or is not there."""
    try:
        if (folder / PRODUCTS).exists():
            parse_products((folder / PRODUCTS).read_bytes(), dataset.products)
    except DataSetError as error:
        return f"{folder / PRODUCTS}: {error}."
    return ""


def _encoding(stream: io.BufferedReader) -> str:
    head = stream.read(HEAD_BYTES)
    if marked := text.encoding_of(head):
        return f"{marked.upper()} with a byte order mark"
    try:
        head[: head.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return "Windows-1252"
    return "UTF-8"


def _row(values: list[str] | None, layout: Layout) -> Row:
    """A record as batch and streaming will see it."""
    if values is None:
        return Row({}, None, None, None, "another number of fields than the header")
    fields = {
        name: next((values[place].strip() for place in places if values[place].strip()), "")
        for name, places in layout.places.items()
    }
    rules, reasons = layout.rules, []
    moment = canonical_time(fields["order_date"], rules.dates, rules.time_zone)
    quantity, price, amount = (_decimal(fields[name], rules) for name in ("quantity", "unit_price", "amount"))
    if not fields["amount"] and quantity is not None and price is not None:
        amount = quantity * price
    if moment is None:
        reasons.append("unreadable date" if fields["order_date"] else "no date")
    if fields["quantity"] and quantity is None:
        reasons.append("unreadable quantity")
    if amount is None:
        reasons.append("unreadable amount" if fields["amount"] else "no amount")
    if rules.returns == "quarantine" and min(quantity or 0, amount or 0) < 0:
        reasons.append("negative")
    day = moment.astimezone(ZoneInfo(rules.time_zone)).date().isoformat() if moment else None
    rounded = None if amount is None else amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return Row(fields, day, quantity, rounded, ", ".join(reasons))


def _decimal(value: str, rules: Rules) -> Decimal | None:
    try:
        number = Decimal(canonical_number(value, rules.decimal))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() < 18 else None


def doubts(look: Look) -> Iterator[str]:
    """What is doubtful about a file, in sentences."""
    if look.layout is None or look.objection:
        return
    rules = look.layout.rules
    for reason, count in Counter(row.reason for row in look.rows if row.reason).most_common(4):
        example = next(row.fields for row in look.rows if row.reason == reason)
        named = [(name, example.get(name)) for name in ("order_date", "quantity", "amount")]
        shown = ", ".join(f"{name} {value!r}" for name, value in named if value)
        yield f"{count} of {len(look.rows)} rows will not count: {reason}{f' ({shown})' if shown else ''}"
    several = several_rows(look)
    if rules.orders == "row" and several:
        yield (
            f"{len(several)} orders have several rows that differ, {several[0]!r} for instance; only the first would "
            'count: orders = "lines" makes all of them count'
        )
    if any(_is_ambiguous(pattern, look) for pattern in rules.dates):
        yield "every date reads with day and month the other way round, too: is the order right?"
    marks = {
        mark
        for row in look.rows
        for name in ("unit_price", "amount")
        if (value := row.fields.get(name, "")) and (mark := _decimal_mark(value))
    }
    if len(marks) == 2:
        yield f"numbers have two decimal marks; {rules.decimal!r} is taken for it, what does not fit will not count"


def several_rows(look: Look) -> list[str]:
    """Orders with rows that differ."""
    contents: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in look.rows:
        if order := row.fields.get("order_id"):
            contents[order].add(tuple(row.fields[name] for name in FIELDS))
    return [order for order, different in contents.items() if len(different) > 1]


def _decimal_mark(value: str) -> str:
    """The mark before two digits at the end, of which no group can be."""
    digits = value.rstrip(" €$£")
    return digits[-3] if len(digits) > 3 and digits[-3] in ".," and digits[-2:].isdigit() else ""


def _is_ambiguous(pattern: str, look: Look) -> bool:
    """Whether all dates that a pattern reads can be read with day and month in the other order."""
    other = pattern.translate(str.maketrans("dM", "Md"))
    if "MMM" in pattern or "." in pattern or other == pattern:
        return False
    read, read_otherwise = date_pattern(pattern), date_pattern(other)
    found = [value for row in look.rows if (value := row.fields.get("order_date", "")) and read(value)]
    different = any(read(value) != read_otherwise(value) for value in found)
    return bool(found) and different and all(read_otherwise(value) for value in found)
