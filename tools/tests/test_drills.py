"""Drills are read as they are meant, a seed makes the same of them each time; what grades and guards say."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from tools import daemons
from tools.cluster import Cluster, Host
from tools.drills import folders, game, grading, guards, prove, records, scenario
from tools.drills.grading import Marks
from tools.terminal import Problem

DRILLS = folders.drills()
EVERY = pytest.mark.parametrize("drill", DRILLS.values(), ids=list(DRILLS))


def cluster(*workers: str) -> Cluster:
    """A lab with some workers."""
    names = ("master1", *workers, "edge1")
    hosts = {name: Host(name, {"ansible_host": f"10.0.0.{number}"}) for number, name in enumerate(names, 11)}
    masters = ("namenode", "kafka_controller", "spark_master", "spark_history")
    groups = {
        **{name: ["master1"] for name in masters},
        **{name: [*workers] for name in ("datanode", "spark_worker")},
        "kafka_broker": ["master1", *workers],
        "edge": ["edge1"],
    }
    return Cluster(hosts, groups)


LAB = cluster("worker1", "worker2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A drill of its own, which a test may spoil."""
    shutil.copy(folders.FOLDER / folders.CAUSES, tmp_path)
    return Path(shutil.copytree(folders.FOLDER / "batch-asleep", tmp_path / "batch-asleep"))


def spoil(folder: Path, **keys: object) -> None:
    """Change keys of drill.yml; None takes one away."""
    path = folder / "drill.yml"
    row = {**yaml.safe_load(path.read_text()), **keys}
    path.write_text(yaml.safe_dump({key: value for key, value in row.items() if value is not None}))


@EVERY
def test_scripts_of_a_drill_go_to_hosts_that_it_has(drill: folders.Drill) -> None:
    groups = {daemon.group for daemon in daemons.table().values()}
    scripts = [*map(drill.script, folders.SCRIPTS), *drill.wrong.values(), *folders.decoys().values()]
    assert {place for script in scripts for place, _ in scenario.parts(script)} <= {*drill.hosts, *groups}


@EVERY
def test_nothing_that_reaches_a_host_names_what_it_is(drill: folders.Drill) -> None:
    sent = [*map(drill.script, folders.SCRIPTS), *drill.wrong.values(), *folders.decoys().values()]
    sent += [value for values in drill.values.values() for value in values]
    assert not [text for text in sent if "drill" in text.lower() or drill.id in text]


@EVERY
def test_a_story_gives_no_host_and_no_value_away(drill: folders.Drill) -> None:
    for seed in range(20):
        chosen = scenario.choose(drill, seed, LAB)
        secret = {*chosen.variables.values()} - {"edge1", "master1"}
        assert not [word for word in secret if len(word) > 3 and word in chosen.text(drill.story)]


@EVERY
def test_a_seed_always_makes_the_same_and_seeds_differ_where_there_is_a_choice(drill: folders.Drill) -> None:
    def made(seed: int) -> tuple[object, ...]:
        chosen = scenario.choose(drill, seed, LAB)
        return *chosen.variables.items(), *chosen.decoys

    assert made(7) == made(7)
    assert len({made(seed) for seed in range(30)}) > 3


@EVERY
def test_hosts_of_a_drill_are_different_ones(drill: folders.Drill) -> None:
    for seed in range(20):
        chosen = scenario.choose(drill, seed, LAB)
        assert len({chosen.variables[name] for name in drill.hosts}) == len(drill.hosts)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hint": "a word"}, "drill batch-asleep has hint; known are area,"),
        ({"story": None}, "drill batch-asleep lacks story"),
        ({"causes": ["gremlins"]}, "there is no gremlins; take of access-denied,"),
        ({"hosts": {"VICTIM": "edge"}}, "hosts must name HOST"),
        ({"hosts": {"HOST": "till"}}, "there is no till; take of"),
        ({"evidence": [{"pattern": "x"}]}, "must have one of journal, file, command"),
        ({"evidence": [{"pattern": "(", "file": "/etc/hosts"}]}, "unterminated"),
        ({"where": [{"host": "HOST", "unit": "sshd"}]}, "there is no sshd; take of"),
        ({"reboot": ["VICTIM"]}, "there is no VICTIM; take of HOST"),
        ({"hints": ["one"]}, "two hints"),
    ],
)
def test_what_a_drill_cannot_mean_is_refused_with_a_sentence(folder: Path, keys: dict[str, object], said: str) -> None:
    spoil(folder, **keys)
    with pytest.raises(Problem, match=f"batch-asleep is no drill.*{re.escape(said)}"):
        folders.drills(folder.parent)


