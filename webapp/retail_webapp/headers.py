"""Headers that every answer has, so that the page is as strict without nginx as behind it."""

from flask import Flask, Response, request

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)

SECURITY = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)

DYNAMIC = (*SECURITY, ("Cache-Control", "no-cache"))
"""Of what may change: kept by nobody without asking again."""


def register(app: Flask) -> None:
    """Attach the headers to the app."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    for name, value in SECURITY if request.endpoint == "static" else DYNAMIC:
        response.headers.setdefault(name, value)
    return response
