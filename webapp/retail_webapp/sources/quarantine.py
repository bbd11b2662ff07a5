"""The records that could not be used: how many, why, and examples; whatever they are many, a look stays cheap."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import IOBase
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retail_webapp.sources.dataset import moment_of
from retail_webapp.sources.polled import StoreSource
from retail_webapp.sources.stores import FileEntry, Store

log = logging.getLogger(__name__)

File = tuple[str, FileEntry]
"""Job and file."""

JOBS = ("batch", "streaming")

NEW_FILES = 100
"""Footers read in one look; the others follow in the next ones."""

REASON_ROWS = 100_000
"""Reasons are counted over the newest files up to so many records."""

EXAMPLES = 50
"""Examples kept, from the newest files."""

RAW_CHARACTERS = 400
"""Characters of the raw text that an example shows."""

RAW_BYTES = 16 * 2**20
"""A file whose raw text is larger (uncompressed, by its footer) gives examples without it."""


@dataclass(frozen=True)
class Example:
    """One record of the quarantine."""

    job: str
    quarantined_at: datetime | None
    reasons: tuple[str, ...]
    origin: str
    """File, or topic/partition/offset."""

    raw: str | None
    """The record as it came, cut short; None when it is too large to be looked at."""


@dataclass(frozen=True)
class Part:
    """What one file of the quarantine holds."""

    records: int
    reasons: Counter[str] | None
    """Records by reason; a record may have several. None while it was not counted."""

    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Quarantine:
    """The quarantine at one moment."""

    records: Mapping[str, int]
    """Records by job, from the footers of all files read so far."""

    reasons: Mapping[tuple[str, str], int]
    """Records by job and reason, over the newest files."""

    counted: int
    """Records that `reasons` was counted over."""

    unread: int
    """Files whose footer has not been read yet."""

    examples: tuple[Example, ...]
    """The newest ones."""

    newest: datetime | None
    """When the newest file was written (UTC)."""


class QuarantineSource(StoreSource[Quarantine]):
    """Looks at the files that are new; what was read of the others is kept."""

    _parts: Mapping[File, Part] = MappingProxyType({})

    def computed_at(self, found: Quarantine) -> datetime | None:
        """When its newest file was written."""
        return found.newest

    def look_into(self, store: Store) -> Quarantine:
        """The quarantine now; a folder that does not exist holds nothing."""
        files = sorted(
            ((job, entry) for job in JOBS for entry in _files(store, job)),
            key=lambda file: (file[1].modified_ns, file),
            reverse=True,
        )
        self._parts = _read_new(store, files, self._parts)
        return summarise(files, self._parts)


def summarise(files: Iterable[File], parts: Mapping[File, Part]) -> Quarantine:
    """Put together what is known of the files.

    Args:
        files: job and file, newest first.
        parts: what was read of them; some may be missing.
    """
    files = list(files)
    known = [(job, parts[job, entry]) for job, entry in files if (job, entry) in parts]
    records: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for job, part in known:
        records[job] += part.records
        for reason, count in (part.reasons or {}).items():
            reasons[job, reason] += count
    examples = [example for _, part in known for example in part.examples]
    return Quarantine(
        records={job: records[job] for job in JOBS},
        reasons=dict(reasons),
        counted=sum(part.records for _, part in known if part.reasons is not None),
        unread=len(files) - len(known),
        examples=tuple(examples[:EXAMPLES]),
        newest=moment_of(files[0][1].modified_ns) if files else None,
    )


def _files(store: Store, job: str) -> list[FileEntry]:
    """The files of a job that readers may see."""
    try:
        return [entry for entry in store.files(job) if entry.readable]
    except FileNotFoundError:
        return []


def _read_new(store: Store, files: list[File], known: Mapping[File, Part]) -> dict[File, Part]:
    """What is known of the files after reading the newest of those that are new."""
    parts = {file: known[file] for file in files if file in known}
    rows = examples = read = 0
    for job, entry in files:
        part = parts.get((job, entry))
        if part is None and read < NEW_FILES:
            try:
                with store.open(f"{job}/{entry.path}") as file:
                    part = read_part(job, file, reasons=rows < REASON_ROWS, examples=EXAMPLES - examples)
            except FileNotFoundError:  # a full refresh took it away meanwhile
                continue
            parts[job, entry] = part
            read += 1
        if part is not None:
            if examples >= EXAMPLES and part.examples:
                parts[job, entry] = part = replace(part, examples=())
            rows, examples = rows + part.records, examples + len(part.examples)
    return parts


def read_part(job: str, file: IOBase, *, reasons: bool, examples: int) -> Part:
    """Read a file of the quarantine as far as it is wanted.

    Args:
        job: who wrote it.
        file: Parquet, with the columns of the quarantine.
        reasons: whether the reasons are counted.
        examples: how many records to show, at most.

    Raises:
        pa.ArrowInvalid: when it is no Parquet.
        KeyError: when a column is missing.
    """
    # Everything in the calling thread, see HdfsStore.
    parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False)
    counted: Counter[str] | None = None
    if reasons:
        column = parquet.read(["reasons"], use_threads=False)["reasons"]
        values = pc.value_counts(pc.list_flatten(column)).to_pylist()
        counted = Counter({str(row["values"]): row["counts"] for row in values})
    shown = _examples(job, parquet, examples) if examples > 0 and parquet.metadata.num_rows else ()
    return Part(parquet.metadata.num_rows, counted, shown)


def _examples(job: str, parquet: pq.ParquetFile, number: int) -> tuple[Example, ...]:
    group = parquet.metadata.row_group(0)
    raw = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == "raw")
    columns = ["reasons", "source", "topic", "partition", "offset", "quarantined_at"]
    if raw.total_uncompressed_size <= RAW_BYTES:
        columns.append("raw")
    batch = next(parquet.iter_batches(batch_size=number, row_groups=[0], columns=columns, use_threads=False))
    return tuple(_example(job, row) for row in batch.to_pylist())


def _example(job: str, row: Mapping[str, Any]) -> Example:
    moment: datetime | None = row["quarantined_at"]
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    raw = row.get("raw")
    if raw is not None and len(raw) > RAW_CHARACTERS:
        raw = f"{raw[:RAW_CHARACTERS]}… ({len(raw):,} characters)"
    topic = row["topic"]
    return Example(
        job=job,
        quarantined_at=moment,
        reasons=tuple(row["reasons"] or ()),
        origin=str(row["source"] or "") if topic is None else f"{topic}/{row['partition']}/{row['offset']}",
        raw=raw,
    )
