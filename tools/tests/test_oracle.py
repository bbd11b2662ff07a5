from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tools.data import oracle
from tools.data.oracle import DailyRevenue, compare, compute
from tools.terminal import Problem
from tools.testing.forms import FORMS
from tools.testing.samples import EXPECTED, SAMPLES, expected

HEADER = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"
PRODUCTS = "product,category,brand\nMilk,Dairy,Alp\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into the folder, by name without the ending."""

    def _write(**files: str) -> Path:
        for name, text in ({"products": PRODUCTS} | files).items():
            (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return _write


def row(
    day: str,
    product: str,
    orders: int,
    quantity: int,
    revenue: str,
    category: str = "Dairy",
    brand: str = "Alp",
) -> DailyRevenue:
    return DailyRevenue(date.fromisoformat(day), product, category, brand, orders, Decimal(quantity), Decimal(revenue))


def test_a_day_by_hand(write: Write) -> None:
    folder = write(
        a=HEADER
        + "1,2025-09-01,S1,Bern,Milk,2,1.50,3.00\n"
        + "2,2025-09-01,S1,Bern,Milk,1,1.50,\n"
        + "3,2025-09-01,S2,Chur, Milk ,1,1.50,1.49\n"
        + "4,2025-09-02,S2,Chur,,1,9.99,9.99\n"
        + '5,2025-09-02,S2,"Chur, old town","Tea ""fine""",2,4,8\n'
    )
    answer = compute(folder)
    assert answer.rows == [
        row("2025-09-01", "Milk", 3, 4, "5.99"),
        row("2025-09-02", 'Tea "fine"', 1, 2, "8.00", "UNKNOWN", "UNKNOWN"),
        row("2025-09-02", "UNKNOWN", 1, 1, "9.99", "UNKNOWN", "UNKNOWN"),
    ]
    assert (answer.read, answer.clean, answer.quarantined, answer.counted) == (5, 5, 0, 5)


def test_bad_rows_are_quarantined_each_for_its_reason(write: Write) -> None:
    folder = write(
        a=HEADER
        + "1,2025-09-01,S1,Bern,Milk,2,1.50,3.00\n"
        + "2,yesterday,S1,Bern,Milk,2,1.50,3.00\n"
        + "3,,S1,Bern,Milk,2,1.50,3.00\n"
        + "4,2025-13-01,S1,Bern,Milk,2,1.50,3.00\n"
        + "5,2025-09-01,S1,Bern,Milk,2,1.50,-3.00\n"
        + "6,2025-09-01,S1,Bern,Milk,2,1.50,n/a\n"
        + "7,2025-09-01,S1,Bern,Milk,two,1.50,\n"
        + "8,2025-09-01,S1,Bern,Milk,2,,\n"
        + "9,2025-09-01,S1,Bern,Milk,-2,1.50,\n"
        + "10,2025-09-01,S1,Bern,Milk,1,1,100000000000000000000\n"
        + "11,2025-09-01,S1\n"
        + "12,2025-09-01,S1,Bern,Milk,2,1.50,3.00,more\n"
        + '13,2025-09-01,S1,"Bern,Milk,2,1.50,3.00\n'
        + "\n"
    )
    answer = compute(folder)
    assert answer.rows == [row("2025-09-01", "Milk", 1, 2, "3.00")]
    assert (answer.read, answer.clean, answer.quarantined) == (13, 1, 12)
    assert answer.reasons == {
        "no_date": 1,
        "unreadable_date": 2,
        "malformed_row": 3,
        "unreadable_quantity": 1,
        "no_amount": 1,
        "negative_amount": 1,
        "negative_quantity": 1,
        "unreadable_amount": 2,
    }


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2025-09-01", "2025-09-01"),
        ("20250901", "2025-09-01"),
        ("2025-09-01T23:59:59", "2025-09-01"),
        ("2025-09-01 23:59:59.999", "2025-09-01"),
        ("2025-09-01T23:30:00Z", "2025-09-01"),
        ("2025-09-02T00:30:00+02:00", "2025-09-01"),
        ("2025-08-31 23:30:00-0100", "2025-09-01"),
    ],
)
def test_forms_of_dates_are_taken_to_utc(write: Write, written: str, day: str) -> None:
    folder = write(a=HEADER + f"1,{written},S1,Bern,Milk,1,1,1\n")
    assert [found.order_date.isoformat() for found in compute(folder).rows] == [day]


