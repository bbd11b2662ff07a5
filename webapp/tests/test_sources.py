import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from retail_webapp.settings import HDFS_PATHS, LOCAL_PATHS, Settings
from retail_webapp.sources.batch import KEPT, BatchSource
from retail_webapp.sources.dataset import date_of, published
from retail_webapp.sources.report import Report, State
from retail_webapp.sources.stores import FileEntry, LocalStore, Store

from .samples import DAY_1, DAY_2, DAY_3, MONTH, Publisher

pytestmark = pytest.mark.filterwarnings("error")


class Counting(LocalStore):
    """The real local store, which also counts reads and lets a test act between list and read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: list[str] = []
        self.before_files: Callable[[], object] | None = None
        self.before_read: Callable[[], object] | None = None

    def files(self, path: str) -> list[FileEntry]:
        if self.before_files:
            act, self.before_files = self.before_files, None
            act()
        return super().files(path)

    def read(self, path: str) -> bytes:
        if self.before_read:
            act, self.before_read = self.before_read, None
            act()
        self.reads.append(path)
        return super().read(path)


@pytest.fixture
def store(folder: Path) -> Counting:
    return Counting(folder)


@pytest.fixture
def source(store: Counting) -> BatchSource:
    return make_source(lambda: store)


def dates(source: BatchSource) -> set[date]:
    snapshot = source.snapshot()
    assert snapshot is not None
    return set(snapshot.table["order_date"].to_pylist())


def make_source(open_store: Callable[[], Store]) -> BatchSource:
    return BatchSource(open_store, "folder", interval=60, product="HDFS", how_to_fill="make batch")


@pytest.mark.usefixtures("month")
def test_only_changed_files_are_read_again(source: BatchSource, store: Counting, batch: Publisher) -> None:
    source.refresh()
    assert len(store.reads) == 3
    source.refresh()
    assert len(store.reads) == 3
    batch.write(DAY_2, MONTH[DAY_1])
    batch.publish()
    source.refresh()
    assert store.reads[3:] == [f".snapshot/p000000002/order_date={DAY_2}/part-00000.snappy.parquet"]


@pytest.mark.usefixtures("month")
def test_what_is_written_shows_only_when_it_is_published(source: BatchSource, batch: Publisher) -> None:
    source.refresh()
    batch.remove(DAY_1)
    batch.write(date(2025, 4, 1), MONTH[DAY_2])
    source.refresh()
    assert dates(source) == {DAY_1, DAY_2, DAY_3}
    batch.publish()
    source.refresh()
    assert dates(source) == {DAY_2, DAY_3, date(2025, 4, 1)}


@pytest.mark.usefixtures("month")
def test_a_snapshot_that_goes_while_it_is_read_means_the_next_one(
    source: BatchSource, store: Counting, batch: Publisher
) -> None:
    def overtake() -> None:
        batch.remove(DAY_1)
        for _ in range(KEPT + 1):
            batch.publish()

    store.before_read = overtake
    source.refresh()
    assert dates(source) == {DAY_2, DAY_3}
    assert source.report().state is State.OK


@pytest.mark.usefixtures("month")
def test_a_snapshot_that_may_have_lost_files_is_not_shown(
    source: BatchSource, store: Counting, batch: Publisher
) -> None:
    def lose_a_day_of_it() -> None:
        for _ in range(KEPT - 1):
            batch.publish()
        # The sixth one, half of which is away already.
        shutil.rmtree(batch.folder / f".snapshot/p000000001/order_date={DAY_3}")
        batch.publish()

    store.before_files = lose_a_day_of_it
    source.refresh()
    assert dates(source) == {DAY_1, DAY_2, DAY_3}


def test_a_publication_without_a_day_is_whole_too(source: BatchSource, batch: Publisher) -> None:
    batch.publish()
    source.refresh()
    assert source.report().state is State.OK
    assert dates(source) == set()


@pytest.mark.usefixtures("month")
def test_a_result_that_was_made_anew_from_the_first_publication_shows(
    source: BatchSource, batch: Publisher, folder: Path
) -> None:
    source.refresh()
    shutil.rmtree(folder)
    anew = Publisher(folder)
    anew.write(DAY_1, MONTH[DAY_1])
    anew.publish()
    source.refresh()
    assert dates(source) == {DAY_1}


def test_unexpected_columns_are_a_notice_that_names_one(batch: Publisher, source: BatchSource) -> None:
    pq.write_table(pa.table({"something": [1]}), batch.write(DAY_1, MONTH[DAY_1]))
    batch.publish()
    source.refresh()
    report = source.report()
    assert report.state is State.AWAY
    assert report.notice is not None
    assert "product" in report.notice


def test_a_store_that_cannot_be_opened_is_tried_again(month: Path) -> None:
    tries = iter([None, LocalStore(month)])

    def open_store() -> Store:
        store = next(tries)
        if store is None:
            raise ConnectionError("NameNode refused")
        return store

    source = make_source(open_store)
    source.refresh()
    assert source.snapshot() is None
    assert source.report().notice == ("HDFS cannot be read (NameNode refused): nothing to show yet; trying again.")
    source.refresh()
    assert source.report().state is State.OK


def test_hidden_and_foreign_files_are_not_published() -> None:
    paths = [
        "order_date=2025-03-01/part-0.parquet",
        "order_date=2025-03-01/.part-1.parquet",
        "order_date=2025-03-01/_temporary/0/part-2.parquet",
        "_staging/order_date=2025-03-01/part-3.parquet",
        "order_date=2025-03-01/_SUCCESS",
        "loose.parquet",
    ]
    files = published(FileEntry(path, 1, 1) for path in paths)
    assert [entry.path for entry in files] == ["order_date=2025-03-01/part-0.parquet"]


def test_an_error_of_the_namenode_is_one_line_in_its_own_words() -> None:
    def open_store() -> Store:
        # As the client gives it; a real one has the whole stack.
        raise RuntimeError(
            'RPCError("org.apache.hadoop.security.AccessControlException", '
            '"Permission denied: user=retail-dashboard\\n\\tat o.a.h.hdfs.server.namenode.FSPermissionChecker'
            '\\n\\tat java.base/java.security.AccessController\\n")'
        )

    source = make_source(open_store)
    source.refresh()
    assert source.report().notice == (
        "HDFS cannot be read (AccessControlException: Permission denied: user=retail-dashboard): "
        "nothing to show yet; trying again."
    )


def test_the_date_comes_from_the_folder() -> None:
    assert date_of("order_date=2025-03-01/part.parquet") == DAY_1
    with pytest.raises(ValueError, match="isoformat"):
        date_of("order_date=__HIVE_DEFAULT_PARTITION__/part.parquet")


def test_age_is_in_whole_seconds_and_never_negative() -> None:
    made = datetime(2025, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    report = Report("folder", State.OK, made, None)
    assert report.age_seconds(datetime(2025, 3, 1, 12, 0, 10, tzinfo=UTC)) == 9
    assert report.age_seconds(datetime(2025, 3, 1, 11, 0, 0, tzinfo=UTC)) == 0


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANALYSIS_PATH", raising=False)
    monkeypatch.delenv("USE_HDFS", raising=False)
    assert Settings().analysis_path == HDFS_PATHS["analysis_path"]
    monkeypatch.setenv("USE_HDFS", "false")
    assert Settings().analysis_path == LOCAL_PATHS["analysis_path"]
    monkeypatch.setenv("ANALYSIS_PATH", "hdfs://nn:8020/x")
    assert Settings().analysis_path == "hdfs://nn:8020/x"
