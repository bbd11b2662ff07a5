"""From bytes to lines, from lines to records, from records to fields."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

LONGEST_LINE = 16_384
"""Bytes. No transaction is that long."""
SEPARATORS = (",", ";", "\t", "|")
WINDOWS_1252 = {code: text for code in range(0x80, 0xA0) if (text := bytes([code]).decode("cp1252", "ignore"))}
"""What Windows-1252 has in place of the control characters of Latin-1; five of them it leaves as they are."""

_CHUNK = 1 << 20
_LINE_ENDS = bytes.maketrans(b"\r", b"\n")
_NEITHER_QUOTE_NOR_END = bytes(set(range(256)) - set(b'"\r\n'))

# The reader's own limit would make a long field an error of its own kind.
csv.field_size_limit(1 << 30)


class Line(NamedTuple):
    """One line or record: its number in the file from 1, its text without its end, its length in bytes."""

    number: int
    text: str
    length: int


def encoding_of(head: bytes) -> str:
    """`utf-8` or `utf-16` by the byte order mark; empty without one, when each line tells itself."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-8" if head.startswith(b"\xef\xbb\xbf") else ""


def decode_line(line: bytes) -> str:
    """Text of a line in UTF-8, else Windows-1252."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1").translate(WINDOWS_1252)


def lines(stream: io.BufferedReader) -> Iterator[Line]:
    """All lines of a file, without its byte order mark.

    Args:
        stream: the file, unpacked.
    """
    encoding, number = encoding_of(stream.peek(3)), 0
    if encoding == "utf-16":
        for number, line in enumerate(io.TextIOWrapper(stream, encoding, errors="replace"), start=1):
            text = line.rstrip("\n")
            yield Line(number, text, len(text.encode("utf-8", "replace")))
        return
    if encoding:
        stream.read(3)
    for whole in stream:
        # A lone carriage return ends a line, too.
        for part in whole.splitlines() if b"\r" in whole else (whole.rstrip(b"\n"),):
            number += 1
            yield Line(number, decode_line(part), len(part))


def may_have_line_breaks(stream: io.BufferedReader) -> bool:
    """Whether a line of a file has an odd number of quotes, without which no record goes on in the next line.

    The file is read to its end, at little cost a byte.
    """
    found, rest = False, b""
    while chunk := stream.read(_CHUNK):
        # Of a line nothing is left but its quotes, and of an even number of them nothing at all.
        ended, _, rest = (rest + chunk.translate(_LINE_ENDS, _NEITHER_QUOTE_NOR_END)).rpartition(b"\n")
        found = found or b'"' in ended.replace(b'""', b"")
    return found or len(rest) % 2 == 1


def records(source: Iterator[Line], separator: str, width: int) -> Iterator[Line]:
    """Lines as records: one whose last field is in quotes that do not close goes on in the next lines.

    A quote that nothing closes as it should, within `LONGEST_LINE` bytes, is dirt: its line is a record by itself, and
    swallows no other.

    Args:
        source: lines.
        separator: between fields.
        width: how many fields a record has.
    """
    waiting: deque[Line] = deque()
    while line := waiting.popleft() if waiting else next(source, None):
        if '"' not in line.text or not is_open(line.text, separator):
            yield line
            continue
        taken = _take(line, waiting, source, separator)
        whole = "\n".join(part.text for part in taken)
        fields = split(whole, separator)
        if fields and len(fields) == width:
            yield Line(line.number, whole, sum(part.length + 1 for part in taken) - 1)
        else:
            waiting.extendleft(reversed(taken[1:]))
            yield line


def _take(first: Line, waiting: deque[Line], source: Iterator[Line], separator: str) -> list[Line]:
    """The lines up to the one where the quotes of the first one close, or where it is too late for that."""
    taken, text, length = [first], first.text, first.length
    while length <= LONGEST_LINE and (line := waiting.popleft() if waiting else next(source, None)):
        taken.append(line)
        text, length = f"{text}\n{line.text}", length + 1 + line.length
        if '"' in line.text and not _ends_inside(separator).fullmatch(text):
            break
    return taken


def is_open(text: str, separator: str) -> bool:
    """Whether a line ends inside of quotes. One with an even number of quotes never does."""
    return text.count('"') % 2 == 1 and bool(_ends_inside(separator).fullmatch(text))


@lru_cache
def _ends_inside(separator: str) -> re.Pattern[str]:
    mark = re.escape(separator)
    closed = rf'(?:[^"{mark}][^{mark}]*+|"(?:[^"]++|"")*+")?'
    return re.compile(rf'(?:{closed}{mark})*+"(?:[^"]++|"")*+', re.DOTALL)


def split(text: str, separator: str) -> list[str] | None:
    """The fields of a record; None when its quotes are malformed."""
    if '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (csv.Error, StopIteration):
        return None


def is_blank(text: str, separators: str) -> bool:
    """Whether there is nothing but separators and spaces in a line."""
    return text[:1] in ("", " ", *separators) and not text.strip(" " + separators)
