from __future__ import annotations

import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, PrivateAttr

from retail_jobs.explain import explain

log = logging.getLogger(__name__)


def now() -> str:
    """The time in UTC, ISO-8601."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Report(BaseModel):
    """What a batch run did; `last_run.json`."""

    run_id: str = Field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}")
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
    _began: float = PrivateAttr(default_factory=time.monotonic)

    def add_reasons(self, reasons: list[str], rows: int) -> None:
        """Count rows that went to the quarantine for these reasons."""
        self.quarantined += rows
        counted = Counter(self.reasons)
        for reason in reasons:
            counted[reason] += rows
        self.reasons = dict(sorted(counted.items()))

    def save(self, file: Path) -> None:
        """Write the report of a run that is over; readers see the old one or the new one."""
        self.finished, self.seconds = now(), round(time.monotonic() - self._began, 1)
        replace_file(file, self.model_dump_json(indent=2) + "\n")

    @contextmanager
    def on_failure(self, file: Path) -> Iterator[None]:
        """Write the report when the block fails; the error goes on, whether the report can be written or not."""
        try:
            yield
        except Exception as error:
            self.result, self.message = "failed", str(explain(error))
            try:
                self.save(file)
            except OSError as unwritten:
                log.warning("the report cannot be written: %s", explain(unwritten))
            raise


def replace_file(file: Path, text: str) -> None:
    """Write a local file by way of another name; everybody may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.chmod(0o644)  # for the dashboard and whoever looks, whatever the unit's umask
    partial.replace(file)
