"""What the jobs take from their environment: each variable is the name of a field in capitals."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReportSettings(BaseSettings):
    """Where the report goes: known even when other settings cannot be used."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    csv_path: Path = Path("data/output/analysis_csv")
    """Folder on the driver's own disk; the report of the last run goes beside it."""

    @property
    def report_file(self) -> Path:
        """Where the report of the last batch run goes."""
        return self.csv_path.absolute().parent / "last_run.json"


class Settings(ReportSettings):
    """Paths without a scheme are on the cluster's HDFS, or on the local disk when `use_hdfs` is off.

    Folders left empty follow `use_hdfs`: below `/data` on HDFS, below `./data` on the local disk.
    """

    use_hdfs: bool = True
    input_path: str = ""
    """Folder of the transactions CSVs and of `products.csv`."""
    output_path: str = ""
    quarantine_path: str = ""
    state_path: str = ""
    """Checkpoints of the stream, what the batch has read so far, and publications under way."""

    kafka_bootstrap_servers: str = "localhost:9092"
    sales_topic: str = "sales"
    live_topic: str = "product_revenue"
    stream_output_path: str = ""
    trigger_seconds: float = Field(default=5, gt=0)
    """Time from the beginning of a micro-batch to that of the next one."""
    watermark: str = "15 minutes"
    max_offsets_per_trigger: int = Field(default=400_000, gt=0)
    max_orders: int = Field(default=10_000_000, gt=0)
    """Orders that streaming remembers at most, 24 bytes of the driver's memory each."""
    max_products: int = Field(default=20_000, gt=0)
    """Product names that the open windows have at most; events of further ones go to the quarantine."""

    forget: str = ""
    """An input file, by its path below `input_path`, that is gone and whose sales are to go, too."""

    wait_seconds: float = Field(default=20, ge=0)
    """How long to wait for a NameNode or a Spark master that does not answer."""
    spark_uis: str = ""
    """Addresses of the Spark masters' UIs, with commas between them: they say who holds the executors."""
    executors_wait_seconds: float = Field(default=300, ge=0)
    """How long to wait for the first executor."""

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        root = "/data" if self.use_hdfs else "./data"
        output = self.output_path or f"{root}/output"
        self.input_path = self._place(self.input_path or f"{root}/input")
        self.output_path = self._place(output)
        quarantine = "/data/quarantine" if self.use_hdfs else f"{output}/quarantine"
        self.quarantine_path = self._place(self.quarantine_path or quarantine)
        self.state_path = self._place(self.state_path or ("/data/state" if self.use_hdfs else f"{output}/.state"))
        self.stream_output_path = self._place(self.stream_output_path or f"{output}/streaming_product_revenue")
        return self

    def _place(self, path: str) -> str:
        path = path.rstrip("/") or "/"
        if self.use_hdfs or urlsplit(path).scheme:
            return path
        return f"file:{Path(path).absolute()}"
