"""What may not change, as a host tells it. Runs there as root, sent over SSH; prints one JSON object.

    ssh HOST sudo python3 - host < tools/drills/facts.py
    ssh master1 sudo env PYTHONPATH=/opt/kafka-client python3 - kafka master1:9092 < tools/drills/facts.py

A fact has a name and a value; one that is a number may grow, one that is a text may not change.
"""

import hashlib
import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

Facts = dict[str, str | int]

SETTINGS = (
    *("/etc/hadoop", "/etc/kafka", "/etc/spark", "/etc/retail", "/etc/nginx", "/etc/haproxy", "/etc/hosts"),
    *("/etc/systemd/system", "/run/systemd/system", "/etc/sysctl.d", "/etc/cron.d", "/etc/crontab", "/var/spool/cron"),
)
# Who a DataNode, a NameNode and a broker are: made once, when they were formatted.
IDENTITIES = (
    *("/var/lib/hdfs/name/current/VERSION", "/var/lib/hdfs/data/current/VERSION"),
    "/var/lib/kafka/data/meta.properties",
)
FOLDERS = ("/data", "/data/input", "/data/output", "/data/quarantine", "/data/state", "/data/state/streaming")
TIMEOUT = 20
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def host() -> Facts:
    """Settings of a host, and the identities on its disks."""
    found: Facts = {}
    for top in map(Path, SETTINGS):
        for path in [top, *sorted(top.rglob("*"))]:
            if path.is_symlink():
                found[str(path)] = f"a link to {path.readlink()}"
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    for path in filter(Path.is_file, map(Path, IDENTITIES)):
        for line in path.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                found[f"{path} {key}"] = value
    return found


def _get(url: str) -> bytes:
    with DIRECT.open(url, timeout=TIMEOUT) as answer:
        content: bytes = answer.read()
    return content


def hdfs(url: str) -> Facts:
    """Owners, modes and quotas of the pipeline's folders, and the stream's checkpoint, from the NameNode's web UI."""

    def ask(path: str, operation: str) -> Any:  # noqa: ANN401 - JSON
        words = urllib.parse.urlencode({"op": operation, "user.name": "hdfs"})
        return json.loads(_get(f"{url}/webhdfs/v1{path}?{words}"))

    found: Facts = {}
    for path in FOLDERS:
        summary = ask(path, "GETCONTENTSUMMARY")["ContentSummary"]
        found[f"HDFS {path} quotas"] = f"{summary['quota']} names, {summary['spaceQuota']} bytes"
        own = ask(path, "GETFILESTATUS")["FileStatus"]
        below = ask(path, "LISTSTATUS")["FileStatuses"]["FileStatus"]
        for entry in [{**own, "pathSuffix": ""}, *below]:
            if entry["type"] == "DIRECTORY":
                name = f"{path}/{entry['pathSuffix']}".rstrip("/")
                found[f"HDFS {name}"] = f"{entry['owner']}:{entry['group']} {entry['permission']}"
    stream = "/data/state/streaming"
    query = urllib.parse.urlencode({"op": "OPEN", "user.name": "hdfs"})
    found["stream checkpoint"] = _get(f"{url}/webhdfs/v1{stream}/checkpoint/metadata?{query}").decode().strip()
    batches = ask(f"{stream}/batches", "LISTSTATUS")["FileStatuses"]["FileStatus"]
    numbers = [name.split(".")[0] for name in (entry["pathSuffix"] for entry in batches) if name.endswith(".json")]
    found["stream batch"] = max((int(number) for number in numbers if number.isdigit()), default=0)
    return found


def kafka(servers: str) -> Facts:
    """Topics, their copies, what was set by command, and the offsets of `sales`."""
    from kafka import TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec

    admin = KafkaAdminClient(
        bootstrap_servers=servers.split(","), bootstrap_timeout_ms=8000, request_timeout_ms=TIMEOUT * 1000
    )
    found: Facts = {}
    topics = {topic["name"]: topic for topic in admin.describe_topics()}
    brokers = [broker["broker_id"] for broker in admin.describe_cluster()["brokers"]]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    resources += [ConfigResource(ConfigResourceType.BROKER, str(broker)) for broker in brokers]
    # The client's own filter for what was modified leaves out what was set for all brokers.
    for kind, named in admin.describe_configs(resources, config_filter="all").items():
        for name, entries in named.items():
            for key, entry in entries.items():
                if str(entry["config_source"]).startswith("DYNAMIC"):
                    found[f"{kind} {name} {key}"] = str(entry["value"])
    for name, topic in topics.items():
        found[f"topic {name} id"] = str(topic.get("topic_id"))
        for partition in topic["partitions"]:
            found[f"topic {name} copies of {partition['partition_index']}"] = str(sorted(partition["replica_nodes"]))
    sales = [TopicPartition("sales", row["partition_index"]) for row in topics["sales"]["partitions"]]
    for spec, word in ((OffsetSpec.EARLIEST, "first"), (OffsetSpec.LATEST, "last")):
        for place, offset in admin.list_partition_offsets(dict.fromkeys(sales, spec)).items():
            value = int(offset.offset)
            found[f"topic sales {word} offset of {place.partition}"] = value if word == "last" else str(value)
    return found


def spark(url: str) -> Facts:
    """The application that is the stream, from the master's web UI."""
    active = json.loads(_get(f"{url}/json/"))["activeapps"]
    return {"stream application": next((app["id"] for app in active if app["name"] == "retail-streaming"), "none")}


TELLERS: dict[str, Callable[..., Facts]] = {function.__name__: function for function in (host, hdfs, kafka, spark)}


def main() -> None:
    """Tell; a failure is one sentence and exit code 1."""
    try:
        print(json.dumps(TELLERS[sys.argv[1]](*sys.argv[2:])))
    except Exception as error:  # whatever it is, the other side is to read a sentence, not a stack of calls
        sys.exit(f"{type(error).__name__}: {error}")


main()
