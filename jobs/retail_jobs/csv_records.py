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

from retail_jobs.cleaning import FIELDS, KNOWN_NAMES, canonical_fields, normalise_name
from retail_jobs.storage import FileInfo, Storage

SEPARATORS = (",", ";", "\t", "|")
# No transaction is that long; the parser behind from_csv gives up at 20480 fields.
LONGEST_LINE = 16_384


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
    parts = [_read_group(spark, header, [file.path for file in files]) for header, files in groups.items()]
    return reduce(DataFrame.unionByName, parts)


def parse_lines(lines: DataFrame, header: Header) -> DataFrame:
    """Lines of CSV (column `raw`) as records; the other columns stay."""
    carried = [name for name in lines.columns if name != "raw"]
    lines = lines.where(F.trim("raw") != "")
    if not header.is_known:
        nothing = [F.lit(None).cast("string").alias(field) for field in FIELDS]
        return lines.select(*nothing, "raw", F.lit("unknown_header").alias("fault"), *carried)
    lines = lines.where(F.col("raw") != header.line)
    parsed = lines.withColumn("fields", _split(header))
    fields = [(name, F.col(f"fields.c{number}")) for number, name in enumerate(header.names)]
    malformed = F.col("fields").isNull() | F.col("fields.rest").isNotNull()
    return parsed.select(
        *canonical_fields(fields), "raw", F.when(malformed, F.lit("malformed_row")).alias("fault"), *carried
    )


def _split(header: Header) -> Column:
    schema = ", ".join([*(f"c{number} string" for number in range(len(header.names))), "rest string"])
    options = {
        "sep": header.separator,
        "quote": '"',
        "escape": '"',
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": "rest",
    }
    return F.when(F.octet_length("raw") <= LONGEST_LINE, F.from_csv("raw", schema, options))


def _read_group(spark: SparkSession, header: Header, paths: list[str]) -> DataFrame:
    lines = spark.read.text([_literal(path) for path in paths]).select(
        F.when(F.is_valid_utf8("value"), F.col("value"))
        .otherwise(F.decode(F.col("value").cast("binary"), "ISO-8859-1"))
        .alias("raw"),
        F.col("_metadata.file_path").alias("source"),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("row"),
    )
    return parse_lines(lines, header)


def _literal(path: str) -> str:
    # Spark takes a path for a pattern.
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)
