"""CSV files as records for the cleaning, with the text of every record kept.

The driver looks at each file for its header and for what Spark cannot take apart line by line: another encoding than
UTF-8 and Windows-1252, line breaks in quotes, lines above the header. Such files it turns into records itself, with the
data set's package; of all others Spark splits the lines. Files with the same header and rules are read together. A line
that repeats its file's header is not a record, nor is one of separators only.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from retail_dataset import text as plain_text
from retail_dataset.columns import FIELDS
from retail_dataset.errors import DataSetError
from retail_dataset.rules import DataSet, Rules
from retail_dataset.table import DAMAGE, Layout, read_table, unpacked
from retail_dataset.text import LONGEST_LINE
from retail_dataset.values import has_zone

from retail_jobs.cleaning import canonical_fields, canonical_number, decoded, first_filled, timestamp
from retail_jobs.storage import FileInfo, Storage

# The parser behind from_csv takes a NUL for the end of its input, so it sees a character that Unicode never assigns.
NUL, MASK = "\0", "\ufdd0"
# A line with a quote and more separators than this, in quotes or not, is malformed.
MOST_FIELDS = 256
PLAIN, QUOTED, CROWDED, LONG = "plain", "quoted", "crowded", "long"
# Bytes. A smaller file of HDFS is looked at by the driver from end to end, which takes less than a job of Spark.
SMALL = 4 << 20
# Characters of records that are written into one file.
CHUNK = 64 << 20
RECORDS = pa.schema([("raw", pa.string()), ("source", pa.string()), ("row", pa.int64())])


@dataclass(frozen=True)
class Group:
    """Files that are read together.

    Attributes:
        layout: how they are taken apart; none: they cannot be read.
        folder: where their records are; empty: Spark takes them from the files.
    """

    layout: Layout | None
    folder: str = ""

    @property
    def missing(self) -> str:
        """What the files lack to be used, in words; empty when they lack nothing."""
        return self.layout.missing if self.layout else "all: it cannot be read to its end"

    @property
    def rules(self) -> Rules:
        """What the data set says of the files."""
        return self.layout.rules if self.layout else Rules()


def read_headers(
    spark: SparkSession, storage: Storage, files: Sequence[FileInfo], dataset: DataSet, root: str, scratch: str
) -> dict[Group, list[FileInfo]]:
    """The files by header and rules; empty files are left out.

    Args:
        spark: looks through large files.
        storage: where they are.
        files: what is to be read.
        dataset: its rules.
        root: the input folder, below which the rules name files.
        scratch: a folder of this run; takes the records of files that Spark cannot take apart.
    """
    reader = _Reader(spark, storage, dataset, root.removeprefix("file:") + "/")
    looks = [reader.look(file) for file in files]
    large = [look.file for look in looks if look.simple and not _is_looked_through(look.file)]
    with_breaks = reader.find_line_breaks(large)
    members: dict[tuple[Layout | None, bool], list[FileInfo]] = defaultdict(list)
    for look in looks:
        if look.layout or look.damaged:
            simple = look.simple and storage.uri(look.file.path) not in with_breaks
            members[look.layout, simple].append(look.file)
    groups = {}
    for number, ((layout, simple), found) in enumerate(members.items()):
        folder = "" if simple else f"{scratch}/{number}"
        if folder:
            reader.write_records(folder, layout, found)
        groups[Group(layout, folder)] = found
    return groups


@dataclass(frozen=True)
class _Look:
    """What the driver sees of a file."""

    file: FileInfo
    layout: Layout | None
    simple: bool
    """Whether Spark can take it apart, as far as was looked."""
    damaged: bool = False


@dataclass(frozen=True)
class _Reader:
    spark: SparkSession
    storage: Storage
    dataset: DataSet
    root: str

    def look(self, file: FileInfo) -> _Look:
        """Look at a file, at most from end to end."""
        rules = self._rules(file)
        try:
            with self._open(file) as stream:
                table = read_table(stream, rules) if file.length else None
            if table is None:
                return _Look(file, None, simple=True)
            breaks = False
            if _is_looked_through(file):
                with self._open(file) as stream:
                    breaks = plain_text.may_have_line_breaks(stream)
        except (DataSetError, *DAMAGE):
            return _Look(file, None, simple=False, damaged=True)
        utf_16 = table.encoding == "utf-16"
        return _Look(file, table.layout, simple=not breaks and not utf_16 and rules.header_line is None)

    def find_line_breaks(self, files: list[FileInfo]) -> set[str]:
        """URIs of those files in which records may go on in the next line."""
        if not files:
            return set()
        quotes = F.octet_length("value") - F.octet_length(F.replace("value", F.lit('"')))
        odd = _has_quote(F.col("value")) & (quotes % 2 == 1)
        found = _read_text(self.spark, files).where(odd).select(F.input_file_name().alias("source")).distinct()
        return {row.source for row in found.collect()}

    def write_records(self, folder: str, layout: Layout | None, files: list[FileInfo]) -> None:
        """Write the records of files as Parquet; of each file that cannot be read one record without text."""
        for number, chunk in enumerate(_chunks(self._records(layout, files))):
            content = io.BytesIO()
            pq.write_table(pa.table(list(zip(*chunk, strict=True)), schema=RECORDS), content)
            self.storage.write_bytes(f"{folder}/part-{number:05d}.parquet", content.getvalue())

    def _records(self, layout: Layout | None, files: list[FileInfo]) -> Iterator[tuple[str, str, int]]:
        for file in files:
            source = self.storage.uri(file.path)
            if layout is None:
                yield "", source, 0
                continue
            with self._open(file) as stream:
                table = read_table(stream, self._rules(file))
                for record in table.records() if table else ():
                    yield record.text, source, record.number

    def _rules(self, file: FileInfo) -> Rules:
        return self.dataset.for_file(file.path.partition(self.root)[2] or file.name)

    def _open(self, file: FileInfo) -> io.BufferedReader:
        return unpacked(self.storage.open(file.path), file.name)


def _is_looked_through(file: FileInfo) -> bool:
    """Whether the driver looks at a file from end to end: it is at hand, small, or may be damaged."""
    return file.path.startswith("file:") or file.length <= SMALL or file.name.lower().endswith(".gz")


def _chunks(records: Iterator[tuple[str, str, int]]) -> Iterator[list[tuple[str, str, int]]]:
    chunk: list[tuple[str, str, int]] = []
    length = 0
    for record in records:
        chunk.append(record)
        length += len(record[0])
        if length > CHUNK:
            yield chunk
            chunk, length = [], 0
    # A folder without a file would be no folder.
    yield chunk


def read_records(spark: SparkSession, groups: dict[Group, list[FileInfo]]) -> DataFrame:
    """Every record of the files: `FIELDS`, raw, fault, and where it stood.

    Where: `source` is the file, `block` and `row` give the order of its lines (not their numbers). `lines` says whether
    an order may have several; `subtract` and `time_zone`, see `cleaning.clean`, come when a group has such rules.
    """
    parts = [parse_lines(_read_lines(spark, group, files), group.layout) for group, files in groups.items()]
    rules = [group.rules for group in groups]
    columns = {
        "lines": [F.lit(one.orders == "lines") for one in rules],
        "subtract": [F.lit(one.returns == "subtract") for one in rules],
        "time_zone": [F.lit(None if one.time_zone == "UTC" else one.time_zone).cast("string") for one in rules],
    }
    if all(one.returns == "quarantine" for one in rules):
        del columns["subtract"]
    if all(one.time_zone == "UTC" for one in rules):
        del columns["time_zone"]
    told = []
    for number, part in enumerate(parts):
        told.append(part.withColumns({name: column[number] for name, column in columns.items()}))
    return reduce(DataFrame.unionByName, told)


def read_order_ids(spark: SparkSession, groups: dict[Group, list[FileInfo]]) -> DataFrame:
    """`order_id` and `source` of every record that may turn out clean, at a third of the cost of `read_records`.

    Of a malformed line it may be any field.
    """
    parts = []
    for group, files in groups.items():
        places = () if group.missing or group.layout is None else group.layout.places["order_id"]
        if group.layout and not group.folder and len(places) == 1:
            # Not `_read_lines`, which decodes every line.
            parts.append(_order_ids(_read_text(spark, files), group.layout, places[0]))
        else:
            parts.append(parse_lines(_read_lines(spark, group, files), group.layout).select("order_id", "source"))
    return reduce(DataFrame.unionByName, parts)


def parse_lines(lines: DataFrame, layout: Layout | None) -> DataFrame:
    """Lines of CSV (column `raw`) as records; the other columns stay.

    Args:
        lines: all lines of some files.
        layout: how they are taken apart; none: they stand for files that cannot be read.
    """
    carried = [name for name in lines.columns if name != "raw"]
    if layout and layout.known:
        # Of a long one as much as there is of a long line.
        whole = len(layout.line.encode("utf-8", "replace")) <= LONGEST_LINE
        header = layout.line if whole else layout.line[: LONGEST_LINE + 1]
        lines = lines.where(~F.col("raw").isin(header, f"\ufeff{header}"))
    if layout:
        lines = lines.where(F.ltrim("raw", F.lit(f" {layout.separator}")) != "")
    if layout is None or layout.missing:
        nothing = [F.lit(None).cast("string").alias(field) for field in FIELDS]
        reason = F.lit("unknown_header" if layout else "unreadable_file")
        return lines.select(*nothing, _kept_text(), reason.alias("fault"), *carried)
    parsed = lines.withColumn("form", _form(F.col("raw"), layout))
    parsed = parsed.withColumn("quoted", _from_csv(F.col("raw"), F.col("form"), layout))
    unmasked = [_unmasked(F.col(f"quoted.c{number}")) for number in range(len(layout.names))]
    parsed = parsed.withColumn(
        "fields",
        F.when(F.col("form") == PLAIN, _split(F.col("raw"), layout)).when(
            F.col("quoted").isNotNull() & F.col("quoted.rest").isNull(), F.array(*unmasked)
        ),
    )
    fields = [(name, F.get("fields", F.lit(number))) for number, name in enumerate(layout.names)]
    fault = (
        F.when(F.size("fields") == len(layout.names), None)
        .when(F.col("form") == LONG, "line_too_long")
        .otherwise("malformed_row")
    )
    found = parsed.select(
        *canonical_fields(fields, dict(layout.rules.columns)), _kept_text(), fault.alias("fault"), *carried
    )
    return found.withColumns(_by_rule(layout.rules))


def _by_rule(rules: Rules) -> dict[str, Column]:
    """Fields whose text a rule makes canonical."""
    canonical = {}
    if rules.decimal != ".":
        for name in ("quantity", "unit_price", "amount"):
            canonical[name] = canonical_number(F.col(name), rules.decimal)
    if rules.dates or rules.time_zone != "UTC":
        canonical["order_date"] = _canonical_time(F.col("order_date"), rules)
    return canonical


def _canonical_time(text: Column, rules: Rules) -> Column:
    """Time in UTC as text, of a date that a rule reads; any other text as it is."""

    def in_utc(moment: Column) -> Column:
        return moment if rules.time_zone == "UTC" else F.to_utc_timestamp(moment, rules.time_zone)

    iso = timestamp(text)
    named = (F.length(text) > 10) & text.rlike(r"([Zz]|[+-]\d{2}(:?\d{2})?)$")
    moments = [F.when(named, iso).otherwise(in_utc(iso))]
    for pattern in rules.dates:
        moment = F.try_to_timestamp(text, F.lit(pattern))
        moments.append(moment if has_zone(pattern) else in_utc(moment))
    return F.coalesce(F.coalesce(*moments).cast("string"), text)


def _kept_text() -> Column:
    whole = F.octet_length("raw") <= LONGEST_LINE
    return F.when(whole, F.col("raw")).otherwise(F.left("raw", F.lit(LONGEST_LINE))).alias("raw")


def _form(raw: Column, layout: Layout) -> Column:
    """What kind of line it is, which says how to take it apart."""
    return (
        F.when(F.octet_length(raw) > LONGEST_LINE, LONG)
        .when(~_has_quote(raw), PLAIN)
        .when(F.size(_split(raw, layout)) <= MOST_FIELDS, QUOTED)
        .otherwise(CROWDED)
    )


def _has_quote(text: Column) -> Column:
    return F.contains(text, F.lit('"'))


def _split(raw: Column, layout: Layout) -> Column:
    return F.split(raw, re.escape(layout.separator))


def _from_csv(raw: Column, form: Column, layout: Layout) -> Column:
    """The fields of a line with a quote as c0, c1 and so on; `rest` is not null when there are fewer or more.

    Null for other lines: the parser costs more than a plain split, so only these pay for it.
    """
    schema = ", ".join([*(f"c{number} string" for number in range(len(layout.names))), "rest string"])
    options = {
        "sep": layout.separator,
        "quote": '"',
        "escape": '"',
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": "rest",
        # The parser makes room for so many with every line, which by default takes longer than the line.
        "maxColumns": str(MOST_FIELDS),
    }
    fields = F.from_csv(F.replace(raw, F.lit(NUL), F.lit(MASK)), schema, options)
    return F.when(form == QUOTED, fields)


def _unmasked(field: Column) -> Column:
    return F.replace(field, F.lit(MASK), F.lit(NUL))


def _order_ids(lines: DataFrame, layout: Layout, place: int) -> DataFrame:
    def ahead(line: Column) -> Column:
        return F.substring_index(line, layout.separator, place + 1)

    def last(part: Column) -> Column:
        return F.substring_index(part, layout.separator, -1) if place else part

    # Most lines are ASCII without a quote up to there, so the rest need not be looked at. The decoded line is no column
    # of its own, which would be computed for every line.
    line, raw = F.col("value"), decoded(F.col("value"))
    ascii_only = F.is_valid_utf8(ahead(line)) & (F.octet_length(ahead(line)) == F.length(ahead(line)))
    easy = ascii_only & ~_has_quote(ahead(line))
    quoted = _unmasked(_from_csv(raw, _form(raw, layout), layout)[f"c{place}"])
    text = F.when(easy, last(ahead(line))).when(_has_quote(ahead(raw)), quoted).otherwise(last(ahead(raw)))
    # A header that is not in UTF-8 stays, as an order that no record has.
    return lines.where(line != layout.line).select(
        first_filled([text]).alias("order_id"), F.input_file_name().alias("source")
    )


def _read_text(spark: SparkSession, files: list[FileInfo]) -> DataFrame:
    return spark.read.text([_literal(file.path) for file in files])


def _read_lines(spark: SparkSession, group: Group, files: list[FileInfo]) -> DataFrame:
    if group.folder:
        records = spark.read.schema("raw string, source string, row bigint").parquet(group.folder)
        return records.select("raw", "source", F.lit(0).cast("bigint").alias("block"), "row")
    # What is kept of a long line is cut at once, or each step would copy all of it.
    line = F.when(F.octet_length("value") > LONGEST_LINE, F.left("value", F.lit(LONGEST_LINE + 1))).otherwise(
        F.col("value")
    )
    # Not `_metadata`, whose six fields Spark puts together for every line, whichever are asked for.
    lines = _read_text(spark, files).select(
        line.alias("value"),
        F.input_file_name().alias("source"),
        F.input_file_block_start().alias("block"),
        F.monotonically_increasing_id().alias("row"),
    )
    # No line is null, but Spark would ask at every step.
    return lines.select(F.coalesce(decoded(F.col("value")), F.lit("")).alias("raw"), "source", "block", "row")


def _literal(path: str) -> str:
    # Spark takes a path for a pattern.
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)
