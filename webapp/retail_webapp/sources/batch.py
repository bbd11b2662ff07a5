"""The batch result, read whole from the newest snapshot of its folder."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Unpack

import pyarrow as pa

from retail_webapp.sources.dataset import COLUMNS, Snapshot, assemble, parse_file, published
from retail_webapp.sources.polled import How, StoreSource
from retail_webapp.sources.stores import FileEntry, FolderEntry, Store

log = logging.getLogger(__name__)

SNAPSHOTS = ".snapshot"
NAME = re.compile(r"p\d{9}", re.ASCII)

KEPT = 5
"""Snapshots that the batch keeps; an older one may be taken away while it is read."""

ATTEMPTS = 5
"""Snapshots tried within one look, when publications overtake the reading."""


class OvertakenError(Exception):
    """Every snapshot was taken away before it was read."""


class BatchSource(StoreSource[Snapshot]):
    """Keeps the newest publication of the batch.

    Each publication ends with a snapshot that never changes, so what is read from one is a whole state.
    """

    def __init__(
        self, open_store: Callable[[], Store], address: str, columns: pa.Schema = COLUMNS, **how: Unpack[How]
    ) -> None:
        """Make a source of files with these columns; for the rest see StoreSource."""
        super().__init__(open_store, address, **how)
        self._columns = columns

    _tables: Mapping[FileEntry, pa.Table] = MappingProxyType({})
    """What the snapshot held was read from."""

    def computed_at(self, found: Snapshot) -> datetime | None:
        """When its newest file was written."""
        return found.computed_at

    def look_into(self, store: Store) -> Snapshot | None:
        """The newest snapshot; the one held when there is no newer one."""
        for _ in range(ATTEMPTS):
            newest = _newest_first(store)
            if not newest:
                return None
            held = self._held[1]
            if held is not None and held.folder == newest[0]:
                return held
            try:
                snapshot = self._read(store, newest[0])
            except FileNotFoundError:
                continue
            # One that may have lost files while they were listed is not trusted.
            if newest[0] in _newest_first(store)[:KEPT]:
                return snapshot
        raise OvertakenError(f"{ATTEMPTS} publications were replaced before they could be read")

    def _read(self, store: Store, folder: FolderEntry) -> Snapshot:
        """Read what the snapshot before did not have."""
        begin = time.monotonic()
        root = f"{SNAPSHOTS}/{folder.name}"
        files = published(store.files(root))
        tables = {}
        for entry in files:
            known = self._tables.get(entry)
            if known is None:
                known = parse_file(entry.path, store.read(f"{root}/{entry.path}"), self._columns)
                self.progress()
            tables[entry] = known
        fresh = len(tables.keys() - self._tables.keys())
        snapshot = assemble(folder, tables, self._columns)
        self._tables = tables
        log.info(
            "%s: read %d of %d files, %d rows in all, in %.2f s",
            folder.name,
            fresh,
            len(files),
            snapshot.table.num_rows,
            time.monotonic() - begin,
        )
        return snapshot


def _newest_first(store: Store) -> list[FolderEntry]:
    """Snapshots of publications; none when the folder or its snapshots do not exist yet."""
    try:
        folders = store.folders(SNAPSHOTS)
    except FileNotFoundError:
        return []
    return sorted((folder for folder in folders if NAME.fullmatch(folder.name)), reverse=True)
