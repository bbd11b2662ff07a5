"""JSON answers: one envelope for all, rendered once per state of the data, with an ETag.

What is kept of an answer is its text and what the sources said of themselves; no data that a source has let go.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from retail_webapp.sources.report import Report, iso

MAX_ANSWERS = 256


def to_json(value: object) -> bytes:
    """Compact JSON; a Decimal or a date in it is an error, since both must be text by now."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Rendered:
    """An answer for one state of its sources."""

    reports: tuple[Report, ...]
    body: bytes
    etag: str


class Answers:
    """What was answered, by address and query."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[str, bytes], Rendered] = {}

    def respond(self, make: Callable[[], dict[str, Any]], report: Report, *others: Report) -> Response:
        """Answer the request; a 304 when the reader has the answer already.

        Args:
            make: computes the part of the answer that depends on the data; not called when nothing changed.
            report: of the source that the answer names.
            others: of further sources that it is made from.
        """
        key, reports = (request.path, request.query_string), (report, *others)
        rendered = self._rendered.get(key)
        if rendered is None or rendered.reports != reports:
            body = to_json({**envelope(report), **make()})
            rendered = Rendered(reports, body, hashlib.blake2s(body, digest_size=12).hexdigest())
            if len(self._rendered) >= MAX_ANSWERS:
                self._rendered.clear()
            self._rendered[key] = rendered
        response = Response(rendered.body, mimetype="application/json")
        response.set_etag(rendered.etag, weak=True)
        response.make_conditional(request)
        return response


def envelope(report: Report) -> dict[str, Any]:
    """What every answer says of its source."""
    return {
        "source": report.source,
        "state": report.state,
        "computed_at": iso(report.computed_at),
        "stale": report.stale,
        "notice": report.notice,
    }
