"""A NameNode and a DataNode from the archive that the hosts receive, driven over WebHDFS."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ARTEFACTS = Path(__file__).parents[2] / ".cache/artefacts"
START_SECONDS = 90
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"


def archive() -> Path | None:
    """The newest archive of Hadoop; None when there is none, or no Java to run it."""
    found = sorted(ARTEFACTS.glob("hadoop-*.tar.zst"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found and shutil.which("java") else None


class Hdfs:
    """A running HDFS on loopback."""

    def __init__(self, home: Path) -> None:
        ports = _free_ports(5)
        self.configuration = home / "conf"
        self.url = f"hdfs://127.0.0.1:{ports[0]}"
        self._web = f"http://127.0.0.1:{ports[1]}/webhdfs/v1"
        self._home = home
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.configuration.mkdir()
        _write_site(self.configuration / "core-site.xml", {"fs.defaultFS": self.url})
        site = {
            "dfs.replication": "1",
            "dfs.namenode.name.dir": f"{home}/namenode",
            "dfs.datanode.data.dir": f"{home}/datanode",
            "dfs.namenode.http-address": f"127.0.0.1:{ports[1]}",
            "dfs.datanode.address": f"127.0.0.1:{ports[2]}",
            "dfs.datanode.http.address": f"127.0.0.1:{ports[3]}",
            "dfs.datanode.ipc.address": f"127.0.0.1:{ports[4]}",
            # Small files on a disk that may be nearly full.
            "dfs.datanode.du.reserved": "0",
            "dfs.permissions.enabled": "false",
        }
        _write_site(self.configuration / "hdfs-site.xml", site)

    def java(self, *arguments: str) -> list[str]:
        """Command that runs a class of Hadoop."""
        # Flags for a short life: a small heap, and no optimising that would never pay.
        flags = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        return ["java", *flags, "-cp", f"{self.configuration}:{self._home}/lib/*:{self._home}", *arguments]

    def start(self, name: str) -> None:
        """Start a daemon, by its class."""
        with (self._home / f"{name.rsplit('.', 1)[-1]}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(self.java(name), stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """Kill a daemon, by its class."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        self._request("PUT", path, "CREATE", content, overwrite="true")

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it."""
        self._request("PUT", path, "MKDIRS")

    def delete(self, path: str) -> None:
        """Delete a file or folder."""
        self._request("DELETE", path, "DELETE", recursive="true")

    def allow_snapshots(self, path: str) -> None:
        """Make a folder one of which snapshots can be taken."""
        self._request("PUT", path, "ALLOWSNAPSHOT")

    def snapshot(self, path: str, name: str) -> None:
        """Take a snapshot."""
        self._request("PUT", path, "CREATESNAPSHOT", snapshotname=name)

    def wait_until_it_stores(self) -> None:
        """Wait until a file can be written."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.put("/started", b"x")
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    logs = "\n".join(path.read_text()[-2000:] for path in self._home.glob("*.log"))
                    pytest.fail(f"HDFS does not start ({error}): {logs}")
                time.sleep(0.3)

    def _request(self, method: str, path: str, operation: str, content: bytes = b"", **parameters: str) -> None:
        query = urllib.parse.urlencode({"op": operation, "user.name": "hdfs", **parameters, "noredirect": "true"})
        address = f"{self._web}{path}?{query}"
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=10) as response:
            answer = response.read()
        if content:
            # The NameNode names the DataNode to write to.
            where = answer.decode().split('"Location":"')[1].split('"')[0]
            urllib.request.urlopen(urllib.request.Request(where, content, method=method), timeout=10).close()


@contextmanager
def running_hdfs(home: Path) -> Iterator[Hdfs]:
    """Start a new HDFS in a folder, and stop it at the end of the block."""
    packed = archive()
    assert packed is not None
    subprocess.run(["tar", "--zstd", "-xf", str(packed), "-C", str(home)], check=True)
    hdfs = Hdfs(home)
    subprocess.run(hdfs.java(NAMENODE, "-format", "-nonInteractive"), check=True, capture_output=True)
    try:
        for name in (NAMENODE, DATANODE):
            hdfs.start(name)
        hdfs.wait_until_it_stores()
        yield hdfs
    finally:
        for name in list(hdfs.processes):
            hdfs.kill(name)


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _write_site(path: Path, properties: dict[str, str]) -> None:
    rows = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items()
    )
    path.write_text(f"<configuration>{rows}</configuration>")
