import csv
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .samples import BREAD, DAY_1, MILK, MONTH, Publisher, publish_stores

pytestmark = pytest.mark.filterwarnings("error")

ADDRESSES = [
    "/api/daily",
    "/api/products",
    "/api/categories",
    "/api/windows",
    "/api/status",
    "/api/quarantine",
    "/api/jobs",
    "/api/stores",
    "/api/stream",
    "/api/closed",
    "/api/comparison",
    "/api/names",
]


def get(client: FlaskClient, address: str) -> dict[str, Any]:
    response = client.get(address)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


def refresh(app: Flask) -> None:
    app.extensions["sources"].batch.refresh()


@pytest.mark.usefixtures("month")
def test_daily_sums_are_exact_to_the_cent(client: FlaskClient) -> None:
    answer = get(client, "/api/daily")

    food = next(r for r in answer["rows"] if (r["order_date"], r["category"]) == ("2025-03-01", "Food"))
    assert food == {
        "order_date": "2025-03-01",
        "category": "Food",
        "orders": 5,
        "quantity": "7",
        "revenue": "0.30",
    }
    assert [day["revenue"] for day in answer["days"]] == ["2.21", "8.10", "9007199254740993.31"]
    assert answer["totals"] == {
        "days": 3,
        "orders": 14,
        "quantity": "20",
        "revenue": "9007199254741003.62",
    }


@pytest.mark.usefixtures("month")
def test_an_order_of_several_products_counts_once_in_all(client: FlaskClient, folder: Path) -> None:
    publish_stores(folder.with_name("stores_parquet"))
    answer = get(client, "/api/daily")
    assert [day["orders"] for day in answer["days"]] == [4, 2, 5]
    assert answer["totals"]["orders"] == 11
    assert get(client, "/api/daily?category=Food")["totals"]["orders"] == 10, "of a category, those that have it"
    later = get(client, "/api/daily?from=2025-03-03")
    assert (later["totals"]["orders"], later["before"]["totals"]["orders"]) == (4, 2)
    stores = get(client, "/api/stores?from=2025-03-02")["rows"]
    assert [(row["store_id"], row["store_city"], row["orders"], row["revenue"]) for row in stores] == [
        ("S001", "Bern", 2, "8.10"),
        ("S002", "Basel", 4, "2.21"),
    ]


@pytest.mark.usefixtures("month")
def test_products_come_by_revenue_with_their_share(client: FlaskClient) -> None:
    rows = get(client, "/api/products?from=2025-03-02")["rows"]
    assert [(r["product"], r["revenue"], r["share"]) for r in rows] == [
        ("Mystery", "7.00", "67.9"),
        (BREAD, "2.20", "21.3"),
        (MILK, "1.10", "10.7"),
        ("Soap", "0.01", "0.1"),
    ]
    first, second, rest = get(client, "/api/products?from=2025-03-02&limit=2")["rows"]
    assert [row["product"] for row in (first, second)] == ["Mystery", BREAD]
    assert (rest["product"], rest["others"], rest["revenue"], rest["share"]) == (None, 2, "1.11", "10.8")


@pytest.mark.usefixtures("month")
def test_categories_count_their_products(client: FlaskClient) -> None:
    rows = get(client, "/api/categories")["rows"]
    assert [(r["category"], r["products"], r["revenue"]) for r in rows] == [
        ("Household", 1, "9007199254740993.02"),
        ("UNKNOWN", 1, "7.00"),
        ("Food", 2, "3.60"),
    ]


@pytest.mark.usefixtures("month")
@pytest.mark.parametrize(
    ("query", "revenue"),
    [
        ("from=2025-03-02", "10.31"),
        ("to=2025-03-02&from=2025-03-02", "8.10"),
        ("category=Food", "3.60"),
        ("product=Milk+1+l", "1.20"),
        ("product=Milk+1+l&category=Household", "0.00"),
        ("from=2030-01-01", "0.00"),
        ("category=&product=&from=2025-03-03", "2.21"),
    ],
)
def test_filters_restrict_what_is_summed(client: FlaskClient, query: str, revenue: str) -> None:
    assert get(client, f"/api/daily?{query}")["totals"]["revenue"] == revenue


@pytest.mark.usefixtures("month")
@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("/api/daily?from=yesterday", "'from' is 'yesterday'; expected a date as YYYY-MM-DD"),
        ("/api/daily?from=2025-02-30", "expected a date"),
        ("/api/daily?to=1740787200", "expected a date"),
        ("/api/daily?from=2025-03-02&to=2025-03-01", "is after"),
        ("/api/products?limit=0", "expected a whole number from 1 to 1000"),
        ("/api/products?limit=1001", "expected a whole number"),
        ("/api/products?limit=ten", "expected a whole number"),
        ("/api/daily?form=2025-03-01", "unknown parameter 'form'"),
        ("/api/daily?category=a&category=b", "given 2 times"),
        ("/api/daily?product=" + "x" * 201, "at most 200"),
        ("/api/windows?from=2025-03-01", "unknown parameter 'from'"),
        ("/api/daily.csv?limit=5", "unknown parameter 'limit'"),
    ],
)
def test_bad_parameters_are_named(client: FlaskClient, address: str, part: str) -> None:
    response = client.get(address)
    assert response.status_code == 400
    assert part in response.get_json()["error"]["message"]


