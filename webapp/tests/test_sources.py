from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from retail_webapp.settings import HDFS_ANALYSIS, LOCAL_ANALYSIS, Settings
from retail_webapp.sources.batch import BatchSource
from retail_webapp.sources.dataset import date_of, published
from retail_webapp.sources.report import Report, State
from retail_webapp.sources.stores import FileEntry, LocalStore, Store

from .samples import DAY_1, DAY_2, MONTH, WriteDay

pytestmark = pytest.mark.filterwarnings("error")


class Counting(LocalStore):
    """The real local store, which also counts reads and lets a test act between list and read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: list[str] = []
        self.before_read: Callable[[], object] | None = None

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


def make_source(open_store: Callable[[], Store]) -> BatchSource:
    return BatchSource(open_store, "folder", interval=60, product="HDFS", how_to_fill="make batch")


@pytest.mark.usefixtures("month")
def test_only_changed_files_are_read_again(source: BatchSource, store: Counting, write_day: WriteDay) -> None:
    source.refresh()
    assert len(store.reads) == 3
    source.refresh()
    assert len(store.reads) == 3
    write_day(DAY_2, MONTH[DAY_1])
    source.refresh()
    assert store.reads[3:] == [f"order_date={DAY_2}/part-00000.snappy.parquet"]


@pytest.mark.usefixtures("month")
def test_a_file_that_goes_while_reading_means_looking_again(
    source: BatchSource, store: Counting, write_day: WriteDay, folder: Path
) -> None:
    def publish() -> None:
        for path in folder.glob(f"order_date={DAY_1}/*"):
            path.unlink()
        write_day(date(2025, 4, 1), MONTH[DAY_2])

    store.before_read = publish
    source.refresh()
    snapshot = source.snapshot()
    assert snapshot is not None
    dates = set(snapshot.table["order_date"].to_pylist())
    assert dates == {DAY_2, date(2025, 3, 3), date(2025, 4, 1)}
    assert source.report().state is State.OK


@pytest.mark.usefixtures("month")
def test_a_removed_day_disappears(source: BatchSource, folder: Path) -> None:
    source.refresh()
    for path in folder.glob(f"order_date={DAY_1}/*"):
        path.unlink()
    source.refresh()
    snapshot = source.snapshot()
    assert snapshot is not None
    assert DAY_1 not in snapshot.table["order_date"].to_pylist()


def test_unexpected_columns_are_a_notice_that_names_one(folder: Path, source: BatchSource) -> None:
    path = folder / "order_date=2025-03-01" / "part.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"something": [1]}), path)
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
    assert Settings().analysis_path == HDFS_ANALYSIS
    monkeypatch.setenv("USE_HDFS", "false")
    assert Settings().analysis_path == LOCAL_ANALYSIS
    monkeypatch.setenv("ANALYSIS_PATH", "hdfs://nn:8020/x")
    assert Settings().analysis_path == "hdfs://nn:8020/x"
