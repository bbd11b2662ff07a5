"""Dates and numbers by rule. Whatever is read comes out in its canonical form: time in UTC, decimal point."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]{1,9}))?(?: ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?)?)?"
)
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")

SPACES = " \t\u00a0\u2009\u202f"
GROUP_MARKS = {".": ",", ",": "."}
"""Decimal mark: the other one."""
_EXPONENT = r"([eE][+-]?[0-9]+)?"
_PLAIN = re.compile(rf"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+){_EXPONENT}")
# Unicode's currency signs, which Python has no class for.
CURRENCY = "$¢-¥֏؋߾߿৲৳৻૱௹฿៛₠-⃀꠸﷼\ufe69\uff04\uffe0\uffe1\uffe5\uffe6"
_NUMBERS = {
    decimal: re.compile(
        rf"[{CURRENCY}{SPACES}]*[+-]?[{CURRENCY}{SPACES}]*"
        rf"([0-9]+|[0-9]{{1,3}}(([{group}][0-9]{{3}})+|([{SPACES}][0-9]{{3}})+))?"
        rf"([{decimal}][0-9]*)?{_EXPONENT}[{CURRENCY}{SPACES}]*"
    )
    for decimal, group in GROUP_MARKS.items()
}
_BESIDE_DIGITS = re.compile(f"[{CURRENCY}{SPACES}]")

REFUSED = "?"
"""Stands before a number that its rule refuses although other rules would read it."""


def canonical_number(text: str, decimal: str = ".") -> str:
    """A number with a decimal point and nothing around it; a text that is none stays as it is.

    `1.50` is none where the decimal mark is a comma. It comes back with `REFUSED` before it, because nobody who knows
    the rule no more could see that.

    Args:
        text: as it stands in the file.
        decimal: the decimal mark there.
    """
    stripped = text.strip(SPACES)
    if decimal == "." and _PLAIN.fullmatch(stripped):
        return stripped
    bare = _BESIDE_DIGITS.sub("", stripped).replace(GROUP_MARKS[decimal], "").replace(",", ".")
    if _NUMBERS[decimal].fullmatch(stripped) and _PLAIN.fullmatch(bare):
        return bare
    if decimal != "." and _PLAIN.fullmatch(canonical_number(stripped)):
        return REFUSED + text
    return text


def canonical_time(text: str, patterns: tuple[str, ...] = (), time_zone: str = "UTC") -> datetime | None:
    """Time in UTC of a date in one of the forms that we read, else None.

    Args:
        text: as it stands in the file.
        patterns: Spark's, tried in this order after ISO and yyyyMMdd.
        time_zone: of a date that names none.
    """
    text = text.strip(" ")
    moment = _iso(text)
    for pattern in patterns:
        moment = moment or date_pattern(pattern)(text)
    if moment is None:
        return None
    try:
        # A time that the clocks skip or show twice is read with the offset from before the change, as Java does.
        local = moment if moment.tzinfo else moment.replace(tzinfo=_zone(time_zone))
        return local.astimezone(UTC)
    except OverflowError:
        return None


@lru_cache
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _iso(text: str) -> datetime | None:
    found = _ISO.fullmatch(text) or _COMPACT.fullmatch(text)
    if not found:
        return None
    year, month, day, *rest = found.groups()
    hour, minute, second, fraction, zone = rest or (None,) * 5
    try:
        return datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")), _offset(zone) if zone else None,
        )  # fmt: skip
    except ValueError:
        return None


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    amount = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(amount if text[0] == "+" else -amount)


_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_ZONE = r"[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?"


def _named(names: tuple[str, ...], short: bool) -> str:
    return "|".join(name[:3] if short else name for name in names)


_LETTERS = {
    "yyyy": ("year", "[0-9]{4}"), "yy": ("short_year", "[0-9]{2}"), "y": ("year", "[0-9]{1,4}"),
    "MMMM": ("month_name", _named(_MONTHS, short=False)), "MMM": ("month_name", _named(_MONTHS, short=True)),
    "a": ("half", "AM|PM"),
    **{letter: (name, "[0-9]{1,2}") for letter, name in
       (("M", "month"), ("d", "day"), ("H", "hour"), ("h", "half_hour"), ("m", "minute"), ("s", "second"))},
    **{letter * 2: (name, "[0-9]{2}") for letter, name in
       (("M", "month"), ("d", "day"), ("H", "hour"), ("h", "half_hour"), ("m", "minute"), ("s", "second"))},
    **{"S" * count: ("fraction", f"[0-9]{{1,{count}}}") for count in range(1, 10)},
    **dict.fromkeys(("X", "XX", "XXX", "x", "xx", "xxx", "Z"), ("zone", _ZONE)),
}  # fmt: skip
_PART = re.compile(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|(\[)|(\])|([^A-Za-z'\[\]])")


@lru_cache
def date_pattern(pattern: str) -> Callable[[str], datetime | None]:
    """What reads dates of a pattern, as Spark does.

    Raises:
        ValueError: the pattern has something that we do not read, or no year, month and day.
    """
    form, names, end = "", set(), 0
    for part in _PART.finditer(pattern):
        if part.start() != end:
            break
        end = part.end()
        literal, letters, _, opens, closes, other = part.groups()
        if letters:
            if letters not in _LETTERS:
                raise ValueError(f"the date pattern {pattern!r} has {letters!r}; known are {' '.join(_LETTERS)}")
            name, digits = _LETTERS[letters]
            if name in names:
                raise ValueError(f"the date pattern {pattern!r} names the {name} twice")
            names.add(name)
            form += f"(?P<{name}>{digits})"
        else:
            form += (
                "(?:" if opens else ")?" if closes else re.escape(other or (literal or "").replace("''", "'") or "'")
            )
    try:
        compiled = re.compile(form, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"the date pattern {pattern!r} has brackets that do not close") from error
    if end != len(pattern):
        raise ValueError(f"the date pattern {pattern!r} has a quote that does not close")
    if not names & {"year", "short_year"} or not names & {"month", "month_name"} or "day" not in names:
        raise ValueError(f"the date pattern {pattern!r} needs a year, a month and a day, as in M/d/yyyy")

    def read(text: str) -> datetime | None:
        found = compiled.fullmatch(text)
        return _moment({name: value for name, value in found.groupdict().items() if value}) if found else None

    return read


def has_zone(pattern: str) -> bool:
    """Whether dates of a pattern name their time zone."""
    return any((part.group(3) or "") in ("X", "x", "Z") for part in _PART.finditer(pattern))


def _moment(parts: dict[str, str]) -> datetime | None:
    year = int(parts["year"]) if "year" in parts else 2000 + int(parts["short_year"])
    month = int(parts["month"]) if "month" in parts else _place(_MONTHS, parts["month_name"]) + 1
    hour = int(parts.get("hour", 0))
    if "half_hour" in parts:
        if not 1 <= int(parts["half_hour"]) <= 12:
            return None
        hour = int(parts["half_hour"]) % 12 + 12 * (parts.get("half", "AM").upper() == "PM")
    try:
        return datetime(
            year, month, int(parts["day"]), hour, int(parts.get("minute", 0)), int(parts.get("second", 0)),
            int(parts.get("fraction", "0")[:6].ljust(6, "0")), _offset(parts["zone"]) if "zone" in parts else None,
        )  # fmt: skip
    except ValueError:
        return None


def _place(names: tuple[str, ...], name: str) -> int:
    return next(place for place, full in enumerate(names) if full[: len(name)].lower() == name.lower())
