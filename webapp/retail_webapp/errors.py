"""Errors as JSON under /api, as a page elsewhere."""

import logging

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from retail_webapp.filters import BadParameterError

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Attach the handlers to the app."""
    app.register_error_handler(BadParameterError, _bad_parameter)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _bad_parameter(error: BadParameterError) -> Response:
    return _answer(400, "Bad request", str(error))


def _http(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:
        return make_response(error.get_response())
    return _answer(error.code or 500, error.name, error.description or "")


def _unexpected(error: Exception) -> Response:
    log.exception("request %s failed", request.full_path, exc_info=error)
    message = "The dashboard failed; its journal says why: journalctl -u retail-dashboard"
    return _answer(500, "Internal server error", message)


def _answer(code: int, name: str, message: str) -> Response:
    if request.path.startswith("/api/"):
        response = jsonify(error={"code": code, "name": name, "message": message})
    else:
        response = make_response(render_template("error.html", code=code, name=name, message=message))
    response.status_code = code
    return response
