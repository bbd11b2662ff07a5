"""Files on HDFS or on the local disk, through the Hadoop client that Spark brings."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pyspark.sql import SparkSession

from retail_jobs.errors import JobError

# Bytes that go between Python and the JVM at once; the JVM holds them three times.
PIECE = 4 << 20


@dataclass(frozen=True)
class FileInfo:
    """One file: full path as Hadoop writes it, length in bytes, time of change in ms since 1970."""

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
    """What publication needs of a file system; every path may have a scheme."""

    def __init__(self, spark: SparkSession) -> None:
        self._jvm = cast(Any, spark._jvm)
        self._conf: Any = spark._jsc.hadoopConfiguration()
        # Each part of a Java name is a question to the JVM.
        self._hadoop: Any = self._jvm.org.apache.hadoop.fs
        self._path: Any = self._hadoop.Path

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        if local := _local(path):
            return local.exists()
        return bool(self._fs(path).exists(self._path(path)))

    def files(self, folder: str, recursive: bool = False) -> list[FileInfo]:
        """Files in a folder sorted by path; none when the folder is not there.

        Hidden files and folders (leading dot or underscore) are left out.
        """
        system, found, folders = self._fs(folder), [], [folder] if self.exists(folder) else []
        while folders:
            # Not listFiles, which asks for owners: on a local disk, Hadoop starts an `ls` for each.
            for status in system.listStatus(self._path(folders.pop())):
                info = _info(status)
                if info.name.startswith((".", "_")):
                    continue
                if status.isFile():
                    found.append(info)
                elif recursive:
                    folders.append(info.path)
        return sorted(found, key=lambda info: info.path)

    def folders(self, folder: str) -> list[str]:
        """Paths of the folders inside a folder, sorted; none when it is not there."""
        if not self.exists(folder):
            return []
        statuses = self._fs(folder).listStatus(self._path(folder))
        return sorted(status.getPath().toString() for status in statuses if status.isDirectory())

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
            # Hadoop's local file system would delete the target first.
            local.replace(local_target)
            return
        rename = self._hadoop.Options.Rename
        options = self._jvm.java.lang.reflect.Array.newInstance(rename.OVERWRITE.getClass(), 1)
        options[0] = rename.OVERWRITE
        self._context(target).rename(self._path(source), self._path(target), options)

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

    def read_text(self, path: str) -> str | None:
        """Content of a UTF-8 file, or None when it is not there."""
        content = self.read_bytes(path)
        return None if content is None else content.decode("utf-8", "replace")

    def read_bytes(self, path: str) -> bytes | None:
        """Content of a file, or None when it is not there."""
        if not self.exists(path):
            return None
        stream = self._fs(path).open(self._path(path))
        try:
            pieces = []
            while piece := bytes(stream.readNBytes(PIECE)):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            stream.close()

    def write_text(self, path: str, text: str) -> None:
        """Write a UTF-8 file; readers see the old content or the new one."""
        self.write_bytes(path, text.encode())

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a file; readers see the old content or the new one."""
        folder, name = path.rsplit("/", 1)
        partial = f"{folder}/.{name}.partial"
        stream = self._fs(partial).create(self._path(partial), True)
        try:
            for begin in range(0, len(content), PIECE):
                stream.write(content[begin : begin + PIECE])
        finally:
            stream.close()
        self.replace(partial, path)

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
        return _info(self._fs(path).getFileStatus(self._path(path)))

    def touch(self, path: str, when: int) -> None:
        """Set the time of change, in ms since 1970."""
        self._fs(path).setTimes(self._path(path), when, -1)

    def first_line(self, path: str, limit: int = 1 << 20) -> str:
        """The first line of a text file in UTF-8, else Latin-1, unpacked by its ending (.gz), without byte order mark.

        Args:
            path: the file.
            limit: bytes of the line that are read at most.
        """
        stream = self._fs(path).open(self._path(path))
        codec = self._jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(self._conf).getCodec(self._path(path))
        if codec is not None:
            stream = codec.createInputStream(stream)
        reader = self._jvm.org.apache.hadoop.util.LineReader(stream)
        try:
            line = self._jvm.org.apache.hadoop.io.Text()
            reader.readLine(line, limit)
            content = bytes(line.copyBytes())
        finally:
            reader.close()
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")

    def uri(self, path: str) -> str:
        """The path as Spark's `input_file_name` writes it."""
        uri = str(self._path(path).toUri().toString())
        return uri.replace("file:/", "file:///", 1) if _local(path) else uri

    def _fs(self, path: str) -> Any:  # noqa: ANN401 - an object of the JVM
        return self._path(path).getFileSystem(self._conf)

    def _context(self, path: str) -> Any:  # noqa: ANN401 - an object of the JVM
        return self._hadoop.FileContext.getFileContext(self._fs(path).getUri(), self._conf)


def _local(path: str) -> Path | None:
    """The path on the local disk; None for one on HDFS."""
    return Path("/" + path.removeprefix("file:").lstrip("/")) if path.startswith("file:") else None


def _info(status: Any) -> FileInfo:  # noqa: ANN401 - an object of the JVM
    return FileInfo(status.getPath().toString(), status.getLen(), status.getModificationTime())