@pytest.mark.parametrize("text", ["title: [", "just words", ""])
def test_a_file_that_is_no_table_is_refused_with_a_sentence(folder: Path, text: str) -> None:
    (folder / "drill.yml").write_text(text)
    with pytest.raises(Problem, match="batch-asleep is no drill"):
        folders.drills(folder.parent)


def test_a_drill_without_a_wrong_repair_or_with_a_file_of_no_use_is_refused(folder: Path) -> None:
    (folder / "readme").touch()
    with pytest.raises(ValueError, match="there is no readme"):
        folders.read(folder)
    (folder / "readme").unlink()
    shutil.rmtree(folder / "wrong")
    with pytest.raises(ValueError, match="lacks wrong/"):
        folders.read(folder)


def test_a_cluster_that_is_too_small_is_refused_with_the_groups(folder: Path) -> None:
    spoil(folder, hosts={"HOST": "datanode", "OTHER": "datanode"})
    with pytest.raises(Problem, match="needs 2 hosts of the groups datanode, datanode, and this inventory has too few"):
        scenario.choose(folders.read(folder), 1, cluster("worker1"))


def test_a_script_is_sent_in_parts_to_the_hosts_that_it_names() -> None:
    script = "#!/bin/bash\n# on: namenode\nleave\n# on: edge\nstart\nlook\n"
    assert list(scenario.parts(script)) == [("namenode", "\nleave\n"), ("edge", "\nstart\nlook\n")]
    assert [place for place, _ in scenario.parts("#!/bin/bash\nhere\n# on: edge\nthere\n")] == ["HOST", "edge"]


def test_causes_are_worth_what_is_right_of_all_that_was_said() -> None:
    assert grading.cause_marks(["firewall"], ["firewall"]) == 40
    assert grading.cause_marks(["firewall", "disk-full"], ["firewall"]) == 20
    assert grading.cause_marks(["firewall"], ["firewall", "disk-full"]) == 20
    assert grading.cause_marks(["disk-slow"], ["firewall"]) == 0


def test_a_host_without_its_unit_is_worth_half() -> None:
    where = [("worker1", "kafka"), ("edge1", "retail-producer")]
    assert grading.place_marks("worker1", "kafka.service", where) == 20
    assert grading.place_marks("worker1", "spark-worker", where) == 10
    assert grading.place_marks("worker2", "kafka", where) == 0


def test_evidence_must_stand_somewhere_and_be_long_enough() -> None:
    output = "Nov 27 03:00:00 worker1 java[1]: Incompatible  clusterIDs in /var/lib/hdfs/data\n"
    assert grading.stands_in("Incompatible clusterIDs in /var", output)
    assert not grading.stands_in("Incompatible clusterIDs in /opt", output)
    assert not grading.stands_in("clusterIDs", output)


def test_evidence_that_stands_nowhere_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = scenario.choose(DRILLS["batch-asleep"], 1, LAB)
    asked = ["OnCalendar=", "     Trigger: n/a", "-  -  retail-batch.timer retail-batch.service"]
    monkeypatch.setattr(prove, "EVIDENCE_SECONDS", 0)
    monkeypatch.setattr(game, "printed", lambda *_: "\n".join(asked))
    with pytest.raises(Problem, match="seed 1: no line shows OnCalendar"):  # it is there, and too short to be said
        prove.shows_evidence(LAB, chosen)
    asked[0] = "OnCalendar=*-02-31 03:00"
    prove.shows_evidence(LAB, chosen)


