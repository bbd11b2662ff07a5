"""Sources of data: each keeps its last good data, and says how old that is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from retail_webapp.settings import Settings
from retail_webapp.sources.batch import BatchSource
from retail_webapp.sources.dataset import STORE_COLUMNS
from retail_webapp.sources.jobs import JobsSource
from retail_webapp.sources.live import LiveSource
from retail_webapp.sources.polled import How
from retail_webapp.sources.quarantine import QuarantineSource
from retail_webapp.sources.stores import Store, open_store
from retail_webapp.sources.stream import ClosedSource, StreamSource
from retail_webapp.sources.unread import UnreadSource


@dataclass(frozen=True)
class Sources:
    """The sources of one app."""

    batch: BatchSource
    stores: BatchSource
    live: LiveSource
    stream: StreamSource
    closed: ClosedSource
    unread: UnreadSource
    quarantine: QuarantineSource
    jobs: JobsSource

    def start(self) -> None:
        """Start the threads, once; only in the process that serves, since they do not survive a fork."""
        for field in fields(self):
            getattr(self, field.name).start()

    def stop(self) -> None:
        """Stop the threads and wait for them."""
        for field in fields(self):
            getattr(self, field.name).stop()


def make_sources(settings: Settings) -> Sources:
    """Make the sources without connecting to anything yet."""
    make = "make batch" if settings.use_hdfs else "make local"
    no_stream = "make streaming" if settings.use_hdfs else "local mode has none"
    batch: How = {
        "interval": settings.refresh_seconds,
        "product": "HDFS" if settings.use_hdfs else "The data folder",
        "how_to_fill": f"No batch has run yet: {make}",
    }
    slow: How = {**batch, "interval": settings.slow_refresh_seconds}
    stream: How = {**batch, "how_to_fill": f"No stream has run yet: {no_stream}"}
    unread: How = {**slow, "product": "Kafka", "how_to_fill": stream["how_to_fill"]}
    closed: How = {**slow, "how_to_fill": "No window is closed yet; one is when the watermark has passed its end."}

    def store(path: str) -> Callable[[], Store]:
        return lambda: open_store(path, use_hdfs=settings.use_hdfs)

    status = StreamSource(store(settings.stream_path), settings.stream_path, settings.quiet_seconds, **stream)

    def position() -> Mapping[int, int] | None:
        found = status.snapshot()
        return found.position if found else None

    return Sources(
        batch=BatchSource(store(settings.analysis_path), settings.analysis_path, **batch),
        stores=BatchSource(store(settings.stores_path), settings.stores_path, STORE_COLUMNS, **batch),
        live=LiveSource(settings),
        stream=status,
        closed=ClosedSource(store(settings.closed_path), settings.closed_path, **closed),
        unread=UnreadSource(settings, position, **unread),
        quarantine=QuarantineSource(store(settings.quarantine_path), settings.quarantine_path, **slow),
        jobs=JobsSource(Path(settings.report_path), interval=slow["interval"], how_to_fill=slow["how_to_fill"]),
    )