def test_bad_parameters_of_the_page_give_a_page(client: FlaskClient) -> None:
    response = client.get("/?from=<script>")
    assert response.status_code == 400
    assert response.mimetype == "text/html"
    assert "&lt;script&gt;" in response.text
    assert "<script>" not in response.text


def test_an_unknown_address_is_a_404_in_the_form_asked_for(client: FlaskClient) -> None:
    assert client.get("/api/none").get_json()["error"]["code"] == 404
    assert client.get("/none").mimetype == "text/html"
    assert client.post("/api/daily").status_code == 405


@pytest.mark.usefixtures("month")
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_unchanged_answer_is_a_304(client: FlaskClient, address: str) -> None:
    first = client.get(address)
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_changed_day_changes_etag_and_answer(app: Flask, client: FlaskClient, month: Path, batch: Publisher) -> None:
    assert month
    first = client.get("/api/daily")
    batch.write(DAY_1, [(MILK, "Food", "Alpine", 1, 1, "5.00")])
    batch.publish()
    refresh(app)
    second = client.get("/api/daily", headers={"If-None-Match": first.headers["ETag"]})
    assert second.status_code == 200
    assert second.get_json()["totals"]["revenue"] == "15.31"


def test_other_filters_have_another_etag(client: FlaskClient, month: Path) -> None:
    assert month
    first = client.get("/api/daily")
    assert first.headers["ETag"] != client.get("/api/daily?category=Food").headers["ETag"]


@pytest.mark.usefixtures("month")
def test_csv_holds_the_filtered_batch_result(client: FlaskClient) -> None:
    response = client.get("/api/daily.csv?category=Food")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    expected = [
        {
            "order_date": str(day),
            "product": product,
            "category": category,
            "brand": brand,
            "orders": str(orders),
            "quantity": str(quantity),
            "revenue": revenue,
        }
        for day, day_rows in MONTH.items()
        for product, category, brand, orders, quantity, revenue in sorted(day_rows)
        if category == "Food"
    ]
    assert rows == expected


def test_without_a_folder_it_says_what_to_run(client: FlaskClient) -> None:
    answer = get(client, "/api/daily")
    assert (answer["state"], answer["stale"], answer["rows"]) == ("empty", False, [])
    assert answer["notice"] == "No batch has run yet: make local"
    assert answer["computed_at"] is None
    assert client.get("/").status_code == 200


def test_the_first_batch_shows_by_itself(app: Flask, client: FlaskClient, batch: Publisher) -> None:
    assert get(client, "/api/daily")["state"] == "empty"
    batch.write(DAY_1, MONTH[DAY_1])
    refresh(app)
    assert get(client, "/api/daily")["state"] == "empty", "written, but not published"
    batch.publish()
    refresh(app)
    answer = get(client, "/api/daily")
    assert (answer["state"], answer["notice"], len(answer["days"])) == ("ok", None, 1)


def test_the_last_good_data_stays_with_a_notice(app: Flask, client: FlaskClient, month: Path) -> None:
    good = client.get("/api/daily")
    aside = month.with_name("aside")
    shutil.move(month, aside)
    refresh(app)

    away = client.get("/api/daily", headers={"If-None-Match": good.headers["ETag"]})
    assert away.status_code == 200, "a notice is news, even when the rows are the same"
    assert away.get_json()["stale"] is True
    assert "showing the last good data" in away.get_json()["notice"]
    assert away.get_json()["rows"] == good.get_json()["rows"]

    shutil.move(aside, month)
    refresh(app)
    assert get(client, "/api/daily")["stale"] is False


def test_a_damaged_file_keeps_the_last_good_data(
    app: Flask, client: FlaskClient, month: Path, batch: Publisher
) -> None:
    assert month
    before = get(client, "/api/daily")
    batch.write(DAY_1, MONTH[DAY_1]).write_bytes(b"PAR1 this is none")
    batch.publish()
    refresh(app)
    after = get(client, "/api/daily")
    assert (after["state"], after["stale"], after["rows"]) == ("away", True, before["rows"])


def test_windows_are_off_without_brokers(client: FlaskClient) -> None:
    answer = get(client, "/api/windows")
    assert (answer["state"], answer["rows"], answer["windows"]) == ("off", [], [])
    assert "no brokers" in answer["notice"]


@pytest.mark.usefixtures("month")
def test_status_names_sources_and_choices(client: FlaskClient) -> None:
    answer = get(client, "/api/status")
    assert [(row["name"], row["state"]) for row in answer["rows"]] == [
        ("batch", "ok"),
        ("live", "off"),
        ("stream", "empty"),
    ]
    assert (answer["choices"]["from"], answer["choices"]["to"]) == ("2025-03-01", "2025-03-03")
    assert answer["choices"]["categories"] == ["Food", "Household", "UNKNOWN"]


def test_health_is_ok_while_sources_are_not(client: FlaskClient) -> None:
    get(client, "/api/daily")
    answer = get(client, "/healthz")
    assert answer["status"] == "ok"
    assert answer["sources"]["batch"]["state"] == "empty"


@pytest.mark.parametrize("address", ["/", "/api/daily", "/healthz", "/none", "/api/daily?limit=0"])
def test_every_answer_is_strict(client: FlaskClient, address: str) -> None:
    headers = client.get(address).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_static_files_are_kept_for_long(client: FlaskClient) -> None:
    page = client.get("/").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    response = client.get(address)
    assert response.status_code == 200
    assert "max-age=31536000" in response.headers["Cache-Control"]
    response.close()
