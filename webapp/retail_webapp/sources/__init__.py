"""Sources of data: each keeps its last good data, and says how old that is."""

from dataclasses import dataclass

from retail_webapp.settings import Settings
from retail_webapp.sources.batch import BatchSource
from retail_webapp.sources.live import LiveSource
from retail_webapp.sources.stores import open_store


@dataclass(frozen=True)
class Sources:
    """The sources of one app."""

    batch: BatchSource
    live: LiveSource

    def start(self) -> None:
        """Start the threads, once; only in the process that serves, since they do not survive a fork."""
        self.batch.start()
        self.live.start()

    def stop(self) -> None:
        """Stop the threads and wait for them."""
        self.batch.stop()
        self.live.stop()


def make_sources(settings: Settings) -> Sources:
    """Make the sources without connecting to anything yet."""
    batch = BatchSource(
        lambda: open_store(settings),
        settings.analysis_path,
        interval=settings.refresh_seconds,
        product="HDFS" if settings.use_hdfs else "The data folder",
        how_to_fill="make batch" if settings.use_hdfs else "make local",
    )
    return Sources(batch, LiveSource(settings))
