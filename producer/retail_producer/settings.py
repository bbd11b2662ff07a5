"""What the producer is told: environment variables, overridden by the command line."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator
from pydantic_settings import BaseSettings


class ConfigurationError(Exception):
    """What was asked for cannot work, now or after a restart; the text says what to do."""


HostPorts = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$")]


class Settings(BaseSettings):
    """Settings of one run; every field is also an environment variable of the same name in capitals.

    Attributes:
        events_per_second: Rate that is held; 0 sends as fast as the brokers take it.
        kafka_bootstrap_servers: `host:port`, several separated by commas.
        sales_topic: Topic that receives the events.
        input_path: Folder of CSV files on the local disk.
        loop: Start over at the end of the last file, for ever.
        event_time: `now` stamps events as they are sent, `original` keeps the row's own date.
    """

    events_per_second: float = Field(default=5, ge=0, allow_inf_nan=False)
    kafka_bootstrap_servers: HostPorts = "localhost:9092"
    sales_topic: str = Field(default="sales", min_length=1)
    input_path: Path = Path("data/input")
    loop: bool = False
    event_time: Literal["now", "original"] = "now"

    @model_validator(mode="after")
    def _loop_needs_fresh_times(self) -> Self:
        if self.loop and self.event_time == "original":
            raise ValueError(
                "a loop with original event times makes every event after the first pass late: "
                "use event time 'now', or do not loop"
            )
        return self


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retail_producer",
        description="Replay transaction CSVs to Kafka. Every option overrides its environment variable.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--rate",
        dest="events_per_second",
        metavar="N",
        help="events per second, 0 as fast as possible (EVENTS_PER_SECOND)",
    )
    parser.add_argument("--loop", action=argparse.BooleanOptionalAction, help="start over after the last file (LOOP)")
    parser.add_argument("--event-time", choices=["now", "original"], help="time of the events (EVENT_TIME)")
    parser.add_argument("--input", dest="input_path", metavar="FOLDER", help="folder of CSVs (INPUT_PATH)")
    parser.add_argument(
        "--bootstrap-servers",
        dest="kafka_bootstrap_servers",
        metavar="HOST:PORT,...",
        help="brokers (KAFKA_BOOTSTRAP_SERVERS)",
    )
    parser.add_argument("--topic", dest="sales_topic", help="topic (SALES_TOPIC)")
    return parser


def load(argv: Sequence[str] | None = None) -> Settings:
    """Settings from the environment and the command line.

    Args:
        argv: Arguments without the program's name; `None` takes those of the process.

    Raises:
        ConfigurationError: A value is not usable; names the variable and the reason.
    """
    overrides = vars(_parser().parse_args(argv))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, e['loc'])).upper() or 'settings'}: {e['msg']} (got {e['input']!r})"
            if e["loc"]
            else str(e["msg"]).removeprefix("Value error, ")
            for e in error.errors()
        )
        raise ConfigurationError("; ".join(problems)) from error
