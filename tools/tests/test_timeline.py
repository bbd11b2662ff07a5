"""What of the journals is told: by rules, against lines that hosts of a lab have really written."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from pathlib import Path

import pytest

from tools import daemons
from tools.health import timeline
from tools.health.timeline import Event, Rule, clock_note, event, merged, moment, of_journal, rules
from tools.terminal import Problem

RECORDED = Path(__file__).parent / "journal.jsonl"
"""Lines of `journalctl --output json`, each with the `host` that wrote it and what is told of it (null: nothing)."""


def recorded() -> list[dict[str, str]]:
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("line", recorded(), ids=lambda line: str(line["told"] or line["MESSAGE"])[:60])
def test_what_is_told_of_a_line(line: dict[str, str]) -> None:
    found = event(line["host"], line)
    assert (found and found.text) == line["told"]


def test_every_rule_tells_its_own_groups_and_is_about_a_unit_of_the_cluster() -> None:
    known = {daemon.unit for daemon in daemons.table().values()} | {timeline.SYSTEMD}
    assert set(rules()) <= known
    for of_unit in rules().values():
        for rule in of_unit:
            named = set(re.compile(rule.match).groupindex)
            assert set(re.findall(r"{(\w+)}", rule.says)) <= named, rule


def test_the_expression_for_journalctl_names_no_group_and_finds_what_the_rules_find() -> None:
    expression = re.compile(timeline.pattern())
    assert not expression.groupindex
    for line in recorded():
        if line["told"]:
            assert expression.search(line["MESSAGE"]), line


def test_a_rule_without_words_of_its_own_tells_the_message() -> None:
    assert Rule("gone").text("all is gone") == "all is gone"
    assert Rule("gone").text("all is well") is None
    assert Rule("lost (?P<what>a)?", says="lost: {what}").text("lost b") == "lost: "


def test_a_message_that_is_not_utf8_is_read() -> None:
    record = {"MESSAGE": list(b"ERROR caf\xe9"), "_SYSTEMD_UNIT": "kafka.service", "__REALTIME_TIMESTAMP": "1000000"}
    found = event("worker1", record)
    assert found and found.text == "caf\ufffd"


def test_units_that_are_not_of_the_cluster_are_left_out() -> None:
    record = {"_PID": "1", "UNIT": "user@1000.service", "MESSAGE": "Started user@1000.service - User Manager."}
    assert list(of_journal("worker1", [json.dumps(record | {"__REALTIME_TIMESTAMP": "1"})])) == []


def test_events_of_all_hosts_come_in_order_and_none_twice() -> None:
    early, late = Event(1.0, "worker2", "kafka", "kafka stopped"), Event(2.0, "master1", "kafka", "broker 3 fenced")
    assert merged([late, early, late]) == [early, late]


def test_what_has_just_happened_is_asked_for() -> None:
    assert {"--since=@0.250000", "--until=@0.750000"} <= set(timeline.journalctl(0.25, 0.75))
    assert not [word for word in timeline.journalctl(0.25, math.inf) if word.startswith("--until")]


@pytest.mark.parametrize("words", [["--from=2099-01-01T00:00"], ["--from=-1m", "--to=-2m"]])
def test_a_time_that_begins_after_its_end_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        timeline.main(words)
    assert "nothing lies between them" in " ".join(capsys.readouterr().err.split())


def test_times_are_relative_or_iso() -> None:
    now = 1_000_000.0
    assert moment("-30m", now) == now - 1800
    assert moment("-2h", now) == now - 7200
    assert moment("-0s", now) == now
    assert moment("1970-01-02T00:00:00+00:00", now) == 86_400
    assert moment("1970-01-02T00:00", now) == datetime(1970, 1, 2).timestamp()
    with pytest.raises(Problem, match="'yesterday' is no time: take one like -30m"):
        moment("yesterday", now)


@pytest.mark.parametrize(
    ("clock", "said"),
    [(100.5, ""), (102.9, ""), (99.2, ""), (104.0, "2.0 s ahead of"), (95.0, "5.0 s behind")],
)
def test_a_clock_that_is_off_by_more_than_a_second_is_told(clock: float, said: str) -> None:
    note = clock_note("worker1", clock, asked=100.0, answered=102.0)
    assert said in note and bool(note) == bool(said)


def test_a_line_of_json_has_the_time_in_utc() -> None:
    line = json.loads(timeline.as_json(Event(0.5, "edge1", "retail-batch", "batch x: published", grave=False)))
    assert line["time"] == "1970-01-01T00:00:00.500+00:00"
    assert line["host"] == "edge1" and line["text"] == "batch x: published"
