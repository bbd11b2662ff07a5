"""The JSON API, polled by the page: every answer has an ETag, and an unchanged one is a 304."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from retail_webapp import answers
from retail_webapp.envelope import RenderCache, answer
from retail_webapp.filters import BATCH_PARAMETERS, LIVE_PARAMETERS, Filters, parse_filters
from retail_webapp.sources import Sources
from retail_webapp.sources.dataset import SCHEMA
from retail_webapp.sources.report import Report, State, iso, utc_now

bp = Blueprint("api", __name__)

Compute = Callable[[Any, Filters], answers.Answer]


def sources() -> Sources:
    """The sources of this app, started by the first request that needs them."""
    found: Sources = current_app.extensions["sources"]
    found.start()
    return found


def _cache() -> RenderCache:
    cache: RenderCache = current_app.extensions["rendered"]
    return cache


def _from_batch(name: str, compute: Compute) -> Response:
    filters = parse_filters(request.args, BATCH_PARAMETERS)
    source = sources().batch
    snapshot = source.snapshot()
    table = snapshot.table if snapshot else SCHEMA.empty_table()
    rendered = _cache().get((name, filters), (snapshot,), lambda: compute(table, filters))
    return answer(source.report(), rendered)


@bp.get("/api/daily")
def daily() -> Response:
    """Revenue by date and category."""
    return _from_batch("daily", answers.daily)


@bp.get("/api/products")
def products() -> Response:
    """Products by revenue."""
    return _from_batch("products", answers.products)


@bp.get("/api/categories")
def categories() -> Response:
    """Categories by revenue."""
    return _from_batch("categories", answers.categories)


@bp.get("/api/windows")
def windows() -> Response:
    """Live windows by product."""
    filters = parse_filters(request.args, LIVE_PARAMETERS)
    both = sources()
    live, batch = both.live.snapshot(), both.batch.snapshot()
    category_of = batch.categories if batch else {}
    rendered = _cache().get(
        ("windows", filters),
        (live, batch),
        lambda: answers.windows(live.windows, category_of, live.at, filters),
    )
    return answer(both.live.report(), rendered)


@bp.get("/api/daily.csv")
def daily_csv() -> Response:
    """The filtered batch result as a file."""
    filters = parse_filters(request.args, BATCH_PARAMETERS - {"limit"})
    snapshot = sources().batch.snapshot()
    table = snapshot.table if snapshot else SCHEMA.empty_table()
    response = Response(answers.daily_csv(table, filters), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="daily_revenue.csv"'
    return response


@bp.get("/api/status")
def status() -> Response:
    """State of all sources, and what the filters can be set to."""
    parse_filters(request.args, ())
    both = sources()
    snapshot = both.batch.snapshot()
    both.live.snapshot()
    reports = {"batch": both.batch.report(), "live": both.live.report()}
    rendered = _cache().get(
        "status",
        (snapshot, *reports.values()),
        lambda: {
            "rows": [{"name": name, **_state(report)} for name, report in reports.items()],
            "choices": answers.choices(snapshot.table if snapshot else None),
        },
    )
    away = any(report.stale for report in reports.values())
    return answer(Report("dashboard", State.AWAY if away else State.OK, None, None), rendered)


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
