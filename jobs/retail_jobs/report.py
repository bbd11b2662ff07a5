from __future__ import annotations

import logging
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field

log = logging.getLogger(__name__)


def now() -> str:
    """The time in UTC, ISO-8601."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Report(BaseModel):
    """What a batch run did; `last_run.json`."""

    run_id: str
    started: str = Field(default_factory=now)
    finished: str = ""
    seconds: float = 0
    files_read: int = 0
    rows_read: int = 0
    clean: int = 0
    repeated: int = 0
    """Clean rows that say again what another row says; they count once."""
    corrected: int = 0
    """Clean rows that a row of a later file replaces."""
    quarantined: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    dates_published: list[str] = Field(default_factory=list)
    publication: int = 0
    result: str = "running"
    """`published`, `nothing new`, `partial` (a file had no known column) or `failed`."""
    message: str = ""

    def add_reasons(self, reasons: list[str], rows: int) -> None:
        """Count rows that went to the quarantine for these reasons."""
        self.quarantined += rows
        counted = Counter(self.reasons)
        for reason in reasons:
            counted[reason] += rows
        self.reasons = dict(sorted(counted.items()))

    def save(self, file: Path) -> None:
        """Write the report; readers see the old one or the new one."""
        replace_file(file, self.model_dump_json(indent=2) + "\n")


def replace_file(file: Path, text: str) -> None:
    """Write a local file by way of another name; everybody may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.chmod(0o644)  # for the dashboard and whoever looks, whatever the unit's umask
    partial.replace(file)
