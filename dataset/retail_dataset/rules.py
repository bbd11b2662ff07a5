"""The rules of a data set: `dataset.toml` in the input folder, every key optional."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from retail_dataset.columns import FIELDS
from retail_dataset.errors import DataSetError
from retail_dataset.files import RULES
from retail_dataset.values import date_pattern


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_list)]
Pairs = tuple[tuple[str, Names], ...]


def _as_pairs(value: object) -> object:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


class _Table(BaseModel):
    """Frozen, so that files can be grouped by their rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def digest(self) -> str:
        """Changes with what the rules say, not with how it is written."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Rules(_Table):
    """What holds for one file.

    Attributes:
        orders: `row`: an order is one row. `lines`: all rows with its id in one file; each row counts.
        returns: what becomes of a negative quantity or amount.
        dates: Spark's patterns, tried in this order after ISO and yyyyMMdd.
        time_zone: of dates that name none.
        decimal: decimal mark of numbers.
        header_line: number of the header's line, from 1; none: the first line that is not blank.
        columns: canonical name, and the file's own names for it.
    """

    orders: Literal["row", "lines"] = "row"
    returns: Literal["quarantine", "subtract"] = "quarantine"
    dates: tuple[str, ...] = ()
    time_zone: str = "UTC"
    decimal: Literal[".", ","] = "."
    header_line: int | None = Field(default=None, ge=1, le=1000)
    columns: Annotated[Pairs, BeforeValidator(_as_pairs)] = ()

    @field_validator("dates")
    @classmethod
    def _dates_can_be_read(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            date_pattern(pattern)
        return patterns

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"there is no time zone {name!r}; one is Europe/London") from error
        return name

    @field_validator("columns")
    @classmethod
    def _columns_are_canonical(cls, pairs: Pairs) -> Pairs:
        for name, _ in pairs:
            if name not in FIELDS:
                raise ValueError(f"unknown column {name!r}{_meant(name, FIELDS)}")
        return pairs


class ProductRules(_Table):
    """How `products.csv` is read: its own names for the columns.

    Attributes:
        key: what the sales name; none: the product itself.
        product: the product's name, as it is shown.
        category: its category.
        brand: its brand.
    """

    key: str | None = Field(default=None, min_length=1)
    product: str | None = Field(default=None, min_length=1)
    category: str | None = Field(default=None, min_length=1)
    brand: str | None = Field(default=None, min_length=1)


class FileRules(Rules):
    """Rules of the files whose name or path below the input folder matches a pattern."""

    match: str = Field(min_length=1)

    def fits(self, path: str) -> bool:
        """Whether a file is meant; a pattern without a slash looks at the name alone."""
        return fnmatchcase(path if "/" in self.match else path.rsplit("/", 1)[-1], self.match)


class DataSet(Rules):
    """The whole of `dataset.toml`."""

    products: ProductRules = ProductRules()
    files: tuple[FileRules, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Rules as they are written.

        Raises:
            DataSetError: the text is no TOML, or says something that means nothing.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise DataSetError(f"{RULES} cannot be read: {error}") from error
        except ValidationError as error:
            raise DataSetError(f"{RULES}: {'; '.join(_complaints(error))}") from error

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Rules of a folder on this disk; the defaults when it has no `dataset.toml`.

        Raises:
            DataSetError: see `parse`.
        """
        file = folder / RULES
        return cls.parse(decode(file.read_bytes())) if file.exists() else cls()

    def for_file(self, path: str) -> Rules:
        """Rules of one file; of two entries that match it, the later one wins, key by key.

        Args:
            path: below the input folder.
        """
        said = {name: getattr(self, name) for name in Rules.model_fields}
        for entry in self.files:
            if entry.fits(path):
                own = {name: getattr(entry, name) for name in entry.model_fields_set - {"match"}}
                own["columns"] = tuple(sorted((dict(said["columns"]) | dict(own.get("columns", ()))).items()))
                said |= own
        return Rules.model_validate(said)


def decode(content: bytes) -> str:
    """Text of a small file in UTF-8, with or without a byte order mark.

    Raises:
        DataSetError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataSetError(f"{RULES} is not UTF-8: save it as UTF-8") from error


def _complaints(error: ValidationError) -> Iterator[str]:
    for found in error.errors():
        *table, key = found["loc"] or ("",)
        where = ".".join(str(part) for part in table if isinstance(part, str))
        inside = f" in [{where}]" if where else ""
        if found["type"] == "extra_forbidden":
            yield f"unknown key {key!r}{inside}{_meant(str(key), _keys(where))}"
        else:
            said = found["msg"].removeprefix("Value error, ")
            yield f"{key}{inside}: {said[:1].lower()}{said[1:]} (it says {found['input']!r})"


def _keys(table: str) -> list[str]:
    models: dict[str, type[BaseModel]] = {"": DataSet, "files": FileRules, "products": ProductRules}
    return list(models[table].model_fields)


def _meant(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name.lower(), known, n=1)
    return f": did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