@pytest.mark.parametrize(
    ("quantity", "price", "amount", "revenue"),
    [
        ("3", "0.335", "", "1.01"),  # 1.005 is half a cent: up
        ("1", "1", "2.675", "2.68"),
        ("1", "1", "0.004", "0.00"),
        ("7", "0.1", "", "0.70"),
    ],
)
def test_money_is_exact_and_rounded_half_up(write: Write, quantity: str, price: str, amount: str, revenue: str) -> None:
    folder = write(a=HEADER + f"1,2025-09-01,S1,Bern,Milk,{quantity},{price},{amount}\n")
    assert [found.revenue for found in compute(folder).rows] == [Decimal(revenue)]


def test_aliases_and_order_of_columns(write: Write) -> None:
    folder = write(a="\ufeff Total ,ITEM,Order_Time,quantity,Price,order_id\r\n3.00,Milk,20250901,2,1.50,1\r\n")
    assert compute(folder).rows == [row("2025-09-01", "Milk", 1, 2, "3.00")]


def test_the_same_order_again_counts_once(write: Write) -> None:
    line = "1,2025-09-01,S1,Bern,Milk,2,1.50,3.00\n"
    answer = compute(write(a=HEADER + line + line, b=HEADER + line))
    assert answer.rows == [row("2025-09-01", "Milk", 1, 2, "3.00")]
    assert (answer.read, answer.clean, answer.quarantined, answer.counted) == (3, 3, 0, 1)


def test_an_order_that_says_two_things_in_a_file_the_first_counts(write: Write) -> None:
    answer = compute(
        write(a=HEADER + "1,2025-09-01,S1,Bern,Milk,2,1.50,3.00\n" + "1,2025-09-01,S1,Bern,Milk,3,1.50,4.50\n")
    )
    assert answer.rows == [row("2025-09-01", "Milk", 1, 2, "3.00")]
    assert (answer.quarantined, answer.reasons) == (1, {"conflicting_duplicate": 1})


def test_a_later_file_corrects_the_earlier(write: Write) -> None:
    answer = compute(
        write(
            a=HEADER + "1,2025-09-01,S1,Bern,Milk,2,1.50,3.00\n2,2025-09-01,S1,Bern,Milk,1,1.50,1.50\n",
            b=HEADER + "1,2025-09-02,S1,Bern,Milk,1,1.50,1.50\n",
        )
    )
    assert answer.rows == [
        row("2025-09-01", "Milk", 1, 1, "1.50"),
        row("2025-09-02", "Milk", 1, 1, "1.50"),
    ]
    assert answer.quarantined == 0


def test_rows_without_an_order_id_all_count(write: Write) -> None:
    line = ",2025-09-01,S1,Bern,Milk,2,1.50,3.00\n"
    assert compute(write(a=HEADER + line + line)).rows == [row("2025-09-01", "Milk", 2, 4, "6.00")]


