"""Asks HDFS, Kafka or Spark how it is. Runs on a host of the cluster, sent over SSH.

    ssh master1 python3 - hdfs http://master1:9870 hdfs < tools/health/ask.py
    ssh worker1 env PYTHONPATH=/opt/kafka-client python3 - kafka worker1:9092,worker2:9092 < tools/health/ask.py
    ssh master1 python3 - spark http://master1:8080 < tools/health/ask.py

The first word names a function below, the others are its arguments; it prints one line of JSON. HDFS and Spark are
asked by HTTP with nothing but Python's library; for Kafka there is its client in pure Python beside Kafka's own
jars, because each of Kafka's own tools is a JVM, too dear for what is asked every few seconds.
"""

import base64
import json
import re
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from typing import Any

TIMEOUT = 15  # seconds for one question
FSCK_TIMEOUT = 300  # a namespace of millions of blocks takes its time
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxies the host's users have

FILE = re.compile(r"(?P<path>/.*) \d+ bytes, replicated: replication=(?P<copies>\d+), \d+ block\(s\)(?P<open>, OPEN)?")
BLOCK = re.compile(r"\d+\. \S+:(?P<id>blk_\d+)\S* ")
LOCATION = re.compile(r"DatanodeInfoWithStorage\[([^,\]]+),")


def hdfs(url: str, superuser: str = "") -> dict[str, Any]:
    """What a NameNode says of itself, its DataNodes and, when wanted, of every block.

    Args:
        url: Of the NameNode's web UI.
        superuser: Who may look at all blocks, in snapshots, too; without one they are not asked for.
    """
    with DIRECT.open(f"{url}/jmx?qry=Hadoop:service=NameNode,name=*", timeout=TIMEOUT) as answer:
        beans = {bean["name"].rsplit("=", 1)[1]: bean for bean in json.load(answer)["beans"]}
    info, state, system = beans["NameNodeInfo"], beans["FSNamesystemState"], beans["FSNamesystem"]
    setting = urllib.request.Request(f"{url}/conf?name=dfs.replication", headers={"Accept": "application/json"})
    with DIRECT.open(setting, timeout=TIMEOUT) as answer:
        replication = int(json.load(answer)["property"]["value"])
    datanodes = [
        {
            "host": name.rsplit(":", 1)[0],
            "address": node.get("xferaddr", ""),
            "live": live,
            "state": node["adminState"],
            "blocks": node.get("numBlocks", 0),
            "used": node.get("used", 0),
            "remaining": node.get("remaining", 0),
            "last_contact": node["lastContact"],
        }
        for live, nodes in ((True, info["LiveNodes"]), (False, info["DeadNodes"]))
        for name, node in json.loads(nodes).items()
    ]
    return {
        "state": beans["NameNodeStatus"]["State"],
        "safe_mode": info["Safemode"],
        "replication": replication,
        "blocks": state["BlocksTotal"],
        "missing": system["MissingBlocks"],
        # Copies that were ordered from a DataNode that was away count as pending until they time out, not as lacking.
        "under_replicated": state["UnderReplicatedBlocks"] + state["PendingReconstructionBlocks"],
        "stale_storages": state["NumStaleStorages"],
        "files_open": system["NumFilesUnderConstruction"],
        "datanodes": datanodes,
        "placements": _placements(url, superuser, datanodes) if superuser else None,
    }


