"""The JSON API, polled by the page: every answer has an ETag, and an unchanged one is a 304."""

from collections.abc import Callable

import pyarrow as pa
from flask import Blueprint, Response, current_app, jsonify, request

from retail_webapp import answers, comparison, records
from retail_webapp.envelope import Answers, envelope
from retail_webapp.filters import (
    BATCH_PARAMETERS,
    COMPARISON_PARAMETERS,
    DATE_PARAMETERS,
    LIVE_PARAMETERS,
    NAME_PARAMETERS,
    QUARANTINE_PARAMETERS,
    STORE_PARAMETERS,
    Filters,
    parse_filters,
)
from retail_webapp.sources import Sources
from retail_webapp.sources.dataset import SCHEMA, STORE_SCHEMA, Snapshot
from retail_webapp.sources.report import Report, State, utc_now
from retail_webapp.sources.stream import CLOSED

bp = Blueprint("api", __name__)


def sources() -> Sources:
    """The sources of this app, started by the first request that needs them."""
    found: Sources = current_app.extensions["sources"]
    found.start()
    return found


def _respond(make: Callable[[], answers.Answer], report: Report, *others: Report) -> Response:
    kept: Answers = current_app.extensions["answers"]
    return kept.respond(make, report, *others)


def _table(snapshot: Snapshot | None, schema: pa.Schema = SCHEMA) -> pa.Table:
    return snapshot.table if snapshot else schema.empty_table()


def _from_batch(
    compute: Callable[[pa.Table, Filters], answers.Answer], parameters: frozenset[str] = BATCH_PARAMETERS
) -> Response:
    filters = parse_filters(request.args, parameters)
    snapshot, report = sources().batch.current()
    return _respond(lambda: compute(_table(snapshot), filters), report)


@bp.get("/api/daily")
def daily() -> Response:
    """Revenue by date and category."""
    filters = parse_filters(request.args, DATE_PARAMETERS)
    snapshot, report = sources().batch.current()
    stores, stores_report = sources().stores.current()
    # Both are written by the same publication; for a moment, one of them may be read already, and the other not yet.
    same = snapshot and stores and snapshot.folder.name == stores.folder.name
    by_store = stores.table if stores and same else None
    return _respond(lambda: answers.daily(_table(snapshot), filters, by_store), report, stores_report)


@bp.get("/api/products")
def products() -> Response:
    """Products by revenue."""
    return _from_batch(answers.products)


@bp.get("/api/categories")
def categories() -> Response:
    """Categories by revenue."""
    return _from_batch(answers.categories)


@bp.get("/api/names")
def names() -> Response:
    """Products whose name holds a text."""
    return _from_batch(answers.names, NAME_PARAMETERS)


@bp.get("/api/stores")
def stores() -> Response:
    """Stores by revenue."""
    filters = parse_filters(request.args, STORE_PARAMETERS)
    snapshot, report = sources().stores.current()
    return _respond(lambda: answers.stores(_table(snapshot, STORE_SCHEMA), filters), report)


@bp.get("/api/windows")
def windows() -> Response:
    """Live windows by product."""
    filters = parse_filters(request.args, LIVE_PARAMETERS)
    live, report = sources().live.current()
    snapshot, batch = sources().batch.current()
    categories = snapshot.categories if snapshot else {}
    return _respond(lambda: answers.windows(live.windows, categories, live.at, filters), report, batch)


@bp.get("/api/closed")
def closed() -> Response:
    """Closed windows."""
    filters = parse_filters(request.args, LIVE_PARAMETERS)
    found, report = sources().closed.current()
    snapshot, batch = sources().batch.current()
    table, categories = found.table if found else CLOSED.empty_table(), snapshot.categories if snapshot else {}
    return _respond(lambda: comparison.closed(table, categories, filters), report, batch)


@bp.get("/api/stream")
def stream() -> Response:
    """How the stream is."""
    parse_filters(request.args, ())
    status, report = sources().stream.current()
    return _respond(lambda: comparison.stream(status), report)


@bp.get("/api/comparison")
def compare() -> Response:
    """One day as batch and stream count it."""
    filters = parse_filters(request.args, COMPARISON_PARAMETERS)
    all_of_them = sources()
    snapshot, batch = all_of_them.batch.current()
    closed_windows, report = all_of_them.closed.current()
    live, live_report = all_of_them.live.current()
    status, stream_report = all_of_them.stream.current()
    quarantined, quarantine_report = all_of_them.quarantine.current()
    unread, unread_report = all_of_them.unread.current()
    jobs, jobs_report = all_of_them.jobs.current()

    def make() -> answers.Answer:
        known = comparison.Day(
            batch=_table(snapshot),
            closed=closed_windows.table if closed_windows else None,
            live=live.windows,
            status=status,
            quarantine=quarantined,
            unread=unread,
            last_run=jobs.last_run if jobs else None,
        )
        return comparison.comparison(known, filters)

    both = Report(
        f"{batch.source} and {report.source}",
        State.AWAY if batch.stale or report.stale else State.OK,
        max(filter(None, (batch.computed_at, report.computed_at)), default=None),
        " ".join(one.notice for one in (batch, report) if one.stale and one.notice) or None,
    )
    others = (batch, report, live_report, stream_report, quarantine_report, unread_report, jobs_report)
    return _respond(make, both, *others)


@bp.get("/api/quarantine")
def quarantine() -> Response:
    """The records that could not be used."""
    filters = parse_filters(request.args, QUARANTINE_PARAMETERS)
    found, report = sources().quarantine.current()
    jobs, jobs_report = sources().jobs.current()
    headers = jobs.last_run.headers if jobs and jobs.last_run else {}
    return _respond(lambda: records.quarantine(found, headers, filters), report, jobs_report)


@bp.get("/api/jobs")
def jobs() -> Response:
    """Last and next runs of the jobs."""
    parse_filters(request.args, ())
    found, report = sources().jobs.current()
    return _respond(lambda: answers.jobs(found), report)


@bp.get("/api/daily.csv")
def daily_csv() -> Response:
    """The filtered batch result as a file."""
    filters = parse_filters(request.args, DATE_PARAMETERS)
    return _file(answers.daily_csv(_table(sources().batch.snapshot()), filters), "daily_revenue.csv")


@bp.get("/api/quarantine.csv")
def quarantine_csv() -> Response:
    """The filtered records of the quarantine as a file."""
    filters = parse_filters(request.args, QUARANTINE_PARAMETERS - {"limit"})
    return _file(records.to_csv(sources().quarantine.snapshot(), filters), "quarantine.csv")


def _file(text: str, name: str) -> Response:
    response = Response(text, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@bp.get("/api/status")
def status() -> Response:
    """State of the sources, and what the filters can be set to."""
    parse_filters(request.args, ())
    snapshot, batch = sources().batch.current()
    live, stream = sources().live.current()[1], sources().stream.current()[1]
    state = State.AWAY if batch.stale or live.stale else State.OK

    def make() -> answers.Answer:
        reports = {"batch": batch, "live": live, "stream": stream}
        rows = [{"name": name, **envelope(report)} for name, report in reports.items()]
        return {"rows": rows, "choices": answers.choices(snapshot.table if snapshot else None)}

    return _respond(make, Report("dashboard", state, None, None), batch, live, stream)


@bp.get("/healthz")
def healthz() -> Response:
    """Whether the app serves; the state of its sources stands beside it and does not change the answer."""
    now = utc_now()
    states = {
        name: {**envelope(report), "age_seconds": report.age_seconds(now)}
        for name, report in (("batch", sources().batch.report()), ("live", sources().live.report()))
    }
    return jsonify(status="ok", sources=states)
