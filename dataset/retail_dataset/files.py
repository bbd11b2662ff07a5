"""Which files of an input folder are transactions, and what lies beside them."""

from __future__ import annotations

from pathlib import Path

PRODUCTS = "products.csv"
RULES = "dataset.toml"
ENDINGS = (".csv", ".csv.gz")


def is_input(path: str) -> bool:
    """Whether a file holds transactions, by its path below the input folder.

    In any case of letters, and in sub-folders; hidden files and folders (leading dot or underscore) are left out.
    """
    parts = path.lower().split("/")
    hidden = any(part.startswith((".", "_")) for part in parts)
    return parts[-1].endswith(ENDINGS) and parts[-1] != PRODUCTS and not hidden


def input_files(folder: Path) -> list[str]:
    """Paths below a folder of the files that hold transactions, sorted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if is_input(path))
