"""Settings of the dashboard, read from the environment (systemd: an EnvironmentFile)."""

from typing import Self

from pydantic import Field, HttpUrl, PositiveFloat, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

HDFS_PATHS = {
    "analysis_path": "/data/output/analysis_parquet",
    "stores_path": "/data/output/stores_parquet",
    "closed_path": "/data/output/streaming_product_revenue",
    "stream_path": "/data/state/streaming",
    "quarantine_path": "/data/quarantine",
    "report_path": "/var/lib/retail/output/last_run.json",
}
LOCAL_PATHS = {
    "analysis_path": "./data/output/analysis_parquet",
    "stores_path": "./data/output/stores_parquet",
    "closed_path": "./data/output/streaming_product_revenue",
    "stream_path": "./data/output/.state/streaming",
    "quarantine_path": "./data/output/quarantine",
    "report_path": "./data/output/last_run.json",
}


class Settings(BaseSettings):
    """Where the data comes from and how often it is looked at.

    Every field is set by the environment variable of the same name in capitals.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    use_hdfs: bool = True
    """Read the batch result from HDFS; false reads a local folder."""

    analysis_path: str = ""
    """Folder of the batch result: a path on `fs.defaultFS`, an `hdfs://` address, or a local folder."""

    stores_path: str = ""
    """Folder of the batch result by store; written like `analysis_path`, as the next ones."""

    closed_path: str = ""
    """Folder of the stream's closed windows."""

    stream_path: str = ""
    """Folder in which the stream says how it is."""

    quarantine_path: str = ""
    """Folder of the quarantine, with a folder for each job."""

    report_path: str = ""
    """Report of the last batch, a file on this host's disk."""

    kafka_bootstrap_servers: str = ""
    """Brokers, `host:port` with commas between; empty means that there is no live panel."""

    live_topic: str = "product_revenue"
    """Compacted topic with the live value of every window."""

    refresh_seconds: PositiveFloat = Field(default=3.0, le=300)
    """Seconds between two looks for a new publication of the batch."""

    slow_refresh_seconds: PositiveFloat = Field(default=10.0, le=600)
    """Seconds between two looks at the quarantine and the jobs."""

    sales_topic: str = "sales"
    """Topic that the stream reads."""

    live_keep_hours: PositiveFloat = Field(default=3.0, le=48)
    """How long after its end a window is still shown, in hours."""

    quiet_seconds: PositiveFloat = Field(default=60.0)
    """Seconds without an update after which the live panel says so."""

    link_spark: HttpUrl | None = None
    """Address of the Spark master's page, as users' browsers reach it; the same for the next ones."""

    link_history: HttpUrl | None = None
    """Address of the Spark history server's page."""

    link_namenode: HttpUrl | None = None
    """Address of the NameNode's page."""

    @property
    def links(self) -> list[tuple[str, HttpUrl | None]]:
        """Names and addresses of the cluster's other pages."""
        return [
            ("Spark master", self.link_spark),
            ("Spark history", self.link_history),
            ("NameNode", self.link_namenode),
        ]

    @model_validator(mode="after")
    def _default_paths(self) -> Self:
        for name, path in (HDFS_PATHS if self.use_hdfs else LOCAL_PATHS).items():
            if not getattr(self, name):
                object.__setattr__(self, name, path)
        return self
