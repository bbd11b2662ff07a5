"""Dashboard of the retail pipeline.

Run it behind nginx with:
    python3 -m gunicorn -c python:retail_webapp.gunicorn_conf 'retail_webapp:create_app()'
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from retail_webapp import errors, headers
from retail_webapp.blueprints import api, pages
from retail_webapp.envelope import Answers
from retail_webapp.settings import Settings
from retail_webapp.sources import make_sources

STATIC = Path(__file__).parent / "static"
STATIC_SECONDS = 365 * 24 * 3600


def create_app(test_config: Mapping[str, Any] | None = None) -> Flask:
    """Make the app; nothing is connected or read before the first request.

    Args:
        test_config: values for `app.config`; SETTINGS takes the place of the environment.

    Returns:
        The app, a WSGI callable.
    """
    app = Flask(__name__, static_folder=None)
    app.static_folder = str(STATIC)
    app.config.from_mapping(SEND_FILE_MAX_AGE_DEFAULT=STATIC_SECONDS)
    app.config.from_mapping(test_config or {})
    settings = app.config.get("SETTINGS") or Settings()
    app.extensions["settings"] = settings
    app.extensions["sources"] = make_sources(settings)
    app.extensions["answers"] = Answers()
    # The digest in the address lets browsers keep static files for ever, and modules import each other by
    # relative addresses, so that all of a page come from the same version.
    app.add_url_rule(f"/static/{_digest(STATIC)}/<path:filename>", "static", app.send_static_file)
    app.register_blueprint(pages.bp)
    app.register_blueprint(api.bp)
    headers.register(app)
    errors.register(app)
    return app


def _digest(folder: Path) -> str:
    """Hash over all files of a folder."""
    sums = hashlib.blake2s(digest_size=6)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sums.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return sums.hexdigest()
