import gzip
import json
import re
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from retail_dataset.rules import DataSet, Rules
from retail_dataset.text import LONGEST_LINE
from retail_producer.rows import events, original_time, passes, sources
from retail_producer.settings import ConfigurationError

from tools.testing.forms import FORMS
from tools.testing.samples import EXPECTED, SAMPLES, Sale, expected, summary

HEADER = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"
READERS = {
    "event_time": re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+Z").fullmatch,
    "quantity": re.compile(r"-?\d+(\.\d+)?").fullmatch,
}
CLOCK = "2026-10-05T12:00:00.000Z"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sent(folder: Path, *, original: bool = False) -> list[dict[str, str]]:
    return [
        json.loads(event.value)
        for source in sources(folder)
        for event in events(source, original=original, clock=lambda: CLOCK)
    ]


def test_an_event_has_canonical_names_its_own_time_and_raw_values(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", ' Order_ID ,TIMESTAMP,Item, Total ,Country\n7,2025-09-01," Milk, fat ",,CH\n')
    assert sent(tmp_path) == [
        {
            "event_id": "a.csv:2",
            "event_time": CLOCK,
            "order_id": "7",
            "product": " Milk, fat ",
            "amount": "",
            "Country": "CH",
        }
    ]


def test_of_two_columns_with_one_meaning_the_first_that_is_not_blank_counts(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "date,timestamp,total,amount\n,2025-09-01,5,\n2025-09-02,2025-09-03,6,7\n")
    assert [(event["event_time"][:10], event["amount"]) for event in sent(tmp_path, original=True)] == [
        ("2025-09-01", "5"),
        ("2025-09-02", "7"),
    ]


def test_the_key_is_the_order_or_else_the_event_and_the_value_is_utf_8(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "store_city,Order_ID,date,amount\nŁódź,1,,\nBern,,,\n")
    first, second = events(sources(tmp_path)[0])
    assert (first.key, second.key) == (b"1", b"a.csv:3")
    assert "Łódź".encode() in first.value


@pytest.mark.parametrize("text", ["100% \\ ok", "tab\tand\x00null", "%s", "\u2028 \u00a0", "\x7f\x1b", "😀"])
def test_whatever_a_name_or_a_value_holds_comes_out_of_the_json_again(tmp_path: Path, text: str) -> None:
    write(
        tmp_path,
        f"{text.replace(chr(0), '')}.csv",
        f"order_id,{text},date,amount\n{text},plain,,\nplain,{text},,\nshort {text}\n",
    )
    first, second, third = sent(tmp_path)
    assert (first["order_id"], first[text]) == (text, "plain")
    assert (second["order_id"], second[text]) == ("plain", text)
    assert third["_raw"] == f"short {text}"
    assert third["event_id"] == f"{text.replace(chr(0), '')}.csv:4"


def test_ids_are_stable_unique_and_count_lines_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", HEADER + "1,,,,,,,\n\n2,,,,,,,\n")
    write(tmp_path, "a.csv", HEADER + "1,,,,,,,\n")
    ids = [event["event_id"] for event in sent(tmp_path)]
    assert ids == ["a.csv:2", "b.csv:2", "b.csv:4"]
    assert ids == [event["event_id"] for event in sent(tmp_path)]


def test_rows_with_another_number_of_fields_go_as_they_are(tmp_path: Path) -> None:
    lines = ["1,2025-09-01,S1", "1,2025-09-01,S1,Bern,Milk,1,1,1,extra", '1,2025-09-01,S1,Bern,"Milk,1,1,1']
    write(tmp_path, "a.csv", HEADER + "\n".join(lines) + "\n")
    assert [event["_raw"] for event in sent(tmp_path)] == lines
    assert set(sent(tmp_path)[0]) == {"event_id", "event_time", "_raw"}


def test_a_quote_that_never_closes_does_not_swallow_the_next_rows(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", 'order_id,date,amount\n1,,"2\n3,,4\n')
    assert [event.get("order_id") for event in sent(tmp_path)] == [None, "3"]


def test_a_line_too_long_for_the_brokers_becomes_a_short_malformed_row(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", f"order_id,date,amount\n1,{'ü' * (LONGEST_LINE // 2 + 1)},\n2,,3\n")
    first, second = sent(tmp_path)
    assert first["_raw"].startswith("1,üüü") and len(first["_raw"]) < 20_000
    assert second["order_id"] == "2"


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbforder_id,date,amount\r\n1,,2\r\n")
    assert sent(tmp_path)[0] | {"event_id": "", "event_time": ""} == {
        "event_id": "",
        "event_time": "",
        "order_id": "1",
        "amount": "2",
    }


def test_bytes_that_are_not_utf_8_are_windows_1252(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"store_city,date,amount\nZ\xfcrich \x80,,\nBern,,\n")
    assert [event["store_city"] for event in sent(tmp_path)] == ["Zürich €", "Bern"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2025-09-01", "2025-09-01T00:00:00.000Z"),
        ("20250901", "2025-09-01T00:00:00.000Z"),
        ("2025-09-01T00:30:00+02:00", "2025-08-31T22:30:00.000Z"),
        (" 2025-09-01 10:11:12 ", "2025-09-01T10:11:12.000Z"),
        ("2025-09-01T10:11:12.345Z", "2025-09-01T10:11:12.345Z"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_original_times(raw: str, expected: str) -> None:
    assert original_time(raw, Rules()) == expected


def test_original_event_time_is_that_of_the_row(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "order_id,date,amount\n1,20250901,\n2,never,\n")
    assert [event["event_time"] for event in sent(tmp_path, original=True)] == [
        "2025-09-01T00:00:00.000Z",
        "never",
    ]


def test_only_transaction_files_are_sent(tmp_path: Path) -> None:
    write(tmp_path, "products.csv", "product,category,brand\nMilk,Food,X\n")
    write(tmp_path, "notes.txt", "order_id\n1\n")
    write(tmp_path, "header_only.csv", HEADER)
    write(tmp_path, "empty.csv", "")
    write(tmp_path, "SALES.CSV", HEADER + "1,,,,,,,\n")
    (tmp_path / "May [new] #1").mkdir()
    write(tmp_path, "May [new] #1/Größe 100%.csv", HEADER + "1,,,,,,,\n")
    assert [source.name for source in sources(tmp_path)] == ["May [new] #1/Größe 100%.csv", "SALES.CSV"]


def test_a_loop_makes_new_ids_each_pass_and_sees_new_files(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "order_id,date,amount\n1,,2\n")
    stream = passes(tmp_path, loop=True, original=False)
    first = next(stream)
    write(tmp_path, "b.csv", "order_id,date,amount\n9,,2\n")
    rest = list(islice(stream, 2))
    found = [json.loads(event.value) for event in (first, *rest)]
    assert [event["order_id"].split("@")[0] for event in found] == ["1", "1", "9"]
    assert [event["event_id"].split("@")[0] for event in found] == ["a.csv:2", "a.csv:2", "b.csv:2"]
    assert len({event["order_id"] for event in found}) == len({event["event_id"] for event in found}) == 3


def test_a_single_replay_ends(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "order_id,date,amount\n1,,2\n")
    assert [event.key for event in passes(tmp_path, loop=False, original=False)] == [b"1"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"no transaction CSV in .*: put at least one \*\.csv"),
        ({"products.csv": "product,category,brand\nMilk,Food,X\n"}, "no transaction CSV"),
        ({"a.csv": HEADER, "b.csv": ""}, r"no data row in .* \(a\.csv, b\.csv\)"),
        ({"a.csv": "name;age\nx;1\n"}, r"no data row in .* that can be sent \(a.csv\)"),
        ({"a.csv": HEADER + "1,,,,,,,\n", "dataset.toml": "datse = []"}, "did you mean 'dates'"),
    ],
)
def test_unusable_input_is_refused_with_what_to_do(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    with pytest.raises(ConfigurationError, match=said):
        sources(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no folder .*nowhere"):
        sources(tmp_path / "nowhere")


def test_a_file_that_cannot_be_used_costs_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a.csv", "name;age\nx;1\n")
    write(tmp_path, "b.csv", "order_id;date;amount\n1;;2\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(HEADER.encode() * 100)[:-12])
    assert [event["order_id"] for event in sent(tmp_path)] == ["1"]
    assert "a.csv is left out: it lacks a date and an amount (or quantity and unit price) in its header" in caplog.text
    assert "c.csv.gz is left out: it cannot be read to its end" in caplog.text


def test_an_event_says_what_its_data_set_means(tmp_path: Path) -> None:
    write(
        tmp_path,
        "dataset.toml",
        'orders = "lines"\nreturns = "subtract"\ndecimal = ","\n[[files]]\nmatch = "b*"\norders = "row"',
    )
    write(tmp_path, "a.csv", 'order_id,date,amount\n1,,"1.234,50 €"\n2,,1.50\n')
    write(tmp_path, "b.csv", 'order_id,date,amount\n3,,"-0,50"\n')
    first, second, third = sent(tmp_path)
    assert (first["orders"], first["returns"], first["amount"]) == ("lines", "subtract", "1234.50")
    assert second["amount"] == "?1.50"
    assert ("orders" in third, third["returns"], third["amount"]) == (False, "subtract", "-0.50")


@pytest.mark.parametrize("name", FORMS)
def test_the_sales_of_a_form_are_sent(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    form.write(tmp_path)
    found = sent(tmp_path, original=True)
    zone = ZoneInfo(DataSet.read(tmp_path).time_zone)
    rows = set()
    for event in found:
        if "_raw" not in event and READERS["event_time"](event["event_time"]):
            moment = datetime.fromisoformat(event["event_time"]).astimezone(zone)
            rows.add((str(moment.date()), event["order_id"], event["product"]))
    assert {(sale.day, sale.order, sale.product) for sale in form.clean} <= rows


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_is_sent_in_canonical_form(sample: str) -> None:
    """What comes out is cleaned by the plainest rules there are: the stream needs none of the data set's."""
    sales, reasons = [], []
    for event in sent(SAMPLES / sample, original=True):
        unreadable = [name for name, kind in READERS.items() if event.get(name, "").strip() and not kind(event[name])]
        quantity = Decimal(event["quantity"]) if event.get("quantity", "").strip() and not unreadable else None
        if quantity and quantity > 10**9:
            reasons.append("quantity_out_of_range")
        elif unreadable:
            reasons.append({"event_time": "unreadable_date"}.get(unreadable[0], f"unreadable_{unreadable[0]}"))
        else:
            amount = event.get("amount") or (quantity or 0) * Decimal(event["unit_price"])
            number = Decimal(str(amount).strip("£").replace(",", "")).quantize(Decimal("0.01"), ROUND_HALF_UP)
            product = event["product"].strip() or "UNKNOWN"
            sales.append(Sale(event["event_time"][:10], event["order_id"], product, quantity, number))
    wanted = expected(sample)
    if sample == "broken_beside_good":
        # Files that cannot be used are left out of the replay.
        wanted |= {"rows": 1, "quarantined": {}}
    assert summary(sales, reasons) == wanted
