"""A pipeline of the test's own on the cluster: the same units with topics, folders and input of their own."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tools import daemons
from tools.cluster import Cluster, Host, UnreachableError
from tools.data.sample_data import products_csv
from tools.faults import plan
from tools.health.gate import lacks
from tools.health.snapshot import gather
from tools.terminal import Problem, console

EDGE = (Path(__file__).parent / "edge.py").read_text()
EDGE_COMMAND = "env HADOOP_CONF_DIR=/etc/hadoop HADOOP_USER_NAME=retail PYTHONPATH=/opt/retail-dashboard python3 -"
# The cluster's own jobs would take its cores, and are no part of the test.
PAUSED = ("retail-producer.service", "retail-streaming.service", "retail-batch.timer")
DEADLINE = 300.0

UNIT = """
set -eu
cat >/var/lib/{name}/{job}.env <<END
{settings}
END
from=$(systemctl show --property FragmentPath --value retail-{job})
to=/etc/systemd/system/{unit}
mkdir --parents $to.d
cp $from $to
printf '[Service]\\nEnvironmentFile=/var/lib/{name}/{job}.env\\n' >$to.d/own.conf
systemctl daemon-reload
"""
# No folder can be deleted below which there is a snapshot.
NO_FOLDER = """
for shown in {analysis} {stores}; do
    hdfs dfs -ls -C $shown/.snapshot | while read path; do
        hdfs dfs -deleteSnapshot $shown $(basename $path) </dev/null
    done