def test_a_chain_is_worth_its_neighbours_in_the_right_order() -> None:
    links = ["cause", "effect", "trouble", "page"]
    lettered = grading.shuffled(links, random.Random(3))
    letter = {link: letter for letter, link in lettered.items()}
    assert list(lettered.values()) != links
    assert grading.chain_marks("".join(letter[link] for link in links), lettered, links) == 20
    swapped = "".join(letter[link] for link in ("cause", "effect", "page", "trouble"))
    assert grading.chain_marks(swapped, lettered, links) == 7
    assert grading.chain_marks("aaaa", lettered, links) == grading.chain_marks("ab", lettered, links) == 0


def test_hints_and_wrong_tries_cost_and_a_grade_is_never_below_nothing() -> None:
    assert grading.grade(Marks(40, 20, 20, 20), hints=1, wrong_tries=2) == 85
    assert grading.grade(Marks(), hints=3, wrong_tries=0) == 0


BEFORE: guards.Facts = {
    "worker1": {"worker1:/etc/hosts": "abc", "worker1:/var/lib/kafka/data/meta.properties node.id": "2"},
    "Kafka": {"topic sales id": "x", "topic sales last offset of 0": 100},
}


def after(**changes: str | int | None) -> guards.Facts:
    """Facts with some changed: a new value, or None for what is gone."""
    names = {
        "hosts": "worker1:/etc/hosts",
        "offset": "topic sales last offset of 0",
        "limit": "topic sales retention.ms",
    }
    flat: dict[str, str | int | None] = {name: value for told in BEFORE.values() for name, value in told.items()}
    flat |= {names.get(name, name): value for name, value in changes.items()}
    return {"all": {name: value for name, value in flat.items() if value is not None}}


def test_what_a_repair_changes_besides_is_told() -> None:
    assert guards.differences(BEFORE, BEFORE, after()) == []
    assert guards.differences(BEFORE, BEFORE, after(hosts="xyz")) == ["worker1:/etc/hosts has changed."]
    assert guards.differences(BEFORE, BEFORE, after(hosts=None)) == ["worker1:/etc/hosts is gone."]
    assert guards.differences(BEFORE, BEFORE, after(limit="1")) == ["topic sales retention.ms is new."]


def test_numbers_may_grow_and_not_shrink() -> None:
    assert guards.differences(BEFORE, BEFORE, after(offset=200)) == []
    assert guards.differences(BEFORE, BEFORE, after(offset=3)) == ["topic sales last offset of 0 was 100, is 3."]


def test_what_the_fault_made_is_not_given_away_by_a_guard() -> None:
    fault = after(hosts="broken")
    assert guards.differences(BEFORE, fault, after(hosts="broken")) == []
    assert guards.differences(BEFORE, fault, after()) == []
    assert guards.differences(BEFORE, fault, after(hosts="mended otherwise")) == ["worker1:/etc/hosts has changed."]
    assert guards.differences(BEFORE, fault, after(hosts="mended otherwise"), ["*:/etc/hosts"]) == []


def test_a_result_that_was_changed_is_told_from_a_signed_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setenv(records.KEY, "the teacher's")
    path = records.write_result({"drill": "batch-asleep", "grade": 40})
    assert [worth for _, worth in records.results()] == ["signed"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "grade": 100}))
    assert [worth for _, worth in records.results()] == ["forged"]


def test_a_drill_that_runs_is_kept_until_it_is_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    runs = records.Running("batch-asleep", 7, BEFORE, hints=2, marks=Marks(cause=40))
    records.save(LAB, runs)
    assert records.running(LAB) == runs
    assert records.running(cluster("worker1")) is None
    records.save(LAB, None)
    assert records.running(LAB) is None


def test_a_drill_whose_hosts_were_rewound_is_over_and_not_solved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    assert game.give_up(LAB) == ""
    records.save(LAB, records.Running("batch-asleep", 3, {}, told=time.time()))
    assert game.give_up(LAB) == "batch-asleep"
    assert records.running(LAB) is None
    [(result, _)] = records.results()
    assert not result["solved"] and result["grade"] == 0
