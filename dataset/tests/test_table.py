from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retail_dataset import text
from retail_dataset.catalogue import Product, parse_products
from retail_dataset.errors import DataSetError
from retail_dataset.files import is_input
from retail_dataset.rules import DataSet, ProductRules, Rules
from retail_dataset.table import open_file, read_table, unpacked
from retail_dataset.text import LONGEST_LINE

from tools.testing.samples import EXPECTED, SAMPLES


def records(content: bytes, rules: Rules | None = None) -> list[str]:
    table = read_table(io.BufferedReader(io.BytesIO(content)), rules or Rules())
    return [record.text for record in table.records()] if table else []


@pytest.mark.parametrize("sample", [name for name in EXPECTED if name != "broken_beside_good"])
def test_a_sample_has_as_many_records_as_it_should(sample: str) -> None:
    rules, found = DataSet.read(SAMPLES / sample), 0
    for name in EXPECTED[sample]["files"]:
        if is_input(name):
            with open_file(SAMPLES / sample / name) as stream:
                table = read_table(stream, rules.for_file(name))
                assert table is not None and table.layout.missing == ""
                found += len(list(table.records()))
    assert found == EXPECTED[sample]["rows"]


def test_a_damaged_file_is_told() -> None:
    damaged = SAMPLES / "broken_beside_good" / "damaged.csv.gz"
    with open_file(damaged) as stream, pytest.raises(DataSetError, match="cannot be read to its end"):
        table = read_table(stream, Rules())
        list(table.records() if table else ())


def test_an_open_quote_swallows_no_record() -> None:
    assert records(b'order_id,amount\n1,"2\n3,4\n5,"a\n\nb"\n"x""\ny",3\n7,"6\n8,9"x\n') == [
        *('1,"2', "3,4", '5,"a\n\nb"', '"x""\ny",3', '7,"6', '8,9"x'),
    ]
    assert len(records(b'order_id,amount\n1,"' + b"2\n" * LONGEST_LINE + b'"\n')) == LONGEST_LINE + 1


@given(st.lists(st.tuples(st.text("ab1", min_size=1), st.text('a,;"\n ü', max_size=9)), min_size=1, max_size=9))
def test_what_a_writer_of_csv_writes_is_read(rows: list[tuple[str, str]]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows([("order_id", "amount"), *rows])
    table = read_table(io.BufferedReader(io.BytesIO(written.getvalue().encode())), Rules())
    assert table is not None
    assert [table.layout.fields(record.text) for record in table.records()] == [list(row) for row in rows]


@given(st.lists(st.text('a"', max_size=5), max_size=9), st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 9))
def test_an_odd_number_of_quotes_in_a_line_is_seen(lines: list[str], end: str, chunk: int) -> None:
    stream = unpacked(io.BytesIO(end.join(lines).encode()), "a.csv")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(text, "_CHUNK", chunk)
        assert text.may_have_line_breaks(stream) == any(line.count('"') % 2 for line in lines)


def test_header_names_match_however_they_are_written() -> None:
    for header in (b"Order ID;ORDER-DATE;Unit Price;Quantity", b"OrderId;order_date;unitPrice;quantity"):
        table = read_table(io.BufferedReader(io.BytesIO(header)), Rules())
        assert table is not None and table.layout.missing == "" and table.layout.separator == ";"


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("a.csv", True),
        ("Sales - copy (1) #100%.CSV", True),
        ("2024/ä [b]/a.csv.gz", True),
        ("products.csv", False),
        ("Products.CSV", False),
        ("a.csv._COPYING_", False),
        (".a.csv", False),
        ("_old/a.csv", False),
        ("a.txt", False),
    ],
)
def test_which_files_hold_transactions(path: str, held: bool) -> None:
    assert is_input(path) == held


def test_a_catalogue_is_read_by_its_rules() -> None:
    content = "id;Titel;category\n1;Öl;Food\n1;Again;Food\n2;;\n;x;y\n".encode("cp1252")
    assert parse_products(content, ProductRules(key="ID", product="titel")) == [
        Product("1", "Öl", "Food", None),
        Product("2", "2", None, None),
    ]
    with pytest.raises(DataSetError, match=r"no column product or item \(id;Titel;category\)"):
        parse_products(content, ProductRules())
