"""Files on HDFS, through the Hadoop client that Spark brings, or on the local disk, which needs no JVM."""

from __future__ import annotations

import io
import os
import shutil
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retail_jobs.errors import JobError

CALLS = 16
"""Questions to HDFS under way at the same time."""


@dataclass(frozen=True)
class FileInfo:
    """One file: path, begun as its folder was asked for, length in bytes, time of change in ms since 1970."""

    path: str
    length: int
    modified: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        """The path of the folder that holds it."""
        return self.path.rsplit("/", 1)[0]


class Storage:
    """What publication needs of a file system; every path may have a scheme.

    HDFS is reached through the JVM that spark-submit starts anyway: it takes no Spark session.
    """

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        if local := _local(path):
            return local.exists()
        return bool(self._fs(path).exists(self._path(path)))

    def files(self, folder: str, recursive: bool = False) -> list[FileInfo]:
        """Files in a folder sorted by path; none when the folder is not there.

        Hidden files and folders (leading dot or underscore) are left out.
        """
        found, folders = [], [folder] if self.exists(folder) else []
        while folders:
            for info, is_folder in self._list(folders.pop()):
                if info.name.startswith((".", "_")):
                    continue
                if not is_folder:
                    found.append(info)
                elif recursive:
                    folders.append(info.path)
        return sorted(found, key=lambda info: info.path)

    def folders(self, folder: str) -> list[str]:
        """Paths of the folders inside a folder, sorted; none when it is not there."""
        listed = self._list(folder) if self.exists(folder) else []
        return sorted(info.path for info, is_folder in listed if is_folder)

    def _list(self, folder: str) -> list[tuple[FileInfo, bool]]:
        """What a folder holds, and whether each is a folder."""
        if local := _local(folder):
            found = []
            for child in local.iterdir():
                # One that goes after it was listed is not there any more.
                with suppress(FileNotFoundError):
                    found.append((_local_info(child), child.is_dir()))
            return found
        # Not listFiles, which asks for block locations, too.
        return [
            (_info(f"{folder}/{status.getPath().getName()}", status), status.isDirectory())
            for status in self._fs(folder).listStatus(self._path(folder))
        ]

    def make_folder(self, folder: str) -> None:
        """Make a folder and those above it, if need be."""
        if local := _local(folder):
            local.mkdir(parents=True, exist_ok=True)
        else:
            self._fs(folder).mkdirs(self._path(folder))

    def delete(self, path: str) -> None:
        """Remove a file or a whole folder; nothing happens when it is not there."""
        if not (local := _local(path)):
            self._fs(path).delete(self._path(path), True)
        elif local.is_dir():
            shutil.rmtree(local)
        else:
            local.unlink(missing_ok=True)

    def replace(self, source: str, target: str) -> None:
        """Move a file over another one in a single step; the folder of the target is made if need be."""
        self.make_folder(target.rsplit("/", 1)[0])
        if (local := _local(source)) and (local_target := _local(target)):
            local.replace(local_target)
            return
        rename = self._hadoop.Options.Rename
        options = self._jvm.java.lang.reflect.Array.newInstance(rename.OVERWRITE.getClass(), 1)
        options[0] = rename.OVERWRITE
        self._context(target).rename(self._path(source), self._path(target), options)

    def replace_all(self, moves: Iterable[tuple[str, str]]) -> None:
        """`replace` for many files, in any order; one whose source is not there any more is left out."""

        def move(both: tuple[str, str]) -> None:
            if self.exists(both[0]):
                self.replace(*both)

        self.each(move, moves)

    def write_all(self, contents: Iterable[tuple[str, bytes]]) -> None:
        """Write many new files, in any order, of which nobody reads one before all are there."""

        def write(both: tuple[str, bytes]) -> None:
            path, content = both
            if local := _local(path):
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_bytes(content)
            else:
                self._write(path, content)

        self.each(write, contents)

    def each(self, work: Any, items: Iterable[Any]) -> None:  # noqa: ANN401 - any function of one item
        """Do something with every item: at the same time where each means a question to HDFS."""
        items = list(items)
        if all(_local(item if isinstance(item, str) else item[0]) for item in items):
            for item in items:
                work(item)
        else:
            with ThreadPoolExecutor(CALLS) as pool:
                list(pool.map(work, items))

    def snapshots(self, folder: str) -> list[str]:
        """Names of the snapshots of a folder, oldest first if their names sort so."""
        names = [path.rsplit("/", 1)[-1] for path in self.folders(f"{folder}/.snapshot")]
        return [name for name in names if not name.startswith(".")]

    def require_snapshots(self, folder: str) -> None:
        """Make sure that snapshots of a folder can be made.

        Raises:
            JobError: HDFS does not allow them there.
        """
        if not _local(folder) and not self.exists(f"{folder}/.snapshot"):
            path = self._path(folder).toUri().getPath()
            raise JobError(f"{folder} takes no snapshots: run `hdfs dfsadmin -allowSnapshot {path}` as user hdfs once")

    def snapshot(self, folder: str, name: str) -> None:
        """Keep a folder as it is now under `<folder>/.snapshot/<name>`; nothing happens when that is there.

        On a local file system the files are linked, so they must be replaced by a move, never written again.
        """
        if name in self.snapshots(folder):
            return
        if local := _local(folder):
            partial = local / ".snapshot" / f".{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(local, partial, copy_function=os.link, ignore=shutil.ignore_patterns(".*"))
            partial.rename(partial.with_name(name))
        else:
            self._fs(folder).createSnapshot(self._path(folder), name)

    def delete_snapshot(self, folder: str, name: str) -> None:
        """Remove a snapshot."""
        if local := _local(folder):
            # Out of sight first: a reader that lists the snapshots now must not meet half of one.
            gone = local / ".snapshot" / ".gone"
            shutil.rmtree(gone, ignore_errors=True)
            (local / ".snapshot" / name).rename(gone)
            shutil.rmtree(gone)
        else:
            self._fs(folder).deleteSnapshot(self._path(folder), name)

    def read_bytes(self, path: str) -> bytes | None:
        """Content of a file, or None when it is not there."""
        if not self.exists(path):
            return None
        if local := _local(path):
            return local.read_bytes()
        stream = self._fs(path).open(self._path(path))
        try:
            return bytes(self._jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def read_text(self, path: str) -> str | None:
        """Content of a UTF-8 file, or None when it is not there."""
        content = self.read_bytes(path)
        return None if content is None else content.decode("utf-8", "replace")

    def open(self, path: str) -> io.BufferedReader:
        """A file to seek and read in; who reads it with pyarrow must keep pyarrow to the calling thread."""
        if local := _local(path):
            return local.open("rb")
        # py4j takes as long to bring one byte as to bring thousands.
        return io.BufferedReader(_HadoopFile(self._fs(path), self._path(path)), 1 << 20)

    def write_text(self, path: str, text: str) -> None:
        """Write a UTF-8 file; readers see the old content or the new one."""
        self.write_bytes(path, text.encode())

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a file; readers see the old content or the new one."""
        folder, name = path.rsplit("/", 1)
        partial = f"{folder}/.{name}.partial"
        self.write_all([(partial, content)])
        self.replace(partial, path)

    def _write(self, path: str, content: bytes) -> None:
        stream = self._fs(path).create(self._path(path), True)
        try:
            stream.write(content)
        finally:
            stream.close()

    def create_new(self, path: str, text: str) -> bool:
        """Write a file unless it exists; the file system decides who of two writers wins."""
        self.make_folder(path.rsplit("/", 1)[0])
        if local := _local(path):
            try:
                with local.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                return False
            return True
        try:
            stream = self._fs(path).create(self._path(path), False)
        except Exception:
            if self.exists(path):
                return False
            raise
        stream.write(text.encode())
        stream.close()
        return True

    def info(self, path: str) -> FileInfo | None:
        """Path, length and time of change of a file, or None when it is not there."""
        if not self.exists(path):
            return None
        if local := _local(path):
            return _local_info(local)
        return _info(path, self._fs(path).getFileStatus(self._path(path)))

    def touch(self, path: str, when: int) -> None:
        """Set the time of change, in ms since 1970."""
        if local := _local(path):
            os.utime(local, ns=(when * 1_000_000, when * 1_000_000))
        else:
            self._fs(path).setTimes(self._path(path), when, -1)

    def uri(self, path: str) -> str:
        """The path as Spark's `input_file_name` writes it."""
        if local := _local(path):
            return "file://" + "".join(map(_quoted, str(local)))
        return str(self._fs(path).makeQualified(self._path(path)).toUri().toString())

    @cached_property
    def _jvm(self) -> Any:  # noqa: ANN401 - the JVM, by way of py4j
        from pyspark import SparkContext

        SparkContext._ensure_initialized()
        return SparkContext._jvm

    @cached_property
    def _conf(self) -> Any:  # noqa: ANN401 - an object of the JVM
        return self._jvm.org.apache.spark.deploy.SparkHadoopUtil.get().conf()

    # Each part of a Java name is a question to the JVM.
    @cached_property
    def _hadoop(self) -> Any:  # noqa: ANN401 - a package of the JVM
        return self._jvm.org.apache.hadoop.fs

    @cached_property
    def _path(self) -> Any:  # noqa: ANN401 - a class of the JVM
        return self._hadoop.Path

    def _fs(self, path: str) -> Any:  # noqa: ANN401 - an object of the JVM
        return self._path(path).getFileSystem(self._conf)

    def _context(self, path: str) -> Any:  # noqa: ANN401 - an object of the JVM
        return self._hadoop.FileContext.getFileContext(self._fs(path).getUri(), self._conf)


class _HadoopFile(io.RawIOBase):
    """A file of Hadoop as Python has them, to read in any order."""

    def __init__(self, system: Any, path: Any) -> None:  # noqa: ANN401 - objects of the JVM
        self._stream, self._length = system.open(path), int(system.getFileStatus(path).getLen())

    def seekable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place; see `io.IOBase.seek`."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._length}[whence]
        self._stream.seek(start + offset)
        return start + offset

    def tell(self) -> int:
        """The place, in bytes from the beginning."""
        return int(self._stream.getPos())

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what can be written to
        """Fill a buffer; less only at the end."""
        content = bytes(self._stream.readNBytes(len(buffer)))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
        super().close()


def _quoted(character: str) -> str:
    """A character as Java has it in a URI: quoted when it is ASCII and illegal, a space or a control."""
    if character.isascii() or unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc"):
        return quote(character, safe="/,;:$&+=@_-!.~'()*")
    return character


def _local(path: str) -> Path | None:
    """The path on the local disk; None for one on HDFS."""
    return Path("/" + path.removeprefix("file:").lstrip("/")) if path.startswith("file:") else None


def _local_info(path: Path) -> FileInfo:
    status = path.stat()
    return FileInfo(f"file:{path}", status.st_size, status.st_mtime_ns // 1_000_000)


def _info(path: str, status: Any) -> FileInfo:  # noqa: ANN401 - an object of the JVM
    return FileInfo(path, status.getLen(), status.getModificationTime())
