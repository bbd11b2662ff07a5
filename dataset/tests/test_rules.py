from __future__ import annotations

import pytest
from retail_dataset.errors import DataSetError
from retail_dataset.rules import DataSet, Rules

TEXT = """
orders = "lines"
decimal = ","
dates = ["dd.MM.yyyy"]
[columns]
order_id = "Beleg"
product = ["Artikel", "Ware"]
[[files]]
match = "berlin-*.csv"
decimal = "."
columns = { product = "Ding" }
[[files]]
match = "2024/*.csv"
orders = "row"
"""


def test_no_rules_are_the_plainest() -> None:
    assert DataSet.parse("").for_file("a.csv") == Rules()


def test_rules_of_some_files_come_on_top_of_those_of_all() -> None:
    rules = DataSet.parse(TEXT)
    plain, berlin, old = (rules.for_file(name) for name in ("a.csv", "x/berlin-1.csv", "2024/berlin-2.csv"))
    assert (plain.orders, plain.decimal, plain.dates) == ("lines", ",", ("dd.MM.yyyy",))
    assert dict(plain.columns) == {"order_id": ("Beleg",), "product": ("Artikel", "Ware")}
    assert (berlin.orders, berlin.decimal) == ("lines", ".")
    assert dict(berlin.columns) == {"order_id": ("Beleg",), "product": ("Ding",)}
    assert (old.orders, old.decimal) == ("row", ".")


def test_the_digest_is_that_of_what_is_said() -> None:
    assert DataSet.parse(TEXT).digest == DataSet.parse("# a note\n" + TEXT.replace('"Ding"', "'Ding'")).digest
    assert DataSet.parse('decimal = "."').digest == DataSet().digest
    assert DataSet.parse('decimal = ","').digest != DataSet().digest
    # Rules of some files are nothing to the others.
    assert DataSet.parse(TEXT).for_file("a.csv").digest == DataSet.parse(TEXT.split("[[")[0]).for_file("a.csv").digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('order = "lines"', "unknown key 'order': did you mean 'orders'"),
        ('[columns]\nprodct = "x"', "unknown column 'prodct': did you mean 'product'"),
        ('[products]\nid = "x"', r"unknown key 'id' in \[products\]"),
        ('[[files]]\nmatch = "a"\ndecimals = ","', r"unknown key 'decimals' in \[files\]: did you mean 'decimal'"),
        ('[[files]]\ndecimal = ","', r"match in \[files\]"),
        ('decimal = ";"', "decimal: input should be '.' or ','"),
        ('dates = ["M/d/YYYY"]', "has 'YYYY'"),
        # Spark writes days of the week, but does not read them.
        ('dates = ["EEE, d MMM yyyy"]', "has 'EEE'"),
        ('dates = ["HH:mm"]', "needs a year, a month and a day"),
        ('time_zone = "Europe/Londres"', "there is no time zone"),
        ("header_line = 0", "header_line"),
        ("decimal = ,", "cannot be read"),
    ],
)
def test_what_means_nothing_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(DataSetError, match=said):
        DataSet.parse(text)
