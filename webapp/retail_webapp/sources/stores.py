"""Folders that hold the batch result: HDFS, or the local disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from retail_webapp.settings import Settings


class FileEntry(NamedTuple):
    """A file as the list shows it; the same entry means the same content."""

    path: str
    """Relative to the folder."""

    size: int
    modified_ms: int


class Store(Protocol):
    """What the batch source needs of a file system."""

    address: str
    """The folder, as a reader would write it."""

    def list_files(self) -> list[FileEntry]:
        """All files under the folder.

        Raises:
            FileNotFoundError: when there is no such folder.
        """

    def read(self, path: str) -> bytes:
        """The whole content of a file of the list."""


class LocalStore:
    """A folder on the local disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.address = f"Folder {folder}"

    def list_files(self) -> list[FileEntry]:
        """See Store."""
        if not self._folder.is_dir():
            raise FileNotFoundError(self._folder)
        return list(self._walk())

    def _walk(self) -> Iterator[FileEntry]:
        for path in self._folder.rglob("*.parquet"):
            status = path.stat()
            name = path.relative_to(self._folder).as_posix()
            yield FileEntry(name, status.st_size, status.st_mtime_ns // 1_000_000)

    def read(self, path: str) -> bytes:
        """See Store."""
        return (self._folder / path).read_bytes()


class HdfsStore:
    """A folder on HDFS, through the native client: no JVM, and it follows a NameNode failover.

    Files are read whole and given to pyarrow as bytes: with the client inside a pyarrow data set, threads of
    pyarrow call back into Python and abort the process when it ends.
    """

    def __init__(self, path: str) -> None:
        # Imported here because the client must not exist before gunicorn forks.
        from hdfs_native import Client

        parts = urlsplit(path)
        self._client = Client(f"{parts.scheme}://{parts.netloc}") if parts.netloc else Client()
        self._folder = parts.path.rstrip("/")
        self.address = path if parts.netloc else f"HDFS {parts.path}"

    def list_files(self) -> list[FileEntry]:
        """See Store."""
        statuses = self._client.list_status(self._folder, recursive=True)
        prefix = self._folder + "/"
        return [FileEntry(s.path.removeprefix(prefix), s.length, s.modification_time) for s in statuses if not s.isdir]

    def read(self, path: str) -> bytes:
        """See Store."""
        return self._client.read(f"{self._folder}/{path}").read()


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name; connects to nothing that needs closing."""
    if settings.use_hdfs:
        return HdfsStore(settings.analysis_path)
    return LocalStore(Path(settings.analysis_path.removeprefix("file://")))
