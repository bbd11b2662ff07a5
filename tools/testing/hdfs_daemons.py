"""A NameNode and a DataNode of its own on loopback, for tests: the archive that the hosts receive, and nothing kept."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import ROOT
from tools.artefacts.products import Checkout
from tools.terminal import Problem

START_SECONDS = 90
USER = getpass.getuser()  # who starts a NameNode may do everything in it
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
ADMIN = "org.apache.hadoop.hdfs.tools.DFSAdmin"


def archive() -> Path | None:
    """The archive of this release's Hadoop; None when there is none, or no Java to run it."""
    found = Checkout.at(ROOT).manifest().get("hadoop")
    return Checkout.at(ROOT).archives / found["file"] if found and shutil.which("java") else None


class Hdfs:
    """A running HDFS on loopback."""

    def __init__(self, home: Path) -> None:
        ports = _free_ports(5)
        self.configuration = home / "conf"
        self.url = f"hdfs://127.0.0.1:{ports[0]}"
        self.ui = f"http://127.0.0.1:{ports[1]}"
        self._web = f"{self.ui}/webhdfs/v1"
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
        }
        _write_site(self.configuration / "hdfs-site.xml", site)

    def java(self, *arguments: str, configuration: Path | None = None) -> list[str]:
        """Command that runs a class of Hadoop."""
        # Flags for a short life: a small heap, and no optimising that would never pay.
        flags = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        read = configuration or self.configuration
        return ["java", *flags, "-cp", f"{read}:{self._home}/lib/*:{self._home}", *arguments]

    def admin(self, *arguments: str) -> None:
        """Run `hdfs dfsadmin`."""
        subprocess.run(self.java(ADMIN, *arguments), check=True, capture_output=True)

    def start(self, *names: str) -> None:
        """Start daemons, all when none is named."""
        for name in names or (NAMENODE, DATANODE):
            self.processes[name] = self._run(name, self.java(name))

    def stop(self, *names: str) -> None:
        """Kill daemons, all when none is named."""
        for name in names or tuple(self.processes):
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    @contextmanager
    def standby(self) -> Iterator[str]:
        """Run one NameNode of a pair whose other one is not there, so that it stays in standby; gives its address."""
        rpc, web, other = _free_ports(3)
        home = self._home / "standby"
        home.mkdir()
        _write_site(home / "core-site.xml", {"fs.defaultFS": "hdfs://pair"})
        site = {
            "dfs.nameservices": "pair",
            "dfs.ha.namenodes.pair": "here,away",
            "dfs.ha.namenode.id": "here",
            "dfs.namenode.rpc-address.pair.here": f"127.0.0.1:{rpc}",
            "dfs.namenode.http-address.pair.here": f"127.0.0.1:{web}",
            "dfs.namenode.rpc-address.pair.away": f"127.0.0.1:{other}",
            "dfs.namenode.http-address.pair.away": f"127.0.0.1:{other}",
            "dfs.namenode.name.dir": f"{home}/namenode",
            "dfs.namenode.shared.edits.dir": f"file://{home}/shared",
            "dfs.ha.standby.checkpoints": "false",
        }
        _write_site(home / "hdfs-site.xml", site)
        command = self.java(NAMENODE, configuration=home)
        subprocess.run([*command, "-format", "-nonInteractive"], check=True, capture_output=True)
        process = self._run("standby", command)
        try:
            self._wait(lambda: socket.create_connection(("127.0.0.1", rpc), timeout=1).close())
            yield f"hdfs://127.0.0.1:{rpc}"
        finally:
            process.kill()
            process.wait()

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        self._request("PUT", path, "CREATE", content, overwrite="true")

    def make_folder(self, path: str, mode: str = "755") -> None:
        """Make a folder and those above it."""
        self._request("PUT", path, "MKDIRS", permission=mode)

    def set_mode(self, path: str, mode: str) -> None:
        """Change who may do what with a file or folder."""
        self._request("PUT", path, "SETPERMISSION", permission=mode)

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
        self._wait(lambda: self.put("/started", b"x"))

    def _run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._home / f"{name.rsplit('.', 1)[-1]}.log").open("w") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _wait(self, action: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                action()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    logs = "\n".join(path.read_text()[-2000:] for path in self._home.glob("*.log"))
                    raise Problem(f"HDFS does not start ({error}): {logs}") from error
                time.sleep(0.3)

    def _request(self, method: str, path: str, operation: str, content: bytes = b"", **parameters: str) -> None:
        query = urllib.parse.urlencode({"op": operation, "user.name": USER, **parameters, "noredirect": "true"})
        address = f"{self._web}{urllib.parse.quote(path)}?{query}"
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
    if packed is None:
        raise Problem("There is no archive of Hadoop, or no Java. Run `make artefacts`.")
    subprocess.run(["tar", "--zstd", "-xf", str(packed), "-C", str(home)], check=True)
    hdfs = Hdfs(home)
    subprocess.run(hdfs.java(NAMENODE, "-format", "-nonInteractive"), check=True, capture_output=True)
    try:
        hdfs.start()
        hdfs.wait_until_it_stores()
        yield hdfs
    finally:
        hdfs.stop()


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
