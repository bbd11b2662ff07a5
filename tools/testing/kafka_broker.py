"""A Kafka broker of its own on 127.0.0.1, for tests and benches: the jars that hosts receive, and nothing kept.

with broker() as address:
    create_topic(address, "sales", partitions=3)
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tools import ROOT
from tools.artefacts.products import Checkout
from tools.terminal import Problem

START_SECONDS = 300
JAVA = ("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m")
CLUSTER_ID = "c2hvcGZsb29yLXRlc3QtMQ"


def jars(product: str, folder: str) -> list[Path]:
    """The jars of a product as they were fetched for the hosts.

    Args:
        product: a row of artefacts.toml.
        folder: their folder in the archive.

    Raises:
        Problem: one has not been fetched.
    """
    checkout = Checkout.at(ROOT)
    found = [checkout.downloads / jar.file_name for jar in checkout.locked()[product][folder]]
    missing = [path.name for path in found if not path.exists()]
    if missing:
        raise Problem(f"{missing[0]} is not in {checkout.downloads}. Run `make artefacts`.")
    return found


def spark_kafka_jars() -> str:
    """What Spark lacks to read and write Kafka, as the value of `spark.jars`."""
    return ",".join(map(str, jars("spark", "pyspark/jars")))


class Broker:
    """One process that is broker and controller; `kill` and `start` play its death and return.

    Attributes:
        address: `host:port` of its listener; stays the same over restarts.
        controller: `host:port` of the controller.
    """

    def __init__(self, folder: Path, joins: Broker | None = None) -> None:
        """Make what it needs.

        Args:
            folder: for its data.
            joins: the first broker of its cluster, number 1; with one, it is number 2, and no controller.
        """
        self.address = f"127.0.0.1:{_free_port()}"
        self.controller: str = joins.controller if joins else f"127.0.0.1:{_free_port()}"
        self._folder = folder
        self._classes = ":".join(map(str, jars("kafka", "libs")))
        self._config = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        _write_properties(folder / "tools.properties", LOGGING)
        _write_properties(self._config, _server(self, folder / "data", first=joins is None))
        voters = ["--standalone"] if joins is None else []
        self._run("kafka.tools.StorageTool", "format", *voters, "-t", CLUSTER_ID, "-c", str(self._config))

    def start(self) -> None:
        """Start, and return when clients are answered.

        Raises:
            Problem: it did not come up; the end of its log says why.
        """
        with (self._folder / "log").open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must leave it for `stop`, after its clients.
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self._config)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=1)
            except KafkaException as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self._folder / "log").read_text(errors="replace")[-2000:]
                    raise Problem(f"the broker did not start:\n{said}") from error
            else:
                return

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the end; nothing happens when it does not run."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait()

    def _run(self, *words: str) -> None:
        done = subprocess.run(self._command(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Problem(f"{words[0]}: {done.stdout}{done.stderr}")

    def _command(self, *words: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._folder / 'tools.properties'}"
        return [*JAVA, "-cp", self._classes, logging, *words]


LOGGING = {
    "appender.console.type": "Console",
    "appender.console.name": "console",
    "appender.console.layout.type": "PatternLayout",
    "appender.console.layout.pattern": "%p %m (%c{1})%n",
    "rootLogger.level": "warn",
    "rootLogger.appenderRef.console.ref": "console",
}


def _server(broker: Broker, data: Path, *, first: bool) -> Mapping[str, str]:
    return {
        "process.roles": "broker,controller" if first else "broker",
        "node.id": "1" if first else "2",
        "controller.quorum.bootstrap.servers": broker.controller,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker.address}" + f",CONTROLLER://{broker.controller}" * first,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


@contextmanager
def running(joins: Broker | None = None) -> Iterator[Broker]:
    """A broker that is gone at the end, with its data, whatever happens in between; see `Broker`."""
    # Not below a folder of the tests: those are kept after a failure, and logs are large.
    folder = Path(tempfile.mkdtemp(prefix="kafka-"))
    server = None
    try:
        server = Broker(folder, joins)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def create_topic(address: str, name: str, partitions: int = 1, **config: str) -> None:
    """Create a topic and return when it can be used.

    Args:
        address: `host:port` of the broker.
        name: of the topic.
        partitions: how many.
        config: settings of the topic, with `_` for `.`.
    """
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result()


def _free_port() -> int:
    """A port of 23000 to 28999 that nobody holds."""
    for offset in range(6000):
        port = 23000 + (os.getpid() * 7 + offset) % 6000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
    raise Problem("no port of 23000 to 28999 is free on 127.0.0.1")


_given: set[int] = set()


def _write_properties(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
