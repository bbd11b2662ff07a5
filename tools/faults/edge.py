"""What the edge host sees of Kafka and HDFS. Runs there, sent over SSH, with the dashboard's libraries.

    ssh edge1 env HADOOP_CONF_DIR=/etc/hadoop HADOOP_USER_NAME=retail PYTHONPATH=/opt/retail-dashboard \
        python3 - WORD ... < tools/faults/edge.py

The first word names a function below, the others are its arguments; it prints one line of JSON.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import hdfs_native
import pyarrow.parquet as pq
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource, ConfigSource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

TIMEOUT = 15  # seconds for one question


def create(servers: str, like: str, topic: str) -> None:
    """Create a topic with the partitions, the copies and the settings of another one."""
    admin = AdminClient({"bootstrap.servers": servers})
    partitions = admin.list_topics(like, timeout=TIMEOUT).topics[like].partitions
    resource = ConfigResource(ResourceType.TOPIC, like)
    entries = admin.describe_configs([resource])[resource].result(TIMEOUT).values()
    config = {entry.name: entry.value for entry in entries if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}
    copies = len(partitions[0].replicas)
    new = NewTopic(topic, num_partitions=len(partitions), replication_factor=copies, config=config)
    admin.create_topics([new])[topic].result(TIMEOUT)


def delete(servers: str, *topics: str) -> None:
    """Delete topics; one that is not there counts as deleted."""
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.delete_topics(list(topics)).values():
        try:
            future.result(TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def ends(servers: str, *topics: str) -> dict[str, int]:
    """How many messages each topic has ever got."""
    consumer = _consumer(servers)
    return {topic: sum(end for _, end in _watermarks(consumer, topic).values()) for topic in topics}


def ids(servers: str, topic: str) -> list[str]:
    """The event id of every message of a topic."""
    return [json.loads(message.value() or b"")["event_id"] for message in _messages(servers, topic)]


def latest(servers: str, topic: str) -> list[Any]:
    """The last value of every key of a topic, as a compacted topic means it."""
    values = {message.key(): json.loads(message.value() or b"") for message in _messages(servers, topic)}
    return list(values.values())


def make_folder(folder: str) -> None:
    """Make a folder in HDFS, with those above it."""
    hdfs_native.Client().mkdirs(folder, create_parent=True)


def put(source: str, target: str) -> None:
    """Bring a file of the host to HDFS; readers see all of it or nothing."""
    client = hdfs_native.Client()
    with client.create(f"{target}._COPYING_") as file:
        file.write(Path(source).read_bytes())
    client.rename(f"{target}._COPYING_", target, overwrite=True)


def remove(path: str) -> None:
    """Delete a file of HDFS."""
    hdfs_native.Client().delete(path)


def parquet(folder: str) -> list[dict[str, str]]:
    """The rows of every visible Parquet file below a folder, with what the names of their folders say.

    A folder with snapshots is read as its readers do it: the newest one.
    """
    client = hdfs_native.Client()
    with suppress(FileNotFoundError):
        snapshots = client.get_file_info(f"{folder}/.snapshot").path
        folder = max((status.path for status in client.list_status(snapshots)), default=folder)
    rows = []
    for status in client.list_status(folder, recursive=True):
        path = PurePosixPath(status.path)
        below = path.parts[len(PurePosixPath(folder).parts) :]
        if status.isdir or path.suffix != ".parquet" or any(part.startswith(("_", ".")) for part in below):
            continue
        with client.read(status.path) as file:
            table = pq.read_table(io.BytesIO(file.read()))
        named = dict(part.split("=", 1) for part in below if "=" in part)
        rows += [{**named, **{name: str(value) for name, value in row.items()}} for row in table.to_pylist()]
    return rows


def _consumer(servers: str) -> Consumer:
    settings = {"enable.auto.commit": False, "enable.partition.eof": True}
    return Consumer({"bootstrap.servers": servers, "group.id": f"faults-{os.getpid()}", **settings})


def _watermarks(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    partitions = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic].partitions
    return {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT) for number in partitions
    }


def _messages(servers: str, topic: str) -> Iterator[Message]:
    """All messages of a topic as it is now, in the order of each partition."""
    consumer = _consumer(servers)
    left = {number for number, (low, high) in _watermarks(consumer, topic).items() if high > low}
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
    while left:
        message = consumer.poll(TIMEOUT)
        if message is None:
            raise RuntimeError(f"{topic}: no message and no end of partition {left} for {TIMEOUT} s")
        if not (error := message.error()):
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition() or 0)
        else:
            raise KafkaException(error)


COMMANDS: dict[str, Callable[..., object]] = {
    function.__name__: function for function in (create, delete, ends, ids, latest, make_folder, put, remove, parquet)
}


def main() -> None:
    """Carry out one command."""
    try:
        print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])), flush=True)
        code = 0
    except (KafkaException, RuntimeError, OSError) as error:
        # hdfs-native puts the server's whole stack trace into one line.
        print(str(error).split("\\n")[0], file=sys.stderr, flush=True)
        code = 1
    # The threads of hdfs-native abort the process when the interpreter takes itself down.
    os._exit(code)


main()
