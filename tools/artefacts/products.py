"""The products that hosts receive (rows of artefacts.toml), what is locked for them, where it all lies."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
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
        return cls(name, **row)


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
        rows = tuple(Product.from_row(name, row) for name, row in table["product"].items())
        return cls(root, table["maven_plugin"], rows)

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
