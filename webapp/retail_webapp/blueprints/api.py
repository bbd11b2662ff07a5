"""The JSON API, polled by the page: every answer has an ETag, and an unchanged one is a 304."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from flask import Blueprint, Response, current_app, jsonify, request

from retail_webapp import answers
from retail_webapp.envelope import Answer, Answers, Basis
from retail_webapp.filters import BATCH_PARAMETERS, LIVE_PARAMETERS, Filters, parse_filters
from retail_webapp.sources import Sources
from retail_webapp.sources.dataset import SCHEMA, Snapshot
from retail_webapp.sources.live import LiveSnapshot
from retail_webapp.sources.report import Report, State, iso, utc_now

bp = Blueprint("api", __name__)


def sources() -> Sources:
    """The sources of this app, started by the first request that needs them."""
    found: Sources = current_app.extensions["sources"]
    found.start()
    return found


def _answer(current: Callable[[], tuple[Report, Basis]], make: Callable[..., answers.Answer]) -> Response:
    """Answer this request, and the same one from now on without Flask."""
    answer = Answer(current, make)
    status, headers, body = answer.respond(request.environ)
    kept: Answers = current_app.extensions["answers"]
    kept.keep(request.environ, answer)
    return Response(body, status, headers)


def _table(snapshot: Snapshot | None) -> pa.Table:
    return snapshot.table if snapshot else SCHEMA.empty_table()


def _from_batch(compute: Callable[[pa.Table, Filters], answers.Answer]) -> Response:
    filters = parse_filters(request.args, BATCH_PARAMETERS)
    batch = sources().batch

    def current() -> tuple[Report, Basis]:
        snapshot, report = batch.current()
        return report, (snapshot,)

    return _answer(current, lambda snapshot: compute(_table(snapshot), filters))


@bp.get("/api/daily")
def daily() -> Response:
    """Revenue by date and category."""
    return _from_batch(answers.daily)


@bp.get("/api/products")
def products() -> Response:
    """Products by revenue."""
    return _from_batch(answers.products)


@bp.get("/api/categories")
def categories() -> Response:
    """Categories by revenue."""
    return _from_batch(answers.categories)


@bp.get("/api/windows")
def windows() -> Response:
    """Live windows by product."""
    filters = parse_filters(request.args, LIVE_PARAMETERS)
    both = sources()

    def current() -> tuple[Report, Basis]:
        live, report = both.live.current()
        return report, (live, both.batch.current()[0])

    def make(live: LiveSnapshot, batch: Snapshot | None) -> answers.Answer:
        return answers.windows(live.windows, batch.categories if batch else {}, live.at, filters)

    return _answer(current, make)


@bp.get("/api/quarantine")
def quarantine() -> Response:
    """The records that could not be used."""
    filters = parse_filters(request.args, {"limit"})
    source = sources().quarantine

    def current() -> tuple[Report, Basis]:
        found, report = source.current()
        return report, (found,)

    return _answer(current, lambda found: answers.quarantine(found, filters))


@bp.get("/api/jobs")
def jobs() -> Response:
    """Last and next runs of the jobs."""
    parse_filters(request.args, ())
    source = sources().jobs

    def current() -> tuple[Report, Basis]:
        found, report = source.current()
        return report, (found,)

    return _answer(current, answers.jobs)


@bp.get("/api/daily.csv")
def daily_csv() -> Response:
    """The filtered batch result as a file."""
    filters = parse_filters(request.args, BATCH_PARAMETERS - {"limit"})
    table = _table(sources().batch.snapshot())
    response = Response(answers.daily_csv(table, filters), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="daily_revenue.csv"'
    return response


@bp.get("/api/status")
def status() -> Response:
    """State of the sources, and what the filters can be set to."""
    parse_filters(request.args, ())
    both = sources()

    def current() -> tuple[Report, Basis]:
        snapshot, batch = both.batch.current()
        live = both.live.current()[1]
        state = State.AWAY if batch.stale or live.stale else State.OK
        return Report("dashboard", state, None, None), (snapshot, batch, live)

    def make(snapshot: Snapshot | None, batch: Report, live: Report) -> answers.Answer:
        rows = [{"name": "batch", **_state(batch)}, {"name": "live", **_state(live)}]
        return {"rows": rows, "choices": answers.choices(snapshot.table if snapshot else None)}

    return _answer(current, make)


@bp.get("/healthz")
def healthz() -> Response:
    """Whether the app serves; the state of its sources stands beside it and does not change the answer."""
    both = sources()
    now = utc_now()
    states = {
        name: {**_state(report), "age_seconds": report.age_seconds(now)}
        for name, report in (("batch", both.batch.report()), ("live", both.live.report()))
    }
    return jsonify(status="ok", sources=states)


def _state(report: Report) -> dict[str, Any]:
    return {
        "source": report.source,
        "state": report.state,
        "computed_at": iso(report.computed_at),
        "stale": report.stale,
        "notice": report.notice,
    }
