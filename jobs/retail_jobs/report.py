from __future__ import annotations

import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, PrivateAttr

from retail_jobs.cleaning import REASONS
from retail_jobs.explain import explain
from retail_jobs.headers import Header
from retail_jobs.publication import SeenFile

log = logging.getLogger(__name__)

MOST_QUARANTINED = 0.1
"""Share of the rows in the quarantine above which a run is not a success."""

RUNS = "runs.jsonl"
"""The last runs, a line each, the oldest first."""

MOST_RUNS = 50


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
    """Orders of which a later file says something else than an earlier one."""
    quarantined: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    dates_published: list[str] = Field(default_factory=list)
    publication: int = 0
    gone: list[str] = Field(default_factory=list)
    """Files that are not in the input folder any more, whose sales still count."""
    headers: dict[str, Header] = Field(default_factory=dict)
    """Of the files, whenever they were read, of which no row can be used for their header."""
    result: str = "running"
    """`published`, `nothing new`, `partial` (little of the input could be used) or `failed`."""
    message: str = ""
    _began: float = PrivateAttr(default_factory=time.monotonic)

    def count(self, read: Mapping[str, SeenFile]) -> None:
        """Take what the files gave that were read."""
        self.files_read = len(read)
        self.rows_read = sum(file.rows for file in read.values())
        self.clean = sum(file.clean for file in read.values())
        self.quarantined = self.rows_read - self.clean
        self.reasons = _reasons(read.values())

    def settle(self, known: Mapping[str, SeenFile]) -> None:
        """Say how the run went: one that could use little is no success, nor are those after it.

        Args:
            known: all files whose sales count.
        """
        self.headers = {name: file.header for name, file in sorted(known.items()) if file.header}
        useless = {name: file for name, file in known.items() if not file.clean}
        rows, bad = self.rows_read, self.quarantined
        if not self.files_read:
            rows = sum(file.rows for file in known.values())
            bad = rows - sum(file.clean for file in known.values())
        troubles = []
        if useless:
            troubles.append(f"no row of {', '.join(sorted(useless))} could be used{_why(useless.values())}")
        if bad > rows * MOST_QUARANTINED:
            troubles.append(f"{bad} of {rows} rows are in the quarantine{_why(known.values())}")
        if troubles:
            self.result, self.message = "partial", "; ".join(troubles)
        else:
            self.result = "published" if self.publication else "nothing new"

    def save(self, file: Path) -> None:
        """Write the report of a run that is over, and add it to the list of runs beside it; readers see old or new."""
        self.finished, self.seconds = now(), round(time.monotonic() - self._began, 1)
        replace_file(file, self.model_dump_json(indent=2) + "\n")
        runs = file.with_name(RUNS)
        before = runs.read_text(encoding="utf-8").split("\n")[:-1] if runs.exists() else []
        line = self.model_dump_json(exclude={"dates_published", "gone", "headers"})
        replace_file(runs, "".join(f"{run}\n" for run in [*before[1 - MOST_RUNS :], line]))

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


def _reasons(files: Iterable[SeenFile]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for file in files:
        counted.update(file.reasons)
    return dict(sorted(counted.items()))


def _why(files: Iterable[SeenFile]) -> str:
    """The commonest reasons, as the end of a sentence."""
    commonest = Counter(_reasons(files)).most_common(2)
    told = (f"{rows} x {reason} ({REASONS.get(reason, 'unknown')})" for reason, rows in commonest)
    return f": {', '.join(told)}" if commonest else ", for there is none"


def replace_file(file: Path, text: str) -> None:
    """Write a local file by way of another name; everybody may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.chmod(0o644)  # for the dashboard and whoever looks, whatever the unit's umask
    partial.replace(file)
