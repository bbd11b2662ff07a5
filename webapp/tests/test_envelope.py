"""Answers are rendered once, and keep nothing of the data alive."""

import gc
import weakref
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from retail_webapp import answers

from .samples import DAY_1, MONTH, Publisher

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("month")]

POLLED = "/api/daily?category=Food"


def test_what_was_asked_before_is_not_computed_again(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get(POLLED)
    monkeypatch.setattr(answers, "select", lambda *_: 1 / 0)
    second = client.get(POLLED)
    assert (second.data, second.headers["ETag"]) == (first.data, first.headers["ETag"])


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
def test_an_etag_is_recognised_in_every_form(client: FlaskClient, form: str) -> None:
    etag = client.get(POLLED).headers["ETag"]
    response = client.get(POLLED, headers={"If-None-Match": form.format(etag)})
    assert (response.status_code, response.data) == (304, b"")
    assert "Content-Type" not in response.headers
    other = client.get(POLLED, headers={"If-None-Match": 'W/"another"'})
    assert other.status_code == 200


def test_a_head_request_has_the_headers_only(client: FlaskClient) -> None:
    got = client.get(POLLED)
    head = client.head(POLLED)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", got.headers["ETag"])


def test_a_changed_state_shows_in_what_was_asked_before(app: Flask, client: FlaskClient, batch: Publisher) -> None:
    before = client.get(POLLED).get_json()
    batch.write(DAY_1, MONTH[DAY_1][:1])
    batch.publish()
    app.extensions["sources"].batch.refresh()
    after = client.get(POLLED).get_json()
    assert (before["totals"]["revenue"], after["totals"]["revenue"]) == ("3.60", "3.40")


def test_no_answer_keeps_a_publication_that_is_replaced(app: Flask, client: FlaskClient, batch: Publisher) -> None:
    source = app.extensions["sources"].batch
    for number in range(20):
        client.get(f"/api/products?limit={number + 1}")
    old = weakref.ref(source.snapshot())
    batch.write(DAY_1, MONTH[DAY_1][:1])
    batch.publish()
    source.refresh()
    client.get("/api/daily")
    gc.collect()
    assert old() is None


def test_what_cannot_be_made_is_an_error_in_the_usual_form(
    app: Flask, client: FlaskClient, month: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.config["TESTING"] = False
    assert client.get(POLLED).status_code == 200
    batch = app.extensions["sources"].batch
    monkeypatch.setattr(type(batch), "current", lambda _: 1 / 0)
    response = client.get(POLLED)
    assert response.status_code == 500
    assert "journalctl" in response.get_json()["error"]["message"]
