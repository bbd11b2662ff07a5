from pathlib import Path

import pytest
from retail_producer.settings import ConfigurationError, Settings, load


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults() -> None:
    settings = load([])
    assert settings.events_per_second == 5
    assert settings.input_path == Path("data/input")
    assert (settings.sales_topic, settings.loop, settings.event_time) == ("sales", False, "now")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_PER_SECOND", "200")
    monkeypatch.setenv("LOOP", "true")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:9092,b:9092")
    settings = load([])
    assert (settings.events_per_second, settings.loop) == (200, True)
    assert settings.kafka_bootstrap_servers == "a:9092,b:9092"


def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_PER_SECOND", "200")
    monkeypatch.setenv("LOOP", "true")
    settings = load(["--rate", "0", "--no-loop", "--event-time", "original", "--input", "/in"])
    assert (settings.events_per_second, settings.loop) == (0, False)
    assert (settings.event_time, settings.input_path) == ("original", Path("/in"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "-1"], "EVENTS_PER_SECOND"),
        (["--rate", "nan"], "EVENTS_PER_SECOND"),
        (["--rate", "fast"], "EVENTS_PER_SECOND"),
        (["--bootstrap-servers", "broker"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["--loop", "--event-time", "original"], "late"),
    ],
)
def test_what_cannot_work_is_refused_by_name(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(arguments)