done
hdfs dfs -rm -r -f -skipTrash {folder}
"""
NO_UNITS = """
systemctl stop '{name}-*.service'
systemctl reset-failed '{name}-*.service'
cd /etc/systemd/system
rm -rf {name}-*.service {name}-*.service.d /var/lib/{name} /var/lib/retail/{name}
systemctl daemon-reload
"""

T = TypeVar("T")


def on(host: Host, command: str, stdin: str = "") -> str:
    """What a command on a host prints.

    Raises:
        Problem: It failed.
    """
    try:
        done = host.run(command, stdin=stdin, timeout=DEADLINE)
    except UnreachableError as error:
        raise Problem(f"{host.name} cannot be reached: {error}") from error
    if done.code != 0:
        raise Problem(f"{host.name}: {command}: {done.last_words}")
    return done.out


def as_root(host: Host, script: str) -> None:
    """Run a script on a host, after those that an interrupted command may have left running there.

    Raises:
        Problem: It failed.
    """
    on(host, "sudo flock /run/lock/shopfloor-faults bash -s", stdin=script)


def mend(host: Host, script: str) -> None:
    """Run a script that may run more than once: a connection that breaks (Ctrl-C does that) is no reason to leave it.

    Raises:
        Problem: It failed every time.
    """
    for attempt in range(5):
        try:
            as_root(host, script)
            return
        except Problem:
            if attempt == 4:
                raise
            time.sleep(1)


class Pipeline:
    """Producer, streaming and batch of the test, its topics `NAME_sales` and `NAME_revenue`, and its folders."""

    def __init__(self, cluster: Cluster, name: str, seed: int) -> None:
        self.cluster, self.name, self.seed = cluster, name, seed
        self.edge = cluster.one_of("edge")
        self.streaming, self.batch, self.producer = (
            f"{name}-{job}.service" for job in ("streaming", "batch", "producer")
        )
        self.sales, self.revenue = f"{name}_sales", f"{name}_revenue"
        self.hdfs, self.home, self.csv = f"/tmp/{name}", f"/var/lib/{name}", f"/var/lib/retail/{name}/analysis_csv"
        self.analysis, self.stores = (f"{self.hdfs}/output/{name}_parquet" for name in ("analysis", "stores"))
        self.servers = ",".join(
            f"{host.name}:{daemons.port('broker', 'clients')}" for host in cluster.group("kafka_broker")
        )
        self.lines: list[str] = []
        """The CSV that the producer sends, its header first."""
        self.arrived: list[str] = []
        """Lines of those that it sent before it was killed."""
        self.sales_files = 0
        self.batch_files: dict[str, str] = {}
        """Text of the batch's CSVs by name."""
        self.put: list[str] = []
        """Names of those that it has got."""
        self.batch_starts = self.batch_failures = 0

    @contextmanager
    def running(self, rows: int, batch_files: int) -> Iterator[None]:
        """Make it and let it run; at the end, whatever happens, nothing of it is left and all is as it was.

        Args:
            rows: How many sales there are to produce; more than will be.
            batch_files: How many files there are for the batch.
        """
        self.batch_files = plan.make_batch_files(batch_files, self.seed)
        with ExitStack() as undo:
            self._pause(undo)
            undo.callback(self._clean, "its topics", lambda: self.ask("delete", self.servers, self.sales, self.revenue))
            undo.callback(self._clean, "its HDFS folder", lambda: self._as_hdfs(NO_FOLDER))
            undo.callback(self._clean, "its units", lambda: as_root(self.edge, NO_UNITS.format(name=self.name)))
            for topic, like in ((self.sales, "sales"), (self.revenue, "product_revenue")):
                self.ask("create", self.servers, like, topic)
            self._offer(plan.make_sales(rows, self.seed))
            for folder in (f"{self.hdfs}/input", self.analysis, self.stores):
                self.ask("make_folder", folder)
            self._as_hdfs("hdfs dfsadmin -allowSnapshot {analysis} && hdfs dfsadmin -allowSnapshot {stores}")
            self._put("products.csv", products_csv())
            for job, settings in self._settings().items():
                text = "\n".join(f'{name}="{value}"' for name, value in settings.items())
                unit = f"{self.name}-{job}.service"
                as_root(self.edge, UNIT.format(name=self.name, job=job, unit=unit, settings=text))
            on(self.edge, f"sudo systemctl start {self.streaming} {self.producer}")
            self.wait("the first live window", lambda: self.ask("ends", self.servers, self.revenue)[self.revenue])
            try:
                yield
            except Problem:
                self._show_units()  # nothing of them is left afterwards
                raise

    def _settings(self) -> dict[str, dict[str, object]]:
        """What the units are told that is not as in the cluster's own."""
        folders = {
            "STATE_PATH": f"{self.hdfs}/state",
            "OUTPUT_PATH": f"{self.hdfs}/output",
            "QUARANTINE_PATH": f"{self.hdfs}/quarantine",
        }
        minutes = plan.WATERMARK.total_seconds() / 60
        return {
            "streaming": {
                **folders,
                "SALES_TOPIC": self.sales,
                "LIVE_TOPIC": self.revenue,
                "STREAM_OUTPUT_PATH": f"{self.hdfs}/windows",
                "WATERMARK": f"{minutes:.0f} minutes",
            },
            "batch": {**folders, "INPUT_PATH": f"{self.hdfs}/input", "CSV_PATH": self.csv},
            "producer": {
                "SALES_TOPIC": self.sales,
                "INPUT_PATH": f"{self.home}/sales",
                "EVENTS_PER_SECOND": plan.RATE,
                "EVENT_TIME": "original",
                "LOOP": "false",
            },
        }

    def _pause(self, undo: ExitStack) -> None:
        """Stop the cluster's own jobs, and start those again that ran."""
        active = [unit for unit in PAUSED if self.is_active(unit)]

        def go_on() -> None:
            if active:
                on(self.edge, f"sudo systemctl start --no-block {' '.join(active)}")

        undo.callback(self._clean, "the cluster's own jobs", go_on)
        on(self.edge, f"sudo systemctl stop {' '.join(PAUSED)}")
        self.wait("the end of the cluster's own batch", lambda: not self.is_active("retail-batch.service"))

    def _show_units(self) -> None:
        """Print how the units of the test are, and their last words, as far as the edge host tells."""
        try:
            shown = on(self.edge, f"sudo systemctl status --no-pager --lines 15 '{self.name}-*.service' || true")
        except Problem as error:
            shown = str(error)
        console.print(f"\n{shown}", markup=False)

    def _clean(self, what: str, action: Callable[[], object]) -> None:
        """Clean up, as soon as the cluster lets us; what fails is said and does not keep the rest from it."""

        def done() -> bool:
            action()
            return True

        try:
            self.wait(what, done)
        except Problem as error:
            console.print(f"not cleaned up: {what} of {self.name}: {error}", style="red", markup=False)

    def _as_hdfs(self, script: str) -> None:
        """Let HDFS's own user do what only he may; names in braces stand for the folders of the test."""
        script = script.format(analysis=self.analysis, stores=self.stores, folder=self.hdfs)
        on(self.cluster.one_of("namenode"), f"sudo -u hdfs bash -c {shlex.quote(script)}")

    def is_active(self, unit: str) -> bool:
        """Whether a unit of the edge host runs, or is just starting."""
        state = on(self.edge, f"systemctl show --property ActiveState --value {unit}").strip()
        return state in ("active", "activating", "reloading")

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        """Let `edge.py` do something on the edge host, and return its answer."""
        return json.loads(on(self.edge, f"{EDGE_COMMAND} {shlex.join(words)}", stdin=EDGE))

    def wait(self, what: str, question: Callable[[], T], deadline: float = DEADLINE) -> T:
        """Ask until the answer is true, and return it.

        Raises:
            Problem: It never is.
        """
        end, last = time.monotonic() + deadline, ""
        while time.monotonic() < end:
            try:
                if answer := question():
                    return answer
            except Problem as error:
                last = f": {error}"
            time.sleep(0.5)
        look = self.edge.journal_command(self.streaming)
        raise Problem(f"after {deadline:.0f} s still not there: {what}{last}; look at: {look}")

    def wait_until_settled(self) -> None:
        """Wait until nothing is missing of HDFS, Kafka and Spark."""

        def whole() -> bool:
            if lacking := lacks(gather(self.cluster, blocks=False)):
                raise Problem(" ".join(lacking))
            return True

        self.wait("a whole cluster", whole)

    def wait_until_whole(self) -> None:
        """Wait until nothing is missing of the cluster, and new sales come to the live windows."""
        self.wait_until_settled()
        before = self.wait("the ends of the topics", self._ends)
        self.wait(
            "new sales in the live windows",
            lambda: all(now > then for now, then in zip(self._ends(), before, strict=True)),
        )

    def _ends(self) -> tuple[int, int]:
        ends = self.ask("ends", self.servers, self.sales, self.revenue)
        return ends[self.sales], ends[self.revenue]

    def run_batch(self) -> None:
        """Let the batch run, with one more file if there is one, unless it does already."""
        if self.is_active(self.batch):
            return
        self.batch_starts += 1
        self.batch_failures += on(self.edge, f"systemctl show --property Result --value {self.batch}") != "success\n"
        if len(self.put) < len(self.batch_files):
            self.put_next()
        on(self.edge, f"sudo systemctl start --no-block {self.batch}")

    def put_next(self) -> None:
        """Bring one more file to the batch's input."""
        name = list(self.batch_files)[len(self.put)]
        self.put_again(name)
        self.put.append(name)

    def put_again(self, name: str) -> None:
        """Bring a file of the batch to its input, as it is now, instead of what is there."""
        self._put(name, self.batch_files[name])

    def _put(self, name: str, text: str) -> None:
        self.upload(f"batch/{name}", text)
        self.ask("put", f"{self.home}/batch/{name}", f"{self.hdfs}/input/{name}")

    def start_again(self) -> None:
        """Start what was running after the edge host has begun anew; the cluster's own jobs did so by themselves."""
        on(self.edge, f"sudo systemctl stop {' '.join(PAUSED)} retail-batch.service")
        on(self.edge, f"sudo systemctl start --no-block {self.streaming}")
        self.send_the_rest()

    def send_the_rest(self) -> None:
        """Let a producer that was killed go on with what has not arrived: by itself it would begin anew."""
        self.wait_until_settled()  # before, followers may lack what a reader is not shown yet
        ids = self.wait("the events that have arrived", lambda: self.ask("ids", self.servers, self.sales))
        header, former = self.lines[0], self.sales_file
        arrived, rest = plan.split(self.lines, former, ids)
        self.arrived += arrived
        self._offer([header, *rest])
        as_root(self.edge, f"rm {self.home}/sales/{former}")
        on(self.edge, f"sudo systemctl start {self.producer}")

    @property
    def sales_file(self) -> str:
        """Name of the CSV that the producer sends."""
        return f"sales-{self.sales_files}.csv"

    def _offer(self, lines: list[str]) -> None:
        self.lines = lines
        self.sales_files += 1
        self.upload(f"sales/{self.sales_file}", "".join(lines))

    def upload(self, name: str, text: str) -> None:
        """Put a file into the test's folder on the edge host."""
        path = f"{self.home}/{name}"
        on(self.edge, f"sudo mkdir --parents {Path(path).parent} && sudo tee {path} >/dev/null", stdin=text)
