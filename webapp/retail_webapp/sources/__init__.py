"""Sources of data: each keeps its last good data, and says how old that is."""

from dataclasses import dataclass
from pathlib import Path

from retail_webapp.settings import Settings
from retail_webapp.sources.batch import BatchSource
from retail_webapp.sources.jobs import JobsSource
from retail_webapp.sources.live import LiveSource
from retail_webapp.sources.quarantine import QuarantineSource
from retail_webapp.sources.stores import open_store


@dataclass(frozen=True)
class Sources:
    """The sources of one app."""

    batch: BatchSource
    live: LiveSource
    quarantine: QuarantineSource
    jobs: JobsSource

    def start(self) -> None:
        """Start the threads, once; only in the process that serves, since they do not survive a fork."""
        for source in self._all:
            source.start()

    def stop(self) -> None:
        """Stop the threads and wait for them."""
        for source in self._all:
            source.stop()

    @property
    def _all(self) -> tuple[BatchSource, LiveSource, QuarantineSource, JobsSource]:
        return self.batch, self.live, self.quarantine, self.jobs


def make_sources(settings: Settings) -> Sources:
    """Make the sources without connecting to anything yet."""
    product = "HDFS" if settings.use_hdfs else "The data folder"
    how_to_fill = f"No batch has run yet: {'make batch' if settings.use_hdfs else 'make local'}"
    batch = BatchSource(
        lambda: open_store(settings.analysis_path, use_hdfs=settings.use_hdfs),
        settings.analysis_path,
        interval=settings.refresh_seconds,
        product=product,
        how_to_fill=how_to_fill,
    )
    quarantine = QuarantineSource(
        lambda: open_store(settings.quarantine_path, use_hdfs=settings.use_hdfs),
        settings.quarantine_path,
        interval=settings.slow_refresh_seconds,
        product=product,
        how_to_fill=how_to_fill,
    )
    jobs = JobsSource(Path(settings.report_path), interval=settings.slow_refresh_seconds, how_to_fill=how_to_fill)
    return Sources(batch, LiveSource(settings), quarantine, jobs)
