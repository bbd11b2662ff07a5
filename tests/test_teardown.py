"""Files run in the order of their names, so this one is the last to use the cluster."""

from __future__ import annotations

from pathlib import Path

from tests.commands import run
from tests.conftest import Cluster


def test_destroy_leaves_no_trace(cluster: Cluster) -> None:
    name = cluster.lab.name
    cluster.make("destroy")
    traces = {
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if f".lab/{name}/" in line],
        "folder": [str(path) for path in (cluster.checkout / ".lab").glob(name)],
        "processes": [
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f".lab/{name}/".encode() in path.read_bytes()
        ],
        "interfaces": [path.name for path in Path("/sys/class/net").glob(f"*-{name}*")],
        "addresses": [line for line in run("ip", "-brief", "address").output.splitlines() if "192.168.57." in line],
        "rules": [line for line in run("nft", "list", "tables").output.splitlines() if name in line],
    }
    assert not any(traces.values()), traces
