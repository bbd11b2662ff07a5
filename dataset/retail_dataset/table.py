"""One file of transactions: how it is taken apart, and its records."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from retail_dataset import columns, text
from retail_dataset.errors import DataSetError
from retail_dataset.rules import Rules
from retail_dataset.text import SEPARATORS, Line

BLANK = "".join(SEPARATORS)
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class Layout:
    """How the records of some files are taken apart: files with the same layout can be read together.

    Attributes:
        line: the header as it stands there.
        separator: between fields: the one that finds most known columns.
        names: the columns' names.
        rules: what the data set says of the files.
    """

    line: str
    separator: str
    names: tuple[str, ...]
    rules: Rules = field(default_factory=Rules)

    @cached_property
    def places(self) -> dict[str, tuple[int, ...]]:
        """Canonical column: where it stands; of several, the first one that is not blank counts."""
        return columns.places(self.names, dict(self.rules.columns))

    @cached_property
    def repeated(self) -> tuple[str, str]:
        """The header as it stands where files were put together."""
        return self.line, f"\ufeff{self.line}"

    @property
    def known(self) -> int:
        """How many canonical columns are there."""
        return sum(bool(places) for places in self.places.values())

    @property
    def missing(self) -> str:
        """What the files lack to be used, in words; empty when they lack nothing."""
        return columns.missing(self.places)

    def is_record(self, line: str) -> bool:
        """Whether a line is one: not the header again, nor separators only."""
        return line not in self.repeated and not text.is_blank(line, self.separator)

    def fields(self, record: str) -> list[str] | None:
        """The fields of a record; None when they are not as many as the header's."""
        found = text.split(record, self.separator)
        return found if found and len(found) == len(self.names) else None


def parse_header(line: str, rules: Rules | None = None) -> Layout:
    """Take a header apart."""
    rules = rules or Rules()
    layouts = [
        Layout(line, separator, tuple(text.split(line, separator) or line.split(separator)), rules)
        for separator in SEPARATORS
    ]
    return max(layouts, key=lambda layout: (layout.known, layout.known == 0 and len(layout.names)))


@dataclass(frozen=True)
class Table:
    """A file that was opened: its layout, and what follows the header."""

    layout: Layout
    encoding: str
    """`utf-8` or `utf-16` when a byte order mark says so, else empty."""
    header_number: int
    """Number of the header's line, from 1."""
    following: Iterator[Line]

    def records(self) -> Iterator[Line]:
        """Its records; where no column is known, the first line is one, too: it may be no header.

        Raises:
            DataSetError: the file is damaged.
        """
        layout = self.layout
        if not layout.known:
            yield Line(self.header_number, layout.line, len(layout.line))
        try:
            for line in text.records(self.following, layout.separator, len(layout.names)):
                if layout.is_record(line.text):
                    yield line
        except DAMAGE as error:
            raise DataSetError(damaged(error)) from error


def read_table(stream: io.BufferedReader, rules: Rules) -> Table | None:
    """Look for the header of a file; None when it has none, because it is empty or ends above it.

    Args:
        stream: the file, unpacked.
        rules: what the data set says of it.

    Raises:
        DataSetError: the file is damaged.
    """
    source = text.lines(stream)
    try:
        encoding = text.encoding_of(stream.peek(3))
        for line in source:
            if line.number == rules.header_line or (rules.header_line is None and not text.is_blank(line.text, BLANK)):
                return Table(parse_header(line.text, rules), encoding, line.number, source)
    except DAMAGE as error:
        raise DataSetError(damaged(error)) from error
    return None


def damaged(error: Exception) -> str:
    """What is wrong with a file that cannot be read to its end."""
    return f"cannot be read to its end ({error}): bring it again"


def unpacked(stream: IO[bytes], name: str) -> io.BufferedReader:
    """A file's content, whether its name says that it is packed or not."""
    content = gzip.GzipFile(fileobj=stream) if name.lower().endswith(".gz") else stream
    return content if isinstance(content, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, content))


def open_file(path: Path) -> io.BufferedReader:
    """A file on this disk, unpacked."""
    return unpacked(path.open("rb"), path.name)
