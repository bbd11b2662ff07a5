"""The kinds of faults. Each is a context: done at its beginning, mended at its end, come what may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from tools.faults.pipeline import Pipeline, as_root, mend, on
from tools.faults.plan import Fault

SIGNAL = "sudo systemctl kill --kill-whom=main --signal"
KILL = f"{SIGNAL}=KILL"
EXECUTORS = "pgrep -f '[C]oarseGrainedExecutorBackend' || true"
DATA = "/var/lib/hdfs/data"
LARGEST_DATA_MIB = 2048
# For each open block a DataNode sets the room of a whole one aside; with less it would take no block even before.
ROOM_MIB = 300
# Seconds after which a host ends its partition by itself, should nobody come to end it.
LONGEST_PARTITION = 120
LONGEST_HANG = 120

# The DataNode moves to a small file system, which is then filled.
FILL_DISK = """
set -eu
used=$(du --summarize --block-size=1M {data} | cut -f 1)
[ "$used" -lt {largest} ] || {{ echo "{data} holds $used MiB: too much to copy into memory" >&2; exit 1; }}
systemctl stop hdfs-datanode
mkdir --parents {disk}
mount -t tmpfs -o size=$((used + {room}))M tmpfs {disk}
rsync --archive {data}/ {disk}/
mount --bind {disk} {data}
systemctl start hdfs-datanode
sleep 3  # one heartbeat: the NameNode gives it blocks again
fallocate --length $(df --output=avail --block-size=1 {disk} | tail -n 1) {disk}/filler
"""
FREE_DISK = """
set -eu
rm -f {disk}/filler
if mountpoint --quiet {disk}; then
    systemctl stop hdfs-datanode
    if mountpoint --quiet {data}; then umount {data} && rsync --archive --delete {disk}/ {data}/; fi
    umount {disk}
fi
[ ! -d {disk} ] || rmdir {disk}
systemctl start hdfs-datanode
"""

# Everything to and from the other hosts is dropped, but for the connection that this came by.
CUT_OFF = """
set -eu
systemd-run --quiet --unit={table}-end --on-active={longest} nft delete table inet {table}
nft -f - <<END
table inet {table} {{
    chain in {{
        type filter hook input priority -10
        ip saddr {control} tcp dport {port} accept
        ip saddr {{ {others} }} drop
    }}
    chain out {{
        type filter hook output priority -10
        ip daddr {control} tcp sport {port} accept
        ip daddr {{ {others} }} drop
    }}
}}
END
"""
JOIN_AGAIN = """
systemctl stop {table}-end.timer
! nft list table inet {table} >/dev/null 2>&1 || nft delete table inet {table}
"""

What = AbstractContextManager[str]


def driver_killed(pipeline: Pipeline, fault: Fault) -> What:
    """Kill the driver of the streaming job, or that of the batch when it runs."""
    running = [pipeline.streaming] + [pipeline.batch] * pipeline.is_active(pipeline.batch)
    unit = running[int(fault.dice * len(running))]
    on(pipeline.edge, f"{KILL} {unit}")
    return nullcontext(unit.removesuffix(".service"))


def executor_killed(pipeline: Pipeline, fault: Fault) -> What:
    """Kill one of the executors on a worker."""
    host = pipeline.cluster.hosts[fault.host]
    found = pipeline.wait("an executor", lambda: on(host, EXECUTORS).split())
    pid = found[int(fault.dice * len(found))]
    on(host, f"sudo kill -KILL {pid}")
    return nullcontext(f"process {pid}, one of {len(found)}")


def _killed(unit: str) -> Callable[[Pipeline, Fault], What]:
    def kill(pipeline: Pipeline, fault: Fault) -> What:
        on(pipeline.cluster.hosts[fault.host], f"{KILL} {unit}")
        return nullcontext(unit)

    return kill


def _hangs(unit: str) -> Callable[[Pipeline, Fault], What]:
    @contextmanager
    def hang(pipeline: Pipeline, fault: Fault) -> Iterator[str]:
        host = pipeline.cluster.hosts[fault.host]
        # It goes on by itself, should nobody come to end it.
        later = f"sudo systemd-run --quiet --on-active={LONGEST_HANG}"
        try:
            on(host, f"{later} systemctl kill --kill-whom=main --signal=CONT {unit} && {SIGNAL}=STOP {unit}")
            yield f"{unit} stands still"
        finally:
            mend(host, f"systemctl kill --kill-whom=main --signal=CONT {unit}")

    return hang


def host_reset(pipeline: Pipeline, fault: Fault) -> What:
    """Let a host begin anew as after a power failure: nothing is stopped, nothing written."""
    host = pipeline.cluster.hosts[fault.host]
    boot = "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"
    before = on(host, boot)
    on(host, "sudo systemd-run --quiet --on-active=1 systemctl reboot --force --force")
    pipeline.wait("the host begins anew", lambda: on(host, boot) != before)
    return nullcontext("power off and on")


def namenode_restarted(pipeline: Pipeline, fault: Fault) -> What:
    """Restart a NameNode."""
    on(pipeline.cluster.hosts[fault.host], "sudo systemctl restart hdfs-namenode")
    return nullcontext("hdfs-namenode")


@contextmanager
def disk_full(pipeline: Pipeline, fault: Fault) -> Iterator[str]:
    """Fill the disk of a DataNode."""
    host = pipeline.cluster.hosts[fault.host]
    words = {"disk": f"/run/{pipeline.name}-disk", "data": DATA, "largest": LARGEST_DATA_MIB, "room": ROOM_MIB}
    try:
        as_root(host, FILL_DISK.format(**words))
        yield f"{DATA} has 0 bytes left"
    finally:
        mend(host, FREE_DISK.format(**words))


@contextmanager
def partition(pipeline: Pipeline, fault: Fault) -> Iterator[str]:
    """Cut a host off from all others."""
    host = pipeline.cluster.hosts[fault.host]
    control, _, _, port = on(host, "echo $SSH_CONNECTION").split()
    others = [str(other.address) for other in pipeline.cluster.hosts.values() if other != host]
    words = {"table": pipeline.name, "control": control, "port": port, "others": ", ".join(others)}
    try:
        as_root(host, CUT_OFF.format(**words, longest=LONGEST_PARTITION))
        yield f"cut off from {len(others)} hosts"
    finally:
        mend(host, JOIN_AGAIN.format(**words))


@dataclass(frozen=True)
class Kind:
    """A kind of fault: the group on whose hosts it happens, and what happens."""

    group: str
    happens: Callable[[Pipeline, Fault], What]


KINDS = {
    "driver killed": Kind("edge", driver_killed),
    "executor killed": Kind("spark_worker", executor_killed),
    "broker killed": Kind("kafka_broker", _killed("kafka")),
    "DataNode killed": Kind("datanode", _killed("hdfs-datanode")),
    "disk full": Kind("datanode", disk_full),
    "partition": Kind("spark_worker", partition),
    "NameNode restarted": Kind("namenode", namenode_restarted),
    "NameNode hangs": Kind("namenode", _hangs("hdfs-namenode")),
    "broker hangs": Kind("kafka_broker", _hangs("kafka")),
    "controller hangs": Kind("kafka_controller", _hangs("kafka")),
    "Spark master hangs": Kind("spark_master", _hangs("spark-master")),
    "host reset": Kind("kafka_broker", host_reset),
}
