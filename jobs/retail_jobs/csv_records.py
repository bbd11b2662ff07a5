"""CSV files as records for the cleaning, with the text of every line kept.

A file is read line by line, so a field cannot hold a line break. The header is read by the driver, once per
file; files with the same header are read together. A line that repeats its file's header is not a record, nor
is a blank one.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_jobs.cleaning import FIELDS, KNOWN_NAMES, LONGEST_LINE, canonical_fields, first_filled, normalise_name
from retail_jobs.storage import FileInfo, Storage

SEPARATORS = (",", ";", "\t", "|")
# The parser behind from_csv takes a NUL for the end of its input, so it sees a character that Unicode never assigns.
NUL, MASK = "\0", "\ufdd0"
# A line with a quote and more separators than this, in quotes or not, is malformed.
MOST_FIELDS = 256
PLAIN, QUOTED, CROWDED, LONG = "plain", "quoted", "crowded", "long"


@dataclass(frozen=True)
class Header:
    """The first line of a file, taken apart with the separator that finds most known columns."""

    line: str
    separator: str
    names: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether at least one column is known."""
        return any(normalise_name(name) in KNOWN_NAMES for name in self.names)


def parse_header(line: str) -> Header:
    """Take a header apart."""
    headers = []
    for separator in SEPARATORS:
        names = next(csv.reader([line], delimiter=separator), [])
        headers.append(Header(line, separator, tuple(names)))
    return max(headers, key=lambda header: sum(normalise_name(name) in KNOWN_NAMES for name in header.names))


def read_headers(storage: Storage, files: Sequence[FileInfo]) -> dict[Header, list[FileInfo]]:
    """The files by header; empty files are left out."""
    groups: dict[Header, list[FileInfo]] = defaultdict(list)
    for file in files:
        line = storage.first_line(file.path) if file.length else ""
        if line:
            groups[parse_header(line)].append(file)
    return dict(groups)


def read_records(spark: SparkSession, groups: dict[Header, list[FileInfo]]) -> DataFrame:
    """Every record of the files: `FIELDS`, raw, fault, and where it stood.

    Where: `source` is the file, `block` and `row` give the order of its lines (not their numbers).
    """
    parts = [parse_lines(_read_lines(spark, files), header) for header, files in groups.items()]
    return reduce(DataFrame.unionByName, parts)


def read_order_ids(spark: SparkSession, groups: dict[Header, list[FileInfo]]) -> DataFrame:
    """The `order_id` of every record that may turn out clean, as `read_records` has it, at a third of its cost.

    Of a malformed line it may be any field.
    """
    # Not `_read_lines`, which decodes every line.
    parts = [_order_ids(_read_text(spark, files), header) for header, files in groups.items()]
    return reduce(DataFrame.unionByName, parts)


def parse_lines(lines: DataFrame, header: Header) -> DataFrame:
    """Lines of CSV (column `raw`) as records; the other columns stay."""
    carried = [name for name in lines.columns if name != "raw"]
    lines = lines.where(F.trim("raw") != "")
    if not header.is_known:
        nothing = [F.lit(None).cast("string").alias(field) for field in FIELDS]
        return lines.select(*nothing, _kept_text(), F.lit("unknown_header").alias("fault"), *carried)
    parsed = lines.where(F.col("raw") != header.line).withColumn("form", _form(F.col("raw"), header))
    parsed = parsed.withColumn("quoted", _from_csv(F.col("raw"), F.col("form"), header))
    unmasked = [_unmasked(F.col(f"quoted.c{number}")) for number in range(len(header.names))]
    parsed = parsed.withColumn(
        "fields",
        F.when(F.col("form") == PLAIN, _split(F.col("raw"), header)).when(
            F.col("quoted").isNotNull() & F.col("quoted.rest").isNull(), F.array(*unmasked)
        ),
    )
    fields = [(name, F.get("fields", F.lit(number))) for number, name in enumerate(header.names)]
    fault = (
        F.when(F.size("fields") == len(header.names), None)
        .when(F.col("form") == LONG, "line_too_long")
        .otherwise("malformed_row")
    )
    return parsed.select(*canonical_fields(fields), _kept_text(), fault.alias("fault"), *carried)


def _kept_text() -> Column:
    whole = F.octet_length("raw") <= LONGEST_LINE
    return F.when(whole, F.col("raw")).otherwise(F.left("raw", F.lit(LONGEST_LINE))).alias("raw")


def _form(raw: Column, header: Header) -> Column:
    """What kind of line it is, which says how to take it apart."""
    return (
        F.when(F.octet_length(raw) > LONGEST_LINE, LONG)
        .when(~_has_quote(raw), PLAIN)
        .when(F.size(_split(raw, header)) <= MOST_FIELDS, QUOTED)
        .otherwise(CROWDED)
    )


def _has_quote(text: Column) -> Column:
    return F.contains(text, F.lit('"'))


def _split(raw: Column, header: Header) -> Column:
    return F.split(raw, re.escape(header.separator))


def _from_csv(raw: Column, form: Column, header: Header) -> Column:
    """The fields of a line with a quote as c0, c1 and so on; `rest` is not null when there are fewer or more.

    Null for other lines: the parser costs more than a plain split, so only these pay for it.
    """
    schema = ", ".join([*(f"c{number} string" for number in range(len(header.names))), "rest string"])
    options = {
        "sep": header.separator,
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


def _order_ids(lines: DataFrame, header: Header) -> DataFrame:
    places = [number for number, name in enumerate(header.names) if normalise_name(name) == "order_id"]
    if len(places) != 1:
        return parse_lines(lines.select(_decoded().alias("raw")), header).select("order_id")

    def ahead(line: Column) -> Column:
        return F.substring_index(line, header.separator, places[0] + 1)

    def last(part: Column) -> Column:
        return F.substring_index(part, header.separator, -1) if places[0] else part

    # Most lines are ASCII without a quote up to there, so the rest need not be looked at. The decoded line is no column
    # of its own, which would be computed for every line.
    line, raw = F.col("value"), _decoded()
    ascii_only = F.is_valid_utf8(ahead(line)) & (F.octet_length(ahead(line)) == F.length(ahead(line)))
    easy = ascii_only & ~_has_quote(ahead(line))
    quoted = _unmasked(_from_csv(raw, _form(raw, header), header)[f"c{places[0]}"])
    text = F.when(easy, last(ahead(line))).when(_has_quote(ahead(raw)), quoted).otherwise(last(ahead(raw)))
    # A header that is not in UTF-8 stays, as an order that no record has.
    return lines.where(line != header.line).select(first_filled([text]).alias("order_id"))


def _decoded() -> Column:
    """Text of a line (column `value`) in UTF-8, else Latin-1."""
    return F.when(F.is_valid_utf8("value"), F.col("value")).otherwise(
        F.decode(F.col("value").cast("binary"), "ISO-8859-1")
    )


def _read_text(spark: SparkSession, files: list[FileInfo]) -> DataFrame:
    return spark.read.text([_literal(file.path) for file in files])


def _read_lines(spark: SparkSession, files: list[FileInfo]) -> DataFrame:
    # Not `_metadata`, whose six fields Spark puts together for every line, whichever are asked for.
    return _read_text(spark, files).select(
        _decoded().alias("raw"),
        F.input_file_name().alias("source"),
        F.input_file_block_start().alias("block"),
        F.monotonically_increasing_id().alias("row"),
    )


def _literal(path: str) -> str:
    # Spark takes a path for a pattern.
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)
