"""The kinds of faults. Each is a context: done at its beginning, mended at its end, come what may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from tools import daemons
from tools.cluster import BOOT, Host
from tools.faults.pipeline import Pipeline, as_root, mend, on
from tools.faults.plan import Fault

SIGNAL = "sudo systemctl kill --kill-whom=main --signal"
KILL = f"{SIGNAL}=KILL"
EXECUTORS = "pgrep -f '[C]oarseGrainedExecutorBackend' || true"
LARGEST_DATA_MIB = 2048
# For each open block a DataNode sets the room of a whole one aside; with less it would take no block even before.
ROOM_MIB = 300
# Seconds after which a host ends its partition by itself, should nobody come to end it.
LONGEST_PARTITION = 120
LONGEST_HANG = 120

# A daemon's data moves to a small file system, which is then filled.
FILL_DISK = """
set -eu
used=$(du --summarize --block-size=1M {data} | cut -f 1)
[ "$used" -lt {largest} ] || {{ echo "{data} holds $used MiB: too much to copy into memory" >&2; exit 1; }}
systemctl stop {unit}
mkdir --parents {disk}
mount -t tmpfs -o size=$((used + {room}))M tmpfs {disk}
rsync --archive --sparse {data}/ {disk}/
mount --bind {disk} {data}
systemctl start {unit}
sleep 3  # some heartbeats: it is given something to write again
cat /dev/zero >{disk}/filler 2>/dev/null || true  # until there is no room
"""
FREE_DISK = """
set -eu
rm -f {disk}/filler
if mountpoint --quiet {disk}; then
    systemctl stop {unit}
    if mountpoint --quiet {data}; then umount {data} && rsync --archive --sparse --delete {disk}/ {data}/; fi
    umount {disk}
fi
[ ! -d {disk} ] || rmdir {disk}
systemctl start {unit}
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

# What runs, and the jobs of the test with it. It goes on by itself, should nobody come to end it.
RUNNING = """
set -eu
units=$(systemctl list-units --plain --no-legend --state=active,activating {services} '{name}-*.service')
units=$(cut --delimiter=' ' --fields=1 <<<"$units")
"""
SUSPEND = f"""{RUNNING}
systemd-run --quiet --unit={{name}}-awake --on-active={{longest}} systemctl kill --kill-whom=all --signal=CONT $units
systemctl kill --kill-whom=all --signal=STOP $units
"""
RESUME = f"""{RUNNING}
systemctl kill --kill-whom=all --signal=CONT $units
! systemctl is-active --quiet {{name}}-awake.timer || systemctl stop {{name}}-awake.timer
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
    _reset(pipeline, pipeline.cluster.hosts[fault.host])
    return nullcontext("power off and on")


@contextmanager
def lab_reset(pipeline: Pipeline, _fault: Fault) -> Iterator[str]:
    """Let all hosts begin anew at the same time; the jobs of the test are started again as somebody would do it."""
    pipeline.cluster.on_all(lambda host: _reset(pipeline, host))
    yield f"power off and on of {len(pipeline.cluster.hosts)} hosts"
    pipeline.start_again()


def _reset(pipeline: Pipeline, host: Host) -> None:
    before = on(host, BOOT)
    on(host, "sudo systemd-run --quiet --on-active=1 systemctl reboot --force --force")
    pipeline.wait(f"{host.name} begins anew", lambda: on(host, BOOT) != before)


@contextmanager
def producer_killed(pipeline: Pipeline, _fault: Fault) -> Iterator[str]:
    """Kill the producer; then the rest is sent, of what has arrived nothing again."""
    on(pipeline.edge, f"{KILL} {pipeline.producer}; sudo systemctl stop {pipeline.producer}")
    yield pipeline.producer.removesuffix(".service")
    pipeline.send_the_rest()


@contextmanager
def input_changes(pipeline: Pipeline, fault: Fault) -> Iterator[str]:
    """Let one of the batch's files change, or go and come back, while the batch runs."""
    pipeline.run_batch()
    pipeline.wait("the batch runs", lambda: pipeline.is_active(pipeline.batch))
    place, goes = divmod(int(fault.dice * 2 * len(pipeline.put)), 2)
    name = pipeline.put[place]
    lines = pipeline.batch_files[name].splitlines(keepends=True)
    pipeline.batch_files[name] = "".join(lines[: 1 + len(lines) // 2])
    if goes:
        pipeline.ask("remove", f"{pipeline.hdfs}/input/{name}")
        yield f"{name} goes, and comes back with half its rows"
        pipeline.put_again(name)
    else:
        pipeline.put_again(name)
        yield f"{name} loses half its rows"


@contextmanager
def lab_suspended(pipeline: Pipeline, fault: Fault) -> Iterator[str]:
    """Let all daemons and jobs of all hosts stand still, as when a laptop is closed: clocks go on, nobody answers."""

    def words(host: Host) -> dict[str, str]:
        services = {daemon.service for daemon in daemons.of_groups(pipeline.cluster.groups_of(host.name))}
        return {"name": pipeline.name, "services": " ".join(sorted(services))}

    longest = f"{fault.hold + LONGEST_HANG:.0f}"
    try:
        pipeline.cluster.on_all(lambda host: as_root(host, SUSPEND.format(**words(host), longest=longest)))
        yield "all daemons and jobs stand still"
    finally:
        pipeline.cluster.on_all(lambda host: mend(host, RESUME.format(**words(host))))


def namenode_restarted(pipeline: Pipeline, fault: Fault) -> What:
    """Restart a NameNode."""
    on(pipeline.cluster.hosts[fault.host], "sudo systemctl restart hdfs-namenode")
    return nullcontext("hdfs-namenode")


def _disk_full(unit: str, data: str) -> Callable[[Pipeline, Fault], What]:
    @contextmanager
    def fill(pipeline: Pipeline, fault: Fault) -> Iterator[str]:
        host, disk = pipeline.cluster.hosts[fault.host], f"/run/{pipeline.name}-disk"
        words = {"unit": unit, "disk": disk, "data": data, "largest": LARGEST_DATA_MIB, "room": ROOM_MIB}
        try:
            as_root(host, FILL_DISK.format(**words))
            yield f"{data} has 0 bytes left"
        finally:
            mend(host, FREE_DISK.format(**words))

    return fill


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


SUSPENDED = "lab suspended"


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
    "Spark master killed": Kind("spark_master", _killed("spark-master")),
    "DataNode's disk full": Kind("datanode", _disk_full("hdfs-datanode", "/var/lib/hdfs/data")),
    "broker's disk full": Kind("kafka_broker", _disk_full("kafka", "/var/lib/kafka")),
    "NameNode's disk full": Kind("namenode", _disk_full("hdfs-namenode", "/var/lib/hdfs/name")),
    "worker cut off": Kind("spark_worker", partition),
    "master cut off": Kind("namenode", partition),
    "NameNode restarted": Kind("namenode", namenode_restarted),
    "NameNode hangs": Kind("namenode", _hangs("hdfs-namenode")),
    "broker hangs": Kind("kafka_broker", _hangs("kafka")),
    "controller hangs": Kind("kafka_controller", _hangs("kafka")),
    "Spark master hangs": Kind("spark_master", _hangs("spark-master")),
    "host reset": Kind("kafka_broker", host_reset),
    "producer killed": Kind("edge", producer_killed),
    "input changes": Kind("edge", input_changes),
    SUSPENDED: Kind("edge", lab_suspended),
    "lab off and on": Kind("edge", lab_reset),
}