def test_an_empty_folder_is_refused_and_a_foreign_file_is_read(write: Write) -> None:
    with pytest.raises(Problem, match="no transaction CSV"):
        compute(write())
    answer = compute(write(people="name;age\nx;1\n"))
    assert (answer.read, answer.reasons) == (2, {"unknown_header": 2})


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_comes_out_exactly(sample: str) -> None:
    answer, wanted = compute(SAMPLES / sample), expected(sample)
    cells = {f"{row.order_date}|{row.product}": [row.revenue, row.quantity] for row in answer.rows}
    assert {
        "rows": answer.read,
        "clean": answer.clean,
        "quarantined": answer.reasons,
        "cells": cells,
        "revenue": sum(row.revenue for row in answer.rows),
        "units": sum(row.quantity for row in answer.rows),
    } == {name: value for name, value in wanted.items() if name != "orders"}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_comes_out_exactly(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    form.write(tmp_path)
    answer, sales = compute(tmp_path), form.clean
    assert sum(row.revenue for row in answer.rows) == sum(sale.amount for sale in sales)
    assert {(str(row.order_date), row.product) for row in answer.rows} == {(sale.day, sale.product) for sale in sales}
    assert sum(row.quantity for row in answer.rows) == sum(sale.quantity or 0 for sale in sales)
    # Of several reasons the oracle names the first.
    assert set(answer.reasons) <= set(form.reasons)
    assert (answer.clean, answer.read) == (len(sales), len(sales) + answer.quarantined)


def test_a_later_file_replaces_all_lines_of_an_order(write: Write) -> None:
    line = "1,2025-09-01,S1,Bern,Milk,1,1.00,1.00\n"
    folder = write(a=HEADER + line + line, b=HEADER + line + line.replace("Milk", "Tea") + line.replace("1,2", "2,2"))
    (folder / "dataset.toml").write_text('orders = "lines"')
    answer = compute(folder)
    assert [(row.product, row.orders, int(row.quantity)) for row in answer.rows] == [("Milk", 2, 2), ("Tea", 1, 1)]
    assert (answer.clean, answer.counted) == (5, 2)


def test_an_order_with_several_keys_of_one_product_is_one_order_of_it(write: Write) -> None:
    folder = write(
        a=HEADER
        + "1,2025-09-01,S1,Bern,M1,1,1.00,1.00\n1,2025-09-01,S1,Bern,M2,1,1.00,1.00\n2,2025-09-01,S1,Bern,M2,1,1,1\n",
        products="id,name,category,brand\nM1,Milk,Food,Lowland\nM2,Milk,Dairy,Alp\n",
    )
    (folder / "dataset.toml").write_text('orders = "lines"\nproducts = { key = "id", product = "name" }')
    assert compute(folder).rows == [row("2025-09-01", "Milk", 2, 3, "3.00")]


def test_compare_finds_nothing_in_the_same_rows_as_text() -> None:
    expected = [row("2025-09-01", "Milk", 1, 2, "3.00")]
    got = [{name: str(value) for name, value in expected[0]._asdict().items()}]
    assert compare(expected, got) == []


def test_compare_says_what_differs() -> None:
    expected = [row("2025-09-01", "Milk", 1, 2, "3.00"), row("2025-09-02", "Milk", 1, 2, "3.00")]
    got = [row("2025-09-01", "Milk", 1, 2, "3.01"), row("2025-09-03", "Milk", 1, 2, "3.00")]
    assert compare(expected, [*got, got[1]]) == [
        "2025-09-03 Milk: more than one row",
        "2025-09-01 Milk: revenue is 3.01, expected 3.00",
        "2025-09-02 Milk: missing, expected revenue 3.00",
        "2025-09-03 Milk: not expected, revenue 3.00",
    ]


def test_compare_refuses_rows_of_another_kind() -> None:
    with pytest.raises(ValueError, match="not a row of daily revenue"):
        compare([], [{"order_date": "2025-09-01"}])


def test_the_command_prints_totals_and_rows(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(a=HEADER + "1,2025-09-01,S1,Bern,Milk,2,1.50,3.00\n")
    oracle.main([str(folder)])
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1:] == ["2025-09-01,Milk,Dairy,Alp,1,2,3.00"]
    assert "read 1, clean 1, quarantined 0" in printed.err
    oracle.main([str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["rows"][0]["revenue"] == "3.00"


def window(start: str, product: str, orders: int, revenue: str) -> oracle.WindowRevenue:
    begin = datetime.fromisoformat(f"{start}+00:00")
    return oracle.WindowRevenue(begin, begin + timedelta(hours=1), product, orders, Decimal(revenue))


def test_windows_by_hand(write: Write) -> None:
    folder = write(
        a=HEADER
        + "1,2025-09-01T10:00:00Z,S1,Bern,Milk,2,1.50,3.00\n"
        + "2,2025-09-01T12:14:59.999+02:00,S1,Bern,Milk,1,1.50,\n"
        + "2,2025-09-01T12:14:59.999+02:00,S1,Bern,Milk,1,1.50,\n"
        + "3,2025-09-01T10:10:00,S1,Bern,Milk,1,1.50,-1\n"
        + "4,2025-09-01 10:15:00,S1,Bern,Tea,1,4.00,4.00\n"
    )
    assert compute(folder).windows == [
        window("2025-09-01T09:15", "Milk", 2, "4.50"),
        window("2025-09-01T09:30", "Milk", 2, "4.50"),
        window("2025-09-01T09:30", "Tea", 1, "4.00"),
        window("2025-09-01T09:45", "Milk", 2, "4.50"),
        window("2025-09-01T09:45", "Tea", 1, "4.00"),
        window("2025-09-01T10:00", "Milk", 2, "4.50"),
        window("2025-09-01T10:00", "Tea", 1, "4.00"),
        window("2025-09-01T10:15", "Tea", 1, "4.00"),
    ]


def test_differences_of_windows_are_found() -> None:
    expected = [window("2025-09-01T10:00", "Milk", 2, "4.50"), window("2025-09-01T10:15", "Milk", 1, "1.00")]
    text = {"window_start": "2025-09-01T10:00:00Z", "window_end": "2025-09-01T11:00:00Z", "product": "Milk"}
    said = oracle.compare_windows(expected, [{**text, "orders": 2, "revenue": "4.51"}] * 2)
    assert said == [
        "2025-09-01T10:00Z Milk: more than one row",
        "2025-09-01T10:00Z Milk: revenue is 4.51, expected 4.50",
        "2025-09-01T10:15Z Milk: missing, expected revenue 1.00",
    ]
    assert oracle.compare_windows(expected[:1], [{**text, "orders": "2", "revenue": "4.5"}]) == []
