from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from retail_jobs import publication
from retail_jobs.publication import KEPT_SNAPSHOTS, Plan, first_state, latest, load_state, recover
from retail_jobs.storage import Storage

from tools.testing.interruptions import Stopped, StoppingStorage

PUBLICATIONS = 50


class Shelf:
    """Publications of which every file says which one it belongs to, and how many rows that one has in all."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, f"file:{root}/state"
        self.shown = f"file:{root}/analysis"
        (root / "analysis").mkdir()

    def prepare(self, number: int) -> tuple[str, Plan]:
        """Stage a publication: two days stay, one comes, one goes."""
        staging, plan = self.root / "state" / "staging" / f"run-{number}", Plan(shown=[self.shown], state=first_state())
        days = [*range(2), number + 10]
        for day in days:
            file = staging / f"order_date={day}" / "x.parquet"
            file.parent.mkdir(parents=True)
            pq.write_table(pa.table({"number": [number] * 4, "total": [4 * len(days)] * 4}), file)
            plan.moves.append((f"file:{file}", f"{self.shown}/order_date={day}/part-0.parquet"))
        plan.deletes.append(f"{self.shown}/order_date={number + 9}")
        plan.state.publication = number
        return f"file:{staging}", plan

    def state(self, storage: Storage) -> tuple[int, set[int], list[str]]:
        """Publication by the state, by the snapshot, and what is left in the staging folder."""
        path = latest(storage, self.shown)
        numbers = set() if path is None else {number for number, _ in read_arrow(path)}
        return load_state(storage, self.home).publication, numbers, storage.folders(f"{self.home}/staging")


def read_arrow(path: str) -> list[tuple[int, int]]:
    table = ds.dataset(path.removeprefix("file:"), partitioning="hive").to_table()
    return list(zip(table["number"].to_pylist(), table["total"].to_pylist(), strict=True))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_readers_see_only_whole_states(spark: SparkSession, shelf: Shelf) -> None:
    storage, stop = Storage(), threading.Event()

    def read_spark(path: str) -> list[tuple[int, int]]:
        return [(row.number, row.total) for row in spark.read.parquet(path).select("number", "total").collect()]

    class Reader:
        """Reads the latest state until told to stop."""

        def __init__(self, read: Callable[[str], list[tuple[int, int]]]) -> None:
            self.read, self.condition, self.reads, self.seen = read, threading.Condition(), 0, set[int]()

        def loop(self) -> None:
            while not stop.is_set():
                try:
                    path = latest(storage, shelf.shown)
                    assert path is not None
                    rows = self.read(path)
                    [(number, total)] = set(rows)
                    assert len(rows) == total
                    self.seen.add(number)
                except BaseException:
                    stop.set()
                    raise
                finally:
                    with self.condition:
                        self.reads += 1
                        self.condition.notify_all()

        def wait_for_another(self) -> None:
            with self.condition:
                reads = self.reads
                self.condition.wait_for(lambda: self.reads > reads or stop.is_set(), timeout=60)

    publication.commit(storage, shelf.home, *shelf.prepare(1))
    readers = [Reader(read_arrow), Reader(read_spark)]
    with ThreadPoolExecutor() as pool:
        loops = [pool.submit(reader.loop) for reader in readers]
        for number in range(2, PUBLICATIONS + 1):
            publication.commit(storage, shelf.home, *shelf.prepare(number))
            readers[number % 2].wait_for_another()
        stop.set()
    for reader, loop in zip(readers, loops, strict=True):
        loop.result()
        assert reader.reads >= PUBLICATIONS / 2 - 1 and len(reader.seen) > PUBLICATIONS / 5
    assert len(storage.snapshots(shelf.shown)) == KEPT_SNAPSHOTS


def test_a_publication_that_stops_anywhere_is_finished_by_the_next_run(shelf: Shelf) -> None:
    storage = Storage()
    for earlier in range(1, KEPT_SNAPSHOTS + 1):
        publication.commit(storage, shelf.home, *shelf.prepare(earlier))
    number = KEPT_SNAPSHOTS + 1

    def stops() -> Iterator[bool]:
        """Stop after no change, after one, after two, until a publication gets through."""
        for changes in range(100):
            try:
                publication.commit(StoppingStorage(changes), shelf.home, *shelf.prepare(number))
            except Stopped:
                yield True
            else:
                return

    places = 0
    for _ in stops():
        planned = recover(storage, shelf.home, number - 1)
        # The first change writes the plan; before that nothing has happened.
        expected = number if planned else number - 1
        assert planned == (places > 0)
        assert shelf.state(storage) == (expected, {expected}, [])
        places += 1
        number += planned
    assert places > 6


def test_a_copy_of_a_snapshot_that_was_not_finished_is_made_again(shelf: Shelf) -> None:
    storage = Storage()
    partial = shelf.root / "analysis" / ".snapshot" / ".p000000001.partial"
    partial.mkdir(parents=True)
    (partial / "left").touch()
    assert latest(storage, shelf.shown) is None
    publication.commit(storage, shelf.home, *shelf.prepare(1))
    assert storage.snapshots(shelf.shown) == ["p000000001"]
    assert shelf.state(storage) == (1, {1}, [])


def test_a_published_file_changes_only_by_a_move(shelf: Shelf) -> None:
    storage = Storage()
    publication.commit(storage, shelf.home, *shelf.prepare(1))
    first = latest(storage, shelf.shown)
    assert first is not None
    publication.commit(storage, shelf.home, *shelf.prepare(2))
    shutil.rmtree(shelf.root / "analysis" / "order_date=0")
    assert {number for number, _ in read_arrow(first)} == {1}


def test_a_plan_that_was_carried_out_is_not_carried_out_again(shelf: Shelf) -> None:
    storage = Storage()
    for number in (1, 2):
        publication.commit(storage, shelf.home, *shelf.prepare(number))
    # As a copy of the state from before would leave it, say.
    staging, plan = shelf.prepare(2)
    storage.write_text(f"{staging}/{publication.PLAN}", plan.model_dump_json())
    assert not recover(storage, shelf.home, load_state(storage, shelf.home).publication)
    assert shelf.state(storage) == (2, {2}, [])


@pytest.mark.parametrize("path", ["order_date=0", "order_date=0/part-0.parquet"])
def test_a_plan_that_removes_what_it_puts_in_place_is_refused(shelf: Shelf, path: str) -> None:
    staging, plan = shelf.prepare(1)
    plan.deletes.append(f"{shelf.shown}/{path}")
    with pytest.raises(ValueError, match="in place and removes it"):
        publication.commit(Storage(), shelf.home, staging, plan)
    assert shelf.state(Storage())[:2] == (0, set())


def test_a_path_is_written_as_spark_writes_it(spark: SparkSession, tmp_path: Path) -> None:
    # Hadoop has no colon in names.
    names = "".join(chr(code) for code in range(32, 127) if chr(code) not in "/:"), "Größe\u00a01 \u2028.csv"
    for name in names:
        (tmp_path / name).write_text("x")
        # A pattern to Spark, which the reader of records quotes.
        found = spark.read.text(f"{tmp_path}/*").selectExpr("input_file_name()").collect()
        assert [row[0] for row in found] == [Storage().uri(f"file:{tmp_path}/{name}")]
        (tmp_path / name).unlink()
