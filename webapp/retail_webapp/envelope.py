"""JSON answers: one envelope for all, rendered and compressed once per state of the data, with an ETag.

Most requests of the page are polls for data that did not change: those should cost next to nothing.
"""

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header, parse_etags

from retail_webapp.headers import DYNAMIC
from retail_webapp.sources.report import Report, iso, utc_now

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_ANSWERS = 256
GZIP_LEVEL = 6

OK = "200 OK"
NOT_MODIFIED = "304 NOT MODIFIED"

Headers = list[tuple[str, str]]
Basis = tuple[Any, ...]


def to_json(value: object) -> bytes:
    """Compact JSON; a Decimal or a date in it is an error, since both must be text by now."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Rendered:
    """An answer for one state of its source and its data, at any age."""

    report: Report
    basis: Basis
    head: dict[str, Any]
    rest: bytes
    etag: str
    unchanged: Headers
    """Headers of the 304."""


@dataclass(frozen=True)
class Aged:
    """An answer ready to be sent, as long as the age that it states is right."""

    rendered: Rendered
    age: int | None
    plain: bytes
    plain_headers: Headers
    zipped: bytes
    zipped_headers: Headers


class Answer:
    """What one address with its filters answers."""

    def __init__(self, current: Callable[[], tuple[Report, Basis]], make: Callable[..., dict[str, Any]]) -> None:
        """Make an answer that renders nothing before it is asked.

        Args:
            current: state of the source now, and what the answer is made from; compared by `==`.
            make: computes the part of the answer that depends on the data, from the items of the basis.
        """
        self._current = current
        self._make = make
        self._rendered: Rendered | None = None
        self._aged: Aged | None = None
        self._lock = Lock()

    def respond(self, environ: "WSGIEnvironment") -> tuple[str, Headers, bytes]:
        """Status, headers and body for a request; a 304 when the reader has the answer already.

        The age is no part of the ETag: otherwise no answer would ever equal the one before. The ETag is weak for
        the same reason; the reader takes the age from `computed_at` and the answer's Date.
        """
        report, basis = self._current()
        rendered = self._rendered
        if rendered is None or rendered.report != report or rendered.basis != basis:
            rendered = self._render(report, basis)
        has = environ.get("HTTP_IF_NONE_MATCH")
        if has is not None and (has == rendered.etag or _has(has, rendered.etag)):
            return NOT_MODIFIED, rendered.unchanged, b""
        aged = self._aged
        age = report.age_seconds(utc_now())
        if aged is None or aged.rendered is not rendered or aged.age != age:
            aged = self._age(rendered, age)
        if _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return OK, aged.zipped_headers, aged.zipped
        return OK, aged.plain_headers, aged.plain

    def _render(self, report: Report, basis: Basis) -> Rendered:
        with self._lock:
            rendered = self._rendered
            if rendered is not None and rendered.report == report and rendered.basis == basis:
                return rendered
            head: dict[str, Any] = {
                "source": report.source,
                "state": report.state,
                "computed_at": iso(report.computed_at),
                "stale": report.stale,
                "notice": report.notice,
            }
            rest = to_json(self._make(*basis))[1:]
            etag = f'W/"{hashlib.blake2s(to_json(head) + rest, digest_size=12).hexdigest()}"'
            self._rendered = Rendered(report, basis, head, rest, etag, [*DYNAMIC, ("ETag", etag)])
            return self._rendered

    def _age(self, rendered: Rendered, age: int | None) -> Aged:
        with self._lock:
            aged = self._aged
            if aged is not None and aged.rendered is rendered and aged.age == age:
                return aged
            plain = to_json({**rendered.head, "age_seconds": age})[:-1] + b"," + rendered.rest
            zipped = gzip.compress(plain, GZIP_LEVEL)
            headers = [*rendered.unchanged, ("Content-Type", "application/json"), ("Vary", "Accept-Encoding")]
            self._aged = Aged(
                rendered,
                age,
                plain,
                [*headers, ("Content-Length", str(len(plain)))],
                zipped,
                [*headers, ("Content-Encoding", "gzip"), ("Content-Length", str(len(zipped)))],
            )
            return self._aged


class Answers:
    """Answers by address and query, as the request line has them."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Answer] = {}

    def find(self, environ: "WSGIEnvironment") -> Answer | None:
        """The answer to a GET that was asked for before."""
        if environ["REQUEST_METHOD"] != "GET":
            return None
        return self._answers.get((environ["PATH_INFO"], environ.get("QUERY_STRING", "")))

    def keep(self, environ: "WSGIEnvironment", answer: Answer) -> None:
        """Answer the same request without Flask from now on."""
        if len(self._answers) >= MAX_ANSWERS:
            self._answers.clear()
        self._answers[environ["PATH_INFO"], environ.get("QUERY_STRING", "")] = answer


def _has(if_none_match: str, etag: str) -> bool:
    return parse_etags(if_none_match).contains_weak(etag[3:-1])


@lru_cache(maxsize=256)
def _takes_gzip(accept_encoding: str) -> bool:
    return parse_accept_header(accept_encoding, Accept).quality("gzip") > 0
