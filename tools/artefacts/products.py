"""The products that hosts receive (rows of artefacts.toml), what is locked for them, where it all lies."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tools.artefacts.maven import Coordinate
from tools.terminal import Problem

Jars = Mapping[str, Mapping[Coordinate, str]]
"""Folder in the archive (or "unpack") -> jar -> sha256."""

Manifest = dict[str, dict[str, Any]]
"""Product -> version, file, sha256, size in bytes, and the digest of what went into it."""


@dataclass(frozen=True)
class Product:
    """A row of artefacts.toml; its keys are described there."""

    name: str
    version: str = ""
    requirements: str = ""
    source: str = ""
    jars: Mapping[str, list[str]] = field(default_factory=dict)
    files: Mapping[str, list[str]] = field(default_factory=dict)
    unpack: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)

    @classmethod
    def from_row(cls, name: str, row: Mapping[str, Any]) -> Product:
        """Make a product of its row.

        Raises:
            Problem: the row has a key that means nothing.
        """
        unknown = row.keys() - (cls.__dataclass_fields__.keys() - {"name"})
        if unknown:
            raise Problem(f"tools/artefacts/artefacts.toml, product {name}: unknown key {', '.join(sorted(unknown))}.")
        return cls(name, **_filled(row, row.get("version", "")))

    @property
    def base(self) -> str:
        """Name of the product, whichever version of it this is: `kafka` of `kafka@4.2.2`."""
        return self.name.partition("@")[0]


def _filled(value: Any, version: str) -> Any:  # noqa: ANN401 - whatever TOML holds
    """The same with the version in the place of `{version}`."""
    if isinstance(value, str):
        return value.replace("{version}", version)
    if isinstance(value, list):
        return [_filled(entry, version) for entry in value]
    if isinstance(value, dict):
        return {_filled(key, version): _filled(entry, version) for key, entry in value.items()}
    return value


def rows(table: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Products by name; each of the `versions` of one is a row by itself, with what differs from it.

    Args:
        table: The products of artefacts.toml.
    """
    for name, row in table.items():
        newest = {key: value for key, value in row.items() if key != "versions"}
        yield name, newest
        for version, other in row.get("versions", {}).items():
            yield f"{name}@{version}", {**newest, **other, "version": version}


@dataclass(frozen=True)
class Checkout:
    """A checkout: its products, and the folders where their parts and archives lie."""

    root: Path
    maven_plugin: str
    products: tuple[Product, ...]

    @classmethod
    def at(cls, root: Path) -> Checkout:
        """Read artefacts.toml of a checkout."""
        table = tomllib.loads((root / "tools/artefacts/artefacts.toml").read_text())
        products = tuple(Product.from_row(name, row) for name, row in rows(table["product"]))
        return cls(root, table["maven_plugin"], products)

    def chosen(self, others: Collection[tuple[str, str]]) -> tuple[Product, ...]:
        """The products that hosts receive: the newest version of each, and others that are asked for.

        Args:
            others: Products, each with a version.

        Raises:
            Problem: there is no such version.
        """
        for name, version in others:
            known = self.versions(name)
            if version not in known:
                raise Problem(
                    f"There is no {name} {version or '(no version was given)'}; there is {' and '.join(known)}. "
                    "A further version is a row of tools/artefacts/artefacts.toml, and then `make lock`."
                    if known
                    else f"There is no product {name!r} with versions; there is {', '.join(self.versioned)}."
                )
        wanted = {f"{name}@{version}" for name, version in others}
        return tuple(product for product in self.products if product.name == product.base or product.name in wanted)

    def versions(self, name: str) -> list[str]:
        """Versions of a product, the newest first; none when there is no such product, or it is our own code."""
        return [product.version for product in self.products if product.base == name and product.version]

    @property
    def versioned(self) -> list[str]:
        """Names of the products that have versions."""
        return list(dict.fromkeys(product.base for product in self.products if product.version))

    @property
    def downloads(self) -> Path:
        """Folder of the jars."""
        return self.root / ".cache/downloads"

    @property
    def stage(self) -> Path:
        """Folder where archives are put together."""
        return self.root / ".cache/stage"

    @property
    def archives(self) -> Path:
        """Folder of the archives and their manifest."""
        return self.root / ".cache/artefacts"

    @property
    def lock_file(self) -> Path:
        """Jars with their sha256, by product and folder."""
        return self.root / "tools/artefacts/artefacts.lock"

    def manifest(self) -> Manifest:
        """The manifest of the archives; empty if none was made."""
        path = self.archives / "manifest.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def write_manifest(self, manifest: Manifest) -> None:
        """Put a new manifest in the place of the old one."""
        text = json.dumps(manifest, indent=2) + "\n"
        replace(self.archives / "manifest.json", lambda path: path.write_text(text))

    def roots_digest(self) -> str:
        """What the lock was made of; stands in the lock, so that a stale lock is noticed."""
        return digest_of([[p.name, p.jars, p.files, p.unpack] for p in self.products])

    def locked(self, *, stale: bool = False) -> dict[str, Jars]:
        """Jars of every product.

        Args:
            stale: whether a lock that does not fit artefacts.toml will do.

        Raises:
            Problem: the lock does not fit artefacts.toml.
        """
        lock = tomllib.loads(self.lock_file.read_text()) if self.lock_file.exists() else {}
        if lock.pop("roots", None) != self.roots_digest() and not stale:
            raise Problem(
                "tools/artefacts/artefacts.lock does not fit tools/artefacts/artefacts.toml. Run `make lock`."
            )
        return {
            product: {
                folder: {Coordinate.parse(text): digest for text, digest in jars.items()}
                for folder, jars in folders.items()
            }
            for product, folders in lock.items()
        }


def digest_of(value: object) -> str:
    """The sha256 of anything that JSON can hold, in hex."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that nobody ever sees half of it."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    write(unfinished)
    unfinished.replace(path)
