"""Answers that are given before Flask is asked."""

import gzip
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .samples import DAY_1, MONTH, Publisher

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("month")]

POLLED = "/api/daily?category=Food"


@pytest.fixture
def asked(app: Flask) -> list[str]:
    """Requests that Flask routed."""
    routed: list[str] = []
    app.url_value_preprocessor(lambda endpoint, _: routed.append(str(endpoint)))
    return routed


def test_what_was_asked_before_is_answered_alike_without_routing(client: FlaskClient, asked: list[str]) -> None:
    first, second = client.get(POLLED), client.get(POLLED)
    assert asked == ["api.daily"]
    assert second.status == first.status
    assert second.get_json()["rows"] == first.get_json()["rows"]
    ages = ("Content-Length",)  # of one more digit, when a second passed in between
    assert {k: v for k, v in second.headers if k not in ages} == {k: v for k, v in first.headers if k not in ages}


def test_a_compressed_answer_holds_the_same(client: FlaskClient) -> None:
    for _ in range(2):
        plain = client.get(POLLED)
        zipped = client.get(POLLED, headers={"Accept-Encoding": "br;q=0.5, gzip"})
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert zipped.headers["Vary"] == "Accept-Encoding"
        assert zipped.headers["Content-Length"] == str(len(zipped.data))
        assert plain.headers["ETag"] == zipped.headers["ETag"]
        without_age = [data.split(b'"rows"')[1] for data in (plain.data, gzip.decompress(zipped.data))]
        assert without_age[0] == without_age[1]
    refused = client.get(POLLED, headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers


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


def test_a_changed_state_shows_in_what_was_asked_before(
    app: Flask, client: FlaskClient, batch: Publisher, asked: list[str]
) -> None:
    before = client.get(POLLED).get_json()
    batch.write(DAY_1, MONTH[DAY_1][:1])
    batch.publish()
    app.extensions["sources"].batch.refresh()
    after = client.get(POLLED).get_json()
    assert asked == ["api.daily"]
    assert (before["totals"]["revenue"], after["totals"]["revenue"]) == ("3.60", "3.40")


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
