"""JSON answers: one envelope for all, rendered once per state of the data, with an ETag."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from flask import Response, request

from retail_webapp.sources.report import Report, iso, utc_now

MAX_RENDERED = 256


def to_json(value: object) -> bytes:
    """Compact JSON; a Decimal or a date in it is an error, since both must be text by now."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Rendered:
    """The part of an answer that depends on the data only."""

    basis: tuple[object, ...]
    body: bytes
    digest: bytes


class RenderCache:
    """Bodies by address and filters, each valid as long as what it was made from is the current state."""

    def __init__(self) -> None:
        self._rendered: dict[object, Rendered] = {}
        self._lock = Lock()

    def get(self, key: object, basis: tuple[object, ...], make: Callable[[], dict[str, Any]]) -> Rendered:
        """The body for a key, made when its basis is another than at the last call.

        Args:
            key: address and filters, hashable.
            basis: what the body is made from; snapshots are compared by identity.
            make: computes the answer.
        """
        found = self._rendered.get(key)
        if found and found.basis == basis:
            return found
        body = to_json(make())
        made = Rendered(basis, body, hashlib.blake2s(body, digest_size=12).digest())
        with self._lock:
            if len(self._rendered) >= MAX_RENDERED:
                self._rendered.clear()
            self._rendered[key] = made
        return made


def answer(report: Report, rendered: Rendered) -> Response:
    """Put the state of the source and the rendered body together; 304 when the reader has it already.

    The age is no part of the ETag: otherwise no answer would ever equal the one before. The ETag is weak for
    the same reason; the reader takes the age from `computed_at` and the answer's Date.
    """
    head: dict[str, Any] = {
        "source": report.source,
        "state": report.state,
        "computed_at": iso(report.computed_at),
        "stale": report.stale,
        "notice": report.notice,
    }
    tag = hashlib.blake2s(to_json(head) + rendered.digest, digest_size=12).hexdigest()
    if request.if_none_match.contains_weak(tag):
        response = Response(status=304)
    else:
        head["age_seconds"] = report.age_seconds(utc_now())
        response = Response(to_json(head)[:-1] + b"," + rendered.body[1:], mimetype="application/json")
    response.set_etag(tag, weak=True)
    return response
