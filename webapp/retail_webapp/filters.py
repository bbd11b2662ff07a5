"""Query parameters of the page and the API, checked once for both."""

import re
from collections.abc import Collection
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from werkzeug.datastructures import MultiDict

BATCH_PARAMETERS = frozenset({"from", "to", "category", "product", "limit"})
DATE_PARAMETERS = BATCH_PARAMETERS - {"limit"}
STORE_PARAMETERS = frozenset({"from", "to", "limit"})
LIVE_PARAMETERS = frozenset({"category", "product", "limit"})
NAME_PARAMETERS = frozenset({"category", "like", "limit"})
COMPARISON_PARAMETERS = frozenset({"day"})
QUARANTINE_PARAMETERS = frozenset({"job", "reason", "file", "run", "limit"})

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

HINTS = {
    "from": "a date as YYYY-MM-DD",
    "to": "a date as YYYY-MM-DD",
    "category": "a name of at most 200 characters",
    "product": "a name of at most 200 characters",
    "limit": "a whole number from 1 to 1000",
    "like": "a text of at most 200 characters",
    "day": "a date as YYYY-MM-DD",
    "job": "batch or streaming",
    "reason": "a text of at most 200 characters",
    "file": "a name of at most 1000 characters",
    "run": "a text of at most 200 characters",
}


class BadParameterError(ValueError):
    """A query parameter that cannot be used; the text says which, and what is expected."""


class Filters(BaseModel):
    """What a reader wants to see; a missing value does not restrict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_: date | None = Field(default=None, alias="from")
    to: date | None = None
    category: str | None = Field(default=None, max_length=200)
    product: str | None = Field(default=None, max_length=200)
    limit: int | None = Field(default=None, ge=1, le=1000)
    like: str | None = Field(default=None, max_length=200)
    day: date | None = None
    job: Literal["batch", "streaming"] | None = None
    reason: str | None = Field(default=None, max_length=200)
    file: str | None = Field(default=None, max_length=1000)
    run: str | None = Field(default=None, max_length=200)

    @classmethod
    def of_day(cls, day: date) -> "Filters":
        """What restricts to one day."""
        return cls.model_validate({"from": day, "to": day})

    @model_validator(mode="after")
    def _ordered(self) -> "Filters":
        if self.from_ and self.to and self.from_ > self.to:
            raise ValueError(f"'from' ({self.from_}) is after 'to' ({self.to})")
        return self


def parse_filters(args: MultiDict[str, str], known: Collection[str] = BATCH_PARAMETERS) -> Filters:
    """Read the filters of a request.

    Args:
        args: the query parameters; an empty value counts as not given (a form sends such values).
        known: names that this address takes.

    Returns:
        The checked filters.

    Raises:
        BadParameterError: for an unknown name, a name given twice, or a value that cannot be used.
    """
    for name, values in args.lists():
        if name not in known:
            raise BadParameterError(f"unknown parameter '{name}'; known are: {', '.join(sorted(known))}")
        if len(values) > 1:
            raise BadParameterError(f"parameter '{name}' is given {len(values)} times")
    given = {name: value.strip() for name, value in args.items() if value.strip()}
    for name in ("from", "to", "day"):
        # Pydantic would also take a number of seconds for a date.
        if name in given and not ISO_DATE.fullmatch(given[name]):
            raise _bad_value(name, given[name])
    try:
        return Filters.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise BadParameterError(first["msg"].removeprefix("Value error, ")) from None
        name = str(first["loc"][0])
        raise _bad_value(name, given[name]) from None


def _bad_value(name: str, value: str) -> BadParameterError:
    shown = value if len(value) <= 40 else value[:40] + "…"
    return BadParameterError(f"parameter '{name}' is '{shown}'; expected {HINTS[name]}")
