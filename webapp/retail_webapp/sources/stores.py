"""Folders that hold results: on HDFS, or on the local disk."""

import os
from collections.abc import Iterator
from contextlib import suppress
from io import IOBase
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit


class FileEntry(NamedTuple):
    """A file as the list shows it; the same entry means the same content."""

    path: str
    """Relative to the folder that was listed."""

    size: int
    """Bytes."""

    modified_ns: int
    """Since 1970; HDFS counts in milliseconds."""

    @property
    def readable(self) -> bool:
        """Whether it is Parquet that readers may see: no part of its path is hidden."""
        hidden = any(part.startswith(("_", ".")) for part in PurePosixPath(self.path).parts)
        return self.path.endswith(".parquet") and not hidden


class FolderEntry(NamedTuple):
    """A folder as the list shows it."""

    name: str
    modified_ns: int


class Store(Protocol):
    """What a source needs of a file system; all paths are relative to the store's folder."""

    address: str
    """The folder, as a reader would write it."""

    def folders(self, path: str) -> list[FolderEntry]:
        """The folders in a folder.

        Raises:
            FileNotFoundError: when there is no such folder.
        """

    def files(self, path: str) -> list[FileEntry]:
        """All files under a folder, at any depth.

        Raises:
            FileNotFoundError: when there is no such folder.
        """

    def open(self, path: str) -> IOBase:
        """A file to seek and read in.

        Raises:
            FileNotFoundError: when there is no such file.
        """

    def read(self, path: str) -> bytes:
        """The whole content of a file.

        Raises:
            FileNotFoundError: when there is no such file.
        """


class LocalStore:
    """A folder on the local disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.address = f"Folder {folder}"

    def folders(self, path: str) -> list[FolderEntry]:
        """See Store."""
        found = []
        for child in os.scandir(self._folder / path):
            # One that goes after it was listed is not there any more; that is no fault of the folder.
            with suppress(FileNotFoundError):
                if child.is_dir():
                    found.append(FolderEntry(child.name, child.stat().st_mtime_ns))
        return found

    def files(self, path: str) -> list[FileEntry]:
        """See Store."""
        root = self._folder / path
        if not root.is_dir():
            raise FileNotFoundError(root)
        return list(self._walk(root))

    def _walk(self, root: Path) -> Iterator[FileEntry]:
        for path in root.rglob("*"):
            status = path.stat()
            if path.is_file():
                yield FileEntry(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns)

    def open(self, path: str) -> IOBase:
        """See Store."""
        return (self._folder / path).open("rb")

    def read(self, path: str) -> bytes:
        """See Store."""
        return (self._folder / path).read_bytes()


class HdfsStore:
    """A folder on HDFS, through the native client: no JVM, and it follows a NameNode failover.

    Whoever gives an opened file to pyarrow must keep pyarrow to the calling thread: called back from threads of
    its own, the client aborts the process when it ends.
    """

    def __init__(self, path: str) -> None:
        # Imported here because the client must not exist before gunicorn forks.
        from hdfs_native import Client

        parts = urlsplit(path)
        self._client = Client(f"{parts.scheme}://{parts.netloc}") if parts.netloc else Client()
        self._folder = parts.path.rstrip("/")
        self.address = path if parts.netloc else f"HDFS {parts.path}"

    def folders(self, path: str) -> list[FolderEntry]:
        """See Store."""
        try:
            # The list is asked for piece by piece while one goes through it.
            statuses = list(self._client.list_status(f"{self._folder}/{path}"))
        except RuntimeError as error:
            # The answer for `.snapshot` of a folder that never had a publication.
            if "is not a snapshottable directory" in str(error):
                raise FileNotFoundError(path) from error
            raise
        return [FolderEntry(_last(s.path), s.modification_time * 1_000_000) for s in statuses if s.isdir]

    def files(self, path: str) -> list[FileEntry]:
        """See Store."""
        root = f"{self._folder}/{path}".rstrip("/")
        statuses = self._client.list_status(root, recursive=True)
        return [
            FileEntry(s.path.removeprefix(f"{root}/"), s.length, s.modification_time * 1_000_000)
            for s in statuses
            if not s.isdir
        ]

    def open(self, path: str) -> IOBase:
        """See Store."""
        return self._client.read(f"{self._folder}/{path}")

    def read(self, path: str) -> bytes:
        """See Store."""
        return self._client.read(f"{self._folder}/{path}").read()


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def open_store(path: str, *, use_hdfs: bool) -> Store:
    """Open a folder; connects to nothing that needs closing.

    Args:
        path: on HDFS a path on `fs.defaultFS` or an `hdfs://` address, else a local folder, also as `file://`.
        use_hdfs: which of the two it is.
    """
    return HdfsStore(path) if use_hdfs else LocalStore(Path(path.removeprefix("file://")))