def _placements(url: str, superuser: str, datanodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many blocks lie on which DataNodes: what `hdfs fsck -files -blocks -locations` prints, without its JVM."""
    wanted = dict.fromkeys(("files", "blocks", "locations", "openforwrite", "includeSnapshots"), "1")
    query = urllib.parse.urlencode({"ugi": superuser, "path": "/", **wanted})
    with DIRECT.open(f"{url}/fsck?{query}", timeout=FSCK_TIMEOUT) as answer:
        return placements((line.decode(errors="replace") for line in answer), datanodes)


def placements(report: Iterable[str], datanodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count blocks by the hosts that hold them, the copies that they should have, and whether they are being written.

    Args:
        report: Lines of fsck.
        datanodes: With `address`, by which fsck names them, and `host`.

    Raises:
        ValueError: fsck did not come to its end: what it has not looked at is not known.
    """
    host_of = {node["address"]: node["host"] for node in datanodes}
    alike: dict[tuple[tuple[str, ...], int, bool], dict[str, Any]] = {}
    seen: set[str] = set()
    path, copies, being_written, line = "", 0, False, ""
    for line in report:
        if file := FILE.match(line):
            path, copies, being_written = file["path"], int(file["copies"]), bool(file["open"])
        elif (block := BLOCK.match(line)) and block["id"] not in seen:
            seen.add(block["id"])  # a snapshot and the folder itself share blocks
            holders = tuple(sorted(host_of.get(address, address) for address in LOCATION.findall(line)))
            row = {"holders": holders, "copies": copies, "open": being_written, "blocks": 0, "example": path}
            alike.setdefault((holders, copies, being_written), row)["blocks"] += 1
    if not line.startswith("The filesystem under path"):
        raise ValueError(f"fsck ended early: {line.strip()}")
    return list(alike.values())


def kafka(servers: str) -> dict[str, Any]:
    """Brokers, partitions, reassignments and the quorum of the metadata.

    Args:
        servers: Brokers to ask, `host:port` separated by commas; one that answers is enough.
    """
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
    from kafka.errors import KafkaError

    admin = KafkaAdminClient(
        bootstrap_servers=servers.split(","), bootstrap_timeout_ms=8000, request_timeout_ms=TIMEOUT * 1000
    )
    topics = admin.describe_topics()
    if failed := [topic["name"] for topic in topics if topic["error_code"]]:
        raise ValueError(
            f"the brokers do not tell about {', '.join(failed)}: it has just been made or deleted, or is lost"
        )
    setting = "min.insync.replicas"
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"], [setting]) for topic in topics]
    settings = admin.describe_configs(resources, config_filter="all")["topic"] if resources else {}
    moving = {
        f"{partition.topic}-{partition.partition}": move["adding_replicas"] + move["removing_replicas"]
        for partition, move in admin.list_partition_reassignments().items()
    }
    brokers = admin.describe_cluster()["brokers"]
    sizes: dict[int, dict[str, int]] = {}
    room: dict[int, int | None] = {}
    for broker in brokers:
        number = broker["broker_id"]
        if broker["is_fenced"]:
            continue
        try:
            folders = admin.describe_log_dirs(brokers=[number])[0]["log_dirs"]
        except KafkaError:  # it hangs, or has just ended: how large its copies are is not known then
            continue
        room[number] = sum(folder["usable_bytes"] for folder in folders)
        sizes[number] = {
            f"{topic['name']}-{partition['partition_index']}": partition["partition_size"]
            for folder in folders
            for topic in folder["topics"]
            for partition in topic["partitions"]
        }
    return {
        "brokers": [
            {
                "id": broker["broker_id"],
                "host": broker["host"],
                "fenced": broker["is_fenced"],
                "used": sum(sizes.get(broker["broker_id"], {}).values()),
                "room": room.get(broker["broker_id"]),
            }
            for broker in brokers
        ],
        "partitions": [
            {
                "name": (name := f"{topic['name']}-{partition['partition_index']}"),
                "leader": partition["leader_id"],
                "replicas": partition["replica_nodes"],
                "isr": partition["isr_nodes"],
                "min_isr": int(settings[topic["name"]][setting]["value"]),
                "moving": moving.get(name, []),
                "sizes": {number: size[name] for number, size in sizes.items() if name in size},
            }
            for topic in topics
            for partition in topic["partitions"]
        ],
        "quorum": _quorum(
            admin.describe_metadata_quorum(), {broker["broker_id"]: broker["host"] for broker in brokers}
        ),
        "metadata": _metadata(admin.describe_features()),
    }


def _metadata(features: dict[str, Any]) -> dict[str, int]:
    """How the records of the metadata are written, and how they could be by the version that runs."""
    levels = features["metadata.version"]
    return {"written": levels["finalized"][1], "newest": levels["supported"][1]}


def _quorum(answer: dict[str, Any], brokers: dict[int, str]) -> dict[str, Any]:
    """Who votes and who only follows, each with how long ago it had all that the leader has.

    Args:
        answer: Of the quorum.
        brokers: Hosts by node id. Of a node that is no broker and does not vote, the quorum tells the number alone.
    """
    partition = answer["topics"][0]["partitions"][0]
    if partition["error"]:
        raise ValueError(f"the quorum does not tell about itself: {partition['error']}")
    hosts = brokers | {node["node_id"]: node["listeners"][0]["host"] for node in answer["nodes"]}
    now = max(voter["last_caught_up_timestamp"] for voter in partition["current_voters"])  # the leader's is its clock

    def known(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                "id": row["replica_id"],
                "host": hosts.get(row["replica_id"], ""),
                "behind": max(0, partition["high_watermark"] - row["log_end_offset"]),
                "lag": (now - row["last_caught_up_timestamp"]) / 1000,
                "directory": base64.urlsafe_b64encode(uuid.UUID(row["replica_directory_id"]).bytes)
                .decode()
                .rstrip("="),
            }
            for row in rows
        ]

    return {
        "leader": partition["leader_id"],
        "voters": known(partition["current_voters"]),
        "observers": known(partition["observers"]),
    }


def spark(url: str) -> dict[str, Any]:
    """What a master says of itself, its workers and applications.

    Args:
        url: Of the master's web UI.
    """
    with DIRECT.open(f"{url}/json/", timeout=TIMEOUT) as answer:
        state = json.load(answer)
    return {
        "state": state["status"],
        "workers": [
            {
                "host": worker["host"],
                "state": worker["state"],
                "cores": worker["cores"],
                "cores_used": worker["coresused"],
                "memory_free": worker["memoryfree"],
                "memory_used": worker["memoryused"],
            }
            for worker in state["workers"]
        ],
        "applications": [
            {"name": app["name"], "cores": app["cores"], "state": app["state"]} for app in state["activeapps"]
        ],
        "drivers": len(state["activedrivers"]),
    }


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {"hdfs": hdfs, "kafka": kafka, "spark": spark}


def main() -> None:
    """Answer one question; a failure is one sentence and exit code 1."""
    try:
        print(json.dumps(QUESTIONS[sys.argv[1]](*sys.argv[2:])))
    except Exception as error:  # whatever it is, the other side is to read a sentence, not a stack of calls
        name = f"{type(error).__name__}: "
        sys.exit(name + str(error).removeprefix(name))


if __name__ == "__main__":
    main()
