"""The command as a process: exit codes, messages, signals; brokers that are away are a port nobody holds."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "retail_producer", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "-1"], "EVENTS_PER_SECOND"),
        (["--input", "/nonexistent"], "there is no folder /nonexistent"),
        (["--speed", "1"], "unrecognized arguments"),
    ],
)
def test_configuration_errors_exit_with_2_and_one_line(arguments: list[str], said: str) -> None:
    process = start(*arguments)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in output
    assert "Traceback" not in output


def test_brokers_away_it_waits_says_so_and_a_stop_reports_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("order_id,amount\n1,2\n2,3\n")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    process = start("--input", str(tmp_path), "--rate", "100", KAFKA_BOOTSTRAP_SERVERS=address)
    assert process.stdout is not None
    said = next(line for line in process.stdout if "no answer" in line)
    assert f"no answer from the brokers at {address} for 5 s" in said
    assert "waiting with 2 events" in said
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no answer" not in output
    assert "stopped with 2 events that no broker acknowledged" in output
