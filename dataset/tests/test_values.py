from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retail_dataset.values import CURRENCY, REFUSED, canonical_number, canonical_time, date_pattern


@pytest.mark.parametrize(
    ("written", "point", "comma"),
    [
        ("10", "10", "10"),
        ("-1.5", "-1.5", "?-1.5"),
        ("1,5", "1,5", "1.5"),
        ("1.234", "1.234", "1234"),
        ("1,234", "1234", "1.234"),
        ("1,234,567.89", "1234567.89", "?1,234,567.89"),
        ("1.234.567,89", "1.234.567,89", "1234567.89"),
        ("12,34,567", "12,34,567", "12,34,567"),
        ("1234,567", "1234,567", "1234.567"),
        ("1 234\u00a0567", "1234567", "1234567"),
        ("1 234,567", "1 234,567", "1234.567"),
        ("1 2", "1 2", "1 2"),
        ("£1,000.00", "1000.00", "?£1,000.00"),
        ("- 5 €", "-5", "-5"),
        ("€", "€", "€"),
        ("1€2", "1€2", "1€2"),
        ("5 €-", "5 €-", "5 €-"),
        ("n/a", "n/a", "n/a"),
        ("", "", ""),
        ("1e3", "1e3", "1e3"),
        (".5", ".5", "?.5"),
    ],
)
def test_a_number_is_read_by_its_decimal_mark_or_not_at_all(written: str, point: str, comma: str) -> None:
    assert (canonical_number(written), canonical_number(written, ",")) == (point, comma)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12))
def test_a_number_written_in_either_way_is_the_same_number(number: Decimal) -> None:
    english = f"{number:,}"
    german = english.translate(str.maketrans(",.", ".,"))
    for written, decimal in ((english, "."), (german, ","), (f"$ {english}", "."), (f"{german} €", ",")):
        assert Decimal(canonical_number(written, decimal)) == number


@given(st.text(f"0123456789.,+-eE? {CURRENCY[0]}", max_size=12))
def test_a_number_that_its_rule_refuses_is_read_by_no_other(text: str) -> None:
    read = canonical_number(text, ",")
    plain = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
    if not re.fullmatch(plain, read):
        assert read in (text, REFUSED + text)
        assert not re.fullmatch(plain, canonical_number(read))


@pytest.mark.parametrize(
    ("pattern", "text", "moment"),
    [
        ("M/d/yyyy H:mm", "2/1/2023 7:05", datetime(2023, 2, 1, 7, 5)),
        ("M/d/yyyy H:mm", "02/01/2023 07:05", datetime(2023, 2, 1, 7, 5)),
        ("MM/dd/yy", "02/01/23", datetime(2023, 2, 1)),
        ("MM/dd/yy", "2/1/23", None),
        ("dd.MM.yyyy", "31.02.2024", None),
        ("d-MMM-yyyy", "5-jan-2024", datetime(2024, 1, 5)),
        ("MMMM d, yyyy", "January 5, 2024", datetime(2024, 1, 5)),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-01-05T10:00:00.250+02:00", datetime(2024, 1, 5, 8, 0, 0, 250000, UTC)),
        ("h:mm a d.M.yyyy", "12:30 am 5.1.2024", datetime(2024, 1, 5, 0, 30)),
        ("d.M.yyyy[ H:mm]", "5.1.2024", datetime(2024, 1, 5)),
        ("yyyyMMddHHmm", "202401051030", datetime(2024, 1, 5, 10, 30)),
    ],
)
def test_dates_are_read_by_patterns(pattern: str, text: str, moment: datetime | None) -> None:
    assert date_pattern(pattern)(text) == moment


@given(st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31)))
def test_a_time_of_another_zone_and_the_same_time_with_its_zone_are_one(moment: datetime) -> None:
    in_utc = canonical_time(moment.isoformat(" ", "seconds"), time_zone="Asia/Kolkata")
    named = canonical_time(f"{moment:%Y-%m-%dT%H:%M:%S}+05:30")
    assert in_utc == named == moment.replace(microsecond=0, tzinfo=UTC) - timedelta(hours=5, minutes=30)
