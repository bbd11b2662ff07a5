"""The page."""

from pathlib import Path

from flask import Blueprint, current_app, render_template, request

from retail_webapp.answers import DEFAULT_PRODUCTS
from retail_webapp.filters import parse_filters
from retail_webapp.settings import Settings
from retail_webapp.snippets import snippets_of

bp = Blueprint("pages", __name__)

CHART_LIBRARY = "vendor/chart.umd.min.js"
PRODUCT_LIMITS = (5, 10, 25, 50)


@bp.get("/")
def index() -> str:
    """The dashboard; the filters stand in its address, the data comes from the API."""
    filters = parse_filters(request.args)
    limit = filters.limit or DEFAULT_PRODUCTS
    settings: Settings = current_app.extensions["settings"]
    return render_template(
        "index.html",
        filters=filters,
        limit=limit,
        limits=sorted({*PRODUCT_LIMITS, limit}),
        links=[(name, address) for name, address in settings.links if address],
        snippets=snippets_of(settings),
        chart_library=CHART_LIBRARY if _has_static(CHART_LIBRARY) else None,
    )


def _has_static(name: str) -> bool:
    return (Path(current_app.static_folder or "") / name).is_file()
