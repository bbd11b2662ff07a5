"""A pipeline of the test's own on the cluster: the same units with topics, folders and input of their own."""

from __future__ import annotations

import csv
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from tools.cluster import Cluster, Host, UnreachableError
from tools.faults import plan
from tools.oracle import Answer, compare, compare_windows, compute
from tools.sample_data import products_csv
from tools.terminal import Problem, console

EDGE = (Path(__file__).parent / "edge.py").read_text()
EDGE_COMMAND = "env HADOOP_CONF_DIR=/etc/hadoop HADOOP_USER_NAME=retail PYTHONPATH=/opt/retail-dashboard python3 -"
# The cluster's own jobs would take its cores, and are no part of the test.
PAUSED = ("retail-producer.service", "retail-streaming.service", "retail-batch.timer", "retail-batch.service")
DEADLINE = 300.0

UNIT = """
set -eu
cat >/run/{name}/{job}.env <<END
{settings}
END
from=$(systemctl show --property FragmentPath --value retail-{job})
to=/run/systemd/system/{unit}
mkdir --parents $to.d
cp $from $to
printf '[Service]\\nEnvironmentFile=/run/{name}/{job}.env\\n' >$to.d/own.conf
systemctl daemon-reload
"""
NO_UNITS = """
systemctl stop '{name}-*.service'
systemctl reset-failed '{name}-*.service'
rm -rf /run/systemd/system/{name}-*.service /run/systemd/system/{name}-*.service.d /run/{name} /var/lib/retail/{name}
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
        self.hdfs, self.home, self.csv = f"/tmp/{name}", f"/run/{name}", f"/var/lib/retail/{name}/analysis_csv"
        self.servers = ",".join(f"{host.name}:9092" for host in cluster.group("kafka_broker"))
        self._lines: list[str] = []
        self._batch_files: dict[str, str] = {}
        self._put: list[str] = []

    @contextmanager
    def running(self, rows: int, batch_files: int) -> Iterator[None]:
        """Make it and let it run; at the end, whatever happens, nothing of it is left and all is as it was.

        Args:
            rows: How many sales there are to produce; more than will be.
            batch_files: How many files there are for the batch.
        """
        self._lines = plan.make_sales(rows, self.seed)
        self._batch_files = plan.make_batch_files(batch_files, self.seed)
        with ExitStack() as undo:
            self._pause(undo)
            undo.callback(self._clean, "its topics", lambda: self.ask("delete", self.servers, self.sales, self.revenue))
            undo.callback(self._clean, "its HDFS folder", lambda: self.ask("remove", self.hdfs))
            undo.callback(self._clean, "its units", lambda: as_root(self.edge, NO_UNITS.format(name=self.name)))
            for topic, like in ((self.sales, "sales"), (self.revenue, "product_revenue")):
                self.ask("create", self.servers, like, topic)
            self._upload("sales/sales.csv", "".join(self._lines))
            self._put_batch_file("products.csv", products_csv())
            for job, settings in self._settings().items():
                text = "\n".join(f'{name}="{value}"' for name, value in settings.items())
                unit = f"{self.name}-{job}.service"
                as_root(self.edge, UNIT.format(name=self.name, job=job, unit=unit, settings=text))
            on(self.edge, f"sudo systemctl start {self.streaming} {self.producer}")
            self.wait("the first live window", lambda: self.ask("ends", self.servers, self.revenue)[self.revenue])
            yield

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
                "SLOW_TRIGGER_SECONDS": 10,
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
        active = [unit for unit in PAUSED[:3] if self.is_active(unit)]

        def go_on() -> None:
            if active:
                on(self.edge, f"sudo systemctl start --no-block {' '.join(active)}")

        undo.callback(self._clean, "the cluster's own jobs", go_on)
        on(self.edge, f"sudo systemctl stop {' '.join(PAUSED)}")

    def _clean(self, what: str, action: Callable[[], object]) -> None:
        """Clean up, as soon as the cluster lets us; what fails is said and does not keep the rest from it."""

        def done() -> bool:
            action()
            return True

        try:
            self.wait(what, done)
        except Problem as error:
            console.print(f"not cleaned up: {what} of {self.name}: {error}", style="red", markup=False)

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
        raise Problem(f"after {deadline:.0f} s still not there: {what}{last}")

    def wait_until_whole(self) -> None:
        """Wait until nothing is missing of the cluster, and new sales come to the live windows."""
        ports = {"namenode": 9870, "spark_master": 8080}
        uis = [",".join(f"{host.name}:{port}" for host in self.cluster.group(group)) for group, port in ports.items()]
        counts = [str(len(self.cluster.group(group))) for group in ("datanode", "spark_worker")]
        lacks: list[str] = ["?"]

        def whole() -> bool:
            lacks[:] = self.ask("lacks", self.servers, *uis, *counts)
            if lacks:
                raise Problem("; ".join(lacks))
            return True

        self.wait("a whole cluster", whole)
        before = self._ends()
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
        if len(self._put) < len(self._batch_files):
            self._put_next()
        on(self.edge, f"sudo systemctl start --no-block {self.batch}")

    def _put_next(self) -> None:
        name = list(self._batch_files)[len(self._put)]
        self._put_batch_file(name, self._batch_files[name])
        self._put.append(name)

    def _put_batch_file(self, name: str, text: str) -> None:
        self._upload(f"batch/{name}", text)
        self.ask("put", f"{self.home}/batch/{name}", f"{self.hdfs}/input/{name}")

    def _upload(self, name: str, text: str) -> None:
        path = f"{self.home}/{name}"
        on(self.edge, f"sudo mkdir --parents {Path(path).parent} && sudo tee {path} >/dev/null", stdin=text)

    def finish(self) -> list[str]:
        """End the production, let all jobs come to their end, and return what differs from the oracle."""
        sent, differences = self._stop_producing()
        last = plan.START + sent * plan.STEP + plan.JITTER
        closing = plan.make_closing(last, self.seed)
        as_root(self.edge, f"rm {self.home}/sales/sales.csv")
        self._upload("sales/closing.csv", "".join(closing))
        on(self.edge, f"sudo systemctl start {self.producer}")
        if not self._put:
            self._put_next()
        batch = self._run_batch_to_its_end()
        self.wait("the end of the closing events", lambda: not self.is_active(self.producer))
        with TemporaryDirectory() as folder:
            Path(folder, "sales.csv").write_text("".join(self._lines[: sent + 1]))
            Path(folder, "closing.csv").write_text("".join(closing))
            truth = compute(Path(folder))
        differences += self._topic(truth)
        # The stream has some more to do; it is right when it says the same as the oracle, and goes on saying so.
        with suppress(Problem):
            self.wait("the oracle's windows", lambda: not self._stream(truth, last))
        on(self.edge, f"sudo systemctl stop {self.streaming}")
        return [*differences, *self._stream(truth, last), *batch]

    def _stop_producing(self) -> tuple[int, list[str]]:
        """How many events the producer says it delivered, and what was wrong with it."""
        on(self.edge, f"sudo systemctl stop {self.producer}")
        shown = on(self.edge, f"systemctl show --property NRestarts,Result,ExecMainStatus {self.producer}")
        journal = on(self.edge, f"sudo journalctl --unit {self.producer} --lines 20 --output cat --no-pager")
        found = re.findall(r"(?:stopped|end of the input): all (\d+) events delivered", journal)
        if not found:
            raise Problem(f"the producer does not say how much it delivered:\n{journal}")
        wanted = {"NRestarts=0", "Result=success", "ExecMainStatus=0"}
        return int(found[-1]), [f"producer: {line}" for line in sorted(set(shown.split()) - wanted)]

    def _run_batch_to_its_end(self) -> list[str]:
        """Run the batch with all files put so far; what differs from the oracle."""
        self.wait("the end of the batch that runs", lambda: not self.is_active(self.batch))
        done = self.edge.run(f"sudo systemctl start {self.batch}", timeout=2 * DEADLINE)
        if done.code != 0:
            return [f"the batch fails: {done.last_words}"]
        with TemporaryDirectory() as folder:
            Path(folder, "products.csv").write_text(products_csv())
            for name in self._put:
                Path(folder, name).write_text(self._batch_files[name])
            truth = compute(Path(folder))
        return self._batch(truth)

    def _batch(self, truth: Answer) -> list[str]:
        text = on(self.edge, f"sudo cat {self.csv}/daily_revenue.csv")
        quarantine = self.ask("parquet", f"{self.hdfs}/quarantine/batch")
        return [
            *_named("batch CSV", compare(truth.rows, list(csv.DictReader(text.splitlines())))),
            *_named("batch Parquet", compare(truth.rows, self.ask("parquet", f"{self.hdfs}/output/analysis_parquet"))),
            *_equal("batch: records in the quarantine", len(quarantine), truth.quarantined),
        ]

    def _topic(self, truth: Answer) -> list[str]:
        ids: Sequence[str] = self.ask("ids", self.servers, self.sales)
        return [
            *_equal(f"topic {self.sales}: events", len(set(ids)), truth.read),
            *_equal(f"topic {self.sales}: repetitions of events", len(ids) - len(set(ids)), 0),
        ]

    def _stream(self, truth: Answer, last: datetime) -> list[str]:
        # The closing events, and their windows, come long after those.
        closed = [window for window in truth.windows if window.window_end <= last + plan.WINDOW]
        found = self.ask("parquet", f"{self.hdfs}/windows")
        aside = self.ask("parquet", f"{self.hdfs}/quarantine/streaming")
        places = {(row["topic"], row["partition"], row["offset"]) for row in aside}
        return [
            *_named("closed window", compare_windows(closed, found)),
            *_named("live window", compare_windows(truth.windows, self.ask("latest", self.servers, self.revenue))),
            *_equal("stream: records in the quarantine", len(places), truth.quarantined),
            *_equal("stream: repetitions in the quarantine", len(aside) - len(places), 0),
        ]


def _named(what: str, differences: list[str]) -> list[str]:
    return [f"{what} {difference}" for difference in differences]


def _equal(what: str, got: int, expected: int) -> list[str]:
    return [] if got == expected else [f"{what}: {got}, expected {expected}"]
