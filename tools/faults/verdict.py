"""What the pipeline of the test must hold at its end, by the oracle."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.data.oracle import Answer, compare, compare_windows, compute
from tools.data.sample_data import products_csv
from tools.faults import plan
from tools.faults.pipeline import DEADLINE, Pipeline, as_root, on
from tools.terminal import Problem

Rows = Sequence[Mapping[str, object]]


def finish(pipeline: Pipeline) -> list[str]:
    """End the production, let all jobs come to their end, and return what differs from the oracle."""
    sent, differences = _stop_producing(pipeline)
    sales = [pipeline.lines[0], *pipeline.arrived, *pipeline.lines[1 : sent + 1]]
    last = plan.START + (len(sales) - 1) * plan.STEP + plan.JITTER
    closing = plan.make_closing(last, pipeline.seed)
    as_root(pipeline.edge, f"rm {pipeline.home}/sales/{pipeline.sales_file}")
    pipeline.upload("sales/closing.csv", "".join(closing))
    on(pipeline.edge, f"sudo systemctl start {pipeline.producer}")
    if not pipeline.put:
        pipeline.put_next()
    batch = _run_batch_to_its_end(pipeline)
    pipeline.wait("the end of the closing events", lambda: not pipeline.is_active(pipeline.producer))
    with TemporaryDirectory() as folder:
        Path(folder, "sales.csv").write_text("".join(sales))
        Path(folder, "closing.csv").write_text("".join(closing))
        truth = compute(Path(folder))
    differences += _topic(pipeline, truth)
    # The stream has some more to do; it is right when it says the same as the oracle, and goes on saying so.
    with suppress(Problem):
        pipeline.wait("the oracle's windows", lambda: not _stream(pipeline, truth, last))
    on(pipeline.edge, f"sudo systemctl stop {pipeline.streaming}")
    return [*differences, *_stream(pipeline, truth, last), *batch]


def _stop_producing(pipeline: Pipeline) -> tuple[int, list[str]]:
    """How many events the producer says it delivered, and what was wrong with it."""
    on(pipeline.edge, f"sudo systemctl stop {pipeline.producer}")
    shown = on(pipeline.edge, f"systemctl show --property NRestarts,Result,ExecMainStatus {pipeline.producer}")
    journal = on(pipeline.edge, f"sudo journalctl --unit {pipeline.producer} --lines 20 --output cat --no-pager")
    found = re.findall(r"(?:stopped|end of the input): all (\d+) events delivered", journal)
    if not found:
        raise Problem(f"the producer does not say how much it delivered:\n{journal}")
    wanted = {"NRestarts=0", "Result=success", "ExecMainStatus=0"}
    return int(found[-1]), [f"producer: {line}" for line in sorted(set(shown.split()) - wanted)]


def _run_batch_to_its_end(pipeline: Pipeline) -> list[str]:
    """Run the batch with all files put so far; what differs from the oracle."""
    pipeline.wait("the end of the batch that runs", lambda: not pipeline.is_active(pipeline.batch))
    done = pipeline.edge.run(f"sudo systemctl start {pipeline.batch}", timeout=2 * DEADLINE)
    if done.code != 0:
        return [f"the batch fails: {done.last_words}"]
    with TemporaryDirectory() as folder:
        Path(folder, "products.csv").write_text(products_csv())
        for name in pipeline.put:
            Path(folder, name).write_text(pipeline.batch_files[name])
        truth = compute(Path(folder))
    return _batch(pipeline, truth)


def _batch(pipeline: Pipeline, truth: Answer) -> list[str]:
    text = on(pipeline.edge, f"sudo cat {pipeline.csv}/daily_revenue.csv")
    rows = pipeline.ask("parquet", pipeline.analysis)
    quarantine = pipeline.ask("parquet", f"{pipeline.hdfs}/quarantine/batch")
    return [
        *_named("batch CSV", compare(truth.rows, list(csv.DictReader(text.splitlines())))),
        *_named("batch Parquet", compare(truth.rows, rows)),
        *_equal("batch: records in the quarantine", len(quarantine), truth.quarantined),
    ]


def _topic(pipeline: Pipeline, truth: Answer) -> list[str]:
    ids: Sequence[str] = pipeline.ask("ids", pipeline.servers, pipeline.sales)
    return [
        *_equal(f"topic {pipeline.sales}: events", len(set(ids)), truth.read),
        *_equal(f"topic {pipeline.sales}: repetitions of events", len(ids) - len(set(ids)), 0),
    ]


def _stream(pipeline: Pipeline, truth: Answer, last: datetime) -> list[str]:
    return stream_differences(
        truth,
        last,
        closed=pipeline.ask("parquet", f"{pipeline.hdfs}/windows"),
        live=pipeline.ask("latest", pipeline.servers, pipeline.revenue),
        aside=pipeline.ask("parquet", f"{pipeline.hdfs}/quarantine/streaming"),
    )


def stream_differences(truth: Answer, last: datetime, *, closed: Rows, live: Rows, aside: Rows) -> list[str]:
    """What the stream's outputs hold that is not so, in words.

    Args:
        truth: What the oracle says of all events.
        last: No event before the closing ones is later; the windows of those come long after.
        closed: Rows of the closed windows.
        live: The last value of every window on the live topic.
        aside: Rows of the quarantine.
    """
    over = [window for window in truth.windows if window.window_end <= last + plan.WINDOW]
    places = {(row["topic"], row["partition"], row["offset"]) for row in aside}
    return [
        *_named("closed window", compare_windows(over, closed)),
        *_named("live window", compare_windows(truth.windows, live)),
        *_equal("stream: records in the quarantine", len(places), truth.quarantined),
        *_equal("stream: late events", sum("'late'" in str(row.get("reasons")) for row in aside), 0),
        *_equal("stream: repetitions in the quarantine", len(aside) - len(places), 0),
    ]


def _named(what: str, differences: list[str]) -> list[str]:
    return [f"{what} {difference}" for difference in differences]


def _equal(what: str, got: int, expected: int) -> list[str]:
    return [] if got == expected else [f"{what}: {got}, expected {expected}"]
