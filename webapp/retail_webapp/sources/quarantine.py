"""The records that could not be used, to be looked through; however many there are, a look stays cheap."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import IOBase
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retail_webapp.sources.dataset import moment_of
from retail_webapp.sources.polled import StoreSource
from retail_webapp.sources.stores import FileEntry, Store

File = tuple[str, FileEntry]
"""Job and file."""

JOBS = ("batch", "streaming")

NEW_FILES = 100
"""Files read in one look; the others follow in the next ones."""

ROWS = 20_000
"""Records that are kept, of the newest files; of the others, only their number is known."""

RAW_CHARACTERS = 4_000
"""Characters that are kept of a record's text."""

RAW_BYTES = 16 * 2**20
"""A file whose raw text is larger (uncompressed, by its footer) gives records without it."""

RECORDS = pa.schema(
    [
        ("job", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("file", pa.string()),
        ("origin", pa.string()),
        ("run", pa.string()),
        ("quarantined_at", pa.timestamp("us", "UTC")),
        ("raw", pa.string()),
    ]
)
"""One record: `file` is the name of the input file or the topic, `origin` the whole address, and of an event its
partition and offset; `raw` is null when it is too large to be looked at."""


@dataclass(frozen=True)
class Part:
    """What one file of the quarantine holds."""

    number: int
    """Of its records."""

    records: pa.Table | None
    """`RECORDS`; None of an old file when there are many."""


@dataclass(frozen=True, eq=False)
class Quarantine:
    """The quarantine at one moment."""

    numbers: Mapping[str, int]
    """Records by job, from the footers of all files read so far."""

    records: pa.Table
    """`RECORDS`, those of the newest files first."""

    unread: int
    """Files that have not been read yet."""

    files: frozenset[File]
    """What it was read from."""

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
        parts = self._read_new(store, files)
        held = self._held[1]
        if held is not None and held.files == parts.keys() and held.unread == len(files) - len(parts):
            return held
        self._parts = parts
        return summarise(files, parts)

    def _read_new(self, store: Store, files: list[File]) -> dict[File, Part]:
        parts = {file: self._parts[file] for file in files if file in self._parts}
        rows = read = 0
        for job, entry in files:
            part = parts.get((job, entry))
            if part is None and read < NEW_FILES:
                try:
                    with store.open(f"{job}/{entry.path}") as file:
                        part = read_part(job, file, whole=rows < ROWS)
                except FileNotFoundError:  # a full refresh took it away meanwhile
                    continue
                self.progress()
                read += 1
            if part is not None:
                parts[job, entry] = part if rows < ROWS else Part(part.number, None)
                rows += part.number
        return parts


def summarise(files: list[File], parts: Mapping[File, Part]) -> Quarantine:
    """Put together what is known of the files.

    Args:
        files: job and file, newest first.
        parts: what was read of them; some may be missing.
    """
    known = [(job, parts[job, entry]) for job, entry in files if (job, entry) in parts]
    numbers: Counter[str] = Counter()
    for job, part in known:
        numbers[job] += part.number
    tables = [part.records for _, part in known if part.records is not None]
    return Quarantine(
        numbers={job: numbers[job] for job in JOBS},
        records=pa.concat_tables([RECORDS.empty_table(), *tables]).slice(0, ROWS).combine_chunks(),
        unread=len(files) - len(known),
        files=frozenset(parts),
        newest=moment_of(files[0][1].modified_ns) if files else None,
    )


def _files(store: Store, job: str) -> list[FileEntry]:
    """The files of a job that readers may see."""
    try:
        return [entry for entry in store.files(job) if entry.readable]
    except FileNotFoundError:
        return []


def read_part(job: str, file: IOBase, *, whole: bool) -> Part:
    """Read a file of the quarantine.

    Args:
        job: who wrote it.
        file: Parquet, with the columns of the quarantine.
        whole: whether its records are wanted, too.

    Raises:
        pa.ArrowInvalid: when it is no Parquet.
        KeyError: when a column is missing.
    """
    # Everything in the calling thread, see HdfsStore.
    parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False)
    number = parquet.metadata.num_rows
    return Part(number, _records(job, parquet) if whole else None)


def _records(job: str, parquet: pq.ParquetFile) -> pa.Table:
    columns = ["reasons", "source", "topic", "partition", "offset", "run_id", "quarantined_at"]
    if _raw_bytes(parquet.metadata) <= RAW_BYTES:
        columns.append("raw")
    table = next(parquet.iter_batches(ROWS, columns=columns, use_threads=False), None)
    if table is None:
        return RECORDS.empty_table()
    rows = table.num_rows
    raw = pc.utf8_slice_codeunits(table["raw"], 0, RAW_CHARACTERS) if "raw" in columns else pa.nulls(rows, pa.string())
    numbers = [pc.cast(table[name], pa.string()) for name in ("partition", "offset")]
    event = pc.binary_join_element_wise(table["topic"], *numbers, "/")
    made: dict[str, Any] = {
        "job": pa.repeat(job, rows),
        "reasons": table["reasons"],
        "file": pc.coalesce(table["topic"], pc.replace_substring_regex(table["source"], "^.*/", ""), pa.scalar("")),
        "origin": pc.coalesce(event, table["source"], pa.scalar("")),
        "run": table["run_id"],
        "quarantined_at": table["quarantined_at"],
        "raw": raw,
    }
    return pa.table([made[name] for name in RECORDS.names], RECORDS.names).cast(RECORDS)


def _raw_bytes(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == "raw")
